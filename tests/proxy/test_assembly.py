"""A process that goes on with another configuration: who hears of it, and that nobody keeps the one before."""

from __future__ import annotations

import asyncio
import gc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from breaker.outcome import SUCCESS, Answer, Blame, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.transitions import State
from config.effective import Config, Origin
from config.load import load_text
from config.problems import ConfigError
from config.reloads import Reloads
from healthapi import turns
from proxy.access import AccessLog
from proxy.assembly import Assembly, prepare
from proxy.credentials import key_of
from proxy.office import Office

FIRST = """
store: 'memory:'
probes: {enabled: false}
providers:
  kept: {base_url: "http://127.0.0.1:1/v1", api_key: sk-first}
  gone: {base_url: "http://127.0.0.1:2/v1", api_key: sk-gone}
models:
  m: {targets: [kept/m, gone/m]}
alerts:
  channels:
    hook: {type: webhook, url: "https://hooks.example/1"}
    old: {type: webhook, url: "https://o.example/"}
"""
SECOND = """
store: 'memory:'
log: {access: true}
probes: {enabled: true}
sla: {availability: 90}
limits: {replay: 1MiB, replay_total: 2MiB, tracked_targets: 50}
retries: {budget: 1}
providers:
  kept: {base_url: "http://127.0.0.1:1/v1", api_key: sk-second, breakers: {failure_threshold: 1}}
  fresh: {base_url: "http://127.0.0.1:3/v1", api_key: sk-fresh}
models:
  m: {targets: [kept/m, fresh/m]}
alerts:
  channels: {hook: {type: webhook, url: "https://hooks.example/2"}}
  rules: {health: {warning: 50, critical: 40}}
admin: {token: secret, origins: ["https://board.example"]}
"""
BAD = Verdict(Status.ERROR, Blame.TARGET, message="503", http_status=503)


def built(text: str = FIRST) -> Assembly:
    config = load_text(text, {})
    loop = asyncio.get_running_loop()
    made = Assembly(config, loop, instance="abc")
    made.office = Office(made, version="1", listeners=lambda: {"proxy": True}, reloads=Reloads())
    return made


def attempt(made: Assembly, provider: str, verdict: Verdict = SUCCESS) -> None:
    now = made.plane.watch.now()
    permit = made.registry.admit(provider, "m", now)
    assert isinstance(permit, Permit)
    outcome = Outcome(provider, "m", verdict, False, 1.0, 0.5, 1.7e9)
    made.recorder.attempt(permit.settle(outcome, now))
    made.recorder.answer(Answer("i", "POST", provider, "m", "chat", 200, "success", False, 1, 0.1, 0.1, 1, 1, 1.7e9))


def adopt(made: Assembly, text: str = SECOND) -> Config:
    prepared = prepare(load_text(text, {}))
    made.adopt(prepared)
    return prepared.config


async def test_nobody_keeps_the_configuration_before() -> None:
    made = built()
    for provider in ("kept", "gone"):
        attempt(made, provider)
    before = id(made.config)
    adopt(made)
    gc.collect()
    left = [one for one in gc.get_objects() if isinstance(one, Config) and id(one) == before]
    holders = [type(holder).__name__ for holder in gc.get_referrers(*left) if holder is not left] if left else []
    assert left == [], holders


async def test_what_was_counted_stays() -> None:
    made = built()
    attempt(made, "kept")
    attempt(made, "kept", BAD)
    made.keys.tell("kept", True, 200, 1.7e9)
    adopt(made)
    record = made.store.get("kept", "m")
    assert record is not None
    assert (record.sums().successes, record.sums().calls) == (1, 2)
    assert ("kept", "m") in dict(made.metrics.series())
    attempt(made, "kept", BAD)
    assert record is made.store.get("kept", "m")
    breaker = made.registry.breaker("kept", "m")
    assert breaker is not None
    assert breaker.state is State.OPEN, "by the new threshold, of one"


async def test_what_is_told_of_a_provider_that_is_gone_ends() -> None:
    made = built()
    for _ in range(5):
        attempt(made, "gone", BAD)
    for provider in ("kept", "gone"):
        made.metrics.retried(provider, "error")
        made.metrics.overspent(provider)
        made.metrics.rerouted("kept", "m", provider, "m", "open")
        made.probing.skipped(provider, "unasked")
    assert made.registry.unwell() != []
    adopt(made)
    metrics = made.metrics
    labels: list[Any] = [
        *(key for key, _ in metrics.series()), *metrics.transitions, *metrics.reroutes, *metrics.retries,
        *metrics.overspendings, *made.probing.results, *made.registry.budgets(), *made.keys.providers,
    ]  # fmt: skip
    assert [label for label in labels if "gone" in label] == []
    assert made.registry.unwell() == []
    assert metrics.retries == {("kept", "error"): 1}
    record = made.store.get("gone", "m")
    assert record is not None, "what happened did happen"
    attempt(made, "gone")
    assert [key for key, _ in metrics.series() if key[0] == "gone"] == []


async def test_whoever_reads_settings_has_the_new_ones() -> None:
    made = built()
    assert not isinstance(made.plane.recorder, AccessLog)
    config = adopt(made)
    assert made.office is not None
    assert made.office.admin.config is made.config is made.plane.config is config
    assert isinstance(made.plane.recorder, AccessLog)
    assert made.plane.replay.limit == 2 << 20
    assert made.office.alerts.channels == ("hook",)
    assert made.registry.knobs("kept").failure_threshold == 1
    assert made.registry.budget("kept").left(0.0) == 10
    assert made.keys.judged("kept") is None
    assert set(made.keys.providers) == {"kept", "fresh"}
    assert made.patrol.active


async def test_a_key_that_was_replaced_was_not_judged_yet() -> None:
    made = built()
    made.keys.tell("kept", False, 401, 1.7e9)
    made.plane.sure["kept"] = 1e12
    assert made.keys.refused("kept")
    adopt(made)
    assert not made.keys.refused("kept")
    assert made.plane.sure == {}, "so that a new one is told of at once"
    adopt(made, FIRST)
    assert made.keys.refused("kept")


async def test_the_breaker_of_a_key_that_was_replaced_goes() -> None:
    made = built()
    refused = Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, message="401", http_status=401)
    for name in ("kept", "gone"):
        key, now = key_of(made.config.providers[name]), made.plane.watch.now()
        for _ in range(5):
            permit = made.registry.admit(name, "m", now, key)
            assert isinstance(permit, Permit)
            permit.settle(Outcome(name, "m", refused, False, 1.0, 0.5, 1.7e9), now)
    assert {one.provider for one in made.registry.unwell()} == {"kept", "gone"}
    adopt(made, FIRST.replace("probes: {enabled: false}", "probes: {enabled: true}"))
    assert {one.provider for one in made.registry.unwell()} == {"kept", "gone"}, "the keys are the same"
    adopt(made)
    assert made.registry.unwell() == []


async def test_windows_get_their_new_length_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    made = built()
    monkeypatch.setattr(turns, "LONGEST", 0.0)
    for number in range(100):
        now = made.plane.watch.now()
        permit = made.registry.admit("kept", f"m-{number}", now)
        assert isinstance(permit, Permit)
        permit.settle(Outcome("kept", f"m-{number}", SUCCESS, False, 1.0, 0.5, 1.7e9), now)
    whole = len(list(made.registry.breakers()))

    def fitted(span: float) -> int:
        return sum(breaker._window.spans(span) for breaker in made.registry.breakers())

    adopt(made, FIRST + "breakers: {window: 50s}\n")
    adopt(made, FIRST + "breakers: {window: 90s}\n")
    seen = [fitted(90.0)]
    while seen[-1] < whole:
        await asyncio.sleep(0)
        seen.append(fitted(90.0))
    assert max(after - before for before, after in pairwise(seen)) <= turns.STEP
    breaker = made.registry.breaker("kept", "m-7")
    assert breaker is not None
    assert breaker.counts(made.plane.watch.now()) == (1, 0)


async def test_whose_key_it_was() -> None:
    made = built()
    before = made.config.providers["kept"]
    adopt(made, FIRST.replace("sk-gone", "sk-other"))
    assert made.plane.has_key(before)
    adopt(made)
    assert not made.plane.has_key(before)
    assert not made.plane.has_key(load_text(FIRST, {}).providers["gone"])
    assert made.plane.has_key(made.config.providers["kept"])


async def test_a_bundle_that_goes_in_the_wrong_moment_is_a_mistake(tmp_path: Path) -> None:
    config = load_text(f"upstream: {{ca_bundle: {tmp_path}/gone.pem}}\n", {})
    with pytest.raises(ConfigError, match="cannot read"):
        prepare(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.assembly.check", lambda *_, **__: ())
        with pytest.raises(ValueError, match="ca_bundle: cannot read"):
            prepare(config)


async def test_connections_to_origins_that_are_gone_end() -> None:
    made = built()
    kept, gone = (made.plane.pools.of(Origin("http", "127.0.0.1", port)) for port in (1, 2))
    adopt(made)
    assert (kept.wanted, gone.wanted) == (True, False)
    made.plane.pools.expire(0.0)
    assert made.plane.pools.of(Origin("http", "127.0.0.1", 1)) is kept
    again = made.plane.pools.of(Origin("http", "127.0.0.1", 2))
    assert again is not gone
    assert not again.wanted, "an exchange that began before may still go there"
    adopt(made, FIRST)
    assert again.wanted


async def test_a_channel_that_cannot_be_is_found_out_before() -> None:
    config = load_text(
        FIRST.replace('webhook, url: "https://o.example/', 'sentry, url: "https://key@o.example/no-number'), {}
    )
    with pytest.raises(ValueError, match=r"alerts\.channels\.old"):
        prepare(config)
