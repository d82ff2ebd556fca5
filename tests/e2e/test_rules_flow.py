"""proxy-rules 12 to 14 and 16 to 18: bytes at once, backpressure, expectations, upgrades, early answers, repeats."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.client import KEEP_ALIVE
from proxy.pool import IDLE_EXPIRY
from tests.e2e.lanes import JSON_OK, OK, Lane, Talk, comes, plain, values
from tests.e2e.world import Peer, client, eventually, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
BLOCK = b"0123456789abcdef" * 4096
STALL = 0.4
"""Seconds without progress that count as standing still; being too short would only let `pump` stop early."""
BUFFERS = 24 << 20
"""More than all sockets of one way through can hold by themselves (the kernel's limits are 4 to 6 MiB each)."""
LARGE = 48 << 20


def memory(lane: Lane) -> int:
    """Bytes of memory the process has in use."""
    return int(Path(f"/proc/{lane.detour.process.pid}/statm").read_text().split()[1]) * 4096


async def pump(peer: Peer, most: int) -> int:
    """Write `most` bytes or until the other side takes no more; how many were handed over."""
    sent = 0
    while sent < most:
        peer.writer.write(BLOCK)
        sent += len(BLOCK)
        try:
            await asyncio.wait_for(peer.writer.drain(), STALL)
        except TimeoutError:
            break
    return sent


async def take(peer: Peer, size: int) -> None:
    """Read `size` bytes and see that they are what `pump` writes."""
    left = size
    while left:
        data = await peer.exactly(min(len(BLOCK), left))
        assert data == BLOCK[: len(data)]
        left -= len(data)


async def ends(peer: Peer) -> bytes:
    """What still comes until the connection is closed, in whichever way."""
    try:
        return await peer.rest()
    except ConnectionResetError:
        return b""


# -- rule 12 -----------------------------------------------------------------------------------------------------------


async def test_each_chunk_of_an_answer_is_written_on_at_once(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n3\r\none\r\n" % CHUNKED)
        assert (await talk.caller.until(b"3\r\none\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        for word in (b"two", b"three", b"four"):
            await talk.provider.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert await talk.caller.until(word + b"\r\n") == b"%x\r\n%b\r\n" % (len(word), word)
        await talk.provider.send(b"0\r\n\r\n")
        assert await talk.caller.exactly(5) == b"0\r\n\r\n"


async def test_part_of_a_chunk_is_written_on_at_once(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n64\r\none" % CHUNKED)
        assert (await talk.caller.until(b"one\r\n")).endswith(b"\r\n\r\n3\r\none\r\n")
        await talk.provider.send(b"x" * 97 + b"\r\n0\r\n\r\n")
        assert await talk.caller.until(b"0\r\n\r\n") == b"61\r\n" + b"x" * 97 + b"\r\n0\r\n\r\n"


async def test_each_event_of_a_stream_is_written_on_at_once(lane: Lane) -> None:
    async with lane.talk(lane.chat(b'{"model":"m","stream":true}')) as talk:
        await talk.provider.send(SSE + CHUNKED + b"\r\n\r\n")
        for word in (b"a", b"b", b"c"):
            event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % word
            await talk.provider.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert (await talk.caller.until(event + b"\r\n")).endswith(event + b"\r\n")
        await talk.provider.send(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        assert await talk.caller.until(b"0\r\n\r\n") == b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    await lane.judged("success")


async def test_each_piece_of_an_upload_is_written_on_at_once(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", CHUNKED))
        provider = await lane.upstream.accept()
        await provider.until(b"\r\n\r\n")
        for word in (b"one", b"two", b"three"):
            await caller.send(b"%x\r\n%b\r\n" % (len(word), word))
            assert await provider.until(word + b"\r\n") == b"%x\r\n%b\r\n" % (len(word), word)
        await caller.send(b"0\r\n\r\n")
        assert await provider.exactly(5) == b"0\r\n\r\n"
        await provider.send(OK)
        assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("judged", [False, True])
async def test_a_client_that_reads_slowly_holds_the_provider_back(lane: Lane, judged: bool) -> None:
    request = lane.chat(b'{"model":"m","stream":true}') if judged else lane.get()
    async with lane.talk(request) as talk:
        talk.caller.writer.transport.pause_reading()
        before = memory(lane)
        await talk.provider.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % LARGE
        )
        sent = await pump(talk.provider, LARGE)
        assert sent < BUFFERS
        assert memory(lane) - before < 4 << 20
        talk.caller.writer.transport.resume_reading()
        rest = asyncio.create_task(pump_all(talk.provider, LARGE - sent))
        head = await talk.caller.until(b"\r\n\r\n")
        assert values(head, b"content-length") == [b"%d" % LARGE]
        await take(talk.caller, LARGE)
        await rest
        assert memory(lane) - before < 4 << 20
    await lane.judged("success")


async def pump_all(peer: Peer, size: int) -> None:
    for _ in range(size // len(BLOCK)):
        await peer.send(BLOCK)


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_provider_that_reads_slowly_holds_the_client_back(lane: Lane, chunked: bool) -> None:
    field = CHUNKED if chunked else b"Content-Length: %d" % LARGE
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", field))
        provider = await lane.upstream.accept()
        await provider.until(b"\r\n\r\n")
        provider.writer.transport.pause_reading()
        before = memory(lane)
        if chunked:
            await caller.send(b"%x\r\n" % LARGE)
        sent = await pump(caller, LARGE)
        assert sent < BUFFERS
        assert memory(lane) - before < 4 << 20
        provider.writer.transport.resume_reading()
        rest = asyncio.create_task(pump_all(caller, LARGE - sent))
        if chunked:
            left = LARGE
            while left:
                size = int(await provider.until(b"\r\n"), 16)
                assert len(await provider.exactly(size)) == size
                await provider.exactly(2)
                left -= size
        else:
            await take(provider, LARGE)
        await rest
        if chunked:
            await caller.send(b"\r\n0\r\n\r\n")
            assert await provider.exactly(5) == b"0\r\n\r\n"
        await provider.send(OK)
        assert (await caller.answer())[0] == 200
        assert memory(lane) - before < 4 << 20
    await lane.judged("success")


async def test_a_client_that_reads_slowly_is_no_fault_of_the_provider(lane: Lane) -> None:
    """The same with a stream of events: it stands still for longer than it takes, and ends well."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 60000)
    async with lane.talk(lane.chat(b'{"model":"m","stream":true}')) as talk:
        talk.caller.writer.transport.pause_reading()
        await talk.provider.send(SSE + CHUNKED + b"\r\n\r\n")
        count = 0
        while count < 1000:
            talk.provider.writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            count += 1
            try:
                await asyncio.wait_for(talk.provider.writer.drain(), STALL)
            except TimeoutError:
                break
        assert count < 1000
        talk.caller.writer.transport.resume_reading()
        await talk.provider.send(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        body = await talk.caller.until(b"\r\n0\r\n\r\n")
        assert body.count(b"data: {") == count
    await lane.judged("success")


# -- rule 13 -----------------------------------------------------------------------------------------------------------

EXPECT = b"Expect: 100-continue"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
@pytest.mark.parametrize("field", [EXPECT, b"eXPECT: 100-Continue"])
async def test_an_expectation_is_answered_here_and_not_forwarded(lane: Lane, path: str, field: bytes) -> None:
    body = b'{"model":"m"}'
    head = lane.request("POST", path, b"Authorization: Bearer k", b"Content-Length: %d" % len(body), field)
    async with client(lane.port) as caller:
        await caller.send(head)
        assert await caller.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await caller.send(body)
        provider = await lane.upstream.accept()
        seen, got = await provider.request()
        assert values(seen, b"expect") == []
        assert got == body
        await provider.send(JSON_OK)
        assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
async def test_no_continue_is_sent_to_a_client_that_did_not_wait(lane: Lane, path: str) -> None:
    request = lane.request(
        "POST", path, b"Authorization: Bearer k", EXPECT, b"Connection: close", body=b'{"model":"m"}'
    )
    async with lane.talk(request) as talk:
        assert values(talk.head, b"expect") == []
        await talk.provider.send(JSON_OK)
        assert (await talk.caller.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/{lane}/v1/chat/completions", b"Content-Length: 9999999999", 413),
        ("/groq/openai/v1/chat/completions", b"Content-Length: 5", 401),
        ("/nowhere/v1/chat/completions", b"Content-Length: 5", 404),
        ("/{lane}/v1/files", b"Content-Length: 5\r\nVia: 1.1 detour-a, 1.1 detour-b, 1.1 detour-c, 1.1 detour-d", 508),
        ("/{lane}/v1/files", b"Content-Length: 5\r\nHost: again", 400),
    ],
)
async def test_no_continue_is_sent_where_the_body_will_not_be_read(
    lane: Lane, path: str, fields: bytes, status: int
) -> None:
    """The client may then send the body, the next request or nothing: the connection closes, which is always right."""
    async with client(lane.port) as caller:
        target = path.replace("{lane}", lane.name).encode()
        await caller.send(b"POST %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b\r\n\r\n" % (target, fields, EXPECT))
        found, names, _ = await caller.answer()
    assert found == status
    assert (b"Connection", b"close") in names
    await lane.untouched()


async def test_an_expectation_of_http_1_0_is_ignored(lane: Lane) -> None:
    """RFC 9110 section 10.1.1; such a client would take the 100 for its answer."""
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", b"Content-Length: 3", EXPECT, version=b"1.0"))
        provider = await lane.upstream.accept()
        head = await provider.until(b"\r\n\r\n")
        assert values(head, b"expect") == []
        await caller.send(b"abc")
        assert await provider.exactly(3) == b"abc"
        await provider.send(OK)
        assert (await caller.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_an_expectation_on_every_request_of_a_connection_is_answered(lane: Lane) -> None:
    head = lane.request("POST", "/v1/files", b"Content-Length: 3", EXPECT)
    async with client(lane.port) as caller:
        for number in range(3):
            await caller.send(head)
            assert await caller.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            await caller.send(b"abc")
            if not number:
                provider = await lane.upstream.accept()
            assert (await provider.request())[1] == b"abc"
            await provider.send(OK)
            assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("judged", [True, False])
async def test_early_hints_pass_and_100_and_the_rest_do_not(lane: Lane, judged: bool) -> None:
    request = lane.chat(b'{"model":"m"}', b"Connection: close") if judged else lane.get("/x", b"Connection: close")
    async with lane.talk(request) as talk:
        await talk.provider.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        await talk.provider.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nKeep-Alive: x\r\n\r\n")
        assert await talk.caller.until(b"\r\n\r\n") == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        await talk.provider.send(b"HTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\nHTTP/1.1 199 X\r\n\r\n" + JSON_OK)
        raw = await talk.caller.rest()
    hint, rest = raw.split(b"\r\n\r\n", 1)
    assert hint == b"HTTP/1.1 103 Early Hints\r\nLink: </b>"
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.count(b"HTTP/1.1 ") == 1
    await lane.judged("success")


async def test_early_hints_are_not_for_http_1_0(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, lane.request("GET", "/x", version=b"1.0")
    )
    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_endless_informational_answers_end(lane: Lane) -> None:
    """They may not hold the exchange for ever, nor memory."""
    async with lane.talk(lane.get("/x", b"Connection: close")) as talk:
        before = memory(lane)
        hints = b"HTTP/1.1 100 Continue\r\nX-Pad: %b\r\n\r\n" % (b"x" * 1000) * 1000
        for _ in range(20):
            try:
                await talk.provider.send(hints)
            except ConnectionError:
                break
        else:
            pytest.fail("20 MB of answers that are none")
        assert memory(lane) - before < 4 << 20
        assert split(await talk.caller.rest())[0] == 502
    await lane.judged("network_error")


# -- rule 14 -----------------------------------------------------------------------------------------------------------

SOCKET = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: a2V5",
    b"Sec-WebSocket-Version: 13",
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
)


async def switched(lane: Lane, talk: Talk, behind: bytes = b"") -> None:
    """Answer with 101 and see it at the client."""
    assert values(talk.head, b"connection") == [b"Upgrade"]
    assert values(talk.head, b"upgrade") == [b"websocket"]
    await talk.provider.send(SWITCH + behind)
    raw = await talk.caller.until(b"\r\n\r\n")
    lines = sorted(plain(raw).strip().split(b"\r\n"))
    assert lines == sorted(SWITCH.strip().split(b"\r\n"))


async def test_a_websocket_is_tunnelled_both_ways(lane: Lane) -> None:
    async with lane.talk(lane.get("/v1/realtime?model=m", *SOCKET)) as talk:
        assert values(talk.head, b"sec-websocket-key") == [b"a2V5"]
        await switched(lane, talk, b"\x81\x05first")
        assert await talk.caller.exactly(7) == b"\x81\x05first"
        for number in range(5):
            await talk.caller.send(b"\x81\x01%d" % number)
            assert await talk.provider.exactly(3) == b"\x81\x01%d" % number
            await talk.provider.send(b"GET /smuggled HTTP/1.1\r\n\r\n%d" % number)
            assert await talk.caller.exactly(27) == b"GET /smuggled HTTP/1.1\r\n\r\n%d" % number
        await talk.provider.send(b"bye")
        talk.provider.close()
        assert await talk.caller.rest() == b"bye"
    await lane.judged("success")


async def test_what_a_client_sends_before_the_101_comes_behind_it(lane: Lane) -> None:
    async with lane.talk(lane.get("/v1/realtime", *SOCKET) + b"early") as talk:
        await talk.caller.send(b"-bird")
        await switched(lane, talk)
        assert await talk.provider.exactly(10) == b"early-bird"
        talk.caller.close()
        assert await ends(talk.provider) == b""


@pytest.mark.parametrize("side", ["caller", "provider"])
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_either_end_of_a_tunnel_ends_the_other(lane: Lane, side: str, how: str) -> None:
    async with lane.talk(lane.get("/v1/realtime", *SOCKET)) as talk:
        await switched(lane, talk)
        one, other = (talk.caller, talk.provider) if side == "caller" else (talk.provider, talk.caller)
        one.close() if how == "fin" else one.abort()
        async with asyncio.timeout(1.5):
            assert await ends(other) == b""
    await lane.judged("success")


@pytest.mark.parametrize("side", ["caller", "provider"])
async def test_a_tunnel_holds_back_the_faster_end(lane: Lane, side: str) -> None:
    async with lane.talk(lane.get("/v1/realtime", *SOCKET)) as talk:
        await switched(lane, talk)
        fast, slow = (talk.caller, talk.provider) if side == "caller" else (talk.provider, talk.caller)
        slow.writer.transport.pause_reading()
        before = memory(lane)
        sent = await pump(fast, LARGE)
        assert sent < BUFFERS
        assert memory(lane) - before < 4 << 20
        slow.writer.transport.resume_reading()
        rest = asyncio.create_task(pump_all(fast, LARGE - sent))
        await take(slow, LARGE)
        await rest
        await slow.send(b"thanks")
        assert await fast.exactly(6) == b"thanks"


async def test_a_client_leaving_a_tunnel_that_stands_still_ends_it(lane: Lane) -> None:
    async with lane.talk(lane.get("/v1/realtime", *SOCKET)) as talk:
        await switched(lane, talk)
        talk.provider.writer.transport.pause_reading()
        assert await pump(talk.caller, LARGE) < BUFFERS
        talk.caller.abort()
        await comes(lambda: reset_seen(talk.provider), 1.5)


async def reset_seen(peer: Peer) -> bool:
    """Whether the other side of a connection nobody reads from is gone."""
    try:
        peer.writer.write(b"x")
        await peer.writer.drain()
    except ConnectionError:
        return True
    return peer.writer.transport.is_closing()


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_an_upgrade_that_is_declined_is_an_ordinary_answer(lane: Lane, answer: bytes) -> None:
    async with lane.talk(lane.get("/v1/realtime", *SOCKET)) as talk:
        await talk.provider.send(answer)
        status, fields, body = await talk.caller.answer()
        assert (status, body) == (split(answer)[0], b"ok")
        assert b"upgrade" not in {name.lower() for name, _ in fields}
        await talk.caller.send(lane.get("/next"))
        head, _ = await talk.provider.request()
        assert head.startswith(b"GET /next HTTP/1.1\r\n")
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200


@pytest.mark.parametrize(
    ("request_fields", "answer"),
    [
        ((), SWITCH),
        (SOCKET, SWITCH.replace(b"websocket", b"other/1")),
        (SOCKET, SWITCH.replace(b"websocket", b"h2c")),
        (SOCKET, SWITCH.replace(b"Upgrade: websocket\r\n", b"")),
        ((b"Upgrade: websocket",), SWITCH),
    ],
    ids=["not-asked", "other", "h2c", "no-upgrade", "not-nominated"],
)
async def test_a_101_that_does_not_match_is_a_broken_provider(
    lane: Lane, request_fields: tuple[bytes, ...], answer: bytes
) -> None:
    async with lane.talk(lane.get("/v1/realtime", *request_fields)) as talk:
        await talk.provider.send(answer + b"evil")
        status, _, _ = await talk.caller.answer()
        assert status == 502
        assert await ends(talk.provider) == b""
    await lane.judged("network_error")


@pytest.mark.parametrize(
    "protocol", [b"h2c", b"H2C", b"websocket, h2c", b"h2c, websocket", b"h2c\r\nUpgrade: websocket"]
)
async def test_h2c_never(lane: Lane, protocol: bytes) -> None:
    settings = b"HTTP2-Settings: AAMAAABkAAQAAP__"
    async with lane.talk(
        lane.get("/x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, settings)
    ) as talk:
        assert talk.head == b"GET /x HTTP/1.1\r\nHost: %b\r\nVia: %b\r\n\r\n" % (lane.authority, lane.via)
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        await talk.caller.send(lane.get("/next"))
        assert (await talk.provider.request())[0].startswith(b"GET /next ")
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200


async def test_h2c_with_prior_knowledge_is_refused(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        raw = await ends(caller)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1


# -- rule 16 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/files", "/v1/chat/completions"])
@pytest.mark.parametrize("then", ["keeps", "closes"])
async def test_an_early_answer_is_delivered_and_the_upload_stops(lane: Lane, path: str, then: str) -> None:
    """Also where the provider stopped reading, so that the upload stands still."""
    size = 48 << 20
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", path, b"Authorization: Bearer k", b"Content-Length: %d" % size))
        upload = asyncio.create_task(pump(caller, size - len(BLOCK)))
        provider = await lane.upstream.accept()
        await provider.until(b"\r\n\r\n")
        provider.writer.transport.pause_reading()
        await upload
        await provider.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        if then == "closes":
            provider.close()
        status, fields, body = await caller.answer()
        assert (status, body) == (413, b"no")
        assert (b"Connection", b"close") in fields
        provider.writer.transport.resume_reading()
        async with asyncio.timeout(3):
            assert len(await ends(provider)) < size
    await lane.judged("caller_error")


async def test_an_early_answer_to_a_chunked_upload_is_delivered(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", CHUNKED) + b"3\r\nabc\r\n")
        provider = await lane.upstream.accept()
        await provider.until(b"3\r\nabc\r\n")
        await provider.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        status, fields, body = await caller.answer()
        assert (status, body) == (503, b"busy")
        assert (b"Connection", b"close") in fields
        assert await ends(provider) == b""
    await lane.judged("error")


async def test_an_early_answer_that_streams_on_is_delivered_whole(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", CHUNKED) + b"3\r\nabc\r\n")
        provider = await lane.upstream.accept()
        await provider.until(b"3\r\nabc\r\n")
        await provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n3\r\none\r\n" % CHUNKED)
        await caller.until(b"3\r\none\r\n")
        await caller.send(b"3\r\ndef\r\n")
        await provider.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert await caller.until(b"0\r\n\r\n") == b"3\r\ntwo\r\n0\r\n\r\n"
    await lane.judged("success")


# -- rule 17 -----------------------------------------------------------------------------------------------------------

BODY = b'{"model":"m","contents":[]}'
REPEATED = [
    ("POST", "/v1/chat/completions", BODY),
    ("POST", "/v1/completions", BODY),
    ("POST", "/v1/responses", BODY),
    ("POST", "/v1/messages", BODY),
    ("POST", "/v1/embeddings", BODY),
    ("POST", "/v1beta/models/m:generateContent", BODY),
    ("POST", "/v1beta/models/m:streamGenerateContent", BODY),
    ("GET", "/v1/models", b""),
    ("HEAD", "/v1/models", b""),
    ("PUT", "/v1/x", b"abc"),
    ("DELETE", "/v1/x", b""),
    ("OPTIONS", "/v1/x", b""),
]
ONCE = [
    ("POST", "/v1/images/generations", BODY),
    ("POST", "/v1/images/edits", BODY),
    ("POST", "/v1/audio/speech", BODY),
    ("POST", "/v1/audio/transcriptions", BODY),
    ("POST", "/v1/files", b"abc"),
    ("POST", "/v1/batches", b"{}"),
    ("POST", "/v1/messages/batches", b"{}"),
    ("POST", "/v1/threads/x/messages", BODY),
    ("POST", "/v1/responses", b'{"model":"m","background":true}'),
    ("POST", "/v1beta/models/m:predict", BODY),
    ("PATCH", "/v1/x", b"abc"),
    ("BREW", "/v1/x", b"abc"),
]


async def warm(lane: Lane, caller: Peer) -> Peer:
    """A connection to the provider that has served and rests."""
    await caller.send(lane.get("/warm"))
    provider = await lane.upstream.accept()
    await provider.request()
    await provider.send(OK)
    await caller.answer()
    return provider


def build(lane: Lane, method: str, path: str, body: bytes) -> bytes:
    return lane.request(method, path, b"Authorization: Bearer k", b"Content-Type: application/json", body=body)


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize(("method", "path", "body"), REPEATED)
async def test_what_may_be_repeated_is_sent_again_when_an_idle_connection_was_dead(
    lane: Lane, method: str, path: str, body: bytes, how: str
) -> None:
    async with client(lane.port) as caller:
        stale = await warm(lane, caller)
        await caller.send(build(lane, method, path, body))
        first = await stale.request()
        stale.close() if how == "fin" else stale.abort()
        fresh = await lane.upstream.accept()
        assert await fresh.request() == first
        await fresh.send(JSON_OK if method != "HEAD" else b"HTTP/1.1 200 OK\r\n\r\n")
        assert split(await caller.until(b"\r\n\r\n"))[0] == 200
    await lane.judged("success", 2)


@pytest.mark.parametrize(("method", "path", "body"), ONCE)
async def test_what_may_not_be_repeated_is_sent_once(lane: Lane, method: str, path: str, body: bytes) -> None:
    async with client(lane.port) as caller:
        stale = await warm(lane, caller)
        await caller.send(build(lane, method, path, body))
        peer = stale if lane.upstream.accepted == 1 else await lane.upstream.accept()
        await peer.request()
        peer.abort()
        assert (await caller.answer())[0] == 502
        assert lane.upstream.waiting == 0
    await comes(lambda: failed(lane))
    assert lane.upstream.waiting == 0


async def failed(lane: Lane) -> bool:
    return await lane.attempts("network_error") > 0


async def test_it_is_sent_again_once_alone(lane: Lane) -> None:
    async with client(lane.port) as caller:
        stale = await warm(lane, caller)
        await caller.send(lane.chat())
        await stale.request()
        stale.abort()
        fresh = await lane.upstream.accept()
        await fresh.request()
        fresh.abort()
        assert (await caller.answer())[0] == 502
    assert lane.upstream.accepted == 2
    assert await lane.attempts("network_error") == 1


async def test_a_fresh_connection_that_dies_is_an_attempt_and_not_repeated(lane: Lane) -> None:
    async with lane.talk(lane.chat()) as talk:
        talk.provider.abort()
        assert (await talk.caller.answer())[0] == 502
    assert lane.upstream.accepted == 1
    await lane.judged("network_error")


@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_that_gave_a_byte_was_not_dead(lane: Lane, begun: bytes) -> None:
    async with client(lane.port) as caller:
        stale = await warm(lane, caller)
        await caller.send(lane.chat())
        await stale.request()
        await stale.send(begun)
        stale.close()
        assert (await caller.answer())[0] == 502
    assert lane.upstream.accepted == 1


async def test_a_body_too_large_to_keep_is_not_repeated(lane: Lane) -> None:
    size = 9 << 20
    async with client(lane.port) as caller:
        stale = await warm(lane, caller)
        body = b'{"model":"m","x":"' + b"x" * (size - 20) + b'"}'
        upload = asyncio.create_task(caller.send(lane.chat(body)))
        if (await asyncio.wait({asyncio.ensure_future(stale.until(b"\r\n\r\n"))}, timeout=5))[0]:
            stale.abort()
        assert (await caller.answer())[0] == 502
        await asyncio.gather(upload, return_exceptions=True)
    assert lane.upstream.accepted == 1


async def test_an_idle_connection_that_is_known_to_be_dead_is_not_used(lane: Lane) -> None:
    async with client(lane.port) as caller:
        before = await idle(lane)
        stale = await warm(lane, caller)
        assert await idle(lane) == before + 1
        stale.close()

        async def dropped() -> bool:
            return await idle(lane) <= before

        await comes(dropped)
        await caller.send(build(lane, "POST", "/v1/images/generations", BODY))
        fresh = await lane.upstream.accept()
        await fresh.request()
        await fresh.send(JSON_OK)
        assert (await caller.answer())[0] == 200
    await lane.judged("success", 2)


async def idle(lane: Lane) -> float:
    return await lane.detour.metric("detour_upstream_connections", state="idle")


# -- rule 18 -----------------------------------------------------------------------------------------------------------


async def test_idle_times_stand_in_the_right_order() -> None:
    """Gateways keep theirs for 60 s, and so do providers; the moved clock is in tests/proxy/test_pool.py."""
    assert KEEP_ALIVE == 75
    assert IDLE_EXPIRY == 55


async def test_connections_are_used_again_newest_first(lane: Lane) -> None:
    async with lane.talk(lane.get("/1")) as one, lane.talk(lane.get("/2")) as two:
        for talk in (one, two):
            await talk.provider.send(OK)
            await talk.caller.answer()
        await one.caller.send(lane.get("/3"))
        assert (await two.provider.request())[0].startswith(b"GET /3 ")
        await two.provider.send(OK)
        await one.caller.answer()
    assert lane.upstream.accepted == 2


@pytest.mark.parametrize(
    "answer",
    [OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK.replace(b"1.1", b"1.0")],
    ids=["close", "1.0"],
)
async def test_a_connection_the_provider_closes_is_not_used_again(lane: Lane, answer: bytes) -> None:
    async with lane.talk(lane.get("/1")) as talk:
        await talk.provider.send(answer)
        assert (await talk.caller.answer())[0] == 200
        assert await ends(talk.provider) == b""
        await talk.caller.send(lane.get("/2"))
        fresh = await lane.upstream.accept()
        await fresh.request()
        await fresh.send(OK)
        assert (await talk.caller.answer())[0] == 200


async def test_a_kept_connection_of_http_1_0_is_used_again(lane: Lane) -> None:
    async with lane.talk(lane.get("/1")) as talk:
        for number in (2, 3):
            await talk.provider.send(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")
            assert (await talk.caller.answer())[0] == 200
            await talk.caller.send(lane.get(f"/{number}"))
            await talk.provider.request()
        await talk.provider.send(OK)
        await talk.caller.answer()
    await eventually(lambda: lane.upstream.accepted == 1)
