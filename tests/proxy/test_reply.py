"""Heads of answers: what stops, what passes, where the body ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import reply
from proxy.framing import LONGEST_DIGITS, Framing, defect
from proxy.headers import HOP_BY_HOP, PROTECTED, Pair
from proxy.reply import Reply
from tests.proxy.header_fields import nominated, pairs, parsed

LENGTH = (b"Content-Length", b"5")
CHUNKED = (b"Transfer-Encoding", b"chunked")


def read(method: str, status: int, reason: bytes, version10: bool, raw: list[Pair]) -> Reply | str:
    return reply.read(method, status, reason, version10, [name for name, _ in raw], [value for _, value in raw])


def good(raw: list[Pair], *, method: str = "POST", status: int = 200, reason: bytes = b"OK") -> Reply:
    found = read(method, status, reason, False, raw)
    assert isinstance(found, Reply), found
    return found


def answer(raw: list[Pair], *, extra: bytes = b"", close: bool = False, version10: bool = False) -> list[Pair]:
    """The pairs of the client's head made from `raw`, the status line checked and left out."""
    return parsed(good(raw).render(extra=extra, close=close, version10=version10), b"HTTP/1.1 200 OK")


# -- where the body ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "status", "version10", "raw", "expected"),
    [
        ("POST", 200, False, [LENGTH], Framing("length", 5)),
        ("POST", 200, False, [(b"content-LENGTH", b"0")], Framing("length", 0)),
        ("POST", 200, False, [CHUNKED], Framing("chunked")),
        ("POST", 200, False, [(b"transfer-encoding", b" Chunked ")], Framing("chunked")),
        ("POST", 200, False, [], Framing("close", close=True)),
        ("POST", 200, False, [(b"Connection", b"keep-alive")], Framing("close", close=True)),
        ("POST", 200, False, [(b"X", b"y"), LENGTH, LENGTH], Framing("length", 5)),
        ("POST", 200, False, [(b"X-Detour-X", b"chunked"), LENGTH], Framing("length", 5)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"close")], Framing("length", 5, close=True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"Close")], Framing("length", 5, close=True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"CLOSE")], Framing("length", 5, close=True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"x, Close")], Framing("length", 5, close=True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"x"), (b"Connection", b"close")], Framing("length", 5, True)),
        ("POST", 200, False, [LENGTH, (b"Connection", b"keep-alive")], Framing("length", 5)),
        ("POST", 200, True, [LENGTH], Framing("length", 5, close=True)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"close")], Framing("length", 5, close=True)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"x")], Framing("length", 5, close=True)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"Keep-Alive")], Framing("length", 5)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"x, Keep-Alive")], Framing("length", 5)),
        ("POST", 200, True, [LENGTH, (b"Connection", b"keep-alive, close")], Framing("length", 5, close=True)),
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
        ("POST", 200, False, [(b"Content-Length", b"-1")], "a malformed Content-Length"),
    ],
)
def test_framing(method: str, status: int, version10: bool, raw: list[Pair], expected: Framing | str) -> None:
    found = read(method, status, b"", version10, raw)
    assert (found.framing if isinstance(found, Reply) else found) == expected


def test_the_longest_length_fits() -> None:
    raw = [(b"Content-Length", b"9" * LONGEST_DIGITS)]
    assert good(raw, method="GET").framing == Framing("length", 10**LONGEST_DIGITS - 1)


# -- what is learnt ---------------------------------------------------------------------------------------------------


def test_a_usual_answer() -> None:
    raw = [
        (b"Date", b"x"),
        (b"Content-Type", b"Text/Event-Stream; Charset=utf-8"),
        (b"content-encoding", b" GZIP"),
        CHUNKED,
        (b"Connection", b"keep-alive"),
    ]
    found = read("POST", 200, b"OK", False, raw)
    assert isinstance(found, Reply)
    assert (found.status, found.reason, found.framing) == (200, b"OK", Framing("chunked"))
    assert found.block == b"Date: x\r\nContent-Type: Text/Event-Stream; Charset=utf-8\r\ncontent-encoding:  GZIP\r\n"
    assert (found.content_type, found.encoding) == (b"text/event-stream; charset=utf-8", b"gzip")
    assert found.upgrade == b""


def test_fields_by_name() -> None:
    found = good([(b"X-A", b"1: 2"), (b"Retry-After", b"5"), (b"x-a", b""), (b"Keep-Alive", b"9"), LENGTH])
    assert found.fields() == {b"x-a": b"", b"retry-after": b"5"}


def test_names_and_values_may_look_like_formats() -> None:
    raw = [(b"%b", b"%d"), (b"X-%", b"100%"), (b"X-%%s", b"%%"), LENGTH]
    for _ in range(2):
        assert good(raw).block == b"%b: %d\r\nX-%: 100%\r\nX-%%s: %%\r\n"


def test_what_is_remembered_of_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "MOST_KNOWN", 3)
    reply._known.clear()
    for at in range(10):
        name = b"X-%d" % at
        for value in (b"1", b"2"):
            assert good([(name, value), LENGTH]).block == name + b": " + value + b"\r\n"
        assert 0 < len(reply._known) <= 3
    before = dict(reply._known)
    for many in ([(b"X-A", b"1")] * (reply.MOST_NAMES + 1), [(b"X" * (reply.LONGEST_NAMES + 1), b"1")]):
        assert good(many).block == b"".join(b"%b: %b\r\n" % pair for pair in many)
    assert reply._known == before


# -- towards the client -----------------------------------------------------------------------------------------------


def test_rendered_to_the_byte() -> None:
    raw = [
        (b"date", b"x"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Set-Cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-Detour-Provider", b"spoofed"),
        (b"Keep-Alive", b"timeout=5"),
        (b"X-Bytes", b"\x80\xff"),
    ]
    made = good(raw, status=429, reason=b"Too Many\x00 Re\x1bquests\x7f\xe9").render(
        extra=b"x-detour-provider: groq\r\nx-detour-attempts: 1\r\n", close=True
    )
    assert made == (
        b"HTTP/1.1 429 Too Many Requests\xe9\r\ndate: x\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Bytes: \x80\xff\r\n"
        b"Connection: close\r\nx-detour-provider: groq\r\nx-detour-attempts: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    )


def test_its_own_length_takes_the_place_of_the_fields() -> None:
    raw = [(b"content-length", b"005"), (b"a", b"b"), (b"CONTENT-LENGTH", b"005")]
    assert good(raw).render() == b"HTTP/1.1 200 OK\r\na: b\r\nContent-Length: 5\r\n\r\n"


def test_an_answer_without_anything() -> None:
    assert good([], status=204, reason=b"").render() == b"HTTP/1.1 204 \r\n\r\n"


@pytest.mark.parametrize(
    ("close", "version10", "last"),
    [
        (False, False, []),
        (True, False, [(b"Connection", b"close")]),
        (True, True, [(b"Connection", b"close")]),
        (False, True, [(b"Connection", b"keep-alive")]),
    ],
)
def test_how_a_client_learns_what_becomes_of_its_connection(close: bool, version10: bool, last: list[Pair]) -> None:
    raw = [(b"connection", b"keep-alive"), (b"Upgrade", b"h2"), (b"a", b"b"), LENGTH]
    assert answer(raw, close=close, version10=version10) == [(b"a", b"b"), *last, LENGTH]


@pytest.mark.parametrize("close", [False, True])
def test_a_switch_of_protocols_says_so_itself(close: bool) -> None:
    raw = [(b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket"), (b"a", b"b")]
    found = good(raw, method="GET", status=101, reason=b"Switching Protocols")
    assert found.upgrade == b"websocket"
    made = found.render(extra=b"x-detour-x: y\r\n", close=close)
    assert parsed(made, b"HTTP/1.1 101 Switching Protocols") == [
        (b"a", b"b"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"x-detour-x", b"y"),
    ]


def legal(raw: list[Pair]) -> list[Pair]:
    """`raw` with framing fields that are no defect, of the kind of the first of them."""
    kept: list[Pair] = []
    kind = b""
    for name, value in raw:
        lower = name.lower()
        if lower not in (b"content-length", b"transfer-encoding"):
            kept.append((name, value))
        elif lower == b"content-length" and kind in (b"", lower):
            kept.append((name, b"3"))
            kind = lower
        elif not kind:
            kept.append((name, b"chunked"))
            kind = lower
    return kept


@given(pairs.map(legal), st.booleans())
def test_answers_keep_order_case_and_number_and_leak_no_hop_by_hop_field(raw: list[Pair], close: bool) -> None:
    named = nominated(raw)
    expected = [
        (name, value)
        for name, value in raw
        if name.lower() not in HOP_BY_HOP | {b"content-length"}
        and not name.lower().startswith(b"x-detour-")
        and (name.lower() not in named or name.lower() in PROTECTED)
    ]
    made = answer(raw, close=close, extra=b"x-detour-x: y\r\n")
    added = [(b"Connection", b"close")] if close else []
    sized = any(name.lower() == b"content-length" for name, _ in raw)
    framing = (b"Content-Length", b"3") if sized else (b"Transfer-Encoding", b"chunked")
    assert made == [*expected, *added, (b"x-detour-x", b"y"), framing]


@given(pairs, st.sampled_from(("GET", "HEAD")), st.sampled_from((101, 103, 200, 204, 304, 500)), st.booleans())
def test_reading_never_raises_and_finds_what_a_simple_reading_finds(
    raw: list[Pair], method: str, status: int, version10: bool
) -> None:
    found = read(method, status, b"", version10, raw)
    encodings = [value for name, value in raw if name.lower() == b"transfer-encoding"]
    lengths = [value for name, value in raw if name.lower() == b"content-length"]
    if isinstance(found, str):
        assert found == defect(encodings, lengths, version10)
        return
    assert defect(encodings, lengths, version10) is None
    options = nominated(raw)
    bodiless = method == "HEAD" or status < 200 or status in (204, 304)
    assert (found.framing.kind == "none") is bodiless
    if found.framing.kind != "close":
        assert found.framing.close is (b"close" in options or (version10 and b"keep-alive" not in options))
    types = [value for name, value in raw if name.lower() == b"content-type"]
    assert found.content_type == (types[-1].lower() if types else b"")
