"""Days of rounds on a moved clock, with the records, claims and breakers of a real sidecar."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from typing import Any

import pytest

from breaker.outcome import Blame, Kind, Neutral, Status
from healthapi.probing import Probing
from healthapi.tiers import Tiers
from proxy.prober import Probed
from proxy.purse import Purse
from proxy.watchman import AWAY, Watchman
from tests.healthapi.admin_world import NOW, World

MIDNIGHT = NOW
"""The first moment of a day."""


class Street:
    """A sidecar whose probes are answered by `says`: a status by model, success by default."""

    def __init__(self, config: str) -> None:
        self.world = World(config)
        self.world.now = MIDNIGHT
        self.ahead = 0.0
        self.says: dict[str, Status | Neutral | None] = {}
        self.seen: list[tuple[float, str]] = []
        self.probing = Probing(self.world.config, self.world.keeper, Tiers(), self.monotonic, lambda: self.world.now)
        purse = Purse(self.world.config, self.probing, self, self.monotonic)
        self.watchman = Watchman(
            self.world.config,
            self.world.registry,
            self.probing,
            purse,
            self.monotonic,
            lambda: self.world.now,
        )

    def monotonic(self) -> float:
        """The clock that nobody sets: `ahead` is how far the other one was set ahead of it."""
        return self.world.monotonic - self.ahead

    def set_clock(self, seconds: float) -> None:
        """Set Unix time ahead, or back."""
        self.world.now += seconds
        self.ahead += seconds

    async def probe(self, provider: str, model: str, *, timeout: float, max_tokens: int) -> Probed:  # noqa: ASYNC109
        status = self.says.get(model, Status.SUCCESS)
        if status is None:
            return Probed(None, "hold-off", rejected="hold_off")
        self.seen.append((self.world.now, model))
        self.world.attempt(provider, model, status, kind=Kind.PROBE)
        return Probed(status, tokens=max_tokens)

    async def until(self, end: float) -> None:
        """Go the rounds until a moment."""
        await self.world.keeper.flush()  # which opens what keeps the count
        while self.world.now < end:
            self.world.now += await self.watchman.round()

    def times(self, model: str) -> list[float]:
        return [at for at, name in self.seen if name == model]

    def gaps(self, model: str) -> list[float]:
        return [b - a for a, b in itertools.pairwise(self.times(model))]


def config(models: str = "", **probes: Any) -> str:
    settings = "".join(f", {name}: {value}" for name, value in probes.items())
    return f"providers: {{groq: {{api_key: k}}, openai: {{api_key: k}}}}\nprobes: {{enabled: true{settings}}}\n{models}"


TIERS = """
models:
  one: {tier: critical, targets: [groq/critical]}
  two: {tier: popular, targets: [groq/popular]}
  three: {tier: standard, targets: [groq/standard]}
  four: {tier: on_demand, targets: [groq/on_demand]}
"""


async def test_a_day_of_every_tier() -> None:
    street = Street(config(TIERS))
    await street.until(MIDNIGHT + 86400)
    for model, interval in (("critical", 300), ("popular", 1800), ("standard", 7200), ("on_demand", 14400)):
        assert street.times(model)[0] <= MIDNIGHT + 60
        assert all(interval <= gap <= interval * 1.1 + 60 for gap in street.gaps(model)), (model, street.gaps(model))
        assert len(street.gaps(model)) >= 86400 // (interval * 1.1 + 60) - 1


async def test_a_failing_one_is_probed_within_five_minutes() -> None:
    street = Street(config(TIERS))
    street.says["on_demand"] = Status.ERROR
    await street.until(MIDNIGHT + 1000)
    assert len(street.times("on_demand")) == 5
    assert all(210 <= gap <= 241 for gap in street.gaps("on_demand")), street.gaps("on_demand")
    assert [one.name for one in street.world.registry.unwell()] == ["groq/on_demand"]
    await street.until(MIDNIGHT + 4000)
    assert len(street.times("on_demand")) == 5, "what is open is tried out in its own time"


async def test_one_that_fails_is_probed_within_five_minutes_though_others_hang() -> None:
    """The round before it lasts as long as a probe that is not answered, and has just begun when it is due."""
    street = Street(config(TIERS))
    street.says["on_demand"] = Status.ERROR
    slow = 0.0

    async def probe(provider: str, model: str, *, timeout: float, max_tokens: int) -> Probed:  # noqa: ASYNC109
        nonlocal slow
        slow = timeout if model in ("critical", "standard") else 0.0
        return await Street.probe(street, provider, model, timeout=timeout, max_tokens=max_tokens)

    street.watchman._purse._sender.probe = probe  # type: ignore[method-assign]
    await street.world.keeper.flush()
    while street.world.now < MIDNIGHT + 1200 and len(street.times("on_demand")) < 4:
        slow = 0.0
        pause = await street.watchman.round()
        street.world.now += pause + slow
        if len(street.seen) and street.seen[-1][1] == "on_demand":
            street.world.attempt("groq", "critical", Status.TIMEOUT)
    assert len(street.times("on_demand")) == 4
    assert all(gap <= 300 for gap in street.gaps("on_demand")), street.gaps("on_demand")


@pytest.mark.parametrize("hours", [-3, -30, 3])
async def test_a_clock_that_is_set_stops_no_probes(hours: int) -> None:
    street = Street(config(TIERS + "  five: {tier: critical, targets: [openai/last]}\n"))
    await street.until(MIDNIGHT + 900)
    before = {model: len(street.times(model)) for model in ("critical", "popular", "last")}
    street.set_clock(hours * 3600)
    now = street.world.now
    await street.until(now + 900)
    for model in ("critical", "last"):
        times = street.times(model)[before[model] :]
        assert 2 <= len(times) <= 4, (model, times)
        assert all(b - a >= 300 for a, b in itertools.pairwise(times))
    assert len(street.times("popular")) <= before["popular"] + 2


async def test_who_waits_for_room_is_not_looked_for_all_the_time() -> None:
    names = ", ".join(f"openai/m{number}" for number in range(12))
    more = "openai: {api_key: k, probes: {models_per_minute: 4}}"
    text = config(f"models: {{one: {{tier: critical, targets: [{names}]}}}}").replace("openai: {api_key: k}", more)
    street = Street(text)
    looks = 0
    await street.world.keeper.flush()
    while street.world.now < MIDNIGHT + 290:
        street.world.now += await street.watchman.round()
        looks += 1
    assert len(street.seen) == 12
    for moment in range(0, 290, 5):
        minute = {model for at, model in street.seen if 0 <= at - MIDNIGHT - moment < 60}
        assert len(minute) <= 4
    assert looks <= 25, looks


async def test_what_leaves_no_record_waits_for_its_interval() -> None:
    street = Street(config(TIERS))
    street.says["critical"] = Neutral.CALLER_ERROR
    await street.until(MIDNIGHT + 3600)
    assert all(300 <= gap <= 331 for gap in street.gaps("critical"))


async def test_one_that_is_not_sent_costs_nothing_and_is_tried_again() -> None:
    street = Street(config(TIERS))
    street.says["standard"] = None
    await street.until(MIDNIGHT + 900)
    assert street.times("standard") == []
    assert street.probing.results["groq", "hold_off"] in (4, 5)
    street.says["standard"] = Status.SUCCESS
    await street.until(MIDNIGHT + 1300)
    assert len(street.times("standard")) == 1
    assert street.probing.spend.sum().requests == len(street.seen)


async def test_traffic_of_users_and_of_other_kinds_counts_as_heard() -> None:
    street = Street(config(TIERS))
    for minute in range(60):
        street.world.attempt("groq", "critical")
        street.world.attempt("groq", "popular", Status.RATE_LIMITED, blame=Blame.TARGET_CREDENTIAL)
        await street.until(MIDNIGHT + 60 * minute + 60)
    assert street.times("critical") == street.times("popular") == []


async def test_no_round_is_larger_than_it_may_be_and_rounds_keep_their_distance() -> None:
    names = ", ".join(f"groq/m{number}" for number in range(95))
    street = Street(config(f"models: {{one: {{tier: critical, targets: [{names}]}}}}"))
    await street.until(MIDNIGHT + 3600)
    rounds = Counter(at for at, _ in street.seen)
    assert max(rounds.values()) == 10
    starts = sorted(rounds)
    assert all(b - a >= 30 for a, b in itertools.pairwise(starts))
    assert all(gap >= 300 for number in range(95) for gap in street.gaps(f"m{number}"))
    assert {model for _, model in street.seen} == {f"m{number}" for number in range(95)}


async def test_caps_hold_for_a_day_and_begin_anew() -> None:
    street = Street(config(TIERS, daily_cap="{requests: 100, tokens: 100000}"))
    await street.until(MIDNIGHT + 86400 - 120)
    assert len(street.seen) == 100
    assert street.probing.spend.report().capped
    await street.until(MIDNIGHT + 2 * 86400 - 120)
    assert len(street.seen) == 200
    assert sum(at >= MIDNIGHT + 86400 for at, _ in street.seen) == 100


async def test_a_cap_of_tokens() -> None:
    street = Street(config(TIERS, daily_cap="{requests: 100000, tokens: 500}"))
    await street.until(MIDNIGHT + 86400 - 120)
    assert 500 - 26 < street.probing.spend.sum().tokens <= 500
    assert street.probing.tokens["groq"] == street.probing.spend.sum().tokens


async def test_a_round_that_fails_is_not_the_last(caplog: pytest.LogCaptureFixture, monkeypatch: Any) -> None:
    street = Street(config(TIERS))
    rounds: list[float] = []

    async def broken() -> float:
        rounds.append(street.world.now)
        if len(rounds) == 1:
            raise RuntimeError("never seen before")
        return 0.01

    monkeypatch.setattr(street.watchman, "round", broken)
    monkeypatch.setattr("proxy.watchman.AWAY", 0.01)
    street.watchman.start()
    async with asyncio.timeout(10):
        while len(rounds) < 3:  # noqa: ASYNC110 - of another task
            await asyncio.sleep(0.01)
    await street.watchman.stop()
    assert [line.levelno for line in caplog.records] == [logging.ERROR]
    count = len(rounds)
    await asyncio.sleep(0.1)
    assert len(rounds) == count


async def test_somebody_elses_duty() -> None:
    street = Street(config(TIERS))
    street.probing.duty = lambda: 0  # type: ignore[method-assign]
    assert await street.watchman.round() == AWAY
    assert street.seen == []
