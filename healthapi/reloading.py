"""What reloads of the configuration tell Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from config.reloads import Reloads


def reloading(reloads: Reloads) -> Reloads:
    """How it stands at this moment; to be called on the event loop."""
    return replace(reloads)


def families(told: Reloads) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    counts = CounterMetricFamily(
        "detour_config_reloads", "Times that the configuration was read again, by result.", labels=("result",)
    )
    counts.add_metric(("applied",), told.applied)
    counts.add_metric(("refused",), told.refused)
    yield counts
    yield GaugeMetricFamily(
        "detour_config_reload_refused", "1 while what the file says cannot be used.", value=int(bool(told.problems))
    )
    yield GaugeMetricFamily(
        "detour_config_restart_needed", "Changed settings that wait for a restart.", value=len(told.restart)
    )
    read = GaugeMetricFamily("detour_config_read_timestamp_seconds", "When the configuration in force was read.")
    if told.at is not None:
        read.add_metric((), told.at)
    yield read
