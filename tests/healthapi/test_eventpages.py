from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from aiohttp import ClientResponse

from breaker.outcome import Neutral, Status
from healthapi import eventpages, streaming
from healthapi.events import READERS
from tests.healthapi.admin_world import NO_TOKEN, REMOTE, World
from tests.healthapi.serving import BEARER, Client, ask, serving

Follow = Callable[..., Awaitable["Reader"]]
MODEL = "llama-3.3-70b-versatile"


class Reader:
    """One who follows the events."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def block(self) -> dict[str, str]:
        """The next block: its fields by name, a comment under the empty one."""
        text = await asyncio.wait_for(self.response.content.readuntil(b"\n\n"), 10)
        lines = text.decode().removesuffix("\n\n").split("\n")
        return dict(line.partition(":")[::2] for line in lines)

    async def event(self, kind: str) -> dict[str, Any]:
        """The data of the next event of a kind; its id under `id`."""
        while True:
            block = await self.block()
            if block.get("event") == f" {kind}":
                return {"id": block.get("id", "").strip(), **msgspec.json.decode(block["data"])}

    async def rest(self) -> bytes:
        """Everything until the stream ends."""
        return await asyncio.wait_for(self.response.content.read(), 10)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summaries come often, so that whatever waits for one need not wait long."""
    monkeypatch.setattr(eventpages, "EVERY", 0.02)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    client = await serving(world)
    yield client
    world.events.end()
    await client.close()


@pytest.fixture
async def follow(client: Client) -> AsyncIterator[Follow]:
    """Follows the events, and ends all readers when the test is over."""
    readers: list[Reader] = []

    async def start(query: str = "", **headers: str) -> Reader:
        response = await ask(client, f"/v1/events{query}", **headers)
        assert response.status == 200, await response.text()
        readers.append(Reader(response))
        return readers[-1]

    yield start
    for reader in readers:
        reader.response.close()


def move(world: World, seconds: float = 60.0) -> None:
    world.registry.open("groq", MODEL, world.monotonic, seconds)


async def reasons(reader: Reader, count: int) -> list[str]:
    return [(await reader.event("transition"))["reason"] for _ in range(count)]


async def left(world: World, client: Client) -> None:
    """Wait until it has been noticed that nobody reads any more."""
    async with asyncio.timeout(10):
        while world.events.readers:
            await ask(client, "/livez")


async def test_a_stream_has_the_headers_all_answers_have(follow: Follow) -> None:
    reader = await follow(Origin="https://status.example")
    headers = reader.response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "detour"
    assert headers["X-Detour-Request-Id"].startswith("adm-")
    assert headers["Access-Control-Allow-Origin"] == "https://status.example"
    assert "Content-Encoding" not in headers


async def test_it_begins_with_where_it_is(world: World, follow: Follow) -> None:
    move(world)
    assert await (await follow()).block() == {"retry": " 2000", "id": f" {world.events.id(1).decode()}"}


async def test_a_transition_comes_as_it_happens(world: World, follow: Follow) -> None:
    readers = [await follow() for _ in range(3)]
    for seconds in (10, 20):
        move(world, seconds)
    for reader in readers:
        told = [await reader.event("transition") for _ in range(2)]
        assert [one["reason"] for one in told] == ["opened by hand for 10 s", "opened by hand for 20 s"]
        assert [one["id"].partition("-")[2] for one in told] == ["1", "2"]
        assert told[0]["breaker"] == f"groq/{MODEL}"


@pytest.mark.parametrize(
    ("header", "query", "expected"),
    [
        (None, None, []),
        (1, None, [2, 3]),
        (None, 2, [3]),
        (2, 1, [3]),  # a browser asks again with the address it was given and the newest id it has seen
        (3, None, []),
        ("unknown", None, [1, 2, 3]),
        (None, "unknown", [1, 2, 3]),
    ],
)
async def test_the_last_event_id_is_honoured(
    world: World, follow: Follow, header: int | str | None, query: int | str | None, expected: list[int]
) -> None:
    for seconds in (1, 2, 3):
        move(world, seconds)

    def written(last: int | str) -> str:
        return world.events.id(last).decode() if isinstance(last, int) else last

    headers = {} if header is None else {"Last-Event-ID": written(header)}
    reader = await follow("" if query is None else f"?last_event_id={written(query)}", **headers)
    move(world, 4)
    assert await reasons(reader, len(expected) + 1) == [f"opened by hand for {s} s" for s in (*expected, 4)]


async def test_nothing_is_lost_between_two_connections(world: World, follow: Follow) -> None:
    reader = await follow()
    last = (await reader.block())["id"].strip()
    reader.response.close()
    move(world, 5)
    again = await follow(**{"Last-Event-ID": last})
    assert await reasons(again, 1) == ["opened by hand for 5 s"]


async def test_what_the_policy_does_is_told_too(world: World, follow: Follow) -> None:
    reader = await follow()
    for _ in range(5):
        world.attempt("groq", MODEL, Status.ERROR, message="503 overloaded")
    told = await reader.event("transition")
    assert (told["was"], told["state"], told["cause"]) == ("closed", "open", "consecutive")
    assert told["reason"] == "5 failures in a row, last: 503 overloaded"
    assert told["seconds_until_retry"] == 60.0


async def test_outcomes_are_those_since_the_last_summary(world: World, follow: Follow) -> None:
    world.attempt("groq", MODEL)
    world.in_flight = 3
    reader = await follow()
    first = await reader.event("outcomes")
    assert first["id"] == ""
    assert set(first["attempts"]) == {*Status, *Neutral}
    assert (sum(first["attempts"].values()), first["in_flight"]) == (0, 3)
    assert first["seconds"] > 0
    assert first["at"] == "2026-01-01T00:00:00.000Z"
    for status in (Status.SUCCESS, Status.SUCCESS, Status.TIMEOUT, Neutral.CANCELLED):
        world.attempt("groq", MODEL, status)
    counts: dict[str, int] = {}
    while sum(counts.values()) < 4:
        for status, count in (await reader.event("outcomes"))["attempts"].items():
            counts[status] = counts.get(status, 0) + count
    assert {status: count for status, count in counts.items() if count} == {"success": 2, "timeout": 1, "cancelled": 1}


async def test_summaries_come_while_transitions_never_end(world: World, follow: Follow) -> None:
    reader = await follow()
    ended = asyncio.Event()

    async def busy() -> None:
        while not ended.is_set():
            move(world)
            await asyncio.sleep(0)

    moving = asyncio.create_task(busy())
    await reader.event("outcomes")
    await reader.event("outcomes")
    ended.set()
    await moving


async def test_comments_keep_the_line_alive(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventpages, "KEEP_ALIVE", 0.05)
    reader = await follow()
    blocks = [await reader.block() for _ in range(20)]
    comments = [block for block in blocks if "" in block]
    assert comments == [{"": " here"}] * len(comments)
    assert 2 <= len(comments) < 10


async def test_it_ends_when_the_process_stops(world: World, client: Client, follow: Follow) -> None:
    reader = await follow()
    await reader.block()
    world.events.end()
    await reader.rest()
    assert world.events.readers == 0
    response = await ask(client, "/v1/events")
    assert (response.status, (await response.json())["error"]["code"]) == (503, "draining")


async def test_it_ends_when_the_process_drains(world: World, client: Client, follow: Follow) -> None:
    reader = await follow()
    await reader.block()
    world.is_draining = True
    await reader.rest()
    assert world.events.readers == 0
    response = await ask(client, "/v1/events")
    assert (response.status, (await response.json())["error"]["code"]) == (503, "draining")


async def test_there_are_not_endlessly_many_readers(world: World, client: Client, follow: Follow) -> None:
    readers = [await follow() for _ in range(READERS)]
    response = await ask(client, "/v1/events")
    assert (response.status, (await response.json())["error"]["code"]) == (503, "too_many_readers")
    assert response.headers["Retry-After"] == "10"
    assert (await ask(client, "/livez")).status == 200
    for reader in readers:
        reader.response.close()
    await left(world, client)
    move(world)
    reader = await follow("?last_event_id=0")
    assert await reasons(reader, 1) == ["opened by hand for 60 s"]


async def test_head_takes_no_place(world: World, client: Client) -> None:
    response = await ask(client, "/v1/events", "HEAD")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
    assert await response.read() == b""
    assert world.events.readers == 0
    assert (await ask(client, "/livez")).status == 200


async def test_a_reader_that_does_not_read_costs_nobody_anything(
    world: World, client: Client, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "STALLED", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"retry: 2000")
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    quick = await follow()
    for number in range(30_000):
        world.registry.open("groq", MODEL, world.monotonic, 60.0 + number % 7)
        if number % 500 == 0:
            await asyncio.sleep(0)
    await quick.event("transition")
    async with asyncio.timeout(20):
        while world.events.readers > 1:
            world.registry.open("groq", MODEL, world.monotonic, 60.0)
            await asyncio.sleep(0.001)
    writer.close()
    assert (await ask(client, "/livez")).status == 200


@pytest.mark.parametrize(
    ("config", "headers", "status"),
    [
        (REMOTE, {}, 401),
        (REMOTE, {"Authorization": "Bearer wrong"}, 401),
        (REMOTE.replace("admin: {", "admin: {open: [metrics, health], "), {}, 401),
        (REMOTE, BEARER, 200),
        (NO_TOKEN, {}, 200),
        (NO_TOKEN, {"Host": "rebound.evil.example"}, 403),
        (NO_TOKEN, {"Origin": "https://evil.example"}, 403),
    ],
)
async def test_who_may_follow(config: str, headers: dict[str, str], status: int) -> None:
    world = World(config)
    client = await serving(world)
    response = await ask(client, "/v1/events", **headers)
    assert response.status == status
    assert world.events.readers == (status == 200)
    response.close()
    world.events.end()
    await client.close()


async def test_the_last_id_given_twice_is_400(client: Client) -> None:
    response = await ask(client, "/v1/events?last_event_id=1&last_event_id=2")
    assert (response.status, (await response.json())["error"]["code"]) == (400, "bad_parameter")
