"""proxy-rules 1 to 5: header fields on their way through, at both sockets."""

from __future__ import annotations

import gzip

import pytest

from tests.e2e.lanes import JSON_OK, OK, Lane, Lanes, instance, plain, values
from tests.e2e.world import client, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOP_BY_HOP = (
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic c2VjcmV0",
    b"Proxy-Authenticate: Basic",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Upgrade: foo/2",
)


async def refused(lane: Lane, request: bytes, status: int = 400) -> bytes:
    """Send bytes that must be refused: the answer, after which the connection is closed and nothing went upstream."""
    async with client(lane.port) as caller:
        await caller.send(request)
        raw = await caller.rest()
    assert raw.startswith(b"HTTP/1.1 %d " % status), raw
    assert values(raw, b"connection") == [b"close"]
    await lane.untouched()
    return raw


# -- rule 1 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=lambda field: field.split(b":")[0].decode())
@pytest.mark.parametrize("change", [bytes, bytes.upper, bytes.lower], ids=["as-is", "upper", "lower"])
async def test_hop_by_hop_fields_of_a_request_stop_here(lane: Lane, field: bytes, change) -> None:  # type: ignore[no-untyped-def]
    name, _, value = field.partition(b":")
    head, _ = await lane.sees(lane.get("/x", b"A: 1", change(name) + b":" + value, b"B: 2"))
    assert head == b"GET /x HTTP/1.1\r\nHost: %b\r\nA: 1\r\nB: 2\r\nVia: %b\r\n\r\n" % (lane.authority, lane.via)


@pytest.mark.parametrize("field", HOP_BY_HOP, ids=lambda field: field.split(b":")[0].decode())
async def test_hop_by_hop_fields_of_an_answer_stop_here(lane: Lane, field: bytes) -> None:
    name, _, value = field.partition(b":")
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\nA: 1\r\n%b:%b\r\nB: 2\r\nContent-Length: 2\r\n\r\nok" % (name.upper(), value)
    )
    assert plain(raw) == b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


async def test_fields_a_request_names_in_connection_stop_here(lane: Lane) -> None:
    head, _ = await lane.sees(
        lane.get(
            "/x",
            b"One: 1",
            b"Two: 2",
            b"THREE: 3",
            b"connection: oNe ,, three",
            b"Four: 4",
            b"CONNECTION: two",
            b"one: again",
        )
    )
    assert head == b"GET /x HTTP/1.1\r\nHost: %b\r\nFour: 4\r\nVia: %b\r\n\r\n" % (lane.authority, lane.via)


async def test_fields_an_answer_names_in_connection_stop_here(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\nOne: 1\r\nConnection: oNe ,, three\r\nTwo: 2\r\nTHREE: 3\r\nFour: 4\r\n"
        b"CONNECTION: two\r\none: again\r\nContent-Length: 2\r\n\r\nok"
    )
    assert plain(raw) == b"HTTP/1.1 200 OK\r\nFour: 4\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


async def test_a_connection_list_cannot_remove_what_a_request_needs(lane: Lane) -> None:
    head, body = await lane.sees(
        lane.request(
            "POST",
            "/x",
            b"Authorization: Bearer k",
            b"X-Api-Key: k",
            b"Via: 1.0 other",
            b"Connection: host, authorization, content-length, via, x-api-key",
            body=b"abc",
        )
    )
    assert body == b"abc"
    assert values(head, b"host") == [lane.authority]
    assert values(head, b"authorization") == [b"Bearer k"]
    assert values(head, b"x-api-key") == [b"k"]
    assert values(head, b"content-length") == [b"3"]
    assert values(head, b"via") == [b"1.0 other, " + lane.via]


async def test_a_connection_list_cannot_remove_the_key_that_is_added(lanes: Lanes, lane: Lane) -> None:
    head, _ = await lane.sees(lane.chat(b'{"model":"m"}', b"Connection: authorization, content-type, via"))
    assert values(head, b"authorization") == [b"Bearer sk-caller"]
    assert values(head, b"content-type") == []
    assert values(head, b"via") == [lane.via]


async def test_a_connection_list_cannot_remove_what_an_answer_needs(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nConnection: content-length, set-cookie, x-detour-provider, "
        b"server-timing, x-detour-request-id\r\nContent-Length: 2\r\n\r\nok"
    )
    assert values(raw, b"content-length") == [b"2"]
    assert values(raw, b"set-cookie") == [b"a=1"]
    assert values(raw, b"x-detour-provider") == [lane.name.encode()]
    assert len(values(raw, b"x-detour-request-id")) == len(values(raw, b"server-timing")) == 1


async def test_connection_itself_and_transfer_encoding_are_of_this_connection(lane: Lane) -> None:
    request = (
        lane.request("POST", "/x", b"Connection: keep-alive", b"Transfer-Encoding: Chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    )
    head, body = await lane.sees(request)
    assert values(head, b"connection") == []
    assert values(head, b"transfer-encoding") == [b"chunked"]
    assert body == b"3\r\nabc\r\n0\r\n\r\n"


# -- rule 2 ------------------------------------------------------------------------------------------------------------


async def test_order_case_and_duplicates_of_a_request_are_kept(lane: Lane) -> None:
    fields = (
        b"b: 1",
        b"A: 2",
        b"B: 3",
        b"a: 4",
        b"X-Empty:",
        b"accept: x/y",
        b"ACCEPT: y/z",
        b"Cookie: c=1",
        b"cookie: d=2",
    )
    head, _ = await lane.sees(lane.get("/x", *fields))
    lines = head.split(b"\r\n")
    assert [line.rstrip() for line in lines[2:-3]] == list(fields)


async def test_order_case_and_duplicates_of_an_answer_are_kept(lane: Lane) -> None:
    fields = b"b: 1\r\nA: 2\r\nB: 3\r\na: 4\r\nserver: x\r\nSERVER: y\r\n"
    raw = await lane.gives(b"HTTP/1.1 200 Fine By Me\r\n%bContent-Length: 0\r\n\r\n" % fields)
    assert plain(raw) == b"HTTP/1.1 200 Fine By Me\r\n%bConnection: close\r\nContent-Length: 0\r\n\r\n" % fields


async def test_set_cookie_is_never_joined(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nset-cookie: b=2\r\nSet-Cookie: a=3\r\nContent-Length: 0\r\n\r\n"
    )
    lines = [line for line in raw.split(b"\r\n") if b"ookie" in line]
    assert lines == [b"Set-Cookie: a=1; Path=/", b"set-cookie: b=2", b"Set-Cookie: a=3"]


@pytest.mark.parametrize("name", [b"Content-Type", b"User-Agent", b"Authorization"])
async def test_a_duplicate_that_must_be_single_is_refused_or_kept(lane: Lane, name: bytes) -> None:
    """Some duplicates are refused; never is one of them quietly dropped."""
    async with client(lane.port) as caller:
        await caller.send(lane.get("/x", name + b": one", name + b": two", b"Connection: close"))
        if name == b"Authorization":
            peer = await lane.upstream.accept()
            head, _ = await peer.request()
            await peer.send(OK)
            assert values(head, name) == [b"one", b"two"]
        else:
            assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")
            await lane.untouched()


ODD = bytes(range(0x80, 0x100))


async def test_bytes_above_ascii_pass_both_ways(lane: Lane) -> None:
    async with lane.talk(lane.get("/x", b"X-Odd: a" + ODD + b"z", b"Connection: close")) as talk:
        assert values(talk.head, b"x-odd") == [b"a" + ODD + b"z"]
        await talk.provider.send(b"HTTP/1.1 200 OK\r\nX-Odd: b%bz\r\nContent-Length: 0\r\n\r\n" % ODD)
        assert values(await talk.caller.rest(), b"x-odd") == [b"b" + ODD + b"z"]


CONTROL = [bytes([byte]) for byte in (*range(0x00, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)]


@pytest.mark.parametrize("byte", CONTROL, ids=[f"{byte[0]:02x}" for byte in CONTROL])
async def test_control_bytes_in_a_request_are_refused(lane: Lane, byte: bytes) -> None:
    for line in (b"X-Bad: a%bb" % byte, b"X-B%bad: ab" % byte):
        await refused(lane, lane.get("/x", line))


@pytest.mark.parametrize(
    "line",
    [
        b"X-Bad : 1",
        b"X-Bad\t: 1",
        b" X-Bad: 1",
        b"A: 1\r\n folded",
        b"A: 1\r\n\tfolded",
        b"no colon",
        b": empty",
        b"A: 1\rB: 2",
        b"A: 1\nB : 2",
    ],
    ids=["space", "tab", "leading", "fold-space", "fold-tab", "no-colon", "no-name", "bare-cr", "bare-lf-then-space"],
)
async def test_malformed_field_lines_of_a_request_are_refused(lane: Lane, line: bytes) -> None:
    await refused(lane, lane.get("/x", line))


@pytest.mark.parametrize(
    "line",
    [
        b"X-Bad : 1",
        b"A: 1\r\n folded",
        b"A: a\x00b",
        b"A: a\x01b",
        b"A: a\x7fb",
        b"X-\x01: 1",
        b"no colon",
        b"A: 1\rB: 2",
    ],
    ids=["space", "fold", "nul", "soh", "del", "name", "no-colon", "bare-cr"],
)
async def test_malformed_field_lines_of_an_answer_are_a_broken_provider(lane: Lane, line: bytes) -> None:
    raw = await lane.gives(b"HTTP/1.1 200 OK\r\n%b\r\nContent-Length: 2\r\n\r\nok" % line)
    assert raw.startswith(b"HTTP/1.1 502 "), raw
    await lane.judged("network_error")


# -- rule 3 ------------------------------------------------------------------------------------------------------------


async def test_nothing_is_invented_in_a_request(lane: Lane) -> None:
    head, _ = await lane.sees(b"GET /%b/x HTTP/1.1\r\nhost: localhost\r\n\r\n" % lane.name.encode())
    assert head == b"GET /x HTTP/1.1\r\nHost: %b\r\nVia: %b\r\n\r\n" % (lane.authority, lane.via)


async def test_nothing_is_invented_in_a_judged_request(lane: Lane) -> None:
    body = b'{"model": "m"}'
    head, seen = await lane.sees(lane.request("POST", "/v1/chat/completions", b"Authorization: Bearer k", body=body))
    assert head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer k\r\nVia: %b\r\n"
        b"Content-Length: %d\r\n\r\n" % (lane.authority, lane.via, len(body))
    )
    assert seen == body


async def test_nothing_is_invented_in_an_answer(lane: Lane) -> None:
    raw = await lane.gives(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok")
    assert plain(raw) == b"HTTP/1.1 200 \r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    ours = {line.split(b":")[0] for line in raw.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]} - {
        b"Connection",
        b"Content-Length",
    }
    assert ours == {b"x-detour-provider", b"x-detour-attempts", b"x-detour-request-id", b"Server-Timing"}


@pytest.mark.parametrize(
    ("sent", "seen"),
    [(b"gzip, br, zstd", b"gzip"), (b"br", b"identity"), (b"gzip;q=0.5, deflate, *;q=0", b"gzip;q=0.5, deflate")],
)
async def test_accept_encoding_is_narrowed_on_judged_paths(lane: Lane, sent: bytes, seen: bytes) -> None:
    head, _ = await lane.sees(lane.chat(b'{"model":"m"}', b"ACCEPT-Encoding: " + sent))
    assert b"\r\nACCEPT-Encoding: " in head
    assert values(head, b"accept-encoding")[0].replace(b", identity", b"") == seen


async def test_accept_encoding_is_identity_for_streams(lane: Lane) -> None:
    head, _ = await lane.sees(lane.chat(b'{"model":"m","stream":true}', b"Accept-Encoding: gzip, br"))
    assert values(head, b"accept-encoding") == [b"identity"]


async def test_accept_encoding_passes_on_other_paths(lane: Lane) -> None:
    head, _ = await lane.sees(lane.get("/v1/models", b"Accept-Encoding: br;q=1.0, zstd"))
    assert values(head, b"accept-encoding") == [b"br;q=1.0, zstd"]


@pytest.mark.parametrize("judged", [True, False])
async def test_no_decompression_and_no_encoding_anew(lane: Lane, judged: bool) -> None:
    packed = gzip.compress(b'{"model": "m"}' * 50)
    path = "/v1/chat/completions" if judged else "/v1/files"
    request = lane.request(
        "POST", path, b"Authorization: Bearer k", b"Content-Encoding: gzip", b"Connection: close", body=packed
    )
    async with lane.talk(request) as talk:
        assert talk.body == packed
        assert values(talk.head, b"content-encoding") == [b"gzip"]
        fields = b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n" + fields + packed)
        status, _, body = split(await talk.caller.rest())
    assert (status, body) == (200, packed)


async def test_no_cookie_memory(lane: Lane) -> None:
    async with lane.talk(lane.get("/x")) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n")
        await talk.caller.answer()
        await talk.caller.send(lane.get("/x"))
        head, _ = await talk.provider.request()
        assert values(head, b"cookie") == []
        await talk.provider.send(OK)
        await talk.caller.answer()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_pass_and_are_not_followed(lane: Lane, status: int) -> None:
    answer = b"HTTP/1.1 %d Elsewhere\r\nLocation: %b/y\r\nContent-Length: 0\r\n\r\n" % (
        status,
        lane.upstream.url.encode(),
    )
    raw = await lane.gives(answer)
    assert split(raw)[0] == status
    assert values(raw, b"location") == [lane.upstream.url.encode() + b"/y"]
    assert lane.upstream.accepted == 1


async def test_neither_netrc_nor_a_proxy_of_the_environment_is_used(lane: Lane) -> None:
    """The process of these tests has both in its environment, and nothing listens at that proxy."""
    head, _ = await lane.sees(lane.get("/x"))
    assert values(head, b"authorization") == []
    assert head.startswith(b"GET /x HTTP/1.1\r\n")


# -- rule 4 ------------------------------------------------------------------------------------------------------------


async def test_via_is_appended(lane: Lane) -> None:
    head, _ = await lane.sees(lane.get("/x", b"Via: 1.0 fred, 1.1 p.example", b"A: 1", b"via: 2 q (comment)"))
    assert values(head, b"via") == [b"1.0 fred, 1.1 p.example, 2 q (comment), " + lane.via]


@pytest.mark.parametrize("entry", [b"{own}", b"1.0 a, {own}, 1.1 b", b"1.1 DETOUR-x, {own} (again)"])
async def test_a_request_that_came_through_here_is_a_loop(lane: Lane, entry: bytes) -> None:
    async with client(lane.port) as caller:
        await caller.send(lane.get("/x", b"Via: " + entry.replace(b"{own}", lane.via), b"Connection: close"))
        raw = await caller.rest()
    assert raw.startswith(b"HTTP/1.1 508 ")
    await lane.untouched()


async def test_a_loop_through_the_real_process_ends(lanes: Lanes) -> None:
    """A provider whose address is Detour itself."""
    running, lane = lanes.detour, lanes.take()
    async with client(lane.port) as caller:
        await caller.send(lane.get("/x", b"Connection: close"))
        peer = await lane.upstream.accept()
        head, _ = await peer.request()
        async with client(running.port) as again:
            looped = head.replace(b"GET /x", b"GET /%b/x" % lane.name.encode())
            await again.send(looped)
            status, _, body = await again.answer()
        await peer.send(b"HTTP/1.1 %d Loop\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        raw = await caller.rest()
    assert raw.startswith(b"HTTP/1.1 508 ")
    assert lane.upstream.accepted == 1


async def test_three_of_ours_pass_and_four_do_not(lane: Lane) -> None:
    three = b"Via: 1.1 detour-a, 1.1 detour-b\r\nVia: 1.1 detour-c, 1.1 other"
    head, _ = await lane.sees(lane.get("/x", three))
    assert values(head, b"via")[0].endswith(lane.via)
    async with client(lane.port) as caller:
        await caller.send(lane.get("/x", three, b"Via: 1.1 detour-d", b"Connection: close"))
        assert (await caller.rest()).startswith(b"HTTP/1.1 508 ")
    assert lane.upstream.accepted == 1


async def test_detours_own_fields_are_read_and_never_forwarded(lane: Lane) -> None:
    head, _ = await lane.sees(
        lane.get("/x", b"x-detour-token: s3cret", b"X-DETOUR-Route: off", b"x-detour-anything: 1", b"x-detou: 1")
    )
    assert b"detour-" not in head.lower().replace(b"via: 1.1 detour-", b"")
    assert values(head, b"x-detou") == [b"1"]


async def test_a_provider_cannot_speak_in_detours_name(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\nX-Detour-Provider: liar\r\nx-detour-new: 1\r\nContent-Length: 0\r\n\r\n"
    )
    assert values(raw, b"x-detour-provider") == [lane.name.encode()]
    assert values(raw, b"x-detour-new") == []


async def test_forwarding_fields_pass_as_received(lane: Lane) -> None:
    fields = (
        b"X-Forwarded-For: 1.2.3.4",
        b"x-forwarded-for: 5.6.7.8",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: a",
        b"Forwarded: for=1.2.3.4",
        b"X-Real-IP: 9",
    )
    head, _ = await lane.sees(lane.get("/x", *fields))
    assert head.split(b"\r\n")[2:-3] == list(fields)


# -- rule 5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [b"evil.example", b"api.openai.com:443", b"127.0.0.1:1", b"[::1]"])
async def test_host_follows_the_origin(lane: Lane, host: bytes) -> None:
    head, _ = await lane.sees(
        b"GET /%b/x HTTP/1.1\r\nHost: %b\r\nX-Forwarded-Host: %b\r\n\r\n" % (lane.name.encode(), host, host)
    )
    assert values(head, b"host") == [lane.authority]
    assert head.startswith(b"GET /x HTTP/1.1\r\nHost: ")


async def test_a_callers_credential_reaches_nobody_but_the_provider_in_the_path(lanes: Lanes) -> None:
    one, other = lanes.take(), lanes.take()
    target = b"http://%b/%b/x" % (other.authority, one.name.encode())
    request = b"GET %b HTTP/1.1\r\nHost: %b\r\nX-Forwarded-Host: %b\r\nAuthorization: Bearer sk-one\r\n\r\n"
    async with one.talk(request % (target, other.authority, other.authority)) as talk:
        assert values(talk.head, b"authorization") == [b"Bearer sk-one"]
        await talk.provider.send(
            b"HTTP/1.1 307 Moved\r\nLocation: %b/x\r\nContent-Length: 0\r\n\r\n" % other.upstream.url.encode()
        )
        assert (await talk.caller.answer())[0] == 307
    await other.untouched()


async def test_a_credential_is_not_remembered_for_the_next_request(lane: Lane) -> None:
    async with lane.talk(lane.chat()) as talk:
        await talk.provider.send(JSON_OK)
        await talk.caller.answer()
        await talk.caller.send(lane.get("/x"))
        head, _ = await talk.provider.request()
        assert values(head, b"authorization") == []
        await talk.provider.send(OK)
        await talk.caller.answer()


async def test_the_instance_is_the_one_metrics_and_log_show(lanes: Lanes) -> None:
    assert await lanes.detour.metric("detour_build_info", instance=instance(lanes.detour)) == 1
