"""Bodies and paths nobody would write: the model that is found is the one the standard library reads, and it alone is
replaced."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.subjects import finder

WORDS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b" ",
        b"\n",
        b"\t",
        b"\r",
        b"\x00",
        b"\x0c",
        b"\xa0",
        b"\xef\xbb\xbf",
    ),
    *(
        b'"model"',
        b'"mod\\u0065l"',
        b'"\\u006Dodel"',
        b'"model":"a"',
        b'{"model":"a"}',
        b'"model":',
        b'"model" :\n',
        b'"Model"',
    ),
    *(
        b'"stream":true',
        b'"stream":false',
        b'"stream_format":"sse"',
        b'"x":1',
        b"null",
        b"true",
        b"1",
        b"-0",
        b"1.5e3",
        b"01",
    ),
    *(
        b'"a"',
        b'""',
        b'"~other"',
        b'"\\ud800"',
        b'"\\u0000"',
        b'"\\n"',
        b'"\xff"',
        b'"\xc3\xa9"',
        b'"\\/"',
        b"'a'",
        b"NaN",
    ),
    *(
        b"Infinity",
        b"9" * 5000,
        b"[" * 1500,
        b'{"a":' * 800,
        b'"' + b"m" * 300 + b'"',
        b"\\u",
        b"\xed\xa0\x80",
        b"/*",
        b"//",
    ),
    *(
        b"--B",
        b"--B--",
        b"--B\r\n",
        b"\r\n--B--\r\n",
        b"\r\n\r\n",
        b"\n\n",
        b'Content-Disposition: form-data; name="model"',
    ),
    *(
        b"name=model",
        b"; ",
        b'filename="x"',
        b"content-disposition:",
        b"boundary=",
        b"Content-Type: text/plain",
        b"\r\n\r\nm\r\n",
    ),
    *(
        b"/v1beta/models/",
        b":generateContent",
        b":streamGenerateContent",
        b"/requests/",
        b"%2F",
        b"%00",
        b"%",
        b"/../",
        b"?",
    ),
]
SPELLED = [b'"model"', b'"mod\\u0065l"', b'"\\u006dode\\u006C"', b'"x"', b'"stream"', b'"model "', b'"\\"model"', b'""']
keys = st.sampled_from(SPELLED)
blanks = st.sampled_from([b"", b" ", b"\n\t", b"\r\n"])
leaves = st.one_of(
    st.sampled_from(
        [b"null", b"true", b"false", b"0", b"-1.5E+9", b'"a"', b'"~x"', b'"\\ud83d\\ude00"', b'"\\u2028"', b'""']
    ),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)


def objects(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """JSON objects with fields that come more than once, spelled in more than one way."""
    field = st.tuples(blanks, keys, blanks, st.just(b":"), blanks, inner, blanks).map(b"".join)
    return st.lists(field, max_size=5).map(lambda fields: b"{" + b",".join(fields) + b"}")


def arrays(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(inner, max_size=3).map(lambda items: b"[" + b" ,".join(items) + b"]")


values = st.recursive(leaves, lambda inner: objects(inner) | arrays(inner), max_leaves=12)
whole = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf", b" \n"]), objects(values), blanks).map(b"".join)


@given(kind=st.integers(0, 2), body=whole)
@settings(max_examples=300, deadline=None)
def test_objects(kind: int, body: bytes) -> None:
    finder(bytes([kind]) + body)


@given(kind=st.integers(0, 2), body=whole, at=st.integers(0, 200), piece=st.sampled_from(WORDS), gone=st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_objects_with_something_wrong(kind: int, body: bytes, at: int, piece: bytes, gone: int) -> None:
    at = min(at, len(body))
    finder(bytes([kind]) + body[:at] + piece + body[at + gone :])


@given(kind=st.integers(0, 8), body=st.lists(st.sampled_from(WORDS) | st.binary(max_size=6), max_size=12).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_anything(kind: int, body: bytes) -> None:
    finder(bytes([kind]) + body)


@pytest.mark.parametrize("unit", WORDS)
@pytest.mark.parametrize("kind", [0, 3, 5, 8])
def test_no_repetition_takes_long(kind: int, unit: bytes) -> None:
    """Work that grew with the square would not end within the test's time."""
    finder(bytes([kind]) + b'{"model":"a","x":' + unit * (200_000 // len(unit)))
