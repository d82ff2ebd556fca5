"""Sums over records: of all, of one provider, and how the providers share them.

They run over the records that lists show, so that a client who adds a list up finds the same numbers here. Whoever
serves requests adds ten thousand of them up in turns.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from breaker.outcome import OTHER_MODEL, Kind
from healthapi.record import Record, Sums
from healthapi.text import clean, mean_milliseconds
from healthapi.views.models import listed
from healthapi.views.sources import Sources


class Sum(Struct, frozen=True, kw_only=True):
    """Sums over some records. The average is in milliseconds, the rate 0-1; both are 0 when there were no calls."""

    total_models: int
    total_calls: int
    total_success: int
    total_errors: int
    average_response_time: float
    success_rate: float


class Stats(Sum, frozen=True, kw_only=True):
    """Sums over all records, and how many providers have any."""

    providers: int


class ProviderSummary(Sum, frozen=True, kw_only=True):
    """Sums over one provider's records. `model_count` says the same as `total_models`, for old clients."""

    provider: str
    model_count: int


class ProviderShare(Struct, frozen=True):
    """How much of the traffic one provider had."""

    provider: str
    model_count: int
    total_calls: int


class Providers(Struct, frozen=True):
    """The providers that have records, busiest first."""

    total_providers: int
    providers: list[ProviderShare]


class Totals:
    """Records that are added up, those of one kind of traffic or of both."""

    def __init__(self, kind: Kind | None) -> None:
        """Begin with none."""
        self._kind = kind
        self._calls: dict[str, int] = {}  # by provider
        self._counts: dict[str, int] = {}
        self._successes = 0
        self._seconds = 0.0

    def add(self, record: Record) -> None:
        """Add one."""
        name = record.provider
        self._counts[name] = self._counts.get(name, 0) + 1
        calls = 0
        for tally in record.tallies(self._kind):
            calls += sum(tally.counts)
            self._successes += tally.counts[0]
            self._seconds += tally.seconds
        self._calls[name] = self._calls.get(name, 0) + calls

    @property
    def models(self) -> int:
        """How many there are."""
        return sum(self._counts.values())

    def stats(self) -> Stats:
        """All together."""
        return Stats(**self._sums(), providers=len(self._counts))

    def summary(self, provider: str) -> ProviderSummary:
        """The same of the one provider whose records were added."""
        return ProviderSummary(**self._sums(), provider=clean(provider), model_count=self.models)

    def providers(self) -> Providers:
        """Each provider's share."""
        busiest_first = sorted(self._calls, key=self._calls.__getitem__, reverse=True)
        shares = [ProviderShare(clean(name), self._counts[name], self._calls[name]) for name in busiest_first]
        return Providers(len(shares), shares)

    def _sums(self) -> dict[str, Any]:
        sums = Sums(sum(self._calls.values()), self._successes, self._seconds)
        return {
            "total_models": self.models,
            "total_calls": sums.calls,
            "total_success": sums.successes,
            "total_errors": sums.calls - sums.successes,
            "average_response_time": mean_milliseconds(sums) or 0.0,
            "success_rate": sums.successes / sums.calls if sums.calls else 0.0,
        }


def begun(sources: Sources, provider: str | None, kind: Kind | None) -> tuple[Totals, list[Record]]:
    """Totals, and the records that are still to be added to them, in turns if need be.

    What takes over the counts of forgotten targets is in them: one that is forgotten meanwhile counts where it was.
    """
    totals, rest = Totals(kind), []
    for record in listed(sources, provider, kind):
        if record.model == OTHER_MODEL:
            totals.add(record)
        else:
            rest.append(record)
    return totals, rest


def stats(sources: Sources, kind: Kind | None = None) -> Stats:
    """Sums over all records."""
    return _totals(sources, None, kind).stats()


def provider_summary(sources: Sources, provider: str, kind: Kind | None = None) -> ProviderSummary | None:
    """Sums over the records of one provider (name or alias), None when it has none."""
    totals = _totals(sources, provider, kind)
    return totals.summary(sources.canonical(provider)) if totals.models else None


def providers(sources: Sources, kind: Kind | None = None) -> Providers:
    """Each provider's share of the traffic."""
    return _totals(sources, None, kind).providers()


def _totals(sources: Sources, provider: str | None, kind: Kind | None) -> Totals:
    totals, records = begun(sources, provider, kind)
    for record in records:
        totals.add(record)
    return totals
