"""What alerts tell Prometheus: the health they go by, what fires, and what became of the messages about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from config.alerts import Severity
from healthapi.alerts.desk import Desk
from healthapi.alerts.rules import TABLE
from healthapi.alerts.sender import Result


class Alerting(Struct, frozen=True):
    """How things are at one moment; labels to values."""

    firing: Mapping[tuple[str, str], int]
    messages: Mapping[tuple[str, str], int]
    health: float | None = None


NONE: Final[Alerting] = Alerting({}, {})


def alerting(desk: Desk | None) -> Alerting:
    """Ask the desk; to be called on the event loop. Channels that were never tried count nothing yet."""
    if desk is None:
        return NONE
    messages = {(name, result.value): 0 for name in desk.channels for result in Result}
    messages.update({(name, result.value): count for (name, result), count in desk.counts.items()})
    # Whoever looks after alerts tells of every rule, so that none fires and nobody looks are not the same.
    firing = {(rule, severity.value): 0 for rule in TABLE for severity in Severity} if desk.here else {}
    firing.update({(rule, severity.value): count for (rule, severity), count in desk.firing().items()})
    return Alerting(firing, messages, desk.health)


def families(told: Alerting) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    health = GaugeMetricFamily("detour_health_percentage", "Known models that are healthy, 0 to 100.")
    if told.health is not None:
        health.add_metric((), told.health)
    yield health
    firing = GaugeMetricFamily("detour_alerts_firing", "Alerts that fire.", labels=("rule", "severity"))
    for labels, count in told.firing.items():
        firing.add_metric(labels, count)
    yield firing
    messages = CounterMetricFamily(
        "detour_alert_messages",
        "Messages about alerts that were delivered or dropped, and attempts that failed.",
        labels=("channel", "result"),
    )
    for labels, count in told.messages.items():
        messages.add_metric(labels, count)
    yield messages
