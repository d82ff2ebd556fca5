"""How providers do against their objectives, for Prometheus: found out once a minute, told whenever it is asked for.

What is past of 30 days hardly changes: it is read once in a while, and between that the last hours alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct, field
from prometheus_client.core import GaugeMetricFamily, Metric

from config.effective import Config, Provider
from healthapi.cell import ALL_MODELS, Sparse, add
from healthapi.keeper import Keeper
from healthapi.status import percentage
from healthapi.store import Scope, StoreError
from healthapi.turns import turns
from healthapi.views.history import quantile
from healthapi.views.sla import Period, burn_rates, by_hour, by_minute, error_budget, judged

TICK: Final = 5.0
"""Seconds between two looks at whose figures are due."""

EVERY: Final = 60.0
"""Seconds between two times that a provider's figures are made."""

WHOLE: Final = 6 * 3600.0
"""Seconds between two times that all 30 days are read: sidecars that were cut off may tell late of what was."""

LATE: Final = 2
"""Hours that are read anew each time, beside those since the last time that it could be done."""

WINDOWS: Final = ("1h", "24h", "30d")
"""What availability and p95 are told of: the last hour, the last day, and the 30 days (UTC) of the error budget."""

_DAY: Final = 24
_Latencies = dict[int, Sparse]
"""Response times by bucket of history."""


class Standing(Struct, frozen=True):
    """How a provider stands: `availability` (0-100), `p95` (seconds), `burns` by window; None: nothing was seen."""

    availability: Mapping[str, float | None]
    p95: Mapping[str, float | None]
    budget_left: float | None
    burns: Mapping[str, float | None]


class _Page(Struct):
    """What is known of a provider: successes and failures by hour of 30 days. Times are Unix times, hours counted so.

    `first` is the first hour of the 30 days, `last` the last one that was read. `recent` are the response times of the
    last day and since `read_at`, when all of it was read; `older` those of the hours before.
    """

    hours: dict[int, tuple[int, int]] = field(default_factory=dict)
    recent: _Latencies = field(default_factory=dict)
    older: Sparse = field(default_factory=dict)
    first: int = 0
    last: int = 0
    read_at: float | None = None
    made_at: float | None = None

    def take(self, found: _Read, hours: Period, first: int) -> None:
        """Take in what was read from the hour `first` on, in place of what was known of that."""
        self.hours = {hour: sums for hour, sums in self.hours.items() if hours.first <= hour < first} | found.sums
        self.recent = {hour: sparse for hour, sparse in self.recent.items() if hour < first} | found.response
        if first <= hours.first:  # all of it
            self.older = _merged(sparse for hour, sparse in self.recent.items() if hour <= hours.last - _DAY)
            self.recent = {hour: sparse for hour, sparse in self.recent.items() if hour > hours.last - _DAY}
        self.first, self.last = hours.first, hours.last

    def day(self) -> tuple[tuple[int, int], Sparse]:
        """Successes and failures, and the response times, of the last 24 hours."""
        since = self.last - _DAY
        seen = _sum(sums for hour, sums in self.hours.items() if hour > since)
        return seen, _merged(sparse for hour, sparse in self.recent.items() if hour > since)

    def whole(self) -> tuple[tuple[int, int], Sparse]:
        """The same of the 30 days."""
        return _sum(self.hours.values()), _merged([self.older, *self.recent.values()])


class _Read(Struct):
    """What history holds, by bucket."""

    sums: dict[int, tuple[int, int]] = field(default_factory=dict)
    response: _Latencies = field(default_factory=dict)


class SlaBook:
    """The figures of all configured providers. `now` is Unix time in seconds."""

    def __init__(self, config: Config, keeper: Keeper, now: Callable[[], float]) -> None:
        """Know nothing yet."""
        self._config = config
        self._keeper = keeper
        self._now = now
        self._pages: dict[str, _Page] = {}
        self._told: dict[str, Standing] = {}

    def adopt(self, config: Config) -> None:
        """Go on with the providers and objectives of another configuration."""
        self._config = config
        for name in self._pages.keys() - config.providers.keys():
            del self._pages[name]
            self._told.pop(name, None)
        for page in self._pages.values():
            page.made_at = None

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
        whole = page.read_at is None or not 0 <= now - page.read_at < WHOLE or page.first != hours.first
        first = hours.first if whole else max(hours.first, min(hours.last, page.last) - LATE + 1)
        page.take(await self._read(provider.name, Period(hours.width, first, hours.last)), hours, first)
        if whole:
            page.read_at = now
        minutes = await self._read(provider.name, by_minute(now)) if page.hours else _Read()
        if not page.hours or provider.name not in self._config.providers:
            self._told.pop(provider.name, None)
            return
        hour = _sum(minutes.sums.values()), _merged(minutes.response.values())
        seen = dict(zip(WINDOWS, (hour, page.day(), page.whole()), strict=True))
        (good, bad), _ = seen[WINDOWS[-1]]
        self._told[provider.name] = Standing(
            availability={window: percentage(sums[0], sum(sums)) for window, (sums, _) in seen.items()},
            p95={window: quantile(response, 0.95) for window, (_, response) in seen.items()},
            budget_left=error_budget(good, bad, provider.sla).left_percentage,
            burns=burn_rates(page.hours, hour[0], provider.sla, now),
        )

    async def _read(self, provider: str, period: Period) -> _Read:
        """What history holds of a period, both kinds of traffic together."""
        cells = await self._keeper.cells(Scope.FLEET, provider, ALL_MODELS, period.width, period.first, period.last)
        found = _Read()
        async for bucket, _, cell in turns(cells):
            found.sums[bucket] = judged(found.sums.get(bucket, (0, 0)), cell)
            add(found.response.setdefault(bucket, {}), cell.response)
        return found


def families(told: Mapping[str, Standing]) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    availability = GaugeMetricFamily(
        "detour_sla_availability", "Availability in a while, 0 to 100.", labels=("provider", "window")
    )
    p95 = GaugeMetricFamily(
        "detour_sla_p95_seconds", "Response time that 95 % stayed within.", labels=("provider", "window")
    )
    left = GaugeMetricFamily(
        "detour_sla_error_budget_left", "What is left of the error budget of 30 days, in percent.", labels=("provider",)
    )
    burns = GaugeMetricFamily(
        "detour_sla_burn_rate", "How many times faster than allowed the budget is spent.", labels=("provider", "window")
    )
    for name, standing in told.items():
        for family, by_window in ((availability, standing.availability), (p95, standing.p95), (burns, standing.burns)):
            for window, value in by_window.items():
                if value is not None:
                    family.add_metric((name, window), value)
        if standing.budget_left is not None:
            left.add_metric((name,), standing.budget_left)
    yield availability
    yield p95
    yield left
    yield burns


def _sum(sums: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Successes and failures together."""
    good = bad = 0
    for one in sums:
        good, bad = good + one[0], bad + one[1]
    return good, bad


def _merged(histograms: Iterable[Sparse]) -> Sparse:
    """Histograms added up."""
    whole: Sparse = {}
    for histogram in histograms:
        add(whole, histogram)
    return whole
