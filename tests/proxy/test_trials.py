"""Open breakers of a real registry, tried out by probes that a test answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from breaker.breaker import Breaker
from breaker.outcome import Blame, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from breaker.transition import Transition
from config.load import load_text
from proxy.credentials import key_of
from proxy.prober import Probed
from proxy.purse import Paid, Purse
from proxy.trials import Trials
from tests.proxy.test_purse import House

CONFIG = """
providers: {openai: {api_key: k}, groq: {}}
models: {one: {targets: [openai/m, {target: openai/off, probe: {enabled: false}}]}}
breakers: {failure_threshold: 2, min_requests: 1000, open_for: 200ms, jitter: 0, success_threshold: 3}
"""
ILL = Verdict(Status.ERROR, Blame.TARGET, message="503")
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused")
REFUSED = Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, message="401", http_status=401)
MISTAKE = Verdict(Neutral.CALLER_ERROR)
GOOD = Verdict(Status.SUCCESS)


class Stage:
    """A registry, and probes that come to what `says` says, after a moment."""

    def __init__(self, text: str = CONFIG) -> None:
        self.config = load_text(text, {})
        self.house = House(Probed(Status.SUCCESS))
        self.house.probe = self.probe  # type: ignore[method-assign]
        self.says = GOOD
        self.probes: list[str] = []
        self.states: list[str] = []
        self.key = key_of(self.config.providers["openai"])
        self.registry = Registry(
            tracked=100,
            configured=self.config.targets,
            per_provider={name: one.breakers for name, one in self.config.providers.items()},
            on_transition=self._moved,
        )
        purse = Purse(self.config, self.house, self.house, time.monotonic)
        self.trials = Trials(self.config, self.registry, self.house, purse, time.monotonic)

    def _moved(self, moved: Transition) -> None:
        self.states.append(moved.state)
        self.trials.moved(moved)

    def user(self, verdict: Verdict, model: str = "m", key: str = "") -> bool:
        """A user's request, whose fate would be this; whether it was let through."""
        permit = self.registry.admit("openai", model, time.monotonic(), key)
        if isinstance(permit, Permit):
            self.settle(permit, verdict)
            return True
        return False

    def settle(self, permit: Permit, verdict: Verdict) -> None:
        permit.settle(Outcome(permit.provider, permit.model, verdict, False, 0.1, 0.1, 1.7e9), time.monotonic())

    async def probe(self, provider: str, model: str, *, timeout: float, max_tokens: int) -> Probed:  # noqa: ASYNC109
        self.probes.append(model)
        permit = self.registry.admit(provider, model, time.monotonic(), self.key, probe=True)
        if not isinstance(permit, Permit):
            return Probed(None, permit.reason, rejected=permit.kind)
        await asyncio.sleep(0.02)
        self.settle(permit, self.says)
        return Probed(self.says.status)

    def breaker(self, model: str | None = "m") -> Breaker:
        found = self.registry.breaker("openai", model)
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def stage(text: str = CONFIG) -> AsyncIterator[Stage]:
    made = Stage(text)
    made.trials.start()
    try:
        yield made
    finally:
        await made.trials.stop()


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - of other tasks
            await asyncio.sleep(0.005)


async def test_three_probes_close_it() -> None:
    async with stage() as made:
        assert made.user(ILL)
        assert made.user(ILL)
        passed = False
        while not made.breaker().closed:
            passed = passed or made.user(ILL)
            await asyncio.sleep(0.005)
        assert not passed, "a user was the guinea pig"
        assert made.probes == ["m"] * 3
        assert made.states == ["open", "half_open", "closed"]
        assert made.user(GOOD)


async def test_one_that_fails_opens_it_again_and_the_next_comes_in_time() -> None:
    async with stage() as made:
        made.says = ILL
        made.user(ILL)
        made.user(ILL)
        await until(lambda: len(made.probes) == 2)
        made.says = GOOD
        await until(lambda: made.breaker().closed)
        assert made.states[:4] == ["open", "half_open", "open", "half_open"]


@pytest.mark.parametrize("says", [MISTAKE])
async def test_one_that_says_nothing_leaves_it_to_users(says: Verdict) -> None:
    async with stage() as made:
        made.says = says
        made.user(ILL)
        made.user(ILL)
        await until(lambda: made.user(GOOD))
        assert made.probes == ["m"]
        assert made.breaker().trial_successes == 1


async def test_without_leave_users_try_at_once() -> None:
    async with stage() as made:
        made.house.answer = "capped"
        made.user(ILL)
        made.user(ILL)
        began = time.monotonic()
        await until(lambda: made.user(GOOD))
        assert time.monotonic() - began < 1.5, "not after what was promised"
        assert made.probes == []


@pytest.mark.parametrize("model", ["off", "~none"])
async def test_what_is_not_probed_is_never_kept(model: str) -> None:
    async with stage() as made:
        made.user(ILL, model)
        made.user(ILL, model)
        found = made.registry.breaker("openai", model)
        assert found is None or (not found.closed and found.reserved == 0.0)


async def test_where_nothing_is_affordable_nothing_is_kept_for_long() -> None:
    async with stage() as made:
        made.house.room = False
        made.user(ILL)
        made.user(ILL)
        await until(lambda: made.user(GOOD))
        assert made.probes == []


async def test_a_provider_is_tried_out_with_a_configured_model_first() -> None:
    async with stage() as made:
        made.user(GOOD, "proven")
        made.user(DOWN, "proven")
        made.user(DOWN, "typo")
        assert not made.breaker(None).closed
        await until(lambda: made.breaker(None).closed)
        assert set(made.probes) == {"m"}


async def test_a_provider_without_configured_models_is_tried_out_with_one_that_worked() -> None:
    async with stage(
        CONFIG.replace("models: {one: {targets: [openai/m, ", "models: {one: {targets: [").replace("]}}", "]}}")
    ) as made:
        made.user(GOOD, "proven")
        made.user(DOWN, "proven")
        made.user(DOWN, "typo")
        await until(lambda: made.breaker(None).closed)
        assert set(made.probes) == {"proven"}


async def test_a_key_of_our_own_is_tried_out_and_nobody_elses() -> None:
    async with stage() as made:
        for key in (made.key, "somebody else's"):
            made.user(REFUSED, "m", key)
            made.user(REFUSED, "m", key)
        ours, other = sorted(made.registry.unwell(), key=lambda one: one.key != made.key)
        assert ours.reserved > 0
        assert other.reserved == 0.0
        await until(lambda: ours.closed)
        assert not other.closed


async def test_at_its_end_users_are_let_through() -> None:
    made = Stage()
    made.user(ILL)
    made.user(ILL)
    assert made.breaker().reserved > time.monotonic() + 1
    await made.trials.stop()
    await until(lambda: made.user(GOOD))


async def test_whoever_gets_the_right_to_try_does_so_at_once() -> None:
    async with stage() as made:
        made.registry.join(time.monotonic())
        made.user(ILL)
        made.user(ILL)
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            made.registry.heard(time.monotonic())
            assert not made.user(GOOD)
            await asyncio.sleep(0.01)
        assert made.probes == []
        made.registry.heard(time.monotonic())
        made.registry.lease("openai", "m", True)
        assert not made.user(GOOD), "a probe comes first"
        await until(lambda: made.breaker().closed)
        assert made.probes == ["m"] * 3


async def test_trouble_in_a_trial_is_told_and_leaves_the_rest_alone(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as made:

        async def broken(*_: Any, **__: Any) -> Paid:
            raise RuntimeError("never seen before")

        made.house.claim = broken  # type: ignore[assignment]
        made.user(ILL)
        made.user(ILL)
        await until(lambda: made.user(GOOD))
        assert "nobody thought of" in caplog.text
