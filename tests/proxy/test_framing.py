"""Where messages end."""

from __future__ import annotations

import pytest

from proxy.framing import LONGEST_DIGITS, Framing, defect, options


@pytest.mark.parametrize(
    ("encodings", "lengths", "version10", "expected"),
    [
        ([], [], False, None),
        ([], [], True, None),
        ([b"chunked"], [], False, None),
        ([b" Chunked "], [], False, None),
        ([b"chunked\t"], [], False, "a Transfer-Encoding other than chunked"),  # so the parser of answers takes it
        ([], [b"5"], False, None),
        ([], [b"5"], True, None),
        ([], [b"5", b"5", b"5"], False, None),
        ([b"chunked"], [b"5"], False, "Transfer-Encoding together with Content-Length"),
        ([b"chunked"], [b"nonsense"], True, "Transfer-Encoding together with Content-Length"),
        ([b"chunked"], [], True, "Transfer-Encoding in HTTP/1.0"),
        ([b"chunked", b"chunked"], [], False, "more than one Transfer-Encoding"),
        ([b"gzip, chunked"], [], False, "a Transfer-Encoding other than chunked"),
        ([b"chunked, chunked"], [], False, "a Transfer-Encoding other than chunked"),
        ([b"chunked;q=1"], [], False, "a Transfer-Encoding other than chunked"),
        ([b"\x0bchunked"], [], False, "a Transfer-Encoding other than chunked"),
        ([b"xchunked"], [], False, "a Transfer-Encoding other than chunked"),
        ([b""], [], False, "a Transfer-Encoding other than chunked"),
        ([], [b"5", b"6"], False, "differing Content-Length fields"),
        ([], [b"5", b"05"], False, "differing Content-Length fields"),
        ([], [b"5", b"5", b"-5"], False, "differing Content-Length fields"),
    ],
)
def test_defects(encodings: list[bytes], lengths: list[bytes], version10: bool, expected: str | None) -> None:
    assert defect(encodings, lengths, version10) == expected


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
    assert defect([], [b"9" * LONGEST_DIGITS], False) is None


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
