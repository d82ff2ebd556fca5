"""Another model's name in a body, and each other byte as it was."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import multipart, partial
from proxy.paths import AUDIO, CHAT, FAL, GENERATE, IMAGE_EDITS, MESSAGES, Endpoint
from proxy.splice import splice

JSON = b"application/json"
FORM = b"multipart/form-data; boundary=B"
OTHER = Endpoint("other", "openai", False, False, "none")
DEEP = b'{"messages":[{"model":"in","x":{"model":["\\"model\\":"]}}],"model":"%b","tools":[{"model":{}}]}'


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        (b'{"model":"a"}', b'{"model":"b/c"}'),
        (b'{"model":""}', b'{"model":"b/c"}'),
        (b'\xef\xbb\xbf\r\n{\t"model" :\n"a" , "x":1 }\r\n ', b'\xef\xbb\xbf\r\n{\t"model" :\n"b/c" , "x":1 }\r\n '),
        (b'{"model":"a","x":[1.0,1E5,-0,true],"model":"z"}', b'{"model":"b/c","x":[1.0,1E5,-0,true],"model":"b/c"}'),
        (b'{"mod\\u0065l":"a","model":"z"}', b'{"mod\\u0065l":"b/c","model":"b/c"}'),
        (b'{"\\u006D\\u006fd\\u0065\\u006C":"a"}', b'{"\\u006D\\u006fd\\u0065\\u006C":"b/c"}'),
        (b'{"model":"a\\"}{"}', b'{"model":"b/c"}'),
        (b'{"model":null,"y":2}', b'{"model":"b/c","y":2}'),
        (b'{"model":{"model":[]} }', b'{"model":"b/c" }'),
        (b'{"x":"\xff\\ud800","model":"a"}', b'{"x":"\xff\\ud800","model":"b/c"}'),
        (b'{"\\"model":1,"Model":2,"model ":3,"model":4}', b'{"\\"model":1,"Model":2,"model ":3,"model":"b/c"}'),
        (DEEP % b"a", DEEP % b"b/c"),
        (b"", None),
        (b"{}", None),
        (b'{"x":{"model":"a"}}', None),
        (b'[{"model":"a"}]', None),
        (b'"model"', None),
        (b'{"model":"a"', None),
        (b'{"model":"a",', None),
        (b'{"model":"a",}', None),
        (b'{"model":"a","x":[', None),
        (b'{"model":"a","x', None),
        (b'{"model":"a"}}', None),
        (b'{"model":"a"}{"model":"z"}', None),
        (b'{"model":"a"} x', None),
        (b"{model:'a'}", None),
        ('{"model":"a"}'.encode("utf-16"), None),
        (b"\x1f\x8b\x08\x00{}", None),
    ],
)
def test_json(body: bytes, spliced: bytes | None) -> None:
    assert splice(CHAT, JSON, body, "b/c") == spliced
    assert splice(MESSAGES, b"", body, "b/c") == spliced


@pytest.mark.parametrize("model", ['a"b\\', "é\u2028", "😀", "\ud800", "\x00", ""])
def test_any_name_is_written_as_json(model: str) -> None:
    spliced = splice(CHAT, JSON, b'{"model":"a","x":"\xc3\xa9"}', model)
    assert spliced is not None
    assert json.loads(spliced) == {"model": model, "x": "é"}


def test_where_the_model_stands_elsewhere() -> None:
    assert splice(GENERATE, JSON, b'{"model":"a"}', "b") == b'{"model":"a"}'
    assert splice(FAL, JSON, b"no json", "b") == b"no json"
    assert splice(OTHER, JSON, b'{"model":"a"}', "b") is None


# -- objects as they may be written ----------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
keys = st.text(max_size=5) | st.sampled_from(["model", 'model"', "{", "\\", "x"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
spaces = st.text(" \t\r\n", max_size=3)
written = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    values,
    st.booleans(),
    st.sampled_from([None, 0, 1, "\t"]),
)
spelled = st.sampled_from(['"model"', '"mod\\u0065l"', '"\\u006dodel"', '"mode\\u006C"'])
fields = st.lists(
    st.tuples(spaces, spelled | keys.map(json.dumps), spaces, spaces, written | st.just('"\\ud800"'), spaces),
    max_size=7,
)
names = st.text(max_size=8) | st.sampled_from(["b", "meta-llama/Llama 3.3", '"'])
marks = st.sampled_from(["", "\ufeff"])


def text(parts: list[tuple[str, ...]], model: str | None = None) -> str:
    """An object with these fields, each with its white space; a `model` takes the place of every top-level one."""
    made = []
    for one, name, two, three, value, four in parts:
        put = json.dumps(model) if model is not None and json.loads(name) == "model" else value
        made.append(f"{one}{name}{two}:{three}{put}{four}")
    return "{" + ",".join(made) + "}"


@given(marks, spaces, fields, spaces, names)
def test_each_other_byte_is_as_it_was(
    mark: str, before: str, parts: list[tuple[str, ...]], after: str, model: str
) -> None:
    body = f"{mark}{before}{text(parts)}{after}".encode()
    spliced = splice(CHAT, JSON, body, model)
    if not any(json.loads(part[1]) == "model" for part in parts):
        assert spliced is None
        return
    assert spliced == f"{mark}{before}{text(parts, model)}{after}".encode()
    plain: dict[str, Any] = json.loads(text(parts))
    assert json.loads(spliced.decode("utf-8-sig")) == plain | {"model": model}


@given(fields, names, st.data())
def test_a_cut_object_is_left_alone(parts: list[tuple[str, ...]], model: str, data: st.DataObject) -> None:
    body = text(parts).encode()
    assert splice(CHAT, JSON, body[: data.draw(st.integers(0, len(body) - 1))], model) is None


PIECES = [b'"model"', b":", b'"a"', b"{", b"}", b"[", b"]", b",", b"\\", b'"', b" ", b"\xef\xbb\xbf", b"1", b"\\u0065"]


@given(st.binary() | st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_garbage(body: bytes) -> None:
    for endpoint, content_type in ((CHAT, JSON), (AUDIO, FORM), (IMAGE_EDITS, b"multipart/x; boundary=" + body[:9])):
        spliced = splice(endpoint, content_type, body, "m")
        assert spliced is None or b"m" in spliced


@given(st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join))
def test_what_a_parser_takes_means_the_same(body: bytes) -> None:
    try:
        plain = json.loads(body)
    except ValueError:
        return
    spliced = splice(CHAT, JSON, body, "m")
    if isinstance(plain, dict) and "model" in plain:
        assert spliced is not None
        assert json.loads(spliced) == plain | {"model": "m"}
    else:
        assert spliced is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","a":' + b"[" * 4_000_000,
        b'{"model":"m","a":' + b'"' + b'\\"' * 4_000_000,
        b'{"model":"m",' + b'"a":1,' * 1_000_000 + b'"b":1}',
        b"{" + b'"model":1,' * 800_000 + b'"b":1}',
        b"{" + b'"mod\\u0065l":1,' * 500_000 + b'"b":1}',
        b'{"model":"m"' + b" " * 8_000_000,
        b'{"model":"m"}' + b" " * 8_000_000 + b"x",
        b"{" + b'"' * 8_000_000,
        b" " * 8_000_000,
    ],
)
def test_hostile_bodies_take_a_bounded_time(body: bytes) -> None:
    """Each takes some hundredths of a second; an expression that goes back would need days."""
    begun = time.process_time()
    assert splice(CHAT, JSON, body, "x") is None
    assert time.process_time() - begun < 20.0


def test_a_large_body_is_spliced() -> None:
    parts = b'{"role":"user","content":[{"type":"text","text":"\\"}{"}]},' * 10_000
    body = b'{"messages":[' + parts + b'{}],"input":"' + b"x" * 4_000_000 + b'","model":"%b"}'
    assert splice(CHAT, JSON, body % b"a", "b") == body % b"b"


def test_what_is_too_much_to_follow_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "MOST_STEPS", 4)
    monkeypatch.setattr(partial, "MOST_COLONS", 4)
    assert splice(CHAT, JSON, b'{"a":[[[[[]]]]],"model":3}', "m") == b'{"a":[[[[[]]]]],"model":"m"}'
    assert splice(CHAT, JSON, b'\xef\xbb\xbf{"a":[[[[[]]]]],"model":3}', "m") is None
    assert splice(CHAT, JSON, b'{"a":1,"b":2,"model":3}', "m") == b'{"a":1,"b":2,"model":"m"}'
    assert splice(CHAT, JSON, b'{"a":1,"b":2,"c":3,"d":4,"model":5}', "m") is None


# -- forms -----------------------------------------------------------------------------------------------------------


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


FILE = part("file", b"RIFF\x00\r\n--BAD\r\n\r\nmodel" * 9, '; filename="model.wav"\r\nContent-Type: audio/wav')
END = b"--B--\r\n"


@pytest.mark.parametrize(
    ("body", "spliced"),
    [
        (part("model", b"a") + FILE + END, part("model", b"b") + FILE + END),
        (FILE + part("model", b"a") + b"--B--", FILE + part("model", b"b") + b"--B--"),
        (FILE + part("model", b"") + END + b"epilogue", FILE + part("model", b"b") + END + b"epilogue"),
        (part("model", b"a") * 2 + END, part("model", b"b") * 2 + END),
        (part("model", b"a\r") + END, part("model", b"b") + END),
        (part("model", b"a").replace(b"\r", b"") + b"--B--", part("model", b"b").replace(b"\r", b"") + b"--B--"),
        (FILE + END, None),
        (part("model", b"a") + FILE, None),
        (part("model", b"a") + FILE + b"--B", None),
        (part("model", b"a") + FILE + b"--B-", None),
        (part("model", b"a") + b"--B--x", None),
        (part("model", b"a") + part("", b"") + b"--B\r\n", None),
        (part("model", b"a") + part("x", b"y") * multipart.MOST_PARTS + END, None),
        (part("model", b"a" * (multipart.LONGEST_VALUE + 1)) + END, None),
        (END + part("model", b"a"), None),
        (b'{"model":"a"}', None),
        (b"", None),
    ],
)
def test_forms(body: bytes, spliced: bytes | None) -> None:
    assert splice(AUDIO, FORM, body, "b") == spliced
    assert splice(IMAGE_EDITS, b"MULTIPART" + FORM[9:], body, "b") == spliced


@pytest.mark.parametrize("model", ["a\r\n--B", "a\nb", "\x00", "\ud800"])
def test_no_name_ends_its_part(model: str) -> None:
    assert splice(AUDIO, FORM, part("model", b"a") + END, model) is None


@given(st.text("abc-./ é", max_size=30), st.binary(max_size=200), st.text("xyz/é", min_size=1, max_size=9))
def test_what_a_real_client_writes(model: str, data: bytes, other: str) -> None:
    boundary = b"boundary-of-the-test"
    header = {"content-type": f"multipart/form-data; boundary={boundary.decode()}"}

    def made(name: str) -> bytes:
        asked = {"model": name, "prompt": "p"}
        return httpx.Request("POST", "http://x", headers=header, data=asked, files={"file": ("a", data)}).read()

    body = made(model)
    assert splice(AUDIO, header["content-type"].encode(), body, other) == made(other)
    assert splice(AUDIO, header["content-type"].encode(), body[:-5], other) is None


@pytest.mark.parametrize(
    "body",
    [
        part("model", b"a") + b"\n--B" * 2_000_000,
        part("model", b"a") + b"\n--B-" * 1_500_000,
        part("model", b"a") * 100_000 + END,
        part("model", b"a") + part("x", b"\r\n" * 4_000_000),
        part("model", b"a") + b"--B--" + b" " * 8_000_000 + b"x",
    ],
)
def test_hostile_forms_take_a_bounded_time(body: bytes) -> None:
    begun = time.process_time()
    assert splice(AUDIO, FORM, body, "x") is None
    assert time.process_time() - begun < 20.0
