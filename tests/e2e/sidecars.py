"""One `detour serve` process of a fleet: its configuration, what can be asked of it, and what it answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from tests.e2e.caller import Got, ask
from tests.e2e.pairs import TOKEN
from tests.e2e.redispipe import Pipe
from tests.e2e.world import Detour, client, split

NAMED = b"x-sidecar"
"""Header by which a client says which sidecar it asked."""

KEY = "sk-canary-configured-0123456789abcdef"
"""The credential of every provider."""

Counts = dict[str, Counter[str]]
"""Target to how often which status was counted."""

STATUSES = ("success", "error", "timeout", "rate_limited", "network_error")


class Turn(Struct, frozen=True):
    """What a provider does to a request, what that is counted as (nothing where it is neutral), what a client gets."""

    script: str
    counted: str | None
    got: int
    provider: str = "mixed"
    stream: bool = False


MIX = (
    Turn("ok", "success", 200),
    Turn("ok@events=8", "success", 200, stream=True),
    Turn("fail-503", "error", 503),
    Turn("rate-limit-1", "rate_limited", 429),
    Turn("ok@first=0.05", "success", 200, stream=True),
    Turn("error-200", "error", 200),
    Turn("error-late", "error", 200, stream=True),
    Turn("silent", "timeout", 504, "mute"),
    Turn("cut", "network_error", 200, stream=True),
    Turn("ok@size=20000", "success", 200),
    Turn("fail-400", None, 400),
    Turn("bad-key", "error", 401),
)
"""All that can become of an attempt. `mute` is a provider with a short time limit."""

COUNTED = {turn.script: turn.counted for turn in MIX} | {"ok@delay=0.3": "success", "fail-503@delay=0.3": "error"}
MODELS = ("plain", "with/slash", "with {brace} & more")


def settings(url: str, store: str, **sections: Any) -> dict[str, Any]:
    """The configuration of a sidecar: providers whose breakers are off, and `guarded`, whose breakers judge."""

    def provider(name: str, limit: str = "5s", **breakers: Any) -> dict[str, Any]:
        return {
            "base_url": f"{url}/{name}/v1",
            "dialect": "openai",
            "api_key": KEY,
            "timeouts": dict.fromkeys(("first_byte", "idle", "answer"), limit),
            "breakers": breakers,
        }

    return {
        "store": store,
        "log": {"format": "json"},
        "admin": {"token": TOKEN},
        "retries": {"max_attempts": 1},
        "providers": {
            "mixed": provider("mixed", mode="off"),
            "mute": provider("mute", "300ms", mode="off"),
            "guarded": provider("guarded", failure_threshold=3, min_requests=1000, open_for="40s", jitter=0),
            "brief": provider(
                "brief", "60s", failure_threshold=3, min_requests=1000, open_for="1s", success_threshold=3, jitter=0
            ),
            "ailing": provider("ailing", failure_threshold=50, min_requests=30, failure_rate=0.5, open_for="2s"),
        },
    } | sections


class Sidecar(Detour):
    """One process of a fleet."""

    def __init__(self, process: asyncio.subprocess.Process, name: str, pipe: Pipe | None) -> None:
        super().__init__(process)
        self.name = name
        self.killed = False
        self._pipe = pipe

    @property
    def pipe(self) -> Pipe:
        """Its own way to Redis."""
        assert self._pipe is not None
        return self._pipe

    async def kill(self) -> None:
        """End it with no chance to say anything."""
        self.killed = True
        self.process.kill()
        await self.process.wait()
        await self._reading

    async def ask(self, turn: Turn, model: str = MODELS[0], *, scripted: bool = True, key: str = "") -> Got:
        """Ask for a model, with a key of the caller's own where one is given.

        Unless `scripted`, the provider does what it was told to do with that model.
        """
        fields = {"model": model, "messages": [{"role": "user", "content": "Where to?"}]}
        body = json.dumps(fields | ({"stream": True} if turn.stream else {})).encode()
        lines = [
            f"POST /{turn.provider}/{turn.provider}/v1/chat/completions HTTP/1.1",
            "Host: localhost",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Connection: close",
            f"{NAMED.decode()}: {self.name}",
            *([f"X-Fake-Script: {turn.script}"] if scripted else []),
            *([f"Authorization: Bearer {key}"] if key else []),
        ]
        return await ask(self.port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def request(self, method: str, path: str) -> tuple[int, dict[str, str], Any]:
        """Ask the admin port: (status, headers, document)."""
        async with client(self.admin_port) as peer:
            head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
            await peer.send(f"{head}Authorization: Bearer {TOKEN}\r\n\r\n".encode())
            status, fields, body = split(await peer.rest())
            return status, {name.decode().lower(): value.decode() for name, value in fields}, json.loads(body)

    async def page(self, path: str) -> Any:
        """The document of a page that has to be there."""
        status, _, found = await self.request("GET", path)
        assert status == 200, (path, found)
        return found

    async def post(self, path: str) -> Any:
        """What is answered to something done by hand."""
        status, _, found = await self.request("POST", path)
        assert status == 200, (path, found)
        return found

    async def breaker(self, target: str) -> dict[str, Any]:
        """A breaker as this sidecar sees it; closed where it knows none."""
        status, _, found = await self.request("GET", f"/circuit-breakers/{quote(target)}")
        if status == 200:
            return dict(found if "/" in target else found["circuit_breakers"][target])
        return {"state": "closed", "reason": None, "seconds_until_retry": None}

    async def history(self, scope: str = "fleet") -> Counts:
        """Counts by status of every target there is a record of, from the history; and of each provider, and of all."""
        found: Counts = {}
        for record in await self._records(scope):
            found[f"{record['provider']}/{record['model']}"] = Counter()
        for provider in {name.partition("/")[0] for name in found}:
            found[provider] = Counter()
        found[""] = Counter()
        for name in found:
            provider, _, model = name.partition("/")
            words = {"scope": scope, "window": "1h", "provider": provider, "model": model}
            query = "&".join(f"{key}={quote(value, safe='')}" for key, value in words.items() if value)
            totals = (await self.page(f"/v1/model-health/history?{query}"))["totals"]
            found[name] = Counter({status: totals[status] for status in STATUSES if totals[status]})
        return found

    async def sums(self, scope: str = "fleet") -> dict[str, tuple[int, int]]:
        """Successes and other outcomes of every target, from its record."""
        return {
            f"{one['provider']}/{one['model']}": (one["success_count"], one["error_count"])
            for one in await self._records(scope)
        }

    async def trouble(self) -> str | None:
        """What is wrong with the store as `/readyz?verbose` tells it, which has to be ready all the same."""
        found = await self.page("/readyz?verbose")
        store = next(check for check in found["checks"] if check["name"] == "store")
        return None if store["ok"] else str(store["detail"])

    def said(self, text: str) -> list[dict[str, Any]]:
        """Lines of the log whose message has this in it."""
        return [line for line in self.lines if text in line["message"]]

    async def _records(self, scope: str) -> list[dict[str, Any]]:
        return list((await self.page(f"/v1/model-health?limit=1000&scope={scope}"))["models"])


async def comes(
    look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool], within: float, where: str = ""
) -> Any:
    """What `look` finds, once `holds` says yes to it."""
    end = time.monotonic() + within
    while not holds(found := await look()):
        assert time.monotonic() < end, f"not within {within:.1f} s {where}: {found}"
        await asyncio.sleep(0.02)
    return found
