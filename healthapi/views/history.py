"""The document of `/v1/model-health/history`: what was counted when, by the minute or by the hour."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, field

from breaker.latency import SIZE
from breaker.outcome import Kind
from healthapi.cell import STATUSES, Cell, Sparse, dense, empty
from healthapi.history import DAY, HOUR, MINUTE
from healthapi.status import percentage
from healthapi.text import clean, iso, milliseconds


class Window(Struct, frozen=True):
    """How far back one can look, and in which steps; in seconds."""

    span: int
    width: int

    def buckets(self, now: float) -> range:
        """The buckets (Unix time // width) that a look back from `now` needs: all of the span, the running one last."""
        return range(int((now - self.span) // self.width), int(now // self.width) + 1)


WINDOWS: Final = {
    "1h": Window(HOUR, MINUTE),
    "24h": Window(DAY, MINUTE),
    "7d": Window(7 * DAY, HOUR),
    "30d": Window(30 * DAY, HOUR),
}
"""By what a caller asks for."""

DEFAULT: Final = "24h"

_VALUES: Final = tuple(dense({bucket: 1}).quantile(1) for bucket in range(SIZE))
"""What each bucket of `breaker.latency` is answered by, in seconds."""


class Figures(Struct, frozen=True, kw_only=True):
    """What attempts add up to, by status. The rate is 0-1, times are milliseconds; null when nothing was seen."""

    calls: int
    success: int
    error: int
    timeout: int
    rate_limited: int
    network_error: int
    error_rate: float | None
    average_response_time_ms: float | None
    p50_response_time_ms: float | None
    p95_response_time_ms: float | None
    p50_first_byte_ms: float | None
    p95_first_byte_ms: float | None


class HistoryTotals(Figures, frozen=True, kw_only=True):
    """The whole window. `success_rate` is 0-1 and `uptime_percentage` the same as 0-100; null when nothing was seen."""

    success_rate: float | None
    uptime_percentage: float | None


class Bucket(Figures, frozen=True):
    """One minute or hour, which began `at`."""

    at: str


class ModelHistory(Struct, frozen=True, kw_only=True):
    """What was counted `from` the first bucket up `to` now, oldest first; the last bucket is still being counted.

    `provider` is null for all of them, `model` for all models of a provider. A bucket in which nothing was seen is left
    out unless all were asked for.
    """

    provider: str | None
    model: str | None
    window: str
    bucket_seconds: int
    from_: str = field(name="from")
    to: str
    kind: str | None
    totals: HistoryTotals
    buckets: list[Bucket]


class Question(Struct, frozen=True):
    """What was asked: names as records are kept under, a key of `WINDOWS`, a kind of traffic or None for both.

    `fill`: list every bucket.
    """

    provider: str | None
    model: str | None
    window: str
    kind: Kind | None = None
    fill: bool = False


class Sum(Struct):
    """What was found: by bucket, and all together."""

    buckets: dict[int, Cell] = field(default_factory=dict)
    whole: Cell = field(default_factory=empty)

    def add(self, bucket: int, cell: Cell) -> None:
        """Count a cell in; it is not changed."""
        mine = self.buckets.get(bucket)
        if mine is None:
            mine = self.buckets[bucket] = empty()
        mine.merge(cell)
        self.whole.merge(cell)


def rows(question: Question, found: Sum, now: float) -> Iterator[Bucket]:
    """The buckets of the document, made one by one: there may be many."""
    window, nothing = WINDOWS[question.window], empty()
    for bucket in window.buckets(now) if question.fill else sorted(found.buckets):
        yield Bucket(iso(bucket * window.width), **_figures(found.buckets.get(bucket, nothing)))


def model_history(question: Question, found: Sum, buckets: list[Bucket], now: float) -> ModelHistory:
    """The document."""
    window, whole = WINDOWS[question.window], found.whole
    return ModelHistory(
        provider=None if question.provider is None else clean(question.provider),
        model=None if question.model is None else clean(question.model),
        window=question.window,
        bucket_seconds=window.width,
        from_=iso(window.buckets(now).start * window.width),
        to=iso(now),
        kind=question.kind,
        totals=HistoryTotals(
            **_figures(whole),
            success_rate=whole.counts[0] / whole.calls if whole.calls else None,
            uptime_percentage=percentage(whole.counts[0], whole.calls),
        ),
        buckets=buckets,
    )


def quantile(latencies: Sparse, q: float) -> float | None:
    """What `Latencies.quantile` says of the same counts; so much quicker that a day of minutes holds nobody up."""
    total = sum(latencies.values())
    rank = max(1, math.ceil(q * total))
    for bucket in sorted(latencies):
        rank -= latencies[bucket]
        if rank <= 0:
            return _VALUES[bucket]
    return None


def _figures(cell: Cell) -> dict[str, Any]:
    calls, response, first_byte = cell.calls, cell.response, cell.first_byte
    return {
        **dict(zip(STATUSES, cell.counts, strict=True)),
        "calls": calls,
        "error_rate": (calls - cell.counts[0]) / calls if calls else None,
        "average_response_time_ms": milliseconds(cell.seconds / calls) if calls else None,
        "p50_response_time_ms": milliseconds(quantile(response, 0.50)),
        "p95_response_time_ms": milliseconds(quantile(response, 0.95)),
        "p50_first_byte_ms": milliseconds(quantile(first_byte, 0.50)),
        "p95_first_byte_ms": milliseconds(quantile(first_byte, 0.95)),
    }
