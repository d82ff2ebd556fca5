"""Lanes through one Detour: each test gets a provider of its own, so that nothing it leaves behind meets another.

A lane is a provider `laneN` whose origin is a `RawUpstream`. Tests speak bytes at both ends of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.e2e.world import ALONE, PATIENCE, Detour, Peer, RawUpstream, client, detour, eventually

LANES = 240
DARK = 12
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
JSON_OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"id":"one"}'
TIMEOUTS = {
    "connect": "10s",
    "first_byte": "15s",
    "idle": "15s",
    "answer": "15s",
    "total": "20s",
    "stream_total": "20s",
}


class Lane:
    """One provider and its scripted origin."""

    def __init__(self, running: Detour, upstream: RawUpstream, name: str) -> None:
        self.detour = running
        self.upstream = upstream
        self.name = name

    @property
    def port(self) -> int:
        return self.detour.port

    @property
    def authority(self) -> bytes:
        """What the Host field must say upstream."""
        return b"127.0.0.1:%d" % self.upstream.port

    @property
    def via(self) -> bytes:
        """What this Detour adds to Via."""
        return b"1.1 detour-" + instance(self.detour).encode()

    def request(self, method: str, path: str, *fields: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
        """A request to this lane; `fields` are lines without their ends."""
        lines = [f"{method} /{self.name}{path} HTTP/".encode() + version, b"Host: localhost", *fields]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def get(self, path: str = "/x", *fields: bytes) -> bytes:
        return self.request("GET", path, *fields)

    def chat(self, body: bytes = b'{"model":"m"}', *fields: bytes, path: str = "/v1/chat/completions") -> bytes:
        """A judged request with a key of the caller's own."""
        return self.request(
            "POST", path, b"Authorization: Bearer sk-caller", b"Content-Type: application/json", *fields, body=body
        )

    async def attempts(self, status: str) -> float:
        return await self.detour.metric("detour_attempts_total", provider=self.name, status=status)

    async def judged(self, status: str, count: int = 1) -> None:
        """Wait until `count` attempts of this lane were judged to be `status`, and see that none was anything else."""

        async def counted() -> bool:
            return await self.attempts(status) >= count

        await comes(counted)
        assert await self.detour.metric("detour_attempts_total", provider=self.name) == count

    async def untouched(self) -> None:
        """See that nothing ever came to the provider, and that the attempt, if any, was not counted."""
        assert self.upstream.accepted == 0
        assert await self.detour.metric("detour_attempts_total", provider=self.name) == 0

    @contextlib.asynccontextmanager
    async def talk(self, request: bytes) -> AsyncIterator[Talk]:
        """Send `request`; both ends, with what the provider got."""
        async with client(self.port) as caller:
            await caller.send(request)
            peer = await self.upstream.accept()
            head, body = await peer.request()
            yield Talk(caller, peer, head, body)

    async def sees(self, request: bytes) -> tuple[bytes, bytes]:
        """(head, body) as the provider gets `request`."""
        async with self.talk(request) as talk:
            await talk.provider.send(OK)
            await talk.caller.until(b"\r\n\r\n")
            return talk.head, talk.body

    async def gives(self, answer: bytes, request: bytes | None = None, *, end: bool = False) -> bytes:
        """Every byte the client gets for `answer`; `end` sends FIN behind it. A broken connection raises."""
        async with self.talk(request or self.get("/x", b"Connection: close")) as talk:
            await talk.provider.send(answer)
            if end:
                talk.provider.close()
            return await talk.caller.rest()


class Talk:
    """Both ends of one exchange under way."""

    def __init__(self, caller: Peer, provider: Peer, head: bytes, body: bytes) -> None:
        self.caller = caller
        self.provider = provider
        self.head = head
        self.body = body


class Lanes:
    """All lanes of one process."""

    def __init__(self, running: Detour, upstreams: list[RawUpstream]) -> None:
        self.detour = running
        self._upstreams = upstreams
        self._next = 0
        self._dark = len(upstreams)

    def dark(self) -> Lane:
        """A lane on which no TLS handshake ever ends."""
        self._dark -= 1
        return Lane(self.detour, self._upstreams[self._dark], f"dark{self._dark}")

    def take(self) -> Lane:
        """A lane nobody used yet."""
        number, self._next = self._next, self._next + 1
        return Lane(self.detour, self._upstreams[number], f"lane{number}")


@contextlib.asynccontextmanager
async def open_lanes(folder: Path, *, env: dict[str, str] | None = None, **sections: Any) -> AsyncIterator[Lanes]:
    """One running Detour with `LANES` lanes."""
    async with contextlib.AsyncExitStack() as stack:
        upstreams = [await stack.enter_async_context(RawUpstream()) for _ in range(LANES)]
        providers: dict[str, Any] = {
            f"lane{number}": {"base_url": f"{upstream.url}/v1", "dialect": "openai"}
            for number, upstream in enumerate(upstreams)
        }
        config = ALONE | {"timeouts": TIMEOUTS, "log": {"format": "json"}} | sections
        # Behind the last of them TLS is spoken, were it not that a RawUpstream never does.
        for number in range(LANES - DARK, LANES):
            providers[f"dark{number}"] = {
                "base_url": upstreams[number].url.replace("http:", "https:"),
                "dialect": "openai",
            }
        # One from the catalog, which needs a key and has none.
        config["providers"] = providers | {"groq": {}} | config.get("providers", {})
        running = await stack.enter_async_context(detour(config, path=folder / "detour.yaml", env=env))
        yield Lanes(running, upstreams)


def instance(running: Detour) -> str:
    """The name this process has in Via."""
    return str(next(line["instance"] for line in running.lines if line["message"] == "serving"))


def plain(raw: bytes) -> bytes:
    """An answer without the fields that Detour adds to every one."""
    head, blank, body = raw.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"x-detour-", b"server-timing:"))]
    return b"\r\n".join(lines) + blank + body


def values(head: bytes, name: bytes) -> list[bytes]:
    """All values of a field in a head, in order."""
    lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:]
    pairs = [line.partition(b":") for line in lines]
    return [value.strip() for key, _, value in pairs if key.lower() == name.lower()]


def descriptors(running: Detour) -> int:
    """Open file descriptors of the process."""
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))


async def comes(check: Callable[[], Awaitable[bool]], within: float = PATIENCE) -> None:
    """Wait until `check` holds; fails after `within` seconds."""
    async with asyncio.timeout(within):
        while True:
            if await check():
                return
            await asyncio.sleep(0.01)


async def quiet(running: Detour, before: int) -> None:
    """Wait until nothing of an exchange is left in the process: no request, permit, connection or descriptor."""

    async def still() -> bool:
        return not (await running.metric("detour_in_flight_requests") or await running.metric("detour_open_permits"))

    await comes(still)
    await eventually(lambda: descriptors(running) <= before)
