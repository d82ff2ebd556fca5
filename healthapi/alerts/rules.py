"""When something is worth an alert: each rule a function of the situation, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from config.alerts import Rule, Rules, Severity, Threshold
from config.units import show_duration
from healthapi.alerts.memory import Memory
from healthapi.alerts.message import SUBJECT, TEXT, plain
from healthapi.alerts.situation import MANY, Situation

SYSTEM: Final = "system"
"""The subject of what concerns everything."""

STORE: Final = "store"

Key = tuple[str, str]
"""Rule and subject: what makes two findings the same trouble."""

Firing = Mapping[Key, Severity]
"""How bad each alert is that was not over yet: it takes more to end one than not to begin it."""


class Finding(Struct, frozen=True):
    """Something that is worth an alert if it lasts. `value` and `threshold` are None where there is no number to it."""

    rule: str
    subject: str
    severity: Severity
    message: str
    value: float | None = None
    threshold: float | None = None

    @property
    def key(self) -> Key:
        """What it is the same trouble by."""
        return self.rule, self.subject


class Findings(Struct, frozen=True):
    """What was found. Of what else the rules in `unknown` look at nothing can be said now: nothing of it is over.

    `explained` has the alerts that a finding is but the consequence of (`healthapi.alerts.inhibition`).
    """

    found: dict[Key, Finding]
    unknown: frozenset[str] = frozenset()
    explained: Mapping[Key, tuple[Key, ...]] = {}


def find(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Findings:
    """Apply all rules that are enabled."""
    found: dict[Key, Finding] = {}
    unknown = set(situation.unseen)
    for name, rule in TABLE.items():
        if not getattr(rules, name).enabled:
            continue
        made = rule(situation, memory, rules, firing)
        if made is None:
            unknown.add(name)
            continue
        for number, one in enumerate(made):
            if number == MANY:
                unknown.add(name)
                break
            safe = Finding(
                name, plain(one.subject, SUBJECT), one.severity, plain(one.message, TEXT), one.value, one.threshold
            )
            found.setdefault(safe.key, safe)
    return Findings(found, frozenset(unknown))


def _health(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding] | None:
    health = situation.health
    if not situation.surveyed or health is None:
        return None
    rule = rules.health
    severity = _below(health, rule, firing.get(("health", SYSTEM)))
    limit = _limit(rule, severity)
    message = (
        f"{health:.1f} % of the known models are healthy, {situation.healthy} of {situation.known} ({limit:g} % wanted)"
    )
    return _one(severity, Finding("health", SYSTEM, severity or Severity.WARNING, message, round(health, 1), limit))


def _drop(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding] | None:
    rule, health = rules.drop, situation.health
    best = memory.best(situation.at, rule.within)
    if not situation.surveyed or health is None:
        return None
    points = max((best or health) - health, 0.0)
    severity = _above(points, rule, firing.get(("drop", SYSTEM)))
    message = (
        f"health fell by {points:.1f} points within {show_duration(rule.within)}, from {best or health:.1f} % to "
        f"{health:.1f} %"
    )
    limit = _limit(rule, severity)
    return _one(severity, Finding("drop", SYSTEM, severity or Severity.WARNING, message, round(points, 1), limit))


def _critical_model(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding] | None:
    if not situation.surveyed:
        return None
    severity = rules.critical_model.severity
    return (
        Finding("critical_model", name, severity, f"{name} is unhealthy; its tier is critical")
        for name in situation.unhealthy
    )


def _provider_offline(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding] | None:
    if not situation.surveyed:
        return None
    severity, why = rules.provider_offline.severity, "its breaker is open, or most of its known models are unhealthy"
    return (Finding("provider_offline", name, severity, f"{name} is offline: {why}") for name in situation.offline)


def _breaker_open(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding]:
    rule = rules.breaker_open
    for one in situation.open:
        seconds = situation.at - memory.open_since(one.name, one.at)
        if seconds > rule.longer_than:
            message = f"the circuit breaker of {one.name} has not closed for {_span(seconds)}: {one.reason}"
            yield Finding("breaker_open", one.name, rule.severity, message, round(seconds), rule.longer_than)


def _credential(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding]:
    for one in situation.refused:
        whose = "the configured key" if one.configured else "a key in use"
        status = "" if one.status is None else f" (HTTP {one.status})"
        message = f"{whose} of {one.subject} is {'spent' if one.status == 402 else 'refused'}{status}"
        yield Finding("credential", one.subject, rules.credential.severity, message, one.status)


def _error_budget(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding] | None:
    rule = rules.error_budget
    if not situation.surveyed:
        return None
    if situation.requests < rule.min_requests:
        return iter(())
    share = 100.0 * situation.failed / situation.requests
    severity = _above(share, rule, firing.get(("error_budget", SYSTEM)))
    message = (
        f"{share:.1f} % of users' attempts failed within {show_duration(rule.within)}, {situation.failed} of "
        f"{situation.requests}"
    )
    limit = _limit(rule, severity)
    finding = Finding("error_budget", SYSTEM, severity or Severity.WARNING, message, round(share, 1), limit)
    return _one(severity, finding)


def _probe_cap(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding]:
    for whose in situation.capped:
        message = f"the daily cap on probes of {whose} is spent: none are sent until midnight UTC"
        yield Finding("probe_cap", whose, rules.probe_cap.severity, message)


def _store(situation: Situation, memory: Memory, rules: Rules, firing: Firing) -> Iterator[Finding]:
    if situation.trouble is not None:
        message = f"the store is in trouble, what happens waits in memory meanwhile: {situation.trouble}"
        yield Finding("store", STORE, rules.store.severity, message)


TABLE: Final[Mapping[str, Callable[[Situation, Memory, Rules, Firing], Iterator[Finding] | None]]] = {
    "health": _health,
    "drop": _drop,
    "critical_model": _critical_model,
    "provider_offline": _provider_offline,
    "breaker_open": _breaker_open,
    "credential": _credential,
    "error_budget": _error_budget,
    "probe_cap": _probe_cap,
    "store": _store,
}
"""Every rule by its name in the configuration. None: what it looks at is not known now."""


def policy(rules: Rules, name: str) -> Rule | Threshold | None:
    """The settings of a rule, None where there is none of that name or it is off."""
    found: Rule | Threshold | None = getattr(rules, name, None) if name in TABLE else None
    return found if found is not None and found.enabled else None


def _one(severity: Severity | None, finding: Finding) -> Iterator[Finding]:
    return iter(() if severity is None else (finding,))


def _below(value: float, rule: Threshold, firing: Severity | None) -> Severity | None:
    """How bad a value is that should be high."""
    return _passed(rule.critical - value, rule.warning - value, rule.hysteresis, firing)


def _above(value: float, rule: Threshold, firing: Severity | None) -> Severity | None:
    """How bad a value is that should be low."""
    return _passed(value - rule.critical, value - rule.warning, rule.hysteresis, firing)


def _passed(critical: float, warning: float, hysteresis: float, firing: Severity | None) -> Severity | None:
    """How bad it is by how far each threshold is passed; what fires goes on until it is better by `hysteresis`."""
    if critical > 0 or (firing is Severity.CRITICAL and critical > -hysteresis):
        return Severity.CRITICAL
    if warning > 0 or (firing is not None and warning > -hysteresis):
        return Severity.WARNING
    return None


def _limit(rule: Threshold, severity: Severity | None) -> float:
    return rule.critical if severity is Severity.CRITICAL else rule.warning


def _span(seconds: float) -> str:
    """A length of time in whole minutes, or seconds where it is short."""
    return show_duration(float(seconds // 60 * 60)) if seconds >= 120 else show_duration(float(round(seconds)))
