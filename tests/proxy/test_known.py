"""When a head is known already."""

from __future__ import annotations

import pytest

from config.load import load_text
from proxy.head import Head, HeadReader
from proxy.known import LONGEST_DIGITS, MOST_BYTES, Known, remember
from proxy.way import Way

CONFIG = load_text("listen: 127.0.0.1:0\n", {})
HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX: y\r\n\r\n"
LAST = b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:%b \t\r\n\r\n"
NONE = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def head(raw: bytes) -> Head:
    reader = HeadReader()
    assert reader.feed(bytearray(raw), 0, len(raw)) == len(raw)
    return reader.head()


def known(raw: bytes) -> Known:
    made = remember(Way(head(raw).scan), CONFIG, head(raw))
    assert made is not None
    return made


def found(made: Known, data: bytes) -> tuple[int, int] | None:
    """What is found in a buffer that holds more than was read."""
    return made.length(bytearray(data + b"7\r\nX: y\r\n\r\n"), len(data))


@pytest.mark.parametrize("form", [HEAD, LAST])
@pytest.mark.parametrize("length", [b"12", b"0", b"7", b"0012", b"9" * LONGEST_DIGITS])
@pytest.mark.parametrize("body", [b"", b"abc", b"\r\nX: y\r\n\r\n"])
def test_a_head_that_differs_in_its_length_alone_is_known(form: bytes, length: bytes, body: bytes) -> None:
    raw = form % length
    assert found(known(form % b"12"), raw + body) == (len(raw), int(length))


@pytest.mark.parametrize("form", [HEAD, LAST])
@pytest.mark.parametrize(
    "length",
    [b"", b" ", b"-1", b"+1", b"1,1", b"1 1", b"0x1", b"1_0", b"\xb2", b"\xd9\xa3", b"9" * (LONGEST_DIGITS + 1),
     b"1\r\nContent-Length: 2", b"1\r\nTransfer-Encoding: chunked", b"1\n", b"1\r", b"1\0", b"1\r\n 2"],
)  # fmt: skip
def test_what_is_no_length_makes_another_head(form: bytes, length: bytes) -> None:
    assert found(known(form % b"12"), form % length + b"abc") is None


@pytest.mark.parametrize(
    "raw",
    [
        HEAD.replace(b"POST", b"PUTS") % b"12",
        HEAD.replace(b"/x", b"/y") % b"12",
        HEAD.replace(b"1.1", b"1.0") % b"12",
        HEAD.replace(b"Host: a", b"Host: b") % b"12",
        HEAD.replace(b"Host", b"host") % b"12",
        HEAD.replace(b"X: y", b"X: z") % b"12",
        HEAD.replace(b"X: y", b"X: y\r\nZ: z") % b"12",
        HEAD.replace(b"Content-Length: %b\r\n", b""),
        b"\r\n" + HEAD % b"12",
        NONE,
    ],
)
def test_everything_else_counts(raw: bytes) -> None:
    assert found(known(HEAD % b"12"), raw) is None


def test_a_head_without_a_length() -> None:
    made = known(NONE)
    assert found(made, NONE + b"more") == (len(NONE), -1)
    assert found(made, NONE[:-1]) is None
    assert found(made, NONE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n")) is None


@pytest.mark.parametrize("at", range(len(HEAD % b"12")))
def test_a_head_that_is_not_whole_is_not_known(at: int) -> None:
    assert found(known(HEAD % b"12"), (HEAD % b"12")[:at]) is None


def test_a_length_in_another_place_is_none() -> None:
    raw = b"GET /?content-length:7 HTTP/1.1\r\nHost: a\r\nX: content-length: 7\r\nContent-Length: 12\r\n\r\n"
    made = known(raw)
    assert found(made, raw.replace(b"12", b"8")) == (len(raw) - 1, 8)
    assert found(made, raw.replace(b"length:7", b"length:8")) is None


def test_only_so_much_is_remembered() -> None:
    large = head(NONE.replace(b"Host: a", b"Host: a\r\nX: " + b"y" * MOST_BYTES))
    assert remember(Way(large.scan), CONFIG, large) is None
    again = known(NONE).head
    assert again.raw == b""
    assert remember(Way(again.scan), CONFIG, again) is None, "nothing is left to be compared with"
