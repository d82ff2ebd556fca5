"""Sums over records: of all, of one provider, and how the providers share them.

They run over the records that lists show, so that a client who adds a list up finds the same numbers here.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import asdict

from breaker.outcome import Kind
from healthapi.record import Record, Sums
from healthapi.views.models import listed
from healthapi.views.sources import Sources
from healthapi.views.text import clean, mean_milliseconds


class Totals(Struct, frozen=True, kw_only=True):
    """Sums over some records. The average is in milliseconds, the rate 0-1; both are 0 when there were no calls."""

    total_models: int
    total_calls: int
    total_success: int
    total_errors: int
    average_response_time: float
    success_rate: float


class Stats(Totals, frozen=True, kw_only=True):
    """Sums over all records, and how many providers have any."""

    providers: int


class ProviderSummary(Totals, frozen=True, kw_only=True):
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


def stats(sources: Sources, kind: Kind | None = None) -> Stats:
    """Sums over all records."""
    records = listed(sources, kind=kind)
    return Stats(**asdict(_totals(records, kind)), providers=len({record.provider for record in records}))


def provider_summary(sources: Sources, provider: str, kind: Kind | None = None) -> ProviderSummary | None:
    """Sums over the records of one provider (name or alias), None when it has none."""
    records = listed(sources, provider, kind)
    if not records:
        return None
    totals = _totals(records, kind)
    return ProviderSummary(
        **asdict(totals), provider=clean(sources.canonical(provider)), model_count=totals.total_models
    )


def providers(sources: Sources, kind: Kind | None = None) -> Providers:
    """Each provider's share; of equally busy ones the one first seen first."""
    models: dict[str, int] = {}
    calls: dict[str, int] = {}
    for record in listed(sources, kind=kind):
        models[record.provider] = models.get(record.provider, 0) + 1
        calls[record.provider] = calls.get(record.provider, 0) + record.sums(kind).calls
    busiest_first = sorted(calls, key=calls.__getitem__, reverse=True)
    shares = [ProviderShare(clean(name), models[name], calls[name]) for name in busiest_first]
    return Providers(len(shares), shares)


def _totals(records: list[Record], kind: Kind | None) -> Totals:
    sums = sum((record.sums(kind) for record in records), Sums())
    return Totals(
        total_models=len(records),
        total_calls=sums.calls,
        total_success=sums.successes,
        total_errors=sums.calls - sums.successes,
        average_response_time=mean_milliseconds(sums) or 0.0,
        success_rate=sums.successes / sums.calls if sums.calls else 0.0,
    )
