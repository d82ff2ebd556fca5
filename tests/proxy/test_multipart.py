"""Short values out of multipart bodies."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import multipart

TYPE = b"multipart/form-data; boundary=B"
WANTED = ("model", "stream")


def part(name: str, value: bytes, *, quote: str = '"', end: str = "\r\n", more: str = "") -> bytes:
    head = f"--B{end}Content-Disposition: form-data; name={quote}{name}{quote}{more}{end}{end}"
    return head.encode() + value + end.encode()


FILE = part("file", b"RIFF\x00\r\n--BAD\r\n\r\n" * 100, more='; filename="model.wav"\r\nContent-Type: audio/wav')
MODEL = part("model", b"whisper-1")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (MODEL + FILE + b"--B--\r\n", {"model": "whisper-1"}),
        (FILE + MODEL + b"--B--\r\n", {"model": "whisper-1"}),
        (FILE + MODEL + part("stream", b"true") + b"--B--", {"model": "whisper-1", "stream": "true"}),
        (b"preamble\r\n" + MODEL + b"--B--", {"model": "whisper-1"}),
        (MODEL + FILE[:200], {"model": "whisper-1"}),
        (MODEL, {}),
        (MODEL + b"--", {}),
        (MODEL + part("model", b"second") + b"--B--", {"model": "second"}),
        (part("model", b"m", quote="") + b"--B--", {"model": "m"}),
        (part("model", b"m", end="\n") + b"--B--", {"model": "m"}),
        (part("model", b"") + b"--B--", {"model": ""}),
        (part("model", "é\udcff".encode("utf-8", "surrogateescape")) + b"--B--", {"model": "é\udcff"}),
        (part("model", b"x" * (multipart.LONGEST_VALUE + 1)) + b"--B--", {}),
        (part("x", b"m", more='; y="name=\\"model\\""') + b"--B--", {}),
        (b"--B\r\nContent-Type: text/plain\r\n\r\nm\r\n--B--", {}),
        (b"--B\r\nContent-Disposition: attachment; name=model\r\n\r\nm\r\n--B--", {}),
        (b"--B\r\nContent-Disposition: form-data\r\n\r\nm\r\n--B--", {}),
        (b"--B\r\nX: y\r\ncontent-disposition:form-data;name=model\r\n\r\nm\r\n--B--", {"model": "m"}),
        (b"--B\r\nX: y", {}),
        (b"", {}),
        (b"{}", {}),
    ],
)
def test_fields(body: bytes, found: dict[str, str]) -> None:
    assert multipart.fields(TYPE, body, WANTED) == found
    assert multipart.fields(TYPE, bytearray(body), WANTED) == found


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        (b'multipart/form-data; charset=x; Boundary="B"', True),
        (b"multipart/form-data;boundary=B; x=y", True),
        (b"multipart/form-data", False),
        (b"multipart/form-data; boundary=", False),
        (b'multipart/form-data; boundary=""', False),
        (b"multipart/form-data; boundary=C", False),
        (b"", False),
    ],
)
def test_boundaries(content_type: bytes, found: bool) -> None:
    assert bool(multipart.fields(content_type, MODEL + b"--B--", WANTED)) is found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (FILE + MODEL + part("model", b"") + b"--B--", [b"whisper-1", b""]),
        (MODEL + b"--B-- \t\nepilogue", [b"whisper-1"]),
        (MODEL + part("", b"x") + b"--B", []),
        (MODEL + b"--B--epilogue", []),
        (MODEL, []),
        (FILE + b"--B--", []),
        (b"", []),
    ],
)
def test_places(body: bytes, found: list[bytes]) -> None:
    assert [body[start:end] for start, end in multipart.places(TYPE, body, "model")] == found
    assert multipart.places(b"multipart/form-data", body, "model") == []


def test_what_comes_after_the_end_is_no_part() -> None:
    assert multipart.fields(TYPE, MODEL + b"--B--\r\n" + part("stream", b"true") + b"--B--", WANTED) == {
        "model": "whisper-1"
    }


def test_many_parts_are_not_all_looked_at() -> None:
    body = part("x", b"y") * multipart.MOST_PARTS
    assert multipart.fields(TYPE, body + MODEL + b"--B--", WANTED) == {}
    assert multipart.fields(TYPE, part("x", b"y") * (multipart.MOST_PARTS - 1) + MODEL + b"--B--", WANTED) == {
        "model": "whisper-1"
    }


@given(st.text("abc-./ é", max_size=30), st.binary(max_size=200))
def test_what_a_real_client_writes(model: str, data: bytes) -> None:
    request = httpx.Request("POST", "http://x", data={"model": model}, files={"file": ("a", data)})
    content_type = request.headers["content-type"].encode()
    assert multipart.fields(content_type, request.read(), WANTED) == {"model": model}


@given(st.binary(max_size=60), st.lists(st.sampled_from([b"--B", b"\r\n", MODEL, b"\n", b"--", b"x"])).map(b"".join))
def test_garbage(content_type: bytes, body: bytes) -> None:
    multipart.fields(content_type, body, WANTED)
    multipart.fields(TYPE, body, WANTED)
    multipart.fields(b"multipart/x; boundary=" + content_type, body, WANTED)
