"""Pairs of providers behind one Detour: the one that is asked, and the one that can stand in for it.

Each test takes a pair of its own (`quick7-first`, `quick7-second`), so that no breaker, budget or hold-off meets
another test. All lead to one scripted provider, under paths that tell them apart; `will` sets what their models do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from proxy.fake import FakeProvider, Seen
from tests.e2e.caller import Got, Wire, ask, connect, read
from tests.e2e.world import PATIENCE, Detour, client, detour, split

TOKEN = "admin-token-of-the-tests"
SHAPES = {
    "openai": ("/v1", "/chat/completions", "/chat/completions"),
    "anthropic": ("/v1", "/messages", "/messages"),
    "gemini": ("/v1beta", "/models/{}:generateContent", "/models/{}:streamGenerateContent?alt=sse"),
    "fal": ("", "/{}", "/{}/stream"),
}
"""API prefix, and the path behind it of a generation and of a streamed one, by dialect."""
AUTH = {
    "openai": "Authorization: Bearer {}",
    "anthropic": "x-api-key: {}",
    "gemini": "x-goog-api-key: {}",
    "fal": "Authorization: Key {}",
}
PROMPT: dict[str, dict[str, Any]] = {
    "openai": {"messages": [{"role": "user", "content": "Where to?"}]},
    "anthropic": {"messages": [{"role": "user", "content": "Where to?"}], "max_tokens": 20},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Where to?"}]}]},
    "fal": {"prompt": "a road"},
}
QUICK = {"failure_threshold": 2, "open_for": "1s", "jitter": 0}
"""Trips at the second failure in a row and may be tried again a second later."""
LASTING = {"failure_threshold": 2, "open_for": "50s", "jitter": 0}
"""Trips at the second failure in a row and stays open for the length of any test."""


class Sort(Struct, frozen=True):
    """Pairs that are alike: how many, which dialect, whether nothing stands in for the first, and its settings."""

    count: int = 12
    dialect: str = "openai"
    alone: bool = False
    breakers: dict[str, Any] = {}
    timeouts: dict[str, Any] = {}
    origin: str = ""
    """Where the first of each pair is, if not at the scripted provider of all."""


class Told(Struct, frozen=True):
    """One server-sent event of the admin port."""

    event: str
    id: str | None
    data: Any


class Pair:
    """Two providers, a model of each, and a group that holds both unless the first is alone."""

    def __init__(self, scene: Scene, name: str, sort: Sort) -> None:
        self.scene = scene
        self.sort = sort
        self.name = name
        self.first, self.second = f"{name}-first", f"{name}-second"
        self.model, self.other = f"{name}-asked", f"{name}-other"

    def will(self, script: str, other: str = "ok") -> None:
        """What the provider does from now on when the first's model is asked, and the other's."""
        models = self.scene.fake.models
        models[self.model], models[self.other] = script, other
        if self.sort.dialect == "fal":  # whose models are whole paths
            models[f"fal-ai/{self.first}/{self.model}"] = script
            models[f"fal-ai/{self.first}/{self.model}/stream"] = script

    @property
    def origin(self) -> str:
        """What stands in for the first provider's origin and the path in front of its API's version."""
        return f"{self.scene.detour.url}/{self.first}/{self.first}"

    def path(self, provider: str, model: str, *, stream: bool = False) -> str:
        """The path of a generation at a provider of this pair."""
        _, whole, streamed = SHAPES[self.sort.dialect]
        return prefix(provider, self.sort.dialect) + (streamed if stream else whole).format(model)

    def body(self, model: str, *, stream: bool = False, **more: Any) -> bytes:
        fields = PROMPT[self.sort.dialect] | more
        if self.sort.dialect in ("openai", "anthropic"):
            fields = {"model": model} | fields | ({"stream": True} if stream else {})
        return json.dumps(fields).encode()

    def request(self, *fields: str, stream: bool = False, key: str = "", **more: Any) -> bytes:
        """A request for the first's model; `key` is the caller's own, `more` are further members of its body."""
        body = self.body(self.model, stream=stream, **more)
        lines = [
            f"POST /{self.first}{self.path(self.first, self.model, stream=stream)} HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *([AUTH[self.sort.dialect].format(key)] if key else []),
            *fields,
        ]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def ask(self, *fields: str, stream: bool = False, key: str = "", **more: Any) -> Got:
        """Ask for the first's model through Detour."""
        return await ask(self.scene.detour.port, self.request(*fields, stream=stream, key=key, **more))

    async def directly(self, *, stream: bool = False) -> Got:
        """What the second says when it is asked without Detour."""
        body = self.body(self.other, stream=stream)
        head = (
            f"POST {self.path('direct', self.other, stream=stream)} HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return await ask(self.scene.fake.port, head.encode() + body)

    @property
    def tries(self) -> list[Seen]:
        """Requests that came to the first."""
        return self.scene.seen(self.first)

    @property
    def others(self) -> list[Seen]:
        """Requests that came to the second."""
        return self.scene.seen(self.second)

    async def breaker(self) -> dict[str, Any]:
        """The state of the first target's breaker as the admin port tells it."""
        status, found = await self.scene.detour.get(f"/circuit-breakers/{self.first}/{self.model}")
        assert status == 200, found
        assert isinstance(found, dict)
        return found

    async def is_state(self, state: str) -> dict[str, Any]:
        """The breaker, once it is in this state."""
        found = await self.scene.comes(self.breaker, lambda found: found["state"] == state)
        return dict(found)

    async def is_settled(self) -> dict[str, Any]:
        """The breaker, once no trial is out."""
        return dict(await self.scene.comes(self.breaker, lambda found: not found["trials_out"]))

    async def may_be_tried(self) -> None:
        """Return once the first target's breaker has been open for as long as it has to."""
        await self.scene.comes(self.breaker, lambda found: found["seconds_until_retry"] == 0)

    async def trip(self, script: str = "fail-503") -> dict[str, Any]:
        """Open the breaker of the first target by real failures."""
        self.will(script)
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.ask()
                found = await self.breaker()
                if found["state"] == "open":
                    return found

    async def post(self, verb: str, *, model: bool = True, token: str | None = TOKEN) -> tuple[int, Any]:
        """Act on the breaker of the first target, or of the first provider."""
        what = f"{self.first}/{self.model}" if model else self.first
        return await self.scene.post(f"/circuit-breakers/{what}/{verb}", token=token)


class Scene:
    """One Detour, the scripted provider behind it, and its pairs."""

    def __init__(self, fake: FakeProvider, running: Detour, sorts: dict[str, Sort]) -> None:
        self.fake = fake
        self.detour = running
        self._left = {name: list(names(name, sort)) for name, sort in sorts.items()}
        self._sorts = sorts

    def take(self, sort: str) -> Pair:
        """A pair that no other test has."""
        assert self._left[sort], f"more tests than pairs of {sort}"
        return Pair(self, self._left[sort].pop(0), self._sorts[sort])

    def seen(self, provider: str) -> list[Seen]:
        mark = f"/{provider}/".encode()
        return [seen for seen in self.fake.log if mark in seen.target]

    async def post(self, path: str, *, token: str | None = TOKEN) -> tuple[int, Any]:
        """POST to the admin port: (status, decoded JSON)."""
        async with client(self.detour.admin_port) as peer:
            proof = f"Authorization: Bearer {token}\r\n" if token is not None else ""
            head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n{proof}\r\n"
            await peer.send(head.encode())
            status, _, body = split(await peer.rest())
            return status, json.loads(body)

    async def breakers(self, path: str = "/circuit-breakers") -> dict[str, Any]:
        """The list of breakers."""
        status, found = await self.detour.get(path)
        assert status == 200, found
        assert isinstance(found, dict)
        return found

    async def comes(self, look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
        """What `look` finds, once `holds` says yes to it."""
        async with asyncio.timeout(PATIENCE):
            while not holds(found := await look()):  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.01)
        return found

    async def still(self) -> None:
        """Return once no exchange is under way; every permit is back then, and none had to be taken back."""

        async def busy() -> float:
            figures = ("detour_in_flight_requests", "detour_open_permits")
            return sum([await self.detour.metric(name) for name in figures])

        await self.comes(busy, lambda found: not found)
        assert await self.detour.metric("detour_lapsed_leases_total") == 0

    async def answers(self, provider: str) -> int:
        """How many answers Detour gave to requests for this provider."""
        return int(await self.detour.metric("detour_requests_total", provider=provider))

    @contextlib.asynccontextmanager
    async def events(self, last: str | None = None) -> AsyncIterator[AsyncIterator[Told]]:
        """What the admin port tells as it happens; after the event `last`, where one is named."""
        async with client(self.detour.admin_port) as peer:
            after = f"Last-Event-ID: {last}\r\n" if last is not None else ""
            await peer.send(f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n{after}\r\n".encode())
            head = await peer.until(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert b"text/event-stream" in head
            # Once anything has come, all that happens from now on will come.
            told = _events(peer.reader, await _chunk(peer.reader))
            try:
                yield told
            finally:
                await told.aclose()


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    """One chunk of a chunked body; empty at its end."""
    size = int((await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE)).split(b";")[0], 16)
    return (await asyncio.wait_for(reader.readexactly(size + 2), PATIENCE))[:size]


async def _events(reader: asyncio.StreamReader, text: bytes) -> AsyncGenerator[Told, None]:
    """Events of a chunked body that began with `text`, as they come; what carries no data is skipped."""
    while True:
        while b"\n\n" in text:
            block, _, text = text.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if not line.startswith(":"))
            if "data" in fields:
                yield Told(fields.get("event", "message"), fields.get("id"), json.loads(fields["data"]))
        if not (more := await _chunk(reader)):
            return
        text += more


def prefix(provider: str, dialect: str) -> str:
    """The API prefix of a provider, which tells its requests from those of others."""
    return f"/fal-ai/{provider}" if dialect == "fal" else f"/{provider}{SHAPES[dialect][0]}"


def names(sort: str, made: Sort) -> list[str]:
    """The names of the pairs of a sort."""
    return [f"{sort}{number}" for number in range(1, made.count + 1)]


def decision(got: Got) -> float:
    """Milliseconds that an answer took in Detour itself."""
    found = re.match(r"detour;dur=(\d+\.\d)", got.header("server-timing") or "")
    assert found is not None, got.fields
    return float(found[1])


def waits(got: Got) -> tuple[int, str | None]:
    """(seconds of Retry-After, x-should-retry) of an answer."""
    after = got.header("retry-after")
    assert after is not None, got.fields
    assert re.fullmatch(r"[1-9]\d*", after), after
    return int(after), got.header("x-should-retry")


async def ask_and_watch(port: int, data: bytes, patience: float) -> tuple[Got, float]:
    """Ask; the answer, and seconds from asking to its first byte."""
    wire = await connect(port)
    began = wire.loop.time()
    wire.transport.write(data)
    try:
        async with asyncio.timeout(patience):
            while not wire.raw and not wire.over.done():  # noqa: ASYNC110 - of a foreign protocol
                await asyncio.sleep(0.01)
            first = wire.loop.time() - began
            end = await wire.over
    finally:
        wire.transport.close()
    return got(wire, end), first


def got(wire: Wire, end: str) -> Got:
    """What came on a connection."""
    found = read(bytes(wire.raw))
    assert found is not None, f"no answer, {end} after {bytes(wire.raw)!r}"
    status, fields, body, _ = found
    return Got(status, fields, body, end, wire.at, wire.reads)


@contextlib.asynccontextmanager
async def open_scene(folder: Path, sorts: dict[str, Sort], **sections: Any) -> AsyncIterator[Scene]:
    """A running Detour with pairs of these sorts; `sections` are further sections of its configuration."""
    async with FakeProvider() as fake:
        config: dict[str, Any] = {"log": {"format": "json"}, "admin": {"token": TOKEN}} | sections
        config["providers"], config["models"] = {}, {}
        for sort, made in sorts.items():
            for name in names(sort, made):
                _add(config, name, made, fake.url)
        async with detour(config, path=folder / "detour.yaml") as running:
            scene = Scene(fake, running, sorts)
            yield scene
            await scene.still()
            assert not fake.mistakes


def _add(config: dict[str, Any], name: str, made: Sort, url: str) -> None:
    """Put a pair into the configuration."""
    for which, origin in (("first", made.origin or url), ("second", url)):
        config["providers"][f"{name}-{which}"] = {
            "base_url": origin + prefix(f"{name}-{which}", made.dialect),
            "dialect": made.dialect,
            "api_key": f"sk-{name}-{which}",
            "breakers": made.breakers,
            "timeouts": made.timeouts,
        }
    targets = [f"{name}-first/{name}-asked"]
    if not made.alone:
        targets.append(f"{name}-second/{name}-other")
    config["models"][name] = {"targets": targets}
