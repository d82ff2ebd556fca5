"""What is seen of a real registry and real records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from breaker.outcome import Blame, Kind, Status
from healthapi.alerts import situation
from healthapi.alerts.message import SUBJECT
from healthapi.alerts.situation import EVERYTHING, Opened, Refusal, Share, Situation, gather
from healthapi.keeper import Keeper
from healthapi.keys import KeyLog
from healthapi.spend import Spend
from healthapi.store import Picture, Scope, StoreError
from tests.healthapi.admin_world import World

GONE = """
admin: {token: t}
providers:
  groq: {api_key: k}
  openrouter: {}
breakers: {jitter: 0}
models:
  llama: {tier: critical, targets: [groq/llama]}
"""


async def seen(world: World, within: float = 900, **admin: Any) -> Situation:
    await world.keeper.flush()
    found = await gather(world.admin(**admin), within)
    await world.close()
    return found


async def test_nothing_happened_yet() -> None:
    world = World(GONE)
    assert await seen(world) == Situation(at=world.now)


async def test_health_is_that_of_known_models_of_providers_with_a_credential() -> None:
    world = World(GONE)
    for model, status in (("a", Status.SUCCESS), ("b", Status.SUCCESS), ("c", Status.ERROR)):
        for _ in range(5):
            world.attempt("groq", model, status)
    world.attempt("groq", "once")
    for _ in range(5):
        world.attempt("openrouter", "x", Status.ERROR)
    found = await seen(world)
    assert (found.healthy, found.known) == (2, 3)
    assert found.health == pytest.approx(66.7, abs=0.1)
    assert found.offline == ("openrouter",), "callers bring keys of their own"
    assert found.unhealthy == ()


async def test_models_of_the_tier_critical_by_name() -> None:
    world = World(GONE)
    for model in ("llama", "other"):
        for _ in range(5):
            world.attempt("groq", model, Status.ERROR)
    assert (await seen(world)).unhealthy == ("groq/llama",)


async def test_users_requests_of_the_last_minutes() -> None:
    world = World(GONE)
    for _ in range(3):
        world.attempt("groq", "old", Status.ERROR)
    world.now += 1000
    for _ in range(6):
        world.attempt("groq", "a")
    world.attempt("groq", "a", Status.TIMEOUT)
    world.attempt("openrouter", "b", Status.ERROR)
    world.attempt("groq", "b", Status.ERROR, kind=Kind.PROBE)
    world.attempt("groq", "b", Status.ERROR, blame=Blame.PROVIDER_CREDENTIAL)  # the caller's key
    found = await seen(world)
    assert (found.failed, found.requests) == (2, 8)


async def test_what_of_it_is_whose() -> None:
    world = World(GONE)
    for model, status in (("llama", Status.ERROR), ("a", Status.SUCCESS)):
        for _ in range(5):
            world.attempt("groq", model, status)
    for _ in range(7):
        world.attempt("openrouter", "b")
    found = await seen(world)
    assert found.shares == {
        "groq": Share(known=2, healthy=1, requests=10, failed=5),
        "openrouter": Share(requests=7),
        "groq/llama": Share(known=1, healthy=0, requests=5, failed=5),
    }
    assert (found.known, found.healthy, found.requests, found.failed) == (2, 1, 17, 5)
    assert [one.name for one in found.open] == ["groq/llama"]
    for without in (["groq"], ["groq/llama"]):
        other = found.without(without)
        assert (other.known, other.healthy, other.requests, other.failed) == (2, 2, 17, 0)
        assert (other.unhealthy, other.open) == ((), ())
    assert found.without(["openrouter", "gro", "groq/llam", "nobody"]) == found


async def test_of_very_many_the_first_by_name_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(situation, "MANY", 3)
    world = World(GONE.replace("[groq/llama]", "[groq/m0, groq/m1, groq/m2, groq/m3, groq/m4, groq/m5]"))
    for model in ("m5", "m1", "m3", "m0", "m4", "m2"):
        for _ in range(5):
            world.attempt("groq", model, Status.ERROR)
        world.now += 1
    world.registry.open("openrouter", None, world.monotonic, 600)
    found = await seen(world)
    assert found.unhealthy == ("groq/m0", "groq/m1", "groq/m2", "groq/m3"), "one more, so that it shows that there are"
    assert [one.name for one in found.open] == ["groq", "openrouter", "groq/m0"], "providers first"
    assert found.unseen == {"breaker_open"}


async def test_names_are_made_harmless_before_anything_is_remembered_of_them() -> None:
    world = World(GONE.replace("[groq/llama]", f"['groq/{'x' * 250}']"))
    hostile = "a\nb\u202e<!channel>" + "y" * 5000
    for _ in range(5):
        world.attempt("groq", hostile, Status.ERROR)
    found = await seen(world)
    (one,) = found.open
    assert one.name.startswith("groq/a?b?<!channel>yyy")
    assert len(one.name) == SUBJECT


async def test_breakers_that_are_not_closed() -> None:
    world = World(GONE)
    world.now += 50
    for _ in range(5):
        world.attempt("groq", "llama", Status.ERROR, message="503 overloaded")
    world.registry.open("openrouter", None, world.monotonic, 600)
    opened = world.now
    world.now += 100
    found = await seen(world)
    assert {one.name: round(one.at - opened) for one in found.open} == {"groq/llama": 0, "openrouter": 0}
    assert "overloaded" in next(one for one in found.open if one.name == "groq/llama").reason
    assert all(isinstance(one, Opened) for one in found.open)


async def test_what_breakers_only_watch_is_no_trouble() -> None:
    world = World(GONE.replace("jitter: 0", "jitter: 0, mode: observe"))
    for _ in range(5):
        world.attempt("groq", "llama", Status.ERROR)
    assert (await seen(world)).open == ()


@pytest.mark.parametrize(("status", "refused"), [(401, True), (402, True), (403, True), (404, False), (429, False)])
async def test_keys_in_use_that_are_refused(status: int, refused: bool) -> None:
    world = World(GONE)
    for _ in range(5):
        world.attempt("groq", "llama", Status.ERROR, key="f" * 16, blame=Blame.PROVIDER_CREDENTIAL, http_status=status)
    found = await seen(world)
    assert found.refused == ((Refusal("groq", status, False),) if refused else ())
    assert found.open == (), "a key's breaker is not the provider's"
    assert found.unseen == frozenset()


async def test_a_configured_key_that_is_refused() -> None:
    world = World(GONE)
    keys = KeyLog(world.config)
    keys.tell("groq", accepted=True, http_status=200, at=world.now - 2)
    keys.tell("groq", accepted=False, http_status=401, at=world.now - 1)
    assert (await seen(world, keys=keys)).refused == (Refusal("groq", 401, True),)


class Away(Keeper):
    """A keeper whose fleet cannot be heard of, or not lately."""

    stale: float | None = None

    async def reading(self, scope: Scope) -> Picture:
        if self.stale is None:
            raise StoreError("away")
        return Picture(self._store, self.stale)

    @property
    def trouble(self) -> str | None:
        return "redis://user:can@ary/canary@host/0 refused"


@pytest.mark.parametrize(("stale", "surveyed"), [(None, False), (61.0, False), (30.0, True)])
async def test_records_that_cannot_be_had(stale: float | None, surveyed: bool) -> None:
    world = World(GONE)
    for _ in range(5):
        world.attempt("groq", "llama", Status.ERROR)
    away = world.kept_by(Away)
    away.stale = stale  # type: ignore[attr-defined]
    found = await gather(world.admin(keeper=away), 900)
    await world.close()
    assert found.surveyed is surveyed
    assert found.trouble == "redis://***@host/0 refused"
    assert [one.name for one in found.open] == ["groq/llama"], "breakers are known all the same"
    assert (found.health is None) is not surveyed


@pytest.mark.parametrize(
    ("spent", "cap", "capped"),
    [((10, 10), (10, 100), True), ((9, 10), (10, 100), False), ((9, 100), (10, 100), True), ((0, 0), (0, 100), False)],
)
async def test_caps_that_are_spent(spent: tuple[int, int], cap: tuple[int, int], capped: bool) -> None:
    caps = f"{{requests: {cap[0]}, tokens: {cap[1]}}}"
    world = World(GONE.replace("groq: {api_key: k}", f"groq: {{api_key: k, probes: {{daily_cap: {caps}}}}}"))
    spend = Spend(world.config, lambda: world.now)
    spend.book("groq", *spent)
    found = await seen(world, probing=SimpleNamespace(spend=spend))
    assert found.capped == (("groq",) if capped else ())


async def test_the_cap_on_all_probes() -> None:
    world = World(GONE + "probes: {daily_cap: {requests: 3, tokens: 1000}}")
    spend = Spend(world.config, lambda: world.now)
    spend.book("groq", 3, 30)
    assert EVERYTHING in (await seen(world, probing=SimpleNamespace(spend=spend))).capped
