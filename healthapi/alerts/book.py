"""The book of alerts: what goes on, what was told of it, and what is to be told now.

An alert is pending until its trouble has lasted for its rule's `for`, fires, and is resolved once the trouble has been
over for the rule's `clear`. There is one per rule and subject, however often the trouble comes and goes meanwhile. What
is told of it: that it fires; at once when it gets worse; again every `repeat`; and that it is over, to those who were
told. So there is at most one message per `repeat`, one more where it got worse, and never an end without a beginning.

Pure: `now` is a Unix time that is handed in, and nothing is sent from here.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from config.alerts import Rule, Rules, Severity, Threshold
from healthapi.alerts.alert import Alert
from healthapi.alerts.message import State
from healthapi.alerts.rules import Finding, Findings, Firing, Key, policy

MOST: Final = 50
"""Alerts of one rule at a time: where all models of a large catalog fail, nobody reads ten thousand messages."""

PAST: Final = 500
"""Resolved alerts that are remembered."""

GAP: Final = 120.0
"""Seconds without anybody looking after which what was pending begins anew: nobody knows that it lasted."""


class Reason(enum.StrEnum):
    """Why something is told."""

    FIRING = "firing"
    WORSE = "worse"
    REPEAT = "repeat"
    RESOLVED = "resolved"


class Notice(Struct, frozen=True):
    """Something that is to be told: an alert as it is at this moment."""

    alert: Alert
    reason: Reason


class Book:
    """All alerts that go on, and the last ones that are over, newest first."""

    def __init__(self, active: Iterable[Alert] = (), past: Iterable[Alert] = (), at: float = 0.0) -> None:
        """Go on with what was kept; `at` is when somebody last looked."""
        self._active = {alert.key: alert for alert in active}
        self.past = list(past)[:PAST]
        self.at = at
        self.left_out = 0
        """Findings for which there is no room beside the others of their rule."""
        self.changed = self.past_changed = False
        """Whether something worth keeping has happened since this was last made False."""

    @property
    def active(self) -> list[Alert]:
        """The alerts that go on, the oldest first."""
        return sorted(self._active.values(), key=lambda alert: alert.since)

    def firing(self) -> Firing:
        """How bad each alert is that fires."""
        return {key: alert.severity for key, alert in self._active.items() if alert.state is State.FIRING}

    def find(self, identity: str) -> Alert | None:
        """An alert by its id, whether it goes on or is over."""
        return next((one for one in (*self._active.values(), *self.past) if one.id == identity), None)

    def step(self, findings: Findings, now: float, rules: Rules, silenced: Callable[[Alert], bool]) -> list[Notice]:
        """Take in what was found at `now`; returns what is to be told."""
        self._look(now)
        self._take(findings.found, now)
        notices = []
        for key, alert in list(self._active.items()):
            rule = policy(rules, alert.rule)
            if key in findings.found and rule is not None:
                notice = self._goes_on(alert, rule, now, silent=silenced(alert))
            elif rule is not None and alert.rule in findings.unknown:
                continue
            else:
                notice = self._is_over(alert, 0.0 if rule is None else rule.clear, now)
            if notice is not None:
                notices.append(notice)
        return notices

    # -- inside ----------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        gap = now - self.at > GAP
        self.at = now
        for alert in self._active.values():
            alert.not_after(now)
            if gap and alert.state is State.PENDING:
                alert.since = now

    def _take(self, found: dict[Key, Finding], now: float) -> None:
        counts: dict[str, int] = {}
        for rule, _ in self._active:
            counts[rule] = counts.get(rule, 0) + 1
        self.left_out = 0
        for key, finding in found.items():
            alert = self._active.get(key)
            if alert is not None:
                self.changed |= alert.quiet_since is not None or alert.severity is not finding.severity
                alert.take(finding)
            elif counts.get(finding.rule, 0) < MOST:
                counts[finding.rule] = counts.get(finding.rule, 0) + 1
                self._active[key] = Alert.begin(finding, now)
                self.changed = True
            else:
                self.left_out += 1

    def _goes_on(self, alert: Alert, rule: Rule | Threshold, now: float, *, silent: bool) -> Notice | None:
        if alert.state is State.PENDING and now - alert.since >= rule.for_:
            alert.state = State.FIRING
            alert.fired_at = now
            self.changed = True
        if alert.state is State.PENDING or silent:
            return None
        reason = _due(alert, rule.repeat, now)
        return None if reason is None else self._tell(alert, reason, now)

    def _is_over(self, alert: Alert, clear: float, now: float) -> Notice | None:
        if alert.state is State.PENDING:
            del self._active[alert.key]
            self.changed = True
            return None
        if alert.quiet_since is None:
            alert.quiet_since = now
            self.changed = True
        if now - alert.quiet_since < clear:
            return None
        del self._active[alert.key]
        alert.state = State.RESOLVED
        alert.resolved_at = now
        self.past = [alert, *self.past[: PAST - 1]]
        self.changed = self.past_changed = True
        return None if alert.told is None else self._tell(alert, Reason.RESOLVED, now)

    def _tell(self, alert: Alert, reason: Reason, now: float) -> Notice:
        alert.told_at = now
        alert.told = alert.severity
        alert.messages += 1
        alert.results = {}
        self.changed = True
        return Notice(replace(alert, results={}), reason)


def _due(alert: Alert, repeat: float, now: float) -> Reason | None:
    """Why something is to be told of an alert that fires, None where nothing is."""
    if alert.told is None or alert.told_at is None:
        return Reason.FIRING
    if alert.told is Severity.WARNING and alert.severity is Severity.CRITICAL:
        return Reason.WORSE
    return Reason.REPEAT if 0 < repeat <= now - alert.told_at else None
