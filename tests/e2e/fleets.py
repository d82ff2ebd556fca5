"""Several real `detour serve` processes that share one Redis, the clients that ask them, and what they say of it.

The scripted provider is the witness: its log holds every request that any of them sent, with the name of the sidecar
that was asked in a header of the client's. What each request is to be counted as follows from its script alone, so
that what the fleet counted can be compared with what happened, number by number.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import yaml

from proxy.fake import FakeProvider, Seen
from tests.e2e.redispipe import Pipe
from tests.e2e.sidecars import COUNTED, MIX, MODELS, NAMED, Counts, Sidecar, Turn, comes, settings
from tests.e2e.world import PATIENCE, ROOT, environment, eventually
from tests.redis_server import RedisServer

WITHIN = 5.0
"""Seconds after which counts are complete again once Redis is back."""

LATE = 2.0
"""Seconds after which what is done once a second has been done."""

SLACK = 3.0
"""Seconds that a busy machine may add to what a sidecar does in the background."""


class Fleet:
    """Sidecars, their provider and their Redis."""

    def __init__(self, folder: Path, fake: FakeProvider, redis: RedisServer | None, store: str) -> None:
        self.folder = folder
        self.fake = fake
        self._redis = redis
        self.store = store
        self.sidecars: list[Sidecar] = []
        self.sections: dict[str, Any] = {}
        self.env: dict[str, str] = {}
        self._stack = contextlib.AsyncExitStack()

    @property
    def redis(self) -> RedisServer:
        """The only Redis there is."""
        assert self._redis is not None
        return self._redis

    @property
    def running(self) -> list[Sidecar]:
        """Sidecars that were not killed."""
        return [one for one in self.sidecars if not one.killed]

    async def join(self, name: str, *, piped: bool = False, **sections: Any) -> Sidecar:
        """A further sidecar, with a way of its own to Redis if it is to be `piped`."""
        port = 0 if self._redis is None else self._redis.port
        pipe = await self._stack.enter_async_context(Pipe(port)) if piped else None
        if pipe is not None:
            port = pipe.port
        made = settings(self.fake.url, self.store.replace("{port}", str(port)), **(self.sections | sections))
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(made))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.cli", "serve", "--listen", "127.0.0.1:0"),
            *("--admin-listen", "127.0.0.1:0", "-c", str(path)),
            cwd=ROOT,
            env=environment(self.env),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            limit=1 << 20,
        )
        joined = Sidecar(process, name, pipe)
        self._stack.push_async_callback(self._end, joined)
        await joined.ready()
        self.sidecars.append(joined)
        return joined

    async def leave(self, one: Sidecar) -> None:
        """Have a sidecar end as it should."""
        self.sidecars.remove(one)
        assert await one.stop() == 0, one.lines[-20:]

    async def close(self) -> None:
        """End all sidecars, and look them over."""
        await self._stack.aclose()

    async def _end(self, one: Sidecar) -> None:
        if one.killed:
            return
        code = await one.stop()
        assert code == 0, one.lines[-20:]
        assert not one.complaints, one.complaints

    # -- traffic ---------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def traffic(self, clients: int = 6, turns: Iterable[Turn] = MIX) -> AsyncIterator[Traffic]:
        """Clients that ask all sidecars in turn until this is left; every one of them has to get what it should."""
        going = Traffic(self, tuple(turns))
        tasks = [asyncio.create_task(going.client(number)) for number in range(clients)]
        try:
            yield going
        finally:
            going.over = True
            await asyncio.gather(*tasks)
        assert not going.wrong, going.wrong[:5]
        assert going.asked > 0

    # -- what happened ---------------------------------------------------------------------------------------------

    def seen(self, target: str = "", by: str = "") -> list[Seen]:
        """Requests that came to the provider, for a target and by a sidecar where these are named."""
        provider, _, model = target.partition("/")
        return [
            one
            for one in self.fake.log
            if (not target or (one.target.startswith(f"/{provider}/".encode()) and one.model == model))
            and (not by or one.header(NAMED) == by.encode())
        ]

    def happened(self, *but: Sidecar) -> Counts:
        """What the provider's log says that there is to be counted, but for what these sidecars sent."""
        names = {one.name.encode() for one in but}
        return tally(one for one in self.fake.log if one.header(NAMED) not in names)

    async def sound(self, within: float = WITHIN + SLACK) -> float:
        """Seconds until no sidecar tells of trouble with its store."""
        began = time.monotonic()
        for one in self.running:
            await comes(one.trouble, lambda found: found is None, within - (time.monotonic() - began), one.name)
        return time.monotonic() - began

    async def agrees(self, within: float = WITHIN + SLACK) -> float:
        """Return, once every sidecar tells of the fleet exactly what happened, how many seconds that took.

        What they say must then stay that way: something that is counted twice may come late.
        """
        wanted = self.happened()
        began = time.monotonic()
        for one in self.running:
            left = within - (time.monotonic() - began)
            await comes(lambda one=one: differences(one, wanted), lambda found: not found, left, one.name)
        took = time.monotonic() - began
        sums = {name: (counts["success"], counts.total() - counts["success"]) for name, counts in targets(wanted)}
        for one in self.running:
            assert await one.sums() == sums, one.name
        return took

    async def stays(self, seconds: float = 1.5) -> None:
        """What `agrees` found is still so a while later."""
        await asyncio.sleep(seconds)
        for one in self.running:
            assert not await differences(one, self.happened()), one.name

    async def adds_up(self) -> None:
        """What each sidecar saw itself is what it was asked for, and comes to what the fleet tells."""
        for one in self.running:
            mine = tally(self.seen(by=one.name))
            assert not await differences(one, mine, "instance"), one.name

    async def everywhere(self, target: str, state: str, within: float = PATIENCE) -> float:
        """Return, once a breaker is in this state at every sidecar, how many seconds that took."""
        began = time.monotonic()
        for one in self.running:
            await self.at(one, target, state, within - (time.monotonic() - began))
        return time.monotonic() - began

    async def at(self, one: Sidecar, target: str, state: str, within: float = PATIENCE) -> dict[str, Any]:
        """A breaker at one sidecar, once it is in this state there."""
        found = await comes(lambda: one.breaker(target), lambda found: found["state"] == state, within, one.name)
        return dict(found)

    async def trip(self, one: Sidecar, target: str) -> float:
        """Open the breaker of a target by failures that one sidecar sees; returns when the last one was answered."""
        provider, _, model = target.partition("/")
        turn = Turn("fail-503", "error", 503, provider)
        async with asyncio.timeout(PATIENCE):
            while True:
                got = await one.ask(turn, model)
                at = time.monotonic()
                assert got.status == 503
                if (await one.breaker(target))["state"] == "open":
                    return at

    async def refuses(self, one: Sidecar, target: str) -> None:
        """A sidecar lets nothing through to a target."""
        before = len(self.seen(target))
        provider, _, model = target.partition("/")
        got = await one.ask(Turn("ok", "success", 200, provider), model)
        assert (got.status, len(self.seen(target))) == (503, before), one.name


class Traffic:
    """Clients that go on asking. `wrong` tells who got what it should not have."""

    def __init__(self, fleet: Fleet, turns: tuple[Turn, ...]) -> None:
        self._fleet = fleet
        self._turns = turns
        self.over = False
        self.asked = 0
        self.wrong: list[str] = []

    async def client(self, number: int) -> None:
        """One client."""
        for count in itertools.count(number):
            if self.over:
                return
            turn = self._turns[count % len(self._turns)]
            running = self._fleet.running
            one = running[count % len(running)]
            try:
                got = await one.ask(turn, MODELS[count // 7 % len(MODELS)])
            except (AssertionError, OSError) as error:
                if not one.killed:
                    self.wrong.append(f"{turn} at {one.name}: {error!r}")
            else:
                self.asked += 1
                if got.status != turn.got:
                    self.wrong.append(f"{turn} at {one.name}: {got.status} {got.body[:200]!r}")
            await asyncio.sleep(0.01)

    async def more(self, many: int) -> None:
        """Return once so many more requests were answered."""
        await eventually(lambda enough=self.asked + many: self.asked >= enough)


def tally(log: Iterable[Seen]) -> Counts:
    """What requests are to be counted as: by target, by provider, and all together."""
    found: Counts = {"": Counter()}
    for one in log:
        counted = COUNTED[one.script]
        if counted is not None:
            provider = one.target.split(b"/", 2)[1].decode()
            for name in (f"{provider}/{one.model}", provider, ""):
                found.setdefault(name, Counter())[counted] += 1
    return found


async def differences(one: Sidecar, wanted: Counts, scope: str = "fleet") -> dict[str, str]:
    """Where the history that a sidecar tells is not what it should be."""
    found = await one.history(scope)
    return {
        name: f"{dict(found.get(name, {}))} instead of {dict(wanted.get(name, {}))}"
        for name in found | wanted
        if found.get(name, Counter()) != wanted.get(name, Counter())
    }


def targets(counts: Counts) -> list[tuple[str, Counter[str]]]:
    """The counts of targets alone."""
    return [(name, one) for name, one in counts.items() if "/" in name]


@contextlib.asynccontextmanager
async def open_fleet(
    folder: Path,
    redis: RedisServer | None,
    names: str = "abc",
    /,
    *,
    piped: str = "",
    store: str = "redis://127.0.0.1:{port}",
    env: dict[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Fleet]:
    """A fleet with a sidecar for each letter, some of them `piped`; `more` are further sections of all configurations.

    `{port}` in the address of the store is that of Redis, or of a sidecar's own way to it.
    """
    async with FakeProvider() as fake:
        fleet = Fleet(folder, fake, redis, store)
        fleet.sections = more
        fleet.env = env or {}
        try:
            await asyncio.gather(*(fleet.join(name, piped=name in piped) for name in names))
            fleet.sidecars.sort(key=lambda one: one.name)
            yield fleet
        finally:
            await fleet.close()
        assert not fake.mistakes
