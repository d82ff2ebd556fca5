"""Outages in real time, under the default settings: a minute without a provider, and what a client notices of it.

An outage takes its minute however many are looked at, so all of them, and what else takes as long, happen at the same
time: each test waits for its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct, field

from proxy.fake import FakeProvider
from tests.e2e.caller import Got, plain
from tests.e2e.pairs import Pair, Scene, Sort, ask_and_watch, open_scene

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

EVERY = 4.0
"""Seconds between two requests."""
OUTAGE = 60.0
BACK = 30.0
"""Seconds after its recovery by which a provider has its traffic back."""
MOST = 8
"""Attempts at a dead provider."""


class Fault(Struct, frozen=True):
    """What the dead provider does, whether streams are asked for, and how many requests it had answered before.

    A request every four seconds is 75 in the five minutes that count for routing. With few before, the first failures
    make a target unhealthy before they open its breaker: it is left alone for another reason, and has to be back too.
    """

    script: str
    stream: bool = False
    warm: int = 75


FAULTS = {
    "refused": Fault("", warm=0),
    "fail-503": Fault("fail-503"),
    "cold": Fault("fail-503", warm=0),
    "fresh": Fault("fail-503", warm=3),
    "overloaded": Fault("error-first", stream=True),
    "young": Fault("error-first", stream=True, warm=10),
    "cut": Fault("cut@after=0", stream=True),
    "reset": Fault("reset-before"),
    "silent": Fault("silent", stream=True),
}
PATIENT = 45.0
"""Seconds for a stream that begins after 27 s."""


class Turn(Struct):
    """One request: seconds since the outage began, the answer, who gave it, and who had been asked for."""

    at: float
    got: Got
    provider: str | None
    rerouted_from: str | None


class Story(Struct):
    """One outage from its beginning to the return of the traffic."""

    turns: list[Turn] = field(default_factory=list)
    attempts: int = 0
    """At the dead provider, from the beginning of the outage to its end."""
    during: dict[str, Any] = {}
    """The first provider's breakers in the middle of it."""
    after: dict[str, Any] = {}

    @property
    def out(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.at < OUTAGE]

    @property
    def later(self) -> list[Turn]:
        return [turn for turn in self.turns if turn.at >= OUTAGE]


class Site:
    """The Detour of all outages, and a provider whose port can be shut."""

    def __init__(self, scene: Scene, own: FakeProvider) -> None:
        self.scene = scene
        self.own = own
        self._running: dict[str, asyncio.Task[Any]] = {}

    def start(self, name: str, work: Awaitable[Any]) -> None:
        self._running[name] = asyncio.ensure_future(work)

    async def result(self, name: str) -> Any:
        return await self._running[name]

    async def stop(self) -> None:
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)


@contextmanager
def kept_port() -> Any:
    """A port that refuses while nobody listens on it, and that nobody else is given meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    with kept_port() as port:
        own = FakeProvider(port=port)
        sorts = {name: Sort(1) for name in FAULTS} | {"lone": Sort(1, alone=True), "pair": Sort(1), "shut": Sort(1)}
        sorts["refused"] = Sort(1, origin=own.url)
        sorts["silent"] = Sort(1, timeouts={"first_byte": "1s"})
        async with open_scene(tmp_path_factory.mktemp("outage"), sorts) as scene:
            site = Site(scene, own)
            for name in FAULTS:
                site.start(name, outage(site, name))
            for name in ("lone", "pair", "shut"):
                site.start(name, comments(scene, name))
            yield site
            await site.stop()
            await own.stop()


# -- outages -----------------------------------------------------------------------------------------------------------


async def outage(site: Site, name: str) -> Story:
    """A provider that worked dies for a minute, with a request every four seconds, and works again."""
    pair = site.scene.take(name)
    down, up = switches(site, pair, name)
    await up()
    story, loop = Story(), asyncio.get_running_loop()
    stream = FAULTS[name].stream
    for _ in range(FAULTS[name].warm):
        before = await pair.ask(stream=stream)
        assert (before.status, before.header("x-detour-provider")) == (200, pair.first), before
    await down()
    seen = await attempts(pair)
    began = loop.time()
    ending = loop.create_task(_recover(story, pair, up, began, seen))
    for turn in range(int((OUTAGE + BACK) / EVERY) + 1):
        # Between two ends of the outage, so that no request has to race with either.
        await asyncio.sleep(began + EVERY / 2 + turn * EVERY - loop.time())
        at = loop.time() - began
        got = await pair.ask(stream=stream)
        story.turns.append(Turn(at, got, got.header("x-detour-provider"), got.header("x-detour-rerouted-from")))
        if turn == 8:
            story.during = await site.scene.breakers(f"/circuit-breakers/{pair.first}")
        if at > OUTAGE and [one.provider for one in story.turns[-3:]] == [pair.first] * 3:
            break
    await ending
    story.after = await site.scene.breakers(f"/circuit-breakers/{pair.first}")
    return story


async def _recover(story: Story, pair: Pair, up: Callable[[], Awaitable[None]], began: float, seen: int) -> None:
    await asyncio.sleep(began + OUTAGE - asyncio.get_running_loop().time())
    story.attempts = await attempts(pair) - seen
    await up()


def switches(site: Site, pair: Pair, name: str) -> tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]:
    """What ends the provider's work, and what begins it again."""

    async def down() -> None:
        if name == "refused":
            await site.own.stop()
        else:
            pair.will(FAULTS[name].script)

    async def up() -> None:
        if name == "refused":
            await site.own.start()
        else:
            pair.will("ok")

    return down, up


async def attempts(pair: Pair) -> int:
    """Attempts at the first provider, by Detour's own count: a refused connection leaves no other trace."""
    return int(await pair.scene.detour.metric("detour_attempts_total", provider=pair.first))


@pytest.mark.parametrize("name", FAULTS)
async def test_an_outage_of_a_minute_costs_no_client_an_answer(site: Site, name: str) -> None:
    story: Story = await site.result(name)
    first, second = f"{name}1-first", f"{name}1-second"
    assert len(story.out) == OUTAGE / EVERY
    assert [(turn.at, turn.got.status, turn.got.end) for turn in story.turns if not answered(turn)] == []
    assert {turn.provider for turn in story.out} == {second}
    assert {turn.rerouted_from for turn in story.out} == {f"{first}/{name}1-asked"}
    assert 0 < story.attempts <= MOST, story.attempts
    if name not in ("refused", "reset"):  # those leave no trace, or one for every idle connection that was dead
        assert len([seen for seen in site.scene.seen(first) if seen.script == FAULTS[name].script]) == story.attempts
    back = next((turn for turn in story.later if turn.provider == first), None)
    assert back is not None, [(turn.at, turn.provider) for turn in story.later]
    assert back.at <= OUTAGE + BACK
    kept = [turn for turn in story.later if turn.at >= back.at]
    assert {turn.provider for turn in kept} == {first}
    assert {turn.rerouted_from for turn in kept} == {None}


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.warm in (0, 75)])
async def test_an_outage_is_told_and_forgotten_on_the_admin_port(site: Site, name: str) -> None:
    story: Story = await site.result(name)
    first = f"{name}1-first"
    # Host trouble is the provider's, the rest the target's alone.
    key = first if name in ("refused", "reset") else f"{first}/{name}1-asked"
    shown = story.during["circuit_breakers"][key]
    assert (shown["state"], story.during["open_count"]) == ("open", 1)
    assert "5" in shown["reason"], shown
    assert 0 < shown["seconds_until_retry"] <= 60
    assert story.after["open_count"] == story.after["half_open_count"] == 0
    assert story.after["circuit_breakers"][key]["state"] == "closed"


def answered(turn: Turn) -> bool:
    """Whether a client got one whole good answer and nothing else."""
    got = turn.got
    if (got.status, got.end) != (200, "clean") or b'"error"' in got.body:
        return False
    return got.body.rstrip().endswith(b"data: [DONE]") if b"data: " in got.body else got.json["object"] != "error"


# -- what else takes as long -------------------------------------------------------------------------------------------


async def comments(scene: Scene, name: str) -> tuple[Pair, Got, float]:
    """A stream that says for 27 seconds only that it lives."""
    pair = scene.take(name)
    pair.will("slow-comments@first=27,gap=0.5")
    if name == "shut":
        status, found = await scene.post(f"/circuit-breakers/{pair.second}/{pair.other}/open?for=10m")
        assert status == 200, found
    got, first = await ask_and_watch(scene.detour.port, pair.request(stream=True), PATIENT)
    return pair, got, first


@pytest.mark.parametrize("name", ["lone", "shut"])
async def test_comments_pass_after_25_s_where_no_other_target_admits(site: Site, name: str) -> None:
    pair, got, first = await site.result(name)
    assert 24.5 <= first < 26.9
    assert (got.status, got.end) == (200, "clean")
    assert got.body.count(b": keep-alive") > 40, "what was held passes, and what comes behind it"
    assert got.body.rstrip().endswith(b"data: [DONE]")
    assert got.header("x-detour-attempts") == "1"
    assert (len(pair.tries), len(pair.others)) == (1, 0)


async def test_comments_are_held_while_another_target_admits(site: Site) -> None:
    """As long as the first may still fail unseen, nothing may pass that would give it away."""
    pair, got, first = await site.result("pair")
    assert first >= 26.5
    assert (got.status, got.end, got.header("x-detour-provider")) == (200, "clean", pair.first)
    assert plain(got.body).rstrip().endswith(b"data: [DONE]")
    assert (len(pair.tries), len(pair.others)) == (1, 0)
