"""Fields of objects that are cut short or not quite JSON."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import partial

WANTED = ("model", "stream", "reasoning")

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
entries = st.lists(st.tuples(st.sampled_from([*WANTED, "x", 'a"b', "{", "\\"]), json_values), max_size=6)


def written(fields: list[tuple[str, Any]], ascii_only: bool, indent: str) -> bytes:
    """A JSON object with its names as often as given."""
    inner = ("," + indent).join(
        f"{json.dumps(name, ensure_ascii=ascii_only)}{indent}: {json.dumps(value, ensure_ascii=ascii_only)}"
        for name, value in fields
    )
    return f"{indent}{{{indent}{inner}{indent}}}".encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"model":"a"}', {"model": b'"a"'}),
        (b'{"model":"a"', {"model": b'"a"'}),
        (b'{"model":"a', {}),
        (b'{"model":"a\\"', {}),
        (b'{"model":"a\\""', {"model": b'"a\\""'}),
        (b'{"model":', {}),
        (b'{"model"', {}),
        (b"{", {}),
        (b"", {}),
        (b"[1]", {}),
        (b'"model"', {}),
        (b'\xef\xbb\xbf \r\n{"model":"a"}', {"model": b'"a"'}),
        (b'{"model":"a","model":"b"}', {"model": b'"b"'}),
        (b'{"model":"a","model":"b', {"model": b'"a"'}),
        (b'{"mod\\u0065l":"a"}', {"model": b'"a"'}),
        (b'{"mod\\xl":"a","stream":true}', {"stream": b"true"}),
        (b'{"\\u0078":"a","stream":true}', {"stream": b"true"}),
        (b'{"stream":tru', {}),
        (b'{"stream":true', {}),
        (b'{"stream":true ', {"stream": b"true"}),
        (b'{"x":{"model":"inner"},"model":"outer"}', {"model": b'"outer"'}),
        (b'{"x":[{"model":"inner"},"]"],"model":"outer","y":[', {"model": b'"outer"'}),
        (b'{"x":"\\"model\\":\\"no\\"","model":"yes"}', {"model": b'"yes"'}),
        (b'{"x":[[[', {}),
        (b'{"x":["', {}),
        (b'{"reasoning":{"a":"}"},"model":7}', {"reasoning": b'{"a":"}"}', "model": b"7"}),
        (b'{"x":]', {}),
        (b'{"x":,"model":"a"}', {}),
        (b'{"x":NaN,"model":"a"}', {"model": b'"a"'}),
        (b'{model:"a"}', {}),
        (b'{"\\n' + b"x" * partial.LONGEST_NAME + b'":1,"model":"a"}', {"model": b'"a"'}),
        (b'{"model":"\xff"}', {"model": b'"\xff"'}),
    ],
)
def test_fields(body: bytes, found: dict[str, bytes]) -> None:
    assert partial.fields(body, WANTED) == found
    assert partial.fields(bytearray(body), WANTED) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"model":"a"}', [(9, 12)]),
        (b' {"model": 7 ,"x":{"model":1},"mod\\u0065l":[2]} ', [(11, 12), (43, 46)]),
        (b'{"x":1}', []),
        (b'{"model":"a"', []),
        (b'{"model":"a"}x', []),
        (b"{}", []),
    ],
)
def test_places(body: bytes, found: list[tuple[int, int]]) -> None:
    assert partial.places(body, "model") == found
    assert partial.places(bytearray(body), "model") == found


def test_no_length_of_a_value_leads_into_another() -> None:
    """As long as the last of two values, the first would end inside that, with a field that fits behind it."""
    body = b'{"a":1,"model":55,"a":{"p":"x","%b":5}}' % (b"n" * 11)
    assert body.index(b',"nnn') == len(b'{"a":') + len(b'{"p":"x","%b":5}' % (b"n" * 11))
    assert [body[start:end] for start, end in partial.places(body, "model")] == [b"55"]


@given(entries, st.booleans(), st.sampled_from(["", " ", "\n\t "]))
def test_places_are_the_same_whether_a_decoder_helps_or_not(
    fields: list[tuple[str, Any]], ascii_only: bool, indent: str
) -> None:
    """The decoder takes no byte order mark."""
    body = written(fields, ascii_only, indent)
    for name in WANTED:
        found = partial.places(body, name)
        assert partial.places(b"\xef\xbb\xbf" + body, name) == [(start + 3, end + 3) for start, end in found]
        assert [json.loads(body[start:end]) for start, end in found] == [value for key, value in fields if key == name]


@given(entries, st.booleans(), st.sampled_from(["", " ", "\n\t "]))
def test_of_a_whole_object_it_reads_what_json_reads(
    fields: list[tuple[str, Any]], ascii_only: bool, indent: str
) -> None:
    body = written(fields, ascii_only, indent)
    expected = {name: value for name, value in json.loads(body).items() if name in WANTED}
    assert {name: json.loads(value) for name, value in partial.fields(body, WANTED).items()} == expected


@given(entries, st.data())
def test_of_a_cut_object_it_reads_what_is_whole(fields: list[tuple[str, Any]], data: st.DataObject) -> None:
    body = written(fields, True, "")
    cut = body[: data.draw(st.integers(0, len(body)))]
    whole: dict[str, Any] = {}
    # A field is certainly whole when the comma after it is there.
    for count in range(1, len(fields)):
        if len(written(fields[:count], True, "")) <= len(cut):
            whole |= dict(fields[:count])
    found = {name: json.loads(value) for name, value in partial.fields(cut, WANTED).items()}
    full = [value for name, value in fields]
    for name in WANTED:
        assert name in found or name not in whole
    assert all(value in full for value in found.values())


@given(st.binary() | st.text('{}[]",:\\ae \n').map(str.encode))
def test_garbage(body: bytes) -> None:
    partial.fields(body, WANTED)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":' + b"[" * 4_000_000,
        b'{"a":' + b"{}" * 10 + b'"' + b'\\"' * 4_000_000,
        b'{"a":"' + b'\\"' * 4_000_000,
        b"{" + b'"a":1,' * 1_000_000,
        b'{"a":[' + b"[]," * 2_000_000,
        b'{"a":' + b" " * 8_000_000,
        b"{" + b'"' * 8_000_000,
        b" " * 8_000_000,
    ],
)
def test_hostile_bodies_take_a_bounded_time(body: bytes) -> None:
    """Each takes some hundredths of a second; an expression that goes back would need days."""
    begun = time.process_time()
    assert partial.fields(body, WANTED) == {}
    assert time.process_time() - begun < 20.0


def test_it_gives_up_after_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "MOST_STEPS", 10)
    assert partial.fields(b"{" + b'"a":1,' * 9 + b'"model":"m"}', WANTED) == {"model": b'"m"'}
    assert partial.fields(b"{" + b'"a":1,' * 10 + b'"model":"m"}', WANTED) == {}
    assert partial.fields(b'{"a":' + b"[" * 4 + b"]" * 4 + b',"model":"m"}', WANTED) == {"model": b'"m"'}
    assert partial.fields(b'{"a":' + b"[" * 5 + b"]" * 5 + b',"model":"m"}', WANTED) == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"a"', "a"),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\ud800"', "\ud800"),
        (b'"\xff"', "\udcff"),
        (b'"a\nb"', "a\nb"),
        (b'"\\q"', None),
        (b"7", None),
        (b"null", None),
        (b"x", None),
    ],
)
def test_text(value: bytes, text: str | None) -> None:
    assert partial.text(value) == text
