"""A request's head, in one part and in many, and what the parser would let pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.head import HEAD_BYTES, HEAD_FIELDS, LONGEST_METHOD, Head, HeadReader, MalformedError, TooLargeError

FIELDS = b"Host: a\r\nX-Odd:  b \t\r\nx-odd:\r\nContent-Length: 12\r\n"
RAW = b"POST /x?y HTTP/1.1\r\n" + FIELDS + b"\r\n"


def read(data: bytes, size: int = 0) -> tuple[Head, int]:
    """The head that `data` begins with, read in parts of a size, and where it ends."""
    reader = HeadReader()
    size = size or len(data)
    for at in range(0, len(data), size):
        behind = reader.feed(bytearray(data), at, min(at + size, len(data)))
        if behind:
            return reader.head(), behind
    raise AssertionError("no head")


@pytest.mark.parametrize("size", [0, *range(1, len(RAW))])
def test_a_head_is_the_same_however_it_comes(size: int) -> None:
    head, behind = read(RAW + b"body", size)
    assert (head.method, head.path, head.version10, head.keep_alive) == ("POST", "/x?y", False, True)
    assert head.fields == [(b"Host", b"a"), (b"X-Odd", b"b"), (b"x-odd", b""), (b"Content-Length", b"12")]
    assert (head.scan.content_length, head.raw, behind) == (12, RAW, len(RAW))


def test_a_head_in_the_middle_of_a_buffer() -> None:
    reader = HeadReader()
    data = bytearray(b"..." + RAW + b"...")
    assert reader.feed(data, 3, len(data)) == 3 + len(RAW)
    assert reader.head().raw == RAW


@pytest.mark.parametrize(
    ("line", "field", "kept"),
    [
        (b"HTTP/1.1", b"X: y", True),
        (b"HTTP/1.1", b"Connection: x, close", False),
        (b"HTTP/1.1", b"Connection: CLOSE", False),
        (b"HTTP/1.0", b"X: y", False),
        (b"HTTP/1.0", b"Connection: keep-alive", True),
    ],
)
def test_whether_a_connection_stays(line: bytes, field: bytes, kept: bool) -> None:
    head, _ = read(b"GET / %b\r\n%b\r\n\r\n" % (line, field))
    assert (head.keep_alive, head.version10) == (kept, line == b"HTTP/1.0")


@pytest.mark.parametrize(
    "method",
    ["GET", "CONNECT", "QUERY", "PRI", "DESCRIBE", "SOURCE", "get", "A", "M" * LONGEST_METHOD, "!#$%&'*+-.^_`|~"],
)
def test_all_methods_pass(method: str) -> None:
    target = "a.test:443" if method == "CONNECT" else "/x"
    assert read(f"{method} {target} HTTP/1.1\r\n\r\n".encode())[0].method == method


LINES = {
    "no version": b"GET /x",
    "0.9": b"GET /x HTTP/0.9",
    "2.0": b"GET /x HTTP/2.0",
    "preface": b"PRI * HTTP/2.0",
    "RTSP": b"POST /x RTSP/1.0",
    "ICE": b"SOURCE /x ICE/1.0",
    "no target": b"GET HTTP/1.1",
    "long method": b"M" * (LONGEST_METHOD + 1) + b" /x HTTP/1.1",
    "method of a space": b" /x HTTP/1.1",
    "no token": b"GE(T /x HTTP/1.1",
    "high byte": b"GET /\xe9 HTTP/1.1",
    "LF": b"GET /x HTTP/1.1\nX: y",
    "CR": b"GET /x HTTP/1.1\rX: y",
    "target of another kind": b"GET a.test:443 HTTP/1.1",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
@pytest.mark.parametrize("size", [0, 1])
def test_lines_that_are_no_request_of_http_1(line: bytes, size: int) -> None:
    with pytest.raises(MalformedError):
        read(line + b"\r\nHost: a\r\n\r\n", size)


HEADS = {
    "fold": b"X: y\r\n z",
    "bare LF": b"X: y\nZ: z",
    "ends in LF LF": b"X: y\n\nGET / HTTP/1.1",
    "ends in CR LF LF": b"X: y\r\n\nGET / HTTP/1.1",
    "ends in LF CR LF": b"X: y\n\r\nGET / HTTP/1.1",
    "space before colon": b"X : y",
    "NUL": b"X: \0",
    "two lengths": b"Content-Length: 1\r\nContent-Length: 1",
    "length with coding": b"Content-Length: 1\r\nTransfer-Encoding: chunked",
    "coding with length": b"Transfer-Encoding: chunked\r\nContent-Length: 1",
    "two hosts": b"Host: a\r\nhOST: a",
    "two types": b"Content-Type: a/b\r\nX: y\r\ncontent-type: a/c",
}


@pytest.mark.parametrize("fields", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("size", [0, 1, 3])
def test_fields_that_could_be_read_in_two_ways(fields: bytes, size: int) -> None:
    with pytest.raises(MalformedError):
        read(b"POST /x HTTP/1.1\r\n" + fields + b"\r\n\r\n", size)


def test_what_cannot_become_a_head_is_refused_before_its_end() -> None:
    for data in (b"\x16\x03\x01", b"GET /x HTTP/1.1\n", b"GET /x HTTP/1.1\r\nX : ", b"\0"):
        with pytest.raises(MalformedError):
            HeadReader().feed(bytearray(data), 0, len(data))


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("size", [0, 1000])
def test_a_head_has_a_bound(over: int, size: int) -> None:
    data = b"GET / HTTP/1.1\r\nX: \r\n\r\n"
    data = data.replace(b"X: ", b"X: " + b"y" * (HEAD_BYTES + over - len(data)))
    if over:
        with pytest.raises(TooLargeError):
            read(data, size)
    else:
        assert read(data + b"x" * 100, size)[1] == HEAD_BYTES


@pytest.mark.parametrize("size", [0, 5])
def test_fields_have_a_bound(size: int) -> None:
    head = b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_FIELDS
    assert len(read(head + b"\r\n", size)[0].fields) == HEAD_FIELDS
    with pytest.raises(TooLargeError):
        read(head + b"X: y\r\n\r\n", size)


PIECES = st.sampled_from(
    [b"GET", b"POST", b" ", b"/x", b"*", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\r", b"\n", b"\r\n\r\n", b"X",
     b":",   b"\t", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Connection: upgrade\r\nUpgrade: a",
     b"\0", b"\x80", b"abc"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=20).map(b"".join), st.integers(1, 9))
def test_a_head_that_is_let_in_is_one_by_the_letter(behind: bytes, size: int) -> None:
    """Whatever comes: all or nothing, by the same rules in one part and in many."""
    found = []
    for step in (0, size):
        try:
            found.append(read(b"POST /x HTTP/1.1\r\n" + behind, step))
        except (MalformedError, AssertionError):
            found.append(None)
    whole, parts = (one and (one[0].method, one[0].path, one[0].fields, one[0].raw, one[1]) for one in found)
    assert whole == parts
    if found[0] is not None:
        head, end = found[0]
        lines = head.raw.split(b"\r\n")
        assert head.raw.endswith(b"\r\n\r\n")
        assert head.raw == (b"POST /x HTTP/1.1\r\n" + behind)[:end]
        assert not any(set(line) & set(b"\r\n\0") for line in lines)
        assert [(name, value.strip(b" \t")) for name, _, value in (line.partition(b":") for line in lines[1:-2])] == (
            head.fields
        )
