"""Who is well at one moment: every target judged once, and the providers by their targets.

Ten thousand targets take some hundred milliseconds, so that whoever serves requests on the same loop makes a survey in
turns (`surveyed`). Records go on changing meanwhile; what documents need of one is copied when it is judged.

The pseudo models are no models: they are counted with their provider's traffic and never among its models. `NO_MODEL`
(requests judged at provider scope) decides a provider's status where no model of it is known; `OTHER_MODEL` never
does, since anybody can make up names that end there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from heapq import merge
from typing import Final, Self

from msgspec import Struct, field

from breaker.breaker import Breaker
from breaker.outcome import NO_MODEL, OTHER_MODEL
from healthapi.history import DAY, NOTHING, Counts
from healthapi.record import Record, Sums
from healthapi.status import Availability, Health, provider_status, target_status
from healthapi.turns import turns
from healthapi.views.sources import Sources, blocks

_PSEUDO: Final = (NO_MODEL, OTHER_MODEL)

RUN: Final = 250
"""Targets sorted among themselves on the way."""


class Excerpt(Struct, frozen=True, gc=False):
    """What documents need of a record, as it was when its target was judged. Times are Unix times or seconds.

    `last_error` is None after a success, `updated_at` is when the last attempt ended.
    """

    provider: str
    model: str
    updated_at: float
    last_response_time: float
    last_error: str | None
    last_success_at: float | None
    last_failure_at: float | None
    consecutive_failures: int

    @classmethod
    def of(cls, record: Record) -> Self:
        """What a record says now."""
        last = record.last
        return cls(
            record.provider,
            record.model,
            record.updated_at,
            last.last_response_time,
            last.last_error,
            record.last_success_at,
            record.last_failure_at,
            record.consecutive_failures,
        )


class TargetState(Struct, frozen=True, gc=False):
    """One target, judged. `sums` are of all time, `seen` is what the last 24 hours held.

    A model that its provider does not offer any more is `delisted`: nothing is known of it, and it counts in no
    percentage.
    """

    record: Excerpt
    status: Health
    sums: Sums
    seen: Counts
    breaker: Breaker | None
    delisted: bool = False


class ProviderState(Struct):
    """One provider with all its traffic. `sums` are of all time, `seen` is of the last 24 hours.

    `error` is what its latest failed record says, None when no record's last attempt failed. `breaker` is its own.
    """

    name: str
    configured: bool
    breaker: Breaker | None = None
    models: list[Health] = field(default_factory=list)
    scope: Health = Health.UNKNOWN
    sums: Sums = Sums()
    seen: Counts = NOTHING
    last_called_at: float | None = None
    error: str | None = None
    error_at: float | None = None
    refused: str | None = None
    """What the provider thinks of the key configured for it, None where it never refused it."""

    @property
    def status(self) -> Availability:
        """Its status by its breaker and models, or by its requests without one where no model is known."""
        status = provider_status(self.models, breaker_open=blocks(self.breaker))
        return provider_status([self.scope]) if status is Availability.UNKNOWN else status

    def add(self, target: TargetState) -> None:
        """Count one target in, a pseudo model's too."""
        record = target.record
        if record.model == NO_MODEL:
            self.scope = target.status
        elif record.model != OTHER_MODEL:
            self.models.append(target.status)
        self.sums += target.sums
        if not target.delisted:
            self.seen += target.seen
        self.last_called_at = max(self.last_called_at or 0.0, record.updated_at)
        if record.last_error is not None and record.updated_at >= (self.error_at or 0.0):
            self.error, self.error_at = record.last_error, record.updated_at


class Survey(Struct, frozen=True):
    """All targets, the last called first, without pseudo models; all providers with records by name.

    `total_models` counts the configured targets without a record too, `counts` the others by how they are.
    """

    targets: list[TargetState]
    providers: dict[str, ProviderState]
    total_models: int
    counts: dict[Health, int]


class _Making:
    """A survey that is being made."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._targets: list[TargetState] = []
        self._providers: dict[str, ProviderState] = {}
        self._configured = sources.config.targets
        self._without = len(self._configured)  # of the configured targets so many have no record
        self._runs: list[list[tuple[float, int]]] = [[]]  # when targets were called and their places, in sorted runs
        self._counts = dict.fromkeys(Health, 0)

    def add(self, record: Record) -> None:
        """Judge a target."""
        target = _judged(self._sources, record)
        provider = self._providers.get(record.provider)
        if provider is None:
            provider = self._providers[record.provider] = unrecorded(self._sources, record.provider)
        provider.add(target)
        if record.model not in _PSEUDO:
            self._runs[-1].append((-record.updated_at, len(self._targets)))
            self._targets.append(target)
            self._counts[target.status] += 1
            self._without -= (record.provider, record.model) in self._configured
            if len(self._runs[-1]) == RUN:
                self._runs[-1].sort()
                self._runs.append([])

    def places(self) -> Iterator[int]:
        """Where the targets are, the last called first; of equal ones the first seen first."""
        self._runs[-1].sort()
        return (place for _, place in merge(*self._runs))

    def done(self, places: list[int]) -> Survey:
        """What came of it, in this order."""
        targets = list(map(self._targets.__getitem__, places))
        return Survey(targets, self._providers, len(targets) + self._without, self._counts)


def survey(sources: Sources) -> Survey:
    """Judge every target that has a record."""
    making = _Making(sources)
    for record in sources.store.records():
        making.add(record)
    return making.done(list(making.places()))


async def surveyed(sources: Sources) -> Survey:
    """Judge every target that has a record, with turns for others in between."""
    making = _Making(sources)
    async for record in turns(list(sources.store.records())):
        making.add(record)
    places = [place async for place in turns(making.places())]
    await asyncio.sleep(0)
    found = making.done(places)
    del making, places
    await asyncio.sleep(0)
    return found


def unrecorded(sources: Sources, provider: str) -> ProviderState:
    """A provider without any traffic."""
    state = ProviderState(provider, sources.configured(provider), sources.registry.breaker(provider))
    state.refused = sources.refusal(provider)
    return state


def _judged(sources: Sources, record: Record) -> TargetState:
    def seen(span: float) -> Counts:
        return record.seen(span, sources.now)

    interval = sources.interval(record.provider, record.model)
    breaker = sources.registry.breaker(record.provider, record.model)
    delisted = sources.delisted(record)
    status = Health.UNKNOWN if delisted else target_status(seen, interval, breaker_open=blocks(breaker))
    return TargetState(Excerpt.of(record), status, record.sums(), seen(DAY), breaker, delisted)
