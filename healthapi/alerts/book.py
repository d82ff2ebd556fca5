"""The book of alerts: what goes on, what was told of it, and what is to be told now.

An alert is pending until its trouble has lasted for its rule's `for`, fires, and is resolved once the trouble has been
over for the rule's `clear`. There is one per rule and subject, however often the trouble comes and goes meanwhile. What
is told of it: that it fires; at once when it gets worse; again every `repeat`; and that it is over, to those who were
told. So there is at most one message per `repeat`, one more where it got worse, and never an end without a beginning.
Nothing is told of an alert while others explain it (`healthapi.alerts.inhibition`).

Pure: `now` is a Unix time that is handed in, and nothing is sent from here.
"""

from __future__ import annotations

import enum
from collections import Counter
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
        self._counts = Counter(rule for rule, _ in self._active)
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

    def begins(self, finding: Finding) -> bool:
        """Whether there is room for an alert about a finding that there was none about until now."""
        return finding.key not in self._active and self._counts[finding.rule] < MOST

    def find(self, identity: str) -> Alert | None:
        """An alert by its id, whether it goes on or is over."""
        return next((one for one in (*self._active.values(), *self.past) if one.id == identity), None)

    def step(self, findings: Findings, now: float, rules: Rules, silenced: Callable[[Alert], bool]) -> list[Notice]:
        """Take in what was found at `now`; returns what is to be told."""
        self._look(now)
        self._take(findings, now)
        notices = []
        for key, alert in list(self._active.items()):
            rule = policy(rules, alert.rule)
            if key in findings.found and rule is not None:
                self._explain(alert, findings.explained.get(key, ()), now)
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
            if gap and alert.freed_at is not None:
                alert.freed_at = now

    def _take(self, findings: Findings, now: float) -> None:
        self.left_out = 0
        for key, finding in findings.found.items():
            alert = self._active.get(key)
            if alert is not None:
                self.changed |= alert.quiet_since is not None or alert.severity is not finding.severity
                alert.take(finding)
            elif self._makes_room(finding, findings):
                self._active[key] = Alert.begin(finding, now)
                self._counts[finding.rule] += 1
                self.changed = True
            else:
                self.left_out += 1

    def _makes_room(self, finding: Finding, findings: Findings) -> bool:
        """Whether there is room for one more of its rule. What nobody is told of gives way to what somebody may be."""
        if self._counts[finding.rule] < MOST:
            return True
        if finding.key in findings.explained:
            return False
        for key, alert in self._active.items():
            if alert.rule == finding.rule and alert.told is None and key in findings.explained:
                self._drop(alert)
                self.left_out += 1
                return True
        return False

    def _drop(self, alert: Alert) -> None:
        del self._active[alert.key]
        self._counts[alert.rule] -= 1
        self.changed = True

    def _explain(self, alert: Alert, causes: tuple[Key, ...], now: float) -> None:
        if alert.inhibited_by == causes:
            return
        if alert.inhibited_by and not causes:
            alert.freed_at = now
        alert.inhibited_by = causes
        self.changed = True

    def _goes_on(self, alert: Alert, rule: Rule | Threshold, now: float, *, silent: bool) -> Notice | None:
        if alert.state is State.PENDING and now - alert.since >= rule.for_:
            alert.state = State.FIRING
            alert.fired_at = now
            self.changed = True
        if alert.state is State.PENDING or alert.inhibited_by or silent:
            return None
        if alert.told is None and alert.freed_at is not None and now - alert.freed_at < rule.for_:
            return None
        reason = _due(alert, rule.repeat, now)
        return None if reason is None else self._tell(alert, reason, now)

    def _is_over(self, alert: Alert, clear: float, now: float) -> Notice | None:
        if alert.state is State.PENDING:
            self._drop(alert)
            return None
        if alert.quiet_since is None:
            alert.quiet_since = now
            self.changed = True
        if now - alert.quiet_since < clear:
            return None
        self._drop(alert)
        alert.state = State.RESOLVED
        alert.resolved_at = now
        alert.severity = alert.told or alert.severity  # whoever heard of it as critical hears of its end as critical
        self.past = [alert, *self.past[: PAST - 1]]
        self.past_changed = True
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
