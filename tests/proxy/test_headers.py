"""Header fields: what stops, what passes, what is added."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import headers
from proxy.headers import CREDENTIALS, HOP_BY_HOP, PROTECTED, Pair, Scan, scan
from tests.proxy.header_fields import nominated, pairs, parsed, text


def head(raw: list[Pair], **changes: object) -> list[Pair]:
    """The pairs of the upstream head made from `raw`, the request line checked and left out; framing is yet to come."""
    arguments: dict[str, object] = {"host": b"up.test", "via": b"1.1 detour-me"} | changes
    made = headers.request_head(b"POST", b"/v1/x?y", scan(raw), **arguments)  # type: ignore[arg-type]
    return parsed(made + b"\r\n", b"POST /v1/x?y HTTP/1.1")


# -- scan -------------------------------------------------------------------------------------------------------------


def test_a_usual_request() -> None:
    raw = [
        (b"Host", b"127.0.0.1:8080"),
        (b"Accept-Encoding", b"gzip, br"),
        (b"Connection", b"keep-alive"),
        (b"Content-Type", b"application/json"),
        (b"Authorization", b"Bearer sk-1"),
        (b"X-Detour-Route", b"off"),
        (b"Via", b"1.1 gw"),
        (b"Origin", b"http://a.test"),
        (b"Expect", b"100-Continue"),
        (b"Content-Length", b"12"),
    ]
    assert scan(raw) == Scan(
        kept=[raw[1], raw[3], raw[4], raw[7]],
        host=b"127.0.0.1:8080",
        hosts=1,
        content_type=b"application/json",
        content_length=12,
        chunked=False,
        expect=True,
        upgrade=None,
        accept_encoding=[raw[1]],
        via=[b"1.1 gw"],
        detour={b"route": b"off"},
        origin=b"http://a.test",
        credentials=[(b"authorization", b"Bearer sk-1")],
        bad=None,
    )


def test_nothing_at_all() -> None:
    found = scan([])
    assert (found.kept, found.host, found.hosts, found.content_type, found.content_length) == ([], b"", 0, b"", None)
    assert (found.origin, found.upgrade, found.bad, found.expect, found.chunked) == (None, None, None, False, False)


def test_hosts_are_counted_and_the_first_is_told() -> None:
    found = scan([(b"host", b"a"), (b"HOST", b"b")])
    assert (found.host, found.hosts) == (b"a", 2)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([(b"Expect", b"100-continue")], True),
        ([(b"Expect", b"202-accepted")], False),
        ([(b"Expect", b"x"), (b"expect", b"100-CONTINUE")], True),
    ],
)
def test_expect(raw: list[Pair], expected: bool) -> None:
    found = scan(raw)
    assert found.expect is expected
    assert found.kept == []


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], b"websocket"),
        ([(b"Connection", b"keep-alive, upgrade"), (b"Upgrade", b"a"), (b"upgrade", b"b")], b"a, b"),
        ([(b"Upgrade", b"websocket")], None),
        ([(b"Connection", b"keep-alive"), (b"Upgrade", b"websocket")], None),
        ([(b"Connection", b"Upgrade")], None),
        ([(b"Connection", b"Upgrade, HTTP2-Settings"), (b"Upgrade", b"h2c"), (b"HTTP2-Settings", b"x")], None),
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket, H2C")], None),
    ],
)
def test_upgrade(raw: list[Pair], expected: bytes | None) -> None:
    found = scan(raw)
    assert found.upgrade == expected
    assert found.kept == []


@pytest.mark.parametrize(
    ("raw", "version10", "bad"),
    [
        ([(b"Transfer-Encoding", b"chunked")], False, None),
        ([(b"Transfer-Encoding", b"chunked")], True, "Transfer-Encoding in HTTP/1.0"),
        ([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"1")], False, "Transfer-Encoding together"),
        ([(b"transfer-encoding", b"identity")], False, "other than chunked"),
        ([(b"Content-Length", b"1"), (b"content-length", b"2")], False, "differing"),
        ([(b"Content-Length", b"1, 1")], False, "malformed"),
        ([(b"Content-Length", b"1"), (b"content-length", b"1")], False, None),
    ],
)
def test_framing_of_requests(raw: list[Pair], version10: bool, bad: str | None) -> None:
    found = scan(raw, version10=version10)
    assert (found.bad is None) if bad is None else (bad in str(found.bad))
    assert found.content_length == (1 if bad is None and raw[0][0] == b"Content-Length" else None)


def test_a_connection_list_removes_in_any_line_and_case() -> None:
    raw = [
        (b"Connection", b"close, X-One"),
        (b"x-one", b"1"),
        (b"CONNECTION", b" x-TWO\t,Accept-Encoding"),
        (b"X-Two", b"2"),
        (b"Accept-Encoding", b"gzip"),
        (b"X-Three", b"3"),
    ]
    found = scan(raw)
    assert found.kept == [(b"X-Three", b"3")]
    assert found.accept_encoding == []


def test_a_connection_list_cannot_remove_what_matters() -> None:
    named = b", ".join(
        (*CREDENTIALS, b"host", b"content-length", b"via", b"origin", b"x-detour-token", b"content-type")
    )
    raw = [
        (b"Connection", named),
        (b"Host", b"h"),
        (b"Content-Length", b"3"),
        (b"Via", b"1.1 detour-a"),
        (b"Origin", b"o"),
        (b"X-Detour-Token", b"t"),
        (b"Content-Type", b"application/json"),
        *((name, b"k") for name in CREDENTIALS),
    ]
    found = scan(raw)
    assert found.kept == [(name, b"k") for name in CREDENTIALS]
    assert found.credentials == found.kept
    assert (found.host, found.content_length, found.via, found.origin) == (b"h", 3, [b"1.1 detour-a"], b"o")
    assert found.detour == {b"token": b"t"}
    assert found.content_type == b"application/json"


# -- towards the provider ---------------------------------------------------------------------------------------------


def test_request_head_to_the_byte() -> None:
    raw = [
        (b"hOst", b"127.0.0.1"),
        (b"X-B", b"2"),
        (b"accept-encoding", b"br"),
        (b"x-a", b"\xff 1"),
        (b"Authorization", b"Bearer detour"),
        (b"Content-length", b"007"),
        (b"X-B", b"3"),
    ]
    found = scan(raw)
    made = headers.request_head(
        b"POST",
        b"/v1/a%2Fb?q=",
        found,
        host=b"api.test:444",
        via=b"1.1 detour-me",
        accept_encoding=b"identity",
        extra=((b"Authorization", b"Bearer sk"),),
        drop=frozenset((b"authorization",)),
    )
    assert made == (
        b"POST /v1/a%2Fb?q= HTTP/1.1\r\nHost: api.test:444\r\nX-B: 2\r\naccept-encoding: identity\r\nx-a: \xff 1\r\n"
        b"X-B: 3\r\nAuthorization: Bearer sk\r\nVia: 1.1 detour-me\r\n"
    )
    assert found.content_length == 7


def test_nothing_is_invented() -> None:
    assert head([], accept_encoding=b"gzip") == [(b"Host", b"up.test"), (b"Via", b"1.1 detour-me")]


def test_accept_encoding_passes_where_it_is_not_narrowed() -> None:
    raw = [(b"Accept-Encoding", b"br"), (b"X", b"y"), (b"ACCEPT-encoding", b"zstd")]
    assert head(raw)[1:-1] == raw
    assert head(raw, accept_encoding=b"gzip")[1:-1] == [(b"Accept-Encoding", b"gzip"), (b"X", b"y")]


def test_chunked_and_upgrade() -> None:
    assert scan([(b"Transfer-Encoding", b"Chunked")]).chunked
    assert head([(b"Transfer-Encoding", b"Chunked")]) == head([])
    upgraded = head([(b"Connection", b"upgrade"), (b"Upgrade", b"websocket")], upgrade=b"websocket")
    assert upgraded[-2:] == [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    assert head([(b"Connection", b"upgrade"), (b"Upgrade", b"websocket")]) == head([])


@given(pairs, st.booleans())
def test_requests_keep_order_case_and_number_and_leak_no_hop_by_hop_field(raw: list[Pair], narrow: bool) -> None:
    named = nominated(raw)
    made = head(raw, accept_encoding=b"identity" if narrow else None)
    expected = []
    narrowed = False
    for name, value in raw:
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in (b"host", b"via", b"expect", b"content-length"):
            continue
        if lower.startswith(b"x-detour-") or (lower in named and lower not in PROTECTED):
            continue
        if lower == b"accept-encoding" and narrow:
            if not narrowed:
                expected.append((name, b"identity"))
            narrowed = True
            continue
        expected.append((name, value))
    assert made == [(b"Host", b"up.test"), *expected, (b"Via", b"1.1 detour-me")]


@given(pairs)
def test_scanning_never_raises_and_agrees_with_a_simple_reading(raw: list[Pair]) -> None:
    found = scan(raw)
    lowered = [(name.lower(), value) for name, value in raw]
    assert found.hosts == sum(name == b"host" for name, _ in lowered)
    assert found.credentials == [pair for pair in lowered if pair[0] in CREDENTIALS]
    assert found.via == [value for name, value in lowered if name == b"via"]
    assert found.detour == {name[9:]: value for name, value in lowered if name.startswith(b"x-detour-")}
    assert found.chunked == any(name == b"transfer-encoding" for name, _ in lowered)
    assert (found.upgrade is None) or b"upgrade" in nominated(raw)
    if found.bad is None and not found.chunked:
        lengths = [int(value) for name, value in lowered if name == b"content-length"]
        assert found.content_length == (lengths[0] if lengths else None)


# -- Accept-Encoding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "narrowed"),
    [
        (b"gzip, deflate, br, zstd", b"gzip, deflate"),
        (b"gzip", b"gzip"),
        (b"br", b"identity"),
        (b"", b"identity"),
        (b"*", b"gzip, deflate, identity"),
        (b"*;q=0.1, gzip;q=0.9", b"gzip;q=0.9, deflate;q=0.1, identity;q=0.1"),
        (b"GZIP;Q=0.5 , br;q=1", b"gzip;Q=0.5"),
        (b"gzip;q=0", b"identity"),
        (b"gzip; q=0.000, deflate", b"deflate"),
        (b"gzip;q=0.001", b"gzip;q=0.001"),
        (b"identity;q=0, gzip", b"gzip"),
        (b",;,=;q", b"identity"),
    ],
)
def test_accept_encoding_is_narrowed(value: bytes, narrowed: bytes) -> None:
    found = scan([(b"Accept-Encoding", value)])
    assert headers.accept_encoding(found, streamed=False) == narrowed
    assert headers.accept_encoding(found, streamed=True) == b"identity"


def test_several_accept_encodings_are_one_list() -> None:
    found = scan([(b"Accept-Encoding", b"br"), (b"accept-encoding", b"gzip")])
    assert headers.accept_encoding(found, streamed=False) == b"gzip"


def test_no_accept_encoding_is_left_alone() -> None:
    assert headers.accept_encoding(scan([]), streamed=True) is None


@given(text)
def test_narrowing_never_raises_and_names_only_what_can_be_read(value: bytes) -> None:
    narrowed = headers.accept_encoding(scan([(b"Accept-Encoding", value)]), streamed=False)
    assert narrowed
    assert {item.partition(b";")[0].strip() for item in narrowed.split(b", ")} <= set(headers.READABLE)


# -- Via --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "loops"),
    [
        ([], False),
        ([b"1.1 gw, 1.0 detour-other (a Detour)"], False),
        ([b"1.1 detour-me"], True),
        ([b"1.1 gw", b"HTTP/1.1 x,1.1  detour-me (c)"], True),
        ([b"1.1 detour-me2"], False),
        ([b"1.1 gw (detour-me)"], False),
        ([b"1.1 detour-a, 1.1 detour-b, 1.1 detour-c"], False),
        ([b"1.1 detour-a", b"1.1 detour-b, 1.1 detour-c", b"1.1 detour-d"], True),
        ([b",, ,detour-me"], False),
    ],
)
def test_loops(values: list[bytes], loops: bool) -> None:
    found = scan([(b"Via", value) for value in values])
    assert headers.loops(found, b"me") is loops
    again = scan([(b"Via", headers.via(found, b"me"))])
    assert headers.loops(again, b"me")


def test_via_is_appended_to_what_there_was() -> None:
    assert headers.via(scan([]), b"me") == b"1.1 detour-me"
    assert headers.via(scan([(b"Via", b"1.1 a"), (b"via", b"1.1 b")]), b"me") == b"1.1 a, 1.1 b, 1.1 detour-me"
