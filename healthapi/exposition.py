"""Metrics in Prometheus' text formats, made when somebody asks. docs/METRICS.md lists every name (a test compares).

The walk over all series runs in a worker thread (`healthapi.scrape`): a thousand targets take some hundred
milliseconds, which the event loop does not have. So nothing here touches a dict that the hot path may grow, except
through copies that `take` made on the loop; lists of counts are read while they are counted in, one pass each, which
keeps every histogram consistent with itself.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct, field
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from breaker.latency import BOUNDS, PER_OCTAVE, Latencies
from breaker.registry import Registry
from config.compiled import build
from config.reloads import Reloads
from config.watched import WatchedFiles
from healthapi import accountmetrics, alerting, certified, kept, probed, reloading
from healthapi import judgement as judging
from healthapi.accountmetrics import AccountFigures
from healthapi.judgement import Judgement, judgement
from healthapi.keeper import Keeper
from healthapi.kept import Keeping, keeping
from healthapi.labels import http_status
from healthapi.metrics import Metrics
from healthapi.series import Timings
from healthapi.slabook import Standing
from healthapi.slabook import families as sla_families

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of the classic text format."""

STATES: Final = ("idle", "active", "connecting", "waiting")
"""States of upstream connections; `waiting` are exchanges that wait for one."""

STEPS: Final = tuple(range(2 * PER_OCTAVE, len(BOUNDS), PER_OCTAVE))
"""Which of the kept bounds are exposed: 4 ms and every doubling of it, up to 4 194 s. Counts below them are exact."""

_LE: Final = (*(f"{BOUNDS[step]:.10g}" for step in STEPS), "+Inf")
_TARGET: Final = ("provider", "model")


class Row(Struct, frozen=True):
    """One target's series with its dicts copied."""

    labels: tuple[str, str]
    attempts: list[tuple[tuple[str, str], int]]
    requests: list[tuple[tuple[int, bool], int]]
    rejections: list[tuple[str, int]]
    bytes_in: int
    bytes_out: int
    response_time: Timings
    first_byte: list[tuple[bool, Timings]]


class Snapshot(Struct, frozen=True):
    """Everything a scrape tells but the process's own figures."""

    version: str
    instance: str
    in_flight: int
    open_permits: int
    connections: Mapping[str, int]
    warnings: int
    lag: Latencies
    lag_total: float
    lag_worst: float
    rows: list[Row]
    judgement: Judgement
    keeping: Keeping
    sla: Mapping[str, Standing] = {}
    alerts: alerting.Alerting = alerting.NONE
    accounts: Sequence[AccountFigures] = ()
    probed: probed.Probed = probed.NOTHING
    reloads: Reloads = field(default_factory=Reloads)
    files: Sequence[WatchedFiles] = ()


def take(
    metrics: Metrics,
    registry: Registry,
    keeper: Keeper,
    now: float,
    *,
    sla: Mapping[str, Standing] | None = None,
    accounts: Sequence[AccountFigures] = (),
    judged: Judgement | None = None,
) -> Snapshot:
    """Copy what has to be copied and ask the gauges; to be called on the event loop, about two microseconds a row.

    `now` is on the registry's clock. `judged` is what the registry says, where it was asked already.
    """
    return Snapshot(
        version=metrics.version,
        instance=metrics.instance,
        in_flight=metrics.in_flight(),
        open_permits=metrics.open_permits(),
        connections=dict(metrics.connections()),
        warnings=metrics.warnings,
        lag=metrics.lag.latencies,
        lag_total=metrics.lag.total,
        lag_worst=metrics.lag.worst,
        rows=[
            Row(
                labels=labels,
                attempts=list(series.attempts.items()),
                requests=list(series.requests.items()),
                rejections=list(series.rejections.items()),
                bytes_in=series.bytes_in,
                bytes_out=series.bytes_out,
                response_time=series.response_time,
                first_byte=list(series.first_byte.items()),
            )
            for labels, series in metrics.series()
        ],
        judgement=judged or judgement(metrics, registry, now),
        keeping=keeping(keeper),
        sla=dict(sla or {}),
        accounts=accounts,
    )


def render(snapshot: Snapshot, accept: str) -> tuple[bytes, str]:
    """The scrape and its content type, in the format that the Accept header asks for; classic text otherwise."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(snapshot))
    ProcessCollector(registry=registry)
    # Chosen here: the library's own choice raises on odd versions and puts the header's words into the content type.
    if "application/openmetrics-text" in accept.lower():
        body: bytes = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return body, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE


class Families(Collector):
    """A snapshot as prometheus_client wants it."""

    def __init__(self, snapshot: Snapshot) -> None:
        """Tell this snapshot."""
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """All families, in the order of docs/METRICS.md."""
        snapshot = self._snapshot
        yield _requests(snapshot)
        yield _attempts(snapshot)
        yield _response_times(snapshot)
        yield _first_bytes(snapshot)
        yield _bytes("received", "Body bytes received from clients.", [(r.labels, r.bytes_in) for r in snapshot.rows])
        yield _bytes("sent", "Body bytes sent to clients.", [(r.labels, r.bytes_out) for r in snapshot.rows])
        yield GaugeMetricFamily(
            "detour_in_flight_requests", "Requests that have begun and not ended.", value=snapshot.in_flight
        )
        yield GaugeMetricFamily("detour_open_permits", "Attempts under way.", value=snapshot.open_permits)
        yield _connections(snapshot)
        yield _rejections(snapshot)
        yield from judging.families(snapshot.judgement)
        yield from kept.families(snapshot.keeping)
        yield from sla_families(snapshot.sla)
        yield from alerting.families(snapshot.alerts)
        yield from accountmetrics.families(snapshot.accounts)
        yield from probed.families(snapshot.probed)
        yield _lag(snapshot)
        yield GaugeMetricFamily(
            "detour_event_loop_lag_worst_seconds",
            "Longest lateness of a timer in the last minute.",
            value=snapshot.lag_worst,
        )
        yield GaugeMetricFamily(
            "detour_config_warnings", "Warnings about the configuration in force.", value=snapshot.warnings
        )
        yield from reloading.families(snapshot.reloads)
        yield from certified.families(snapshot.files)
        yield InfoMetricFamily(
            "detour_build",
            "What is running.",
            value={
                "version": snapshot.version,
                "instance": snapshot.instance,
                "build": build(),
                "python": ".".join(map(str, sys.version_info[:3])),
            },
        )


def _requests(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily(
        "detour_requests",
        "Requests answered, by the HTTP status sent to the client; 0 when it left before one was.",
        labels=(*_TARGET, "status", "streamed"),
    )
    for row in snapshot.rows:
        counts: Counter[tuple[str, str]] = Counter()
        for (status, streamed), count in row.requests:
            counts[http_status(status), _flag(streamed)] += count
        for labels, count in counts.items():
            family.add_metric((*row.labels, *labels), count)
    return family


def _attempts(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily(
        "detour_attempts",
        "Attempts at a provider, by what became of them; caller_error, policy and cancelled change no health figure.",
        labels=(*_TARGET, "status", "kind"),
    )
    for row in snapshot.rows:
        for (status, kind), count in row.attempts:
            family.add_metric((*row.labels, str(status), str(kind)), count)
    return family


def _rejections(snapshot: Snapshot) -> Metric:
    family = CounterMetricFamily(
        "detour_rejections", "Attempts that were not made, by what stood in the way.", labels=(*_TARGET, "kind")
    )
    for row in snapshot.rows:
        for kind, count in row.rejections:
            family.add_metric((*row.labels, kind), count)
    return family


def _response_times(snapshot: Snapshot) -> Metric:
    family = HistogramMetricFamily(
        "detour_response_time_seconds", "Request sent to last byte, of every counted attempt.", labels=_TARGET
    )
    for row in snapshot.rows:
        _add(family, row.labels, row.response_time)
    return family


def _first_bytes(snapshot: Snapshot) -> Metric:
    family = HistogramMetricFamily(
        "detour_first_byte_seconds",
        "Request sent to first content event (streamed) or response head, of counted attempts that had one.",
        labels=(*_TARGET, "streamed"),
    )
    for row in snapshot.rows:
        for streamed, timings in row.first_byte:
            _add(family, (*row.labels, _flag(streamed)), timings)
    return family


def _bytes(direction: str, documentation: str, counts: list[tuple[tuple[str, str], int]]) -> Metric:
    family = CounterMetricFamily(f"detour_{direction}_bytes", documentation, labels=_TARGET)
    for labels, count in counts:
        family.add_metric(labels, count)
    return family


def _connections(snapshot: Snapshot) -> Metric:
    family = GaugeMetricFamily("detour_upstream_connections", "Upstream connections by state.", labels=("state",))
    for state in STATES:
        family.add_metric((state,), snapshot.connections.get(state, 0))
    return family


def _lag(snapshot: Snapshot) -> Metric:
    family = HistogramMetricFamily(
        "detour_event_loop_lag_seconds", "How late a timer fired that is set every half second."
    )
    family.add_metric((), _cumulative(snapshot.lag), snapshot.lag_total)
    return family


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], timings: Timings) -> None:
    buckets = _cumulative(timings.latencies)
    if buckets[-1][1]:
        family.add_metric(labels, buckets, timings.total)


def _cumulative(latencies: Latencies) -> list[tuple[str, float]]:
    """Prometheus' buckets: (upper bound, how many were at most that), the last one everything."""
    totals = list(accumulate(latencies.counts))
    return list(zip(_LE, (*(totals[step] for step in STEPS), totals[-1]), strict=True))


def _flag(value: bool) -> str:
    return "true" if value else "false"
