"""What is written of an alert, and what tries a channel out."""

from __future__ import annotations

from msgspec import Struct

from config.alerts import Severity
from healthapi.alerts.book import Notice, Reason
from healthapi.alerts.message import TEST, Message, State


class Writer(Struct, frozen=True):
    """Who writes: a sidecar of a fleet. Times are Unix times."""

    fleet: str
    instance: str

    def of(self, notice: Notice, now: float) -> Message:
        """The message about an alert."""
        alert = notice.alert
        return Message(
            rule=alert.rule,
            state=alert.state,
            severity=alert.severity,
            subject=alert.subject,
            value=alert.value,
            threshold=alert.threshold,
            message=f"over: {alert.message}" if alert.state is State.RESOLVED else alert.message,
            since=alert.since,
            fleet=self.fleet,
            instance=self.instance,
            id=alert.id,
            key=f"{alert.id}-{alert.messages}",
            at=now,
            again=notice.reason is Reason.REPEAT,
        )

    def trial(self, channel: str, now: float) -> Message:
        """A message that says it is a test."""
        return Message(
            rule=TEST,
            state=State.FIRING,
            severity=Severity.WARNING,
            subject=channel,
            value=None,
            threshold=None,
            message="this is a test: alerts come this way, and nothing is wrong",
            since=now,
            fleet=self.fleet,
            instance=self.instance,
            id=TEST,
            key=f"{TEST}-{self.instance}-{now:.3f}",
            at=now,
        )
