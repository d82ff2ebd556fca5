"""How providers do against their objectives, for Prometheus: found out once a minute, told whenever it is asked for.

What is past of 30 days hardly changes: it is read once in a while, and between that the last two hours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field
from prometheus_client.core import GaugeMetricFamily, Metric

from config.effective import Config, Provider
from healthapi.cell import ALL_MODELS
from healthapi.keeper import Keeper
from healthapi.store import Scope, StoreError
from healthapi.turns import turns
from healthapi.views.sla import Period, burn_rates, by_hour, by_minute, error_budget, judged

TICK: Final = 5.0
"""Seconds between two looks at whose figures are due."""

EVERY: Final = 60.0
"""Seconds between two times that a provider's figures are made."""

WHOLE: Final = 6 * 3600.0
"""Seconds between two times that all 30 days are read: sidecars that were cut off may tell late of what was."""

LATE: Final = 2
"""Hours that are read anew each time."""


class Standing(Struct, frozen=True):
    """How a provider stands: both 0-100, or null as in its document."""

    availability: float | None
    budget_left: float | None
    burns: Mapping[str, float | None]


class _Page(Struct):
    """What is known of a provider: successes and failures by hour. Times are Unix times."""

    hours: dict[int, tuple[int, int]] = field(default_factory=dict)
    read_at: float | None = None
    made_at: float | None = None


class SlaBook:
    """The figures of all configured providers. `now` is Unix time in seconds."""

    def __init__(self, config: Config, keeper: Keeper, now: Callable[[], float]) -> None:
        """Know nothing yet."""
        self._config = config
        self._keeper = keeper
        self._now = now
        self._pages: dict[str, _Page] = {}
        self._told: dict[str, Standing] = {}

    @property
    def told(self) -> Mapping[str, Standing]:
        """The latest figures by provider, of those that were called in 30 days."""
        return self._told

    async def refresh(self) -> None:
        """Make the figures that are due anew. What cannot be had now stays what it was; the store's trouble is told."""
        for name, provider in self._config.providers.items():
            page = self._pages.setdefault(name, _Page())
            now = self._now()
            if page.made_at is not None and 0 <= now - page.made_at < EVERY:
                continue
            page.made_at = now
            try:
                await self._make(provider, page, now)
            except StoreError:
                continue

    async def _make(self, provider: Provider, page: _Page, now: float) -> None:
        hours = by_hour(now)
        whole = page.read_at is None or not 0 <= now - page.read_at < WHOLE
        first = hours.first if whole else max(hours.first, hours.last - LATE + 1)
        fresh = await self._read(provider.name, Period(hours.width, first, hours.last))
        kept = {} if whole else page.hours
        page.hours = {hour: sums for hour, sums in kept.items() if hours.first <= hour < first} | fresh
        if whole:
            page.read_at = now
        if not page.hours:
            self._told.pop(provider.name, None)
            return
        minutes = await self._read(provider.name, by_minute(now))
        good, bad = _sum(page.hours)
        budget = error_budget(good, bad, provider.sla)
        self._told[provider.name] = Standing(
            availability=100.0 * good / (good + bad) if good + bad else None,
            budget_left=budget.left_percentage,
            burns=burn_rates(page.hours, _sum(minutes), provider.sla, now),
        )

    async def _read(self, provider: str, period: Period) -> dict[int, tuple[int, int]]:
        """Successes and failures by bucket."""
        cells = await self._keeper.cells(Scope.FLEET, provider, ALL_MODELS, period.width, period.first, period.last)
        found: dict[int, tuple[int, int]] = {}
        async for bucket, _, cell in turns(cells):
            found[bucket] = judged(found.get(bucket, (0, 0)), cell)
        return found


def families(told: Mapping[str, Standing]) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    availability = GaugeMetricFamily(
        "detour_sla_availability", "Availability of 30 days, 0 to 100.", labels=("provider",)
    )
    left = GaugeMetricFamily(
        "detour_sla_error_budget_left", "What is left of the error budget of 30 days, in percent.", labels=("provider",)
    )
    burns = GaugeMetricFamily(
        "detour_sla_burn_rate", "How many times faster than allowed the budget is spent.", labels=("provider", "window")
    )
    for name, standing in told.items():
        if standing.availability is not None:
            availability.add_metric((name,), standing.availability)
        if standing.budget_left is not None:
            left.add_metric((name,), standing.budget_left)
        for window, rate in standing.burns.items():
            if rate is not None:
                burns.add_metric((name, window), rate)
    yield availability
    yield left
    yield burns


def _sum(buckets: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    return sum(good for good, _ in buckets.values()), sum(bad for _, bad in buckets.values())
