"""Where answers end."""

from __future__ import annotations

import pytest

from proxy.framing import LONGEST_DIGITS, Framing, defect, frame, options

LENGTH = (b"Content-Length", b"5")
CHUNKED = (b"Transfer-Encoding", b"chunked")


@pytest.mark.parametrize(
    ("method", "status", "version10", "raw", "expected"),
    [
        ("POST", 200, False, [LENGTH], Framing("length", 5)),
        ("POST", 200, False, [(b"content-LENGTH", b"0")], Framing("length", 0)),
        ("POST", 200, False, [CHUNKED], Framing("chunked")),
        ("POST", 200, False, [(b"transfer-encoding", b" Chunked\t")], Framing("chunked")),
        ("POST", 200, False, [], Framing("close", close=True)),
        ("POST", 200, False, [(b"X", b"y"), LENGTH, LENGTH], Framing("length", 5)),
        ("POST", 200, False, [(b"X-Detour-X", b"chunked"), LENGTH], Framing("length", 5)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"x, Close")], Framing("length", 5, close=True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"x"), (b"Connection", b"close")], Framing("length", 5, True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"keep-alive")], Framing("length", 5)),
        ("POST", 200, True, [LENGTH], Framing("length", 5, close=True)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"Keep-Alive")], Framing("length", 5)),
        ("HEAD", 200, False, [LENGTH], Framing("none", 5)),
        ("HEAD", 200, False, [CHUNKED], Framing("none")),
        ("GET", 304, False, [LENGTH], Framing("none", 5)),
        ("GET", 204, False, [LENGTH], Framing("none")),
        ("GET", 204, False, [], Framing("none")),
        ("GET", 103, False, [], Framing("none")),
        ("GET", 101, False, [(b"Connection", b"Upgrade")], Framing("none")),
        ("POST", 200, False, [LENGTH, CHUNKED], "Transfer-Encoding together with Content-Length"),
        ("HEAD", 200, False, [CHUNKED, LENGTH], "Transfer-Encoding together with Content-Length"),
        ("POST", 200, True, [CHUNKED], "Transfer-Encoding in HTTP/1.0"),
        ("POST", 200, False, [CHUNKED, CHUNKED], "more than one Transfer-Encoding"),
        ("POST", 200, False, [(b"Transfer-Encoding", b"gzip, chunked")], "a Transfer-Encoding other than chunked"),
        ("POST", 200, False, [(b"Transfer-Encoding", b"chunked, chunked")], "a Transfer-Encoding other than chunked"),
        ("POST", 200, False, [(b"Transfer-Encoding", b"")], "a Transfer-Encoding other than chunked"),
        ("POST", 200, False, [LENGTH, (b"Content-Length", b"6")], "differing Content-Length fields"),
        ("POST", 200, False, [LENGTH, (b"Content-Length", b"05")], "differing Content-Length fields"),
    ],
)
def test_frame(
    method: str, status: int, version10: bool, raw: list[tuple[bytes, bytes]], expected: Framing | str
) -> None:
    assert frame(method, status, version10, raw) == expected


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-1",
        b"+5",
        b"5, 5",
        b"5,6",
        b"0x5",
        b"5 ",
        b"1_000",
        "\u0665".encode(),
        b"5\x00",
        b"9" * (LONGEST_DIGITS + 1),
    ],
)
def test_a_malformed_length_is_a_defect(value: bytes) -> None:
    assert defect([], [value], False) == "a malformed Content-Length"


def test_the_longest_length_fits() -> None:
    assert frame("GET", 200, False, [(b"Content-Length", b"9" * LONGEST_DIGITS)]) == Framing(
        "length", 10**LONGEST_DIGITS - 1
    )


@pytest.mark.parametrize(
    ("framing", "version10", "line"),
    [
        (Framing("length", 7), False, b"Content-Length: 7\r\n"),
        (Framing("length", 7), True, b"Content-Length: 7\r\n"),
        (Framing("chunked"), False, b"Transfer-Encoding: chunked\r\n"),
        (Framing("chunked"), True, b""),
        (Framing("close", close=True), False, b"Transfer-Encoding: chunked\r\n"),
        (Framing("close", close=True), True, b""),
        (Framing("none"), False, b""),
        (Framing("none", 7), False, b"Content-Length: 7\r\n"),
    ],
)
def test_fields_towards_the_client(framing: Framing, version10: bool, line: bytes) -> None:
    assert framing.fields(version10) == line


def test_options() -> None:
    assert options([b"Keep-Alive ,\tX-One", b"x-two,,"]) == {b"keep-alive", b"x-one", b"x-two", b""}
