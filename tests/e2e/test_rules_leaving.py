"""proxy-rules 15: the client leaves, in each phase and way; the provider's side stops and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from breaker.outcome import Answer, Neutral, Outcome
from breaker.registry import Registry
from config.load import load_text
from proxy.connect import Connector
from proxy.plane import DataPlane
from proxy.pool import Pools
from tests.e2e.lanes import OK, Lane, Lanes, comes, descriptors, quiet
from tests.e2e.world import Peer, RawUpstream, client, eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON = 1.0
"""Seconds within which the provider's side must hear of it."""

Leave = Callable[[Peer], object]
LEAVES: dict[str, Leave] = {
    "half-close": lambda peer: peer.writer.write_eof(),
    "fin": Peer.close,
    "rst": Peer.abort,
}
BLOCK = b"x" * 65536
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


async def stopped(provider: Peer) -> None:
    """The provider's connection must end soon."""
    async with asyncio.timeout(SOON):
        try:
            while await provider.reader.read(1 << 20):
                pass
        except ConnectionResetError:
            pass


async def left(lane: Lane) -> bool:
    """Whether an attempt was judged to have lost its client."""
    return await lane.attempts("cancelled") > 0


async def begun(lane: Lane) -> bool:
    """Whether a request is served."""
    return await lane.detour.metric("detour_in_flight_requests") > 0


async def fill(peer: Peer) -> None:
    """Write until the other side takes no more."""
    while True:
        peer.writer.write(BLOCK)
        try:
            await asyncio.wait_for(peer.writer.drain(), 0.3)
        except TimeoutError:
            return


async def waiting(lane: Lane, caller: Peer) -> Peer:
    await caller.send(lane.get())
    provider = await lane.upstream.accept()
    await provider.request()
    return provider


async def waiting_judged(lane: Lane, caller: Peer) -> Peer:
    await caller.send(lane.chat())
    provider = await lane.upstream.accept()
    await provider.request()
    return provider


async def waiting_streamed(lane: Lane, caller: Peer) -> Peer:
    await caller.send(lane.chat(b'{"model":"m","stream":true}'))
    provider = await lane.upstream.accept()
    await provider.request()
    return provider


async def held(lane: Lane, caller: Peer) -> Peer:
    """A head and comments came; the client has seen nothing yet."""
    provider = await waiting_streamed(lane, caller)
    await provider.send(STREAM + b"8\r\n: wait\n\n\r\n")
    return provider


async def streaming(lane: Lane, caller: Peer) -> Peer:
    provider = await waiting_streamed(lane, caller)
    await provider.send(STREAM + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
    await caller.until(EVENT)
    return provider


async def streaming_unjudged(lane: Lane, caller: Peer) -> Peer:
    provider = await waiting(lane, caller)
    await provider.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nbegun")
    await caller.until(b"begun")
    return provider


async def uploading(lane: Lane, caller: Peer) -> Peer:
    await caller.send(lane.request("POST", "/v1/files", b"Content-Length: 99999") + b"begun")
    provider = await lane.upstream.accept()
    await provider.until(b"begun")
    return provider


async def tunnelled(lane: Lane, caller: Peer) -> Peer:
    await caller.send(lane.get("/v1/realtime", b"Connection: Upgrade", b"Upgrade: websocket"))
    provider = await lane.upstream.accept()
    await provider.request()
    await provider.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
    await caller.until(b"hi")
    return provider


Phase = Callable[[Lane, Peer], Awaitable[Peer]]
PHASES: list[Phase] = [waiting, waiting_judged, waiting_streamed, held, streaming, streaming_unjudged, uploading]


@pytest.mark.parametrize("leave", LEAVES)
@pytest.mark.parametrize("phase", PHASES, ids=lambda phase: phase.__name__)
async def test_leaving_stops_the_provider_and_leaves_nothing_behind(lane: Lane, phase: Phase, leave: str) -> None:
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        provider = await phase(lane, caller)
        LEAVES[leave](caller)
        await stopped(provider)
    await lane.judged("cancelled")
    await quiet(lane.detour, before)


@pytest.mark.parametrize("leave", LEAVES)
async def test_leaving_a_tunnel_ends_it(lane: Lane, leave: str) -> None:
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        provider = await tunnelled(lane, caller)
        LEAVES[leave](caller)
        await stopped(provider)
    await lane.judged("success")
    await quiet(lane.detour, before)


@pytest.mark.parametrize("leave", LEAVES)
async def test_leaving_while_connecting(lanes: Lanes, leave: str) -> None:
    lane = lanes.dark()
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        await caller.send(lane.chat())
        provider = await lane.upstream.accept()
        assert await provider.exactly(1) == b"\x16"
        LEAVES[leave](caller)
        await stopped(provider)
    await lane.judged("cancelled")
    await quiet(lane.detour, before)


@pytest.mark.parametrize("leave", LEAVES)
async def test_leaving_in_the_middle_of_a_body_that_is_read_first(lane: Lane, leave: str) -> None:
    """Nothing was sent on: there is no attempt at all."""
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        await caller.send(
            lane.request("POST", "/v1/chat/completions", b"Authorization: Bearer k", b"Content-Length: 99999")
            + b'{"model":'
        )
        await comes(lambda: begun(lane))
        LEAVES[leave](caller)
        await quiet(lane.detour, before)
    await lane.untouched()


async def test_leaving_an_upload_the_provider_does_not_read(lane: Lane) -> None:
    """Nothing is read from the client then, so that its leaving has to be looked for (its FIN: below)."""
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        await caller.send(lane.request("POST", "/v1/files", b"Content-Length: 99999999999"))
        provider = await lane.upstream.accept()
        await provider.until(b"\r\n\r\n")
        provider.writer.transport.pause_reading()
        await fill(caller)
        caller.abort()
        await comes(lambda: left(lane), SOON + 0.5)
        provider.writer.transport.resume_reading()
        await stopped(provider)
    await lane.judged("cancelled")
    await quiet(lane.detour, before)


@pytest.mark.parametrize("leave", ["fin", "rst"])
@pytest.mark.parametrize("judged", [True, False])
async def test_leaving_an_answer_that_is_not_read(lane: Lane, leave: str, judged: bool) -> None:
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        provider = await (waiting_streamed if judged else waiting)(lane, caller)
        caller.writer.transport.pause_reading()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 99999999999\r\n\r\n")
        await fill(provider)
        LEAVES[leave](caller)
        await comes(lambda: left(lane), SOON + 0.5)
        await stopped(provider)
    await lane.judged("cancelled")
    await quiet(lane.detour, before)


async def test_a_fin_with_an_answer_unread_is_leaving_too(lane: Lane) -> None:
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        provider = await waiting(lane, caller)
        caller.writer.transport.pause_reading()
        await provider.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        await fill(provider)
        caller.writer.write_eof()
        await comes(lambda: left(lane), SOON + 0.5)
        await stopped(provider)
    await quiet(lane.detour, before)


async def test_a_fin_in_one_segment_with_the_request_is_leaving(lane: Lane) -> None:
    """Whether the provider heard of it at all is chance; that nothing stays is not."""
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        caller.writer.write(lane.chat())
        caller.writer.write_eof()
        assert await caller.rest() == b""
    await quiet(lane.detour, before)
    assert await lane.detour.metric("detour_attempts_total", provider=lane.name, status="network_error") == 0


async def test_leaving_with_more_requests_in_the_pipe_drops_them(lane: Lane) -> None:
    before = descriptors(lane.detour)
    async with client(lane.port) as caller:
        await caller.send(lane.get("/1") + lane.get("/2") + lane.get("/3"))
        provider = await lane.upstream.accept()
        head, _ = await provider.request()
        assert head.startswith(b"GET /1 ")
        caller.close()
        await stopped(provider)
    await lane.judged("cancelled")
    await quiet(lane.detour, before)
    assert lane.upstream.accepted == 1


async def test_leaving_after_the_answer_is_no_leaving(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(OK)
        await talk.caller.answer()
    await lane.judged("success")


async def test_a_hundred_that_leave_leave_nothing(lanes: Lanes) -> None:
    lane = lanes.take()
    before = descriptors(lane.detour)
    async with asyncio.timeout(20):

        async def one(number: int) -> None:
            async with client(lane.port) as caller:
                await caller.send(lane.chat(b'{"model":"m","stream":true}'))
                provider = await lane.upstream.accept()
                await provider.request()
                if number % 2:
                    await provider.send(STREAM + b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
                list(LEAVES.values())[number % 3](caller)
                await stopped(provider)

        # Which provider's end belongs to which caller is not known here, so all leave before any is looked at.
        await asyncio.gather(*(one(number) for number in range(100)))
    await quiet(lane.detour, before)
    assert await lane.attempts("network_error") == await lane.attempts("error") == 0


# -- no task is left: in this process, where they can be counted ---------------------------------------------------


class Seen:
    """A recorder that keeps what it hears."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.answers: list[Answer] = []

    def attempt(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def answer(self, answer: Answer) -> None:
        self.answers.append(answer)


class Plane(Lane):
    """A lane through a data plane of this very process."""

    def __init__(self, upstream: RawUpstream, plane: DataPlane, seen: Seen, port: int) -> None:
        self.upstream = upstream
        self.name = "lane"
        self.plane = plane
        self.seen = seen
        self._port = port

    @property
    def port(self) -> int:
        return self._port


@pytest_asyncio.fixture(loop_scope="module")
async def plane() -> AsyncIterator[Plane]:
    loop = asyncio.get_running_loop()
    async with RawUpstream() as upstream:
        text = f"providers: {{lane: {{base_url: '{upstream.url}/v1', dialect: openai}}}}"
        seen = Seen()
        pools = Pools(Connector(loop), loop)
        made = DataPlane(load_text(text, {}, {}), Registry(tracked=10), seen, pools, loop, instance="test")
        made.watch.start()
        server = await loop.create_server(made.server, "127.0.0.1", 0)
        yield Plane(upstream, made, seen, server.sockets[0].getsockname()[1])
        server.close()
        await made.server.shutdown(0.1)
        made.watch.stop()
        pools.close()
        await server.wait_closed()


@pytest.mark.parametrize("phase", [*PHASES, tunnelled], ids=lambda phase: phase.__name__)
async def test_no_task_and_no_permit_is_left(plane: Plane, phase: Phase) -> None:
    before = asyncio.all_tasks()
    async with client(plane.port) as caller:
        provider = await phase(plane, caller)
        caller.close()
        await stopped(provider)
    provider.close()
    await eventually(lambda: asyncio.all_tasks() <= before)
    assert plane.plane.registry.open_permits == plane.plane.in_flight == 0
    assert plane.plane.replay.used == 0
    assert plane.plane.server.stalled == set()
    assert len(plane.seen.outcomes) == len(plane.seen.answers) == 1
    if phase is not tunnelled:
        assert plane.seen.outcomes[0].verdict.status is Neutral.CANCELLED
        assert plane.seen.answers[0].result == "cancelled"


@pytest.mark.parametrize("leave", LEAVES)
async def test_leaving_an_upload_from_which_nothing_is_read_is_seen(plane: Plane, leave: str) -> None:
    before = asyncio.all_tasks()
    stalled = plane.plane.server.stalled
    async with client(plane.port) as caller:
        await caller.send(plane.request("POST", "/v1/files", b"Content-Length: 99999999999"))
        provider = await plane.upstream.accept()
        await provider.until(b"\r\n\r\n")
        provider.writer.transport.pause_reading()
        async with asyncio.timeout(10):
            # As little as makes it stand still, so that the FIN has a way behind it.
            while not stalled:
                await caller.send(BLOCK[:4096])
                await asyncio.sleep(0)
        LEAVES[leave](caller)
        async with asyncio.timeout(SOON):
            await eventually(lambda: bool(plane.seen.outcomes))
        assert plane.seen.outcomes[0].verdict.status is Neutral.CANCELLED
        provider.writer.transport.resume_reading()
        await stopped(provider)
    provider.close()
    await eventually(lambda: asyncio.all_tasks() <= before)
    assert not stalled
