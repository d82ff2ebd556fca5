"""Chunked bodies taken apart, as strictly as the parser of a provider may."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.chunks import Chunks, plain
from proxy.head import HEAD_BYTES, HEAD_FIELDS, MalformedError, TooLargeError
from proxy.incoming import Incoming
from proxy.memory import ReplayMemory
from tests.proxy.recording import Line

BODY = b'3\r\nabc\r\n00A;x="y"\r\n0123456789\r\n0;z\r\nX: y\r\nZ:\r\n\r\n'


def read(data: bytes, size: int = 0) -> tuple[bytes, int]:
    """The body that `data` begins with, read in parts of a size, and where it ends; -1 when it does not."""
    chunks = Chunks()
    body = Incoming(Line(), ReplayMemory(1 << 20), b"", 0, chunks)
    size = size or max(len(data), 1)
    for at in range(0, len(data), size):
        end = min(at + size, len(data))
        used = chunks.feed(bytearray(data), at, end, body)
        if chunks.over:
            return bytes(body.take()), used
        assert used == end
    return bytes(body.take()), -1


@pytest.mark.parametrize("size", [0, *range(1, len(BODY))])
def test_a_body_is_the_same_however_it_comes(size: int) -> None:
    assert read(BODY + b"GET / HTTP/1.1", size) == (b"abc0123456789", len(BODY))


BROKEN = {
    "blank in an extension": b"0;x 0\r\n\r\n",
    "extension without a name": b"0;\r\n\r\n",
    "no size": b"\r\n",
    "no digit": b"g\r\n",
    "prefix": b"0x3\r\nabc\r\n",
    "sign": b"+3\r\nabc\r\n",
    "space": b"3 \r\nabc\r\n",
    "space before extension": b"3 ;x\r\nabc\r\n",
    "size ends in LF": b"3\nabc\r\n",
    "size ends in CR": b"3\rabc\r\n",
    "17 digits": b"10000000000000000\r\n",
    "extension with CR": b"3;x\ry\r\nabc\r\n",
    "extension with NUL": b"3;\0\r\nabc\r\n",
    "too long": b"3\r\nabcd\r\n",
    "too short": b"3\r\nab\r\n0\r\n\r\n",
    "ends in LF": b"3\r\nabc\n0\r\n\r\n",
    "ends in CR": b"3\r\nabc\r0\r\n\r\n",
    "end in LF": b"0\r\n\n",
    "end in CR": b"0\r\n\rX\r\n",
    "trailer without colon": b"0\r\nGET / HTTP/1.1\r\n\r\n",
    "trailer with space": b"0\r\nX : y\r\n\r\n",
    "folded trailer": b"0\r\nX: y\r\n z\r\n\r\n",
    "trailer with LF": b"0\r\nX: y\nZ: z\r\n\r\n",
    "trailer of framing": b"0\r\ncontent-LENGTH: 1\r\n\r\n",
    "trailer of coding": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer of routing": b"0\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("size", [0, 1])
def test_nothing_is_forgiven(body: bytes, size: int) -> None:
    with pytest.raises(MalformedError):
        read(body, size)


@pytest.mark.parametrize("begun", [b"z", b"-", b" ", b"0x", b"3 ", b"\n", b"11111111111111111"])
def test_a_size_that_cannot_become_one_is_refused_at_once(begun: bytes) -> None:
    with pytest.raises(MalformedError):
        read(begun)


def test_the_largest_size() -> None:
    chunks = Chunks()
    data = bytearray(b"000ffffffffffffffff\r\nabc")
    assert chunks.feed(data, 0, len(data), Incoming(Line(), ReplayMemory(1 << 20), b"", 0, chunks)) == len(data)
    assert not chunks.over


@pytest.mark.parametrize("size", [0, 4096])
def test_what_is_no_body_has_bounds(size: int) -> None:
    fits = b"3;" + b"x" * 60_000 + b"\r\nabc\r\n0\r\n"
    assert read(fits + b"X: y\r\n" * HEAD_FIELDS + b"\r\n", size)[0] == b"abc"
    with pytest.raises(TooLargeError):
        read(fits + b"X: y\r\n" * (HEAD_FIELDS + 1) + b"\r\n", size)
    with pytest.raises(TooLargeError):
        read(fits + (b"X: " + b"y" * 30_000 + b"\r\n") * 3 + b"\r\n", size)
    with pytest.raises(TooLargeError):
        read(b"3;" + b"x" * (HEAD_BYTES + 1), size)


class Reference:
    """The body as llhttp reads it."""

    def __init__(self, data: bytes) -> None:
        self.body = b""
        self.over = self.broken = False
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
        except httptools.HttpParserError:
            self.broken = not self.over

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.over = True


PIECES = st.sampled_from(
    [b"0", b"1", b"3", b"a", b"\r\n", b"\r\n", b"\r\n", b"\r", b"\n", b"abc", b";x", b";x=y", b" ", b"\t",
     b"X: y", b":",   b"\0", b"0\r\n\r\n", b"3\r\nabc\r\n", b"3\r\nabc\r\n", b"1\r\na\r\n",
     b"0\r\nX: y\r\n\r\n"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=16).map(b"".join), st.integers(1, 9))
def test_no_other_body_is_seen_than_llhttp_sees(data: bytes, size: int) -> None:
    """It may forgive what is refused here, but never end elsewhere or hold other bytes."""
    found: list[tuple[bytes, int] | None] = []
    for step in (0, size):
        try:
            found.append(read(data, step))
        except MalformedError:
            found.append(None)
    assert found[0] == found[1]
    if found[0] is not None and found[0][1] >= 0:
        body, end = found[0]
        reference = Reference(data[:end])
        assert (reference.body, reference.over, reference.broken) == (body, True, False)
        assert not Reference(data[: end - 1]).over


# -- reads that are plain chunks --------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4), st.sampled_from(["%x", "%X", "%04x"]))
def test_plain_chunks_are_what_the_parser_makes_of_them(parts: list[bytes], size: str) -> None:
    data = b"".join((size % len(part)).encode() + b"\r\n" + part + b"\r\n" for part in parts)
    assert plain(data) == b"".join(parts) == by_llhttp(data + b"0\r\n\r\n")
    for cut in range(1, len(data)):
        found, rest = plain(data[:cut]), plain(data[cut:])
        assert found is None or rest is None or found + rest == b"".join(parts)


@pytest.mark.parametrize("data", [*BROKEN.values(), BODY], ids=[*BROKEN, "extension"])
def test_what_is_not_plain_is_left_to_the_parser(data: bytes) -> None:
    assert plain(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"0\r\n\r\n",
        b"3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n3",
        b"3\r\nabc\r\n3\r\n",
        b"3\r\nabc\r\n3\r\nab",
        b"3\r\nabc\r",
        b"3\r\nabc",
        b"3\r\n",
        b"3\r",
        b"3",
        b"000000003\r\nabc\r\n",
        b"ffffffff\r\nabc\r\n",
        b"\xff\r\nabc\r\n",
        b"abc",
    ],
)
def test_parts_ends_and_odd_sizes_are_not_plain(data: bytes) -> None:
    assert plain(data) is None


def by_llhttp(data: bytes) -> bytes:
    """The body that the parser of a provider's answers reads."""
    parts: list[bytes] = []

    class Reader:
        def on_body(self, body: bytes) -> None:
            parts.append(body)

    parser = httptools.HttpResponseParser(Reader())
    parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    return b"".join(parts)
