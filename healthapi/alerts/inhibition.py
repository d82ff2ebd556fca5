"""What one alert explains of others, so that one outage is one message.

When a provider is offline, its breakers are open, its models are ill and health falls: true, and no news to whoever was
told that it is offline. A finding is explained where it would not be there at all had nothing been wrong with the
providers and models that there are alerts about already: the very same rules are applied to the situation without them.

What is explained is kept as an alert like any other and names those that explain it. It is not told, and neither is its
end. Where it is still there when they are over, or is there for another reason, it has to last for its `for` from then
on, and is told. What was told before it was explained is told to be over.

- A warning explains nothing critical, and nobody is kept in the dark by an alert that goes to other channels.
- Where a trouble of the whole is critical and no single alert explains it, it is told: none of them says how bad it is.
- An alert that is about to fire explains too: that of the model which everybody calls may be some seconds older than
  that of its provider. It is waited for no longer than the other one's own `for`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from config.alerts import Rule, Rules, Severity, Threshold
from healthapi.alerts.book import Book
from healthapi.alerts.memory import Memory
from healthapi.alerts.message import State
from healthapi.alerts.rules import TABLE, Finding, Findings, Firing, Key, policy
from healthapi.alerts.situation import MANY, Share, Situation, belongs

_WHOLE: Final = ("health", "drop", "error_budget")

INHIBITS: Final[Mapping[str, tuple[str, ...]]] = {
    "provider_offline": ("critical_model", "breaker_open", *_WHOLE),
    "critical_model": ("breaker_open", *_WHOLE),
}
"""Rules whose alerts explain others, the more encompassing first, and those of which rules."""

LINGERS: Final[Mapping[str, Callable[[Rules], float]]] = {"error_budget": lambda rules: rules.error_budget.within}
"""Rules that look back: for so many seconds after an outage they still see what it did."""

SHARES: Final[Mapping[str, Callable[[Share], int]]] = {
    "health": lambda share: share.ill,
    "drop": lambda share: share.ill,
    "error_budget": lambda share: share.failed,
}
"""What a provider or model has to do with a trouble of the whole."""


class _Cause(Struct, frozen=True):
    """An alert that may explain others. `due` is in how many seconds it fires, `over` when it was over, if it is."""

    rule: str
    subject: str
    severity: Severity
    due: float = 0.0
    over: float | None = None

    @property
    def key(self) -> Key:
        return self.rule, self.subject


def explain(findings: Findings, situation: Situation, memory: Memory, rules: Rules, book: Book, now: float) -> Findings:
    """The same findings, with what explains which; `book` has the alerts that there were until now."""
    causes = list(_causes(findings, rules, book, now))
    if not causes:
        return findings
    told = {one.key: one.severity for one in book.active if one.state is State.FIRING and not one.inhibited_by}
    explained: dict[Key, tuple[Key, ...]] = {}
    for name in dict.fromkeys(rule for inhibited in INHIBITS.values() for rule in inhibited):
        rule = policy(rules, name)
        if rule is None:
            continue
        for severity in Severity:
            found = [one for one in findings.found.values() if one.rule == name and one.severity is severity]
            able = [one for one in causes if one.key not in explained and _able(one, name, severity, rule, rules, now)]
            if found and able:
                means = _whole if name in SHARES else _parts
                explained.update(means(found, able, situation, memory, rules, told))
    return replace(findings, explained=explained)


def _causes(findings: Findings, rules: Rules, book: Book, now: float) -> Iterator[_Cause]:
    """Alerts that may explain others: those that go on, those that begin now, and those that were over a while ago."""
    for one in book.active:
        rule = policy(rules, one.rule)
        if one.rule in INHIBITS and rule is not None and (one.state is State.FIRING or one.key in findings.found):
            due = 0.0 if one.state is State.FIRING else one.since + rule.for_ - now
            yield _Cause(one.rule, one.subject, one.severity, due)
    for finding in findings.found.values():
        rule = policy(rules, finding.rule) if finding.rule in INHIBITS and book.begins(finding) else None
        if rule is not None:
            yield _Cause(finding.rule, finding.subject, finding.severity, rule.for_)
    longest = max(lingering(rules) for lingering in LINGERS.values())
    for past in book.past:
        if past.resolved_at is None or now - past.resolved_at >= longest:
            break
        if past.rule in INHIBITS and past.told is not None and past.resolved_at <= now:
            yield _Cause(past.rule, past.subject, past.severity, over=past.resolved_at)


def _able(cause: _Cause, name: str, severity: Severity, rule: Rule | Threshold, rules: Rules, now: float) -> bool:
    """Whether an alert may explain what a rule finds, as far as that does not depend on what it is."""
    if name not in INHIBITS[cause.rule] or cause.due > rule.for_:
        return False
    if severity is Severity.CRITICAL and cause.severity is not Severity.CRITICAL:
        return False
    if cause.over is not None and (name not in LINGERS or now - cause.over >= LINGERS[name](rules)):
        return False
    to = policy(rules, cause.rule)
    return to is not None and (not to.channels or (bool(rule.channels) and set(rule.channels) <= set(to.channels)))


def _parts(
    found: list[Finding], causes: list[_Cause], situation: Situation, memory: Memory, rules: Rules, told: Firing
) -> Iterator[tuple[Key, tuple[Key, ...]]]:
    """Those of the findings of one rule about providers or models that would not be there but for the causes."""
    left = TABLE[found[0].rule](situation.without({one.subject for one in causes}), memory, rules, told)
    still = None if left is None else {one.subject for one in islice(left, MANY)}
    for finding in found:
        why = tuple(sorted({one.key for one in causes if belongs(finding.subject, {one.subject})}))
        if why and still is not None and finding.subject not in still:
            yield finding.key, why


def _whole(
    found: list[Finding], causes: list[_Cause], situation: Situation, memory: Memory, rules: Rules, told: Firing
) -> Iterator[tuple[Key, tuple[Key, ...]]]:
    """The finding of a rule about everything, where it would not be there but for the causes."""
    (finding,) = found
    share, bare = SHARES[finding.rule], replace(situation, unhealthy=(), open=())
    why = {one.subject: one.key for one in causes if share(situation.shares.get(one.subject, Share())) > 0}

    def gone(subjects: Collection[str]) -> bool:
        left = TABLE[finding.rule](bare.without(subjects), memory, rules, told)
        return left is not None and not any(left)

    # What goes on at a provider that is named itself is counted once.
    if not gone([one for one in why if "/" not in one or one.partition("/")[0] not in why]):
        return
    if finding.severity is Severity.CRITICAL and len(why) > 1:
        why = {one: key for one, key in why.items() if gone([one])}
    if why:
        yield finding.key, tuple(sorted(why.values()))
