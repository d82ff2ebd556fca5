"""What the keeper tells Prometheus: whether what happens gets where it is to be kept."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from healthapi.keeper import Keeper


class Keeping(Struct, frozen=True):
    """How keeping goes at one moment. `seconds` is how long the last flush took."""

    trouble: bool
    waiting: int
    ok: int
    failed: int
    seconds: float


def keeping(keeper: Keeper) -> Keeping:
    """Ask the keeper; to be called on the event loop."""
    flushes = keeper.flushes
    return Keeping(keeper.trouble is not None, keeper.waiting, flushes.ok, flushes.failed, flushes.seconds)


def families(told: Keeping) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    yield GaugeMetricFamily(
        "detour_store_trouble", "1 while the store does not take what it is given.", value=int(told.trouble)
    )
    yield GaugeMetricFamily(
        "detour_store_waiting", "Sums by target, kind and minute that wait for the store.", value=told.waiting
    )
    flushes = CounterMetricFamily("detour_store_flushes", "Flushes to the store, by result.", labels=("result",))
    flushes.add_metric(("ok",), told.ok)
    flushes.add_metric(("failed",), told.failed)
    yield flushes
    yield GaugeMetricFamily("detour_store_flush_seconds", "How long the last flush took.", value=told.seconds)
