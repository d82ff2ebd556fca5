"""A process that takes over one configuration after the other, and what each of them leaves behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from breaker.outcome import SUCCESS, Answer, Blame, Outcome, Status, Verdict
from breaker.permit import Permit
from config.load import load_text
from config.reloads import Reloads
from proxy.assembly import Assembly, prepare
from proxy.credentials import key_of
from proxy.office import Office
from tests.e2e.authority import Authority

RELOADS = 100
FEW = 3
"""Objects of one kind by which two looks may differ: a cache that was filled, a timer that is due."""

REFUSED = Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, message="401", http_status=401)
DOWN = Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused")


def text(number: int, bundle: Path) -> str:
    """One configuration of many: nearly everything in it is another than in the one before."""
    name, key = f"lab{number % 3}", f"sk-{number % 5}"
    return f"""
store: 'memory:'
log: {{access: {str(number % 2 == 0).lower()}}}
probes: {{enabled: {str(number % 3 == 0).lower()}}}
limits: {{tracked_targets: {50 + number % 2}, replay: {1 + number % 3}MiB}}
breakers: {{failure_threshold: 2, window: {60 + number % 4}s}}
providers:
  kept: {{base_url: "http://127.0.0.1:1/v1", api_key: {key}}}
  {name}: {{base_url: "https://127.0.0.1:{2 + number % 3}/v1", api_key: {key}, ca_bundle: {bundle}}}
models:
  m: {{targets: [kept/m, {name}/m]}}
alerts:
  channels: {{hook{number % 2}: {{type: webhook, url: "https://hooks.example/{number % 7}"}}}}
"""


def traffic(made: Assembly) -> None:
    """Every provider answers once, then refuses its key and is gone."""
    now = made.plane.watch.now()
    for name, provider in made.config.providers.items():
        for verdict in (SUCCESS, REFUSED, REFUSED, DOWN, DOWN, DOWN):
            permit = made.registry.admit(name, "m", now, key_of(provider), force=True)
            assert isinstance(permit, Permit)
            made.recorder.attempt(permit.settle(Outcome(name, "m", verdict, False, 1.0, 0.5, 1.7e9), now))
        made.recorder.answer(Answer("i", "POST", name, "m", "chat", 200, "success", False, 1, 0.1, 0.1, 1, 1, 1.7e9))
        made.keys.tell(name, False, 401, 1.7e9)
        made.plane.pools.of(provider.origin)
        made.metrics.rerouted("kept", "m", name, "m", "open")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Of what is logged, everything is kept while a test runs."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def kinds() -> Counter[str]:
    """How many objects there are, but for timers that were called off: the loop clears them up by itself, later."""
    gc.collect()
    found = Counter(type(one).__qualname__ for one in gc.get_objects())
    del found["TimerHandle"], found["Context"]
    return found


async def test_a_hundred_configurations_leave_nothing_behind(tmp_path: Path) -> None:
    bundles = [Authority(tmp_path, name).file for name in ("one", "two")]
    made = Assembly(load_text(text(0, bundles[0]), {}), asyncio.get_running_loop(), instance="abc")
    made.office = Office(made, version="1", listeners=lambda: {"proxy": True}, reloads=Reloads())
    made.patrol.start()
    made.certificates.start()
    seen = []
    for number in range(1, 2 * RELOADS + 1):
        traffic(made)
        made.store.take()
        made.store.take_gone()
        made.adopt(prepare(load_text(text(number, bundles[number % 2]), {})))
        made.plane.pools.expire(0.0)
        await asyncio.sleep(0)
        if number % RELOADS == 0:
            tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
            seen.append((tasks, threading.active_count(), files, kinds()))
    (*before, less), (*after, more) = seen
    await made.patrol.stop()
    made.certificates.stop()
    # A thread that reads certificates may be at work, or at rest, at either moment.
    assert all(last <= first + FEW for first, last in zip(before, after, strict=True)), (before, after)
    grown = {kind: (less[kind], count) for kind, count in more.items() if count > less[kind] + FEW}
    assert grown == {}
    assert {one.provider for one in made.registry.breakers()} <= made.config.providers.keys() | {"lab0", "lab1", "lab2"}
    assert len(made.certificates.states) == 1
    assert made.office.alerts.channels == (f"hook{2 * RELOADS % 2}",)
