"""A keeper as the process has it, with targets that can be touched at will: what flushes are measured on."""

from __future__ import annotations

import gc
import random
import time
from pathlib import Path
from typing import Final

from breaker.outcome import SUCCESS, Blame, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from config.settings import Redis
from config.storeurl import StoreKind, StoreUrl
from healthapi.archive import Archive
from healthapi.fleet.fleet import Fleet
from healthapi.keeper import Clock, Keeper
from healthapi.memory import MemoryStore

FLEET: Final = "bench"
PROVIDERS: Final = 10
"""The targets are theirs in turn."""

ATTEMPTS: Final = 3
"""At a target, each time that it is touched."""

FAILING: Final = 0.02
"""Share of the attempts that fail."""

TYPICAL: Final = 0.8
SPREAD: Final = 0.5
"""Median response time in seconds, and the standard deviation of its logarithm."""

NEVER: Final = 86400.0
"""Seconds between flushes by itself: they are made when they are wanted."""

_FAILED: Final = Verdict(Status.ERROR, Blame.TARGET, message="503 overloaded: try again later", http_status=503)


class Kept:
    """Store, registry and keeper, wired as in the process, and so many targets."""

    def __init__(self, url: str, targets: int, instance: str) -> None:
        """Keep in `url`; to be made inside a running loop, as one of its fleet's sidecars."""
        address = StoreUrl.parse(url)
        clock = Clock()
        self.targets = [(f"provider-{i % PROVIDERS}", f"vendor/model-{i}") for i in range(targets)]
        self._random = random.Random(instance)
        self._store = MemoryStore()
        self._registry = Registry(tracked=targets, configured=self.targets, on_transition=self._moved)
        fleet = None
        if address.kind is not StoreKind.SQLITE:
            fleet = Fleet(address, Redis(fleet=FLEET), self._registry, instance, clock.now, clock.wall)
        path = address.path if address.kind is StoreKind.SQLITE else ":memory:"
        self.keeper = Keeper(self._store, self._registry, Archive(path), fleet, clock, NEVER)

    def touch(self, attempts: int = ATTEMPTS, at: float | None = None) -> None:
        """Make attempts at every target, that ended at the Unix time `at` or, when it is None, now."""
        now = time.monotonic()
        for provider, model in self.targets:
            for _ in range(attempts):
                took = self._random.lognormvariate(0, SPREAD) * TYPICAL
                verdict = _FAILED if self._random.random() < FAILING else SUCCESS
                outcome = Outcome(provider, model, verdict, True, took, took / 3, time.time() if at is None else at)
                permit = self._registry.admit(provider, model, now)
                if isinstance(permit, Permit):
                    outcome = permit.settle(outcome, now)
                self._store.add(outcome)

    def _moved(self, transition: object) -> None:
        """Breakers that happen to open are no part of what is measured."""


def quiet_collector() -> None:
    """Have the garbage collector look as rarely as it does in the process."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def written() -> int:
    """Bytes that this process wrote so far, to files and sockets."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text(encoding="utf-8").splitlines())
    return int(fields["wchar"])
