"""proxy-rules 10 and 11: what is asked for, and how."""

from __future__ import annotations

import pytest

from tests.e2e.lanes import OK, Lane, values
from tests.e2e.world import client

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def refused(lane: Lane, request: bytes, status: int = 400) -> bytes:
    """Send what must be refused: the answer, after which the connection closes and nothing went upstream."""
    async with client(lane.port) as caller:
        await caller.send(request + lane.get("/smuggled"))
        raw = await caller.rest()
    assert raw.startswith(b"HTTP/1.1 %d " % status), raw
    assert values(raw, b"connection") == [b"close"]
    assert raw.count(b"HTTP/1.1 ") == 1
    await lane.untouched()
    return raw


# -- rule 10 -----------------------------------------------------------------------------------------------------------

TARGETS = [
    "/a%2Fb",
    "/a%2fb",
    "/%2e%2e/x",
    "/%2E%2E%2Fx",
    "/%7Ex",
    "/~x",
    "/a;b=c;d",
    "//",
    "//x//y/",
    "/a+b",
    "/?",
    "/x?",
    "/x?a=b?c",
    "/x?a+b=c%20d&&e",
    "/x?%00",
    "/.",
    "/..",
    "/../..",
    "/a/../b",
    "/a/./b",
    "/../other/v1",
    "/%",
    "/%zz",
    "/%25",
    "/a\\b",
    "/a|b",
    "/{a}",
    "/x?url=http://a/b%23c",
    "/'\"<>`^",
    "/models/a:b@c",
    "/x,y",
    "/x=y",
    "/@host",
    "//host/x",
    "/http://host/x",
    "/:80",
    "/" + "a" * 8000,
    "/x?" + "q" * 8000,
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:24])
async def test_path_and_query_pass_byte_for_byte(lane: Lane, target: str) -> None:
    head, _ = await lane.sees(lane.get(target))
    assert head.split(b"\r\n")[0] == f"GET {target} HTTP/1.1".encode()


@pytest.mark.parametrize("octets", [b"/\xff\xfe", b"/x?\xe9", b"/\x80%80", "/é".encode()])
async def test_bytes_above_ascii_are_no_part_of_a_target(lane: Lane, octets: bytes) -> None:
    """RFC 3986 has none of them, and the parser refuses them: better than to change them."""
    await refused(lane, b"GET /%b%b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (lane.name.encode(), octets))


@pytest.mark.parametrize(("asked", "seen"), [("", "/"), ("?a=b", "/?a=b"), ("?", "/?"), ("/", "/"), ("//", "//")])
async def test_a_provider_alone_is_asked_for_its_root(lane: Lane, asked: str, seen: str) -> None:
    head, _ = await lane.sees(lane.get(asked))
    assert head.split(b"\r\n")[0] == f"GET {seen} HTTP/1.1".encode()


@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/chat/completions?a=%2F&b", "/v1/chat/completions?"])
async def test_the_target_of_a_judged_request_passes_byte_for_byte(lane: Lane, target: str) -> None:
    head, _ = await lane.sees(lane.chat(path=target))
    assert head.split(b"\r\n")[0] == f"POST {target} HTTP/1.1".encode()


async def test_dot_segments_never_select_another_provider(lane: Lane) -> None:
    """They belong to the provider: the first segment is taken as it stands."""
    async with client(lane.port) as caller:
        await caller.send(
            b"GET /nowhere/../%b/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % lane.name.encode()
        )
        assert (await caller.rest()).startswith(b"HTTP/1.1 404 ")
        assert lane.upstream.accepted == 0


# -- rule 11 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authority",
    ["http://evil.example", "https://evil.example:444", "HTTP://127.0.0.1:1", "http://u:p@evil", "http://[::1]:80"],
)
async def test_absolute_form_is_reduced_and_its_authority_ignored(lane: Lane, authority: str) -> None:
    head, _ = await lane.sees(f"GET {authority}/{lane.name}/a%2Fb?c=d HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert head == b"GET /a%%2Fb?c=d HTTP/1.1\r\nHost: %b\r\nVia: %b\r\n\r\n" % (lane.authority, lane.via)


@pytest.mark.parametrize("target", ["http://evil.example", "http://evil.example?x", "https://lane0"])
async def test_absolute_form_without_a_path_names_no_provider(lane: Lane, target: str) -> None:
    async with client(lane.port) as caller:
        await caller.send(f"GET {target} HTTP/1.1\r\nHost: {lane.name}\r\nConnection: close\r\n\r\n".encode())
        assert (await caller.rest()).startswith(b"HTTP/1.1 404 ")
    await lane.untouched()


@pytest.mark.parametrize(
    "target",
    ["ftp://h/{lane}/x", "file:///{lane}/x", "{lane}/x", "javascript:x", "localhost:80", "?/{lane}", "\\{lane}\\x"],
)
async def test_other_forms_are_refused(lane: Lane, target: str) -> None:
    await refused(lane, f"GET {target.replace('{lane}', lane.name)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


@pytest.mark.parametrize("target", ["localhost:443", "/{lane}/x", "127.0.0.1:1"])
async def test_connect_is_not_served(lane: Lane, target: str) -> None:
    target = target.replace("{lane}", lane.name)
    await refused(lane, f"CONNECT {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 405)


async def test_trace_is_not_served(lane: Lane) -> None:
    raw = await refused(lane, lane.request("TRACE", "/x", b"X-Secret: s3cret"), 405)
    assert b"s3cret" not in raw


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "FOO"])
async def test_the_asterisk_is_for_options_alone(lane: Lane, method: str) -> None:
    await refused(lane, f"{method} * HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


async def test_options_asterisk_is_answered_here(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, body = await caller.answer()
        assert (status, body) == (204, b"")
        await caller.send(lane.get())
        peer = await lane.upstream.accept()
        await peer.request()
        await peer.send(OK)
        assert (await caller.answer())[0] == 200


async def test_options_of_a_path_goes_to_the_provider(lane: Lane) -> None:
    head, _ = await lane.sees(lane.request("OPTIONS", "/x"))
    assert head.startswith(b"OPTIONS /x HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a\r\nX: 1\r\nhOST: a\r\n"]
)
async def test_a_request_needs_exactly_one_host(lane: Lane, hosts: bytes) -> None:
    await refused(lane, b"GET /%b/x HTTP/1.1\r\n%b\r\n" % (lane.name.encode(), hosts))


async def test_what_a_connection_knows_of_http_1_0_does_not_hold_for_http_1_1(lane: Lane) -> None:
    head = b"GET /%b/x HTTP/1.%%d\r\nConnection: keep-alive\r\n\r\n" % lane.name.encode()
    async with lane.talk(head % 0) as talk:
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        await talk.caller.send(head % 1)
        assert (await talk.caller.rest()).startswith(b"HTTP/1.1 400 ")


async def test_http_1_0_needs_no_host_but_may_not_have_two(lane: Lane) -> None:
    await refused(
        lane, b"GET /%b/x HTTP/1.0\r\nHost: a\r\nHost: b\r\nConnection: keep-alive\r\n\r\n" % lane.name.encode()
    )
    head, _ = await lane.sees(b"GET /%b/x HTTP/1.0\r\n\r\n" % lane.name.encode())
    assert head.startswith(b"GET /x HTTP/1.1\r\nHost: %b\r\n" % lane.authority)


@pytest.mark.parametrize("target", ["/x#", "/x#a", "/x?a#b", "#", "/#/x"])
async def test_a_fragment_is_refused(lane: Lane, target: str) -> None:
    await refused(lane, lane.get(target))


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x0b", b"\x7f", b"\t", b"\x1f"])
async def test_control_bytes_in_the_target_are_refused(lane: Lane, byte: bytes) -> None:
    await refused(lane, b"GET /%b/a%bb HTTP/1.1\r\nHost: localhost\r\n\r\n" % (lane.name.encode(), byte))


ODD = [
    "FROBNICATE",
    "BREW",
    "get",
    "Post",
    "X",
    "M-SEARCH",
    "QUERY",
    "PATCH",
    "PURGE",
    "A!#$%&'*+-.^_`|~9",
    "PRI",
    "Z" * 32,
]


@pytest.mark.parametrize("method", ODD)
async def test_unknown_methods_pass(lane: Lane, method: str) -> None:
    head, body = await lane.sees(lane.request(method, "/x", body=b"abc"))
    assert head.startswith(f"{method} /x HTTP/1.1\r\n".encode())
    assert body == b"abc"


@pytest.mark.parametrize("method", ["BREW", "get", "POSTER"])
async def test_unknown_methods_pass_however_their_bytes_come(lane: Lane, method: str) -> None:
    request = lane.request(method, "/x", body=b"BREW /coffee")
    async with client(lane.port) as caller:
        for number, byte in enumerate(request):
            await caller.send(bytes([byte]))
            if number < len(method) + 2:
                await caller.settled()
        peer = await lane.upstream.accept()
        head, body = await peer.request()
        await peer.send(OK)
        assert (await caller.answer())[0] == 200
    assert head.startswith(f"{method} /x HTTP/1.1\r\n".encode())
    assert body == b"BREW /coffee"


async def test_an_unknown_method_is_that_of_its_own_request_alone(lane: Lane) -> None:
    async with lane.talk(lane.request("BREW", "/1", body=b"GET HTTP")) as talk:
        for number, method in enumerate(["POST", "BREW", "GET", "POST"], 2):
            assert talk.body == b"GET HTTP"
            await talk.provider.send(OK)
            await talk.caller.answer()
            await talk.caller.send(lane.request(method, f"/{number}", body=b"GET HTTP"))
            talk.head, talk.body = await talk.provider.request()
            assert talk.head.startswith(f"{method} /{number} HTTP/1.1\r\n".encode())
        await talk.provider.send(OK)
        await talk.caller.answer()


async def test_an_unknown_method_may_come_while_another_request_is_served(lane: Lane) -> None:
    async with lane.talk(lane.get("/1")) as talk:
        await talk.caller.send(lane.request("BREW", "/2", body=b"a b"))
        await talk.caller.settled()
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        assert await talk.provider.request() == (
            b"BREW /2 HTTP/1.1\r\nHost: %b\r\nVia: %b\r\nContent-Length: 3\r\n\r\n" % (lane.authority, lane.via),
            b"a b",
        )
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200


@pytest.mark.parametrize("chunked", [True, False])
async def test_body_bytes_are_never_taken_for_a_method(lane: Lane, chunked: bool) -> None:
    """However the reads fall, `word word` inside a body stays what it is."""
    body = b"hello wide world " * 3
    pieces = [body[start : start + 5] for start in range(0, len(body), 5)]
    async with client(lane.port) as caller:
        for number in range(20):
            field = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)
            await caller.send(lane.request("POST", f"/{number}", field))
            for piece in pieces:
                await caller.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await caller.settled(0)
            if chunked:
                await caller.send(b"0\r\n\r\n")
            if not number:
                peer = await lane.upstream.accept()
            head, seen = await peer.request()
            assert head.startswith(b"POST /%d " % number)
            if chunked:
                parts = seen.split(b"\r\n")
                seen = b"".join(parts[1:-3:2])
            assert seen == body
            await peer.send(OK)
            assert (await caller.answer())[0] == 200
