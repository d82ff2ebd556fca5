"""The document of `/v1/model-health/provider/{provider}/sla`: a provider against its objective.

Availability is the share of successes among the attempts that say something about the provider, as everywhere where
its health is judged: a caller's refused key or a 429 is nobody's outage. The error budget is what the objective allows
to fail; a burn rate of 1 spends exactly that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from breaker.outcome import Kind
from config.settings import Sla
from healthapi.cell import Cell, empty
from healthapi.history import DAY, HOUR, MINUTE
from healthapi.status import percentage
from healthapi.text import clean, iso, milliseconds
from healthapi.views.history import quantile

HOURS: Final = 24
"""Most hours that are listed, the running one among them."""

DAYS: Final = 30
"""Days (UTC), today among them, of which the error budget is; and the most that are listed."""

BURNS: Final = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "3d": 3 * DAY}
"""The periods of burn rates, in seconds: the first by the minute, the others by the hour."""

_PER_DAY: Final = DAY // HOUR


class Objective(Struct, frozen=True):
    """What is expected: `availability` in percent, `p95_ms` of response times."""

    availability: float
    p95_ms: float


class SlaFigures(Struct, frozen=True, kw_only=True):
    """What was seen in a while; all but the counts is null when nothing was. `met` is whether both objectives were.

    `calls` are all counted attempts, `failures` those that were the provider's or a model's doing; `availability` is
    0-100, null too when no attempt said anything about the provider.
    """

    calls: int
    failures: int
    availability: float | None
    p95_ms: float | None
    p95_first_byte_ms: float | None
    met: bool | None


class SlaWindow(SlaFigures, frozen=True):
    """One hour or day, which began `at`."""

    at: str


class ErrorBudget(Struct, frozen=True):
    """Of the 30 days: how many failures were allowed and how many there were.

    `left_percentage` is null when nothing was seen, and below 0 when more was spent than there was.
    """

    allowed_failures: float
    used_failures: int
    left_percentage: float | None


class ProviderSla(Struct, frozen=True, kw_only=True):
    """A provider against its objective, `from` the first of 30 days (UTC) up `to` now.

    `hours` and `days` begin with the oldest; the last ones are still being counted. `burn_rates` are by period, null
    where nothing was seen.
    """

    provider: str
    objective: Objective
    kind: str | None
    from_: str = field(name="from")
    to: str
    last_30_days: SlaFigures
    error_budget: ErrorBudget
    burn_rates: dict[str, float | None]
    hours: list[SlaWindow]
    days: list[SlaWindow]


class Shown(Struct, frozen=True):
    """How many hours and days are listed, the latest ones."""

    hours: int = HOURS
    days: int = DAYS


class Period(Struct, frozen=True):
    """Buckets of history (Unix time // `width` in seconds) from `first` to `last`."""

    width: int
    first: int
    last: int


def by_hour(now: float) -> Period:
    """The hours that everything but the first burn rate needs."""
    return Period(HOUR, (int(now // DAY) - DAYS + 1) * _PER_DAY, int(now // HOUR))


def by_minute(now: float) -> Period:
    """The minutes that the first burn rate needs."""
    return Period(MINUTE, int((now - HOUR) // MINUTE), int(now // MINUTE))


class Found(Struct):
    """What history holds of a provider, added up."""

    hours: dict[int, Cell] = field(default_factory=dict)
    days: dict[int, Cell] = field(default_factory=dict)
    whole: Cell = field(default_factory=empty)
    by_hour: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Successes and failures by hour, for burn rates."""
    recent: tuple[int, int] = (0, 0)
    """The same of the last hour, by minutes."""

    def hour(self, bucket: int, cell: Cell, now: float) -> None:
        """Count the cell of an hour in; it is not changed."""
        self.whole.merge(cell)
        self.days.setdefault(bucket // _PER_DAY, empty()).merge(cell)
        if bucket > int(now // HOUR) - HOURS:
            self.hours.setdefault(bucket, empty()).merge(cell)
        self.by_hour[bucket] = judged(self.by_hour.get(bucket, (0, 0)), cell)

    def minute(self, cell: Cell) -> None:
        """Count the cell of a minute of the last hour in."""
        self.recent = judged(self.recent, cell)


def provider_sla(
    provider: str, objective: Sla, kind: Kind | None, found: Found, now: float, shown: Shown | None = None
) -> ProviderSla:
    """The document; `provider` is the name its records are kept under."""
    hour, day, nothing = int(now // HOUR), int(now // DAY), empty()
    whole, shown = found.whole, shown or Shown()
    return ProviderSla(
        provider=clean(provider),
        objective=Objective(objective.availability, milliseconds(objective.p95)),
        kind=kind,
        from_=iso((day - DAYS + 1) * DAY),
        to=iso(now),
        last_30_days=SlaFigures(**_figures(whole, objective)),
        error_budget=error_budget(whole.counts[0], whole.blamed, objective),
        burn_rates=burn_rates(found.by_hour, found.recent, objective, now),
        hours=[
            SlaWindow(iso(at * HOUR), **_figures(found.hours.get(at, nothing), objective))
            for at in range(hour - shown.hours + 1, hour + 1)
        ],
        days=[
            SlaWindow(iso(at * DAY), **_figures(found.days.get(at, nothing), objective))
            for at in range(day - shown.days + 1, day + 1)
        ],
    )


def allowed_rate(objective: Sla) -> float:
    """The share of attempts (0-1) that may fail; never 0."""
    return round(100.0 - objective.availability, 9) / 100.0


def error_budget(good: int, bad: int, objective: Sla) -> ErrorBudget:
    """What so many failures beside so many successes leave of what is allowed."""
    allowed = round((good + bad) * allowed_rate(objective), 9)
    return ErrorBudget(allowed, bad, 100.0 * (1.0 - bad / allowed) if allowed else None)


def burn_rate(good: int, bad: int, objective: Sla) -> float | None:
    """The share of failures relative to what is allowed; None when nothing was seen."""
    return bad / (good + bad) / allowed_rate(objective) if good + bad else None


def burn_rates(
    hours: Mapping[int, tuple[int, int]], recent: tuple[int, int], objective: Sla, now: float
) -> dict[str, float | None]:
    """Burn rates by period, from successes and failures by hour and of the last hour.

    Periods are of whole buckets: all of the period and at most one bucket more.
    """
    rates: dict[str, float | None] = {}
    for name, span in BURNS.items():
        good, bad = recent
        if span > HOUR:
            wanted = range(int((now - span) // HOUR), int(now // HOUR) + 1)
            seen = [hours[bucket] for bucket in wanted if bucket in hours]
            good, bad = sum(one[0] for one in seen), sum(one[1] for one in seen)
        rates[name] = burn_rate(good, bad, objective)
    return rates


def judged(sums: tuple[int, int], cell: Cell) -> tuple[int, int]:
    """Successes and failures, with those of one more cell."""
    return sums[0] + cell.counts[0], sums[1] + cell.blamed


def _figures(cell: Cell, objective: Sla) -> dict[str, Any]:
    good, bad = cell.counts[0], cell.blamed
    p95 = quantile(cell.response, 0.95)
    met = None
    if good + bad and p95 is not None:
        met = bad <= error_budget(good, bad, objective).allowed_failures and p95 <= objective.p95
    return {
        "calls": cell.calls,
        "failures": bad,
        "availability": percentage(good, good + bad),
        "p95_ms": milliseconds(p95),
        "p95_first_byte_ms": milliseconds(quantile(cell.first_byte, 0.95)),
        "met": met,
    }
