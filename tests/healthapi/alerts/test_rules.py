"""Every rule on its own: from which facts it makes an alert, how bad, and in which words."""

from __future__ import annotations

import msgspec
import pytest

from config.alerts import Budget, Drop, Lasting, Rule, Rules, Severity, Threshold
from healthapi.alerts.memory import Memory, Minute
from healthapi.alerts.message import SUBJECT, TEXT
from healthapi.alerts.rules import TABLE, Finding, find, policy
from healthapi.alerts.situation import MANY, Opened, Refusal, Situation
from tests.healthapi.alerts.found import NOW, situation

W, C = Severity.WARNING, Severity.CRITICAL


def found(
    rule: str,
    now: Situation,
    *,
    memory: Memory | None = None,
    rules: Rules | None = None,
    firing: Severity | None = None,
    subject: str = "system",
) -> list[Finding]:
    """What one rule finds."""
    known = {} if firing is None else {(rule, subject): firing}
    made = find(now, memory or Memory(), rules or Rules(), known)
    assert rule not in made.unknown
    return [one for one in made.found.values() if one.rule == rule]


def severity(made: list[Finding]) -> Severity | None:
    assert len(made) <= 1
    return made[0].severity if made else None


@pytest.mark.parametrize(
    ("healthy", "firing", "expected"),
    [
        (100, None, None), (91, None, None), (90, None, None), (89, None, W), (80, None, W), (79, None, C),
        (0, None, C),
        # What fires goes on until it is two points better than what it began at.
        (90, W, W), (91, W, W), (92, W, None), (93, W, None),
        (80, C, C), (81, C, C), (82, C, W), (91, C, W), (92, C, None),
        (81, W, W), (79, W, C),
    ],
)  # fmt: skip
def test_health_below_its_thresholds(healthy: int, firing: Severity | None, expected: Severity | None) -> None:
    assert severity(found("health", situation(healthy, 100), firing=firing)) is expected


def test_health_says_what_it_is_and_what_it_should_be() -> None:
    (one,) = found("health", situation(29, 40))
    assert (one.subject, one.value, one.threshold) == ("system", 72.5, 80)
    assert one.message == "72.5 % of the known models are healthy, 29 of 40 (80 % wanted)"


@pytest.mark.parametrize("rule", ["health", "drop"])
@pytest.mark.parametrize("now", [situation(0, 0), situation(surveyed=False)])
def test_what_is_not_known_is_neither_good_nor_bad(rule: str, now: Situation) -> None:
    made = find(now, Memory(), Rules(), {})
    assert rule in made.unknown
    assert not made.found


def test_without_records_nothing_is_said_of_what_comes_from_them() -> None:
    made = find(situation(surveyed=False, trouble="it is away"), Memory(), Rules(), {})
    assert made.unknown == {"health", "drop", "critical_model", "provider_offline", "error_budget"}
    assert list(made.found) == [("store", "store")]


def remembered(*health: float, minutes_ago: int = 1) -> Memory:
    """Health minute by minute, the last of them so many minutes ago."""
    last = int(NOW // 60) - minutes_ago
    return Memory({last - back: Minute(2 * value, 2) for back, value in enumerate(reversed(health))})


@pytest.mark.parametrize(
    ("memory", "healthy", "firing", "expected"),
    [
        (Memory(), 50, None, None),  # nothing is known of before
        (remembered(100), 91, None, None),
        (remembered(100), 90, None, None),
        (remembered(100), 89, None, W),
        (remembered(100), 75, None, W),
        (remembered(100), 74, None, C),
        (remembered(100, 60, 60), 80, None, W),  # the best of the hour counts
        (remembered(100, minutes_ago=59), 80, None, W),
        (remembered(100, minutes_ago=61), 80, None, None),
        (remembered(100, minutes_ago=0), 50, None, None),  # the minute under way is no height to fall from
        (remembered(50), 80, None, None),  # it has risen
        (remembered(100), 91, W, W),
        (remembered(100), 92, W, None),
        (remembered(100), 76, C, C),
        (remembered(100), 77, C, W),
    ],
)
def test_a_drop_of_more_than_ten_points_within_an_hour(
    memory: Memory, healthy: int, firing: Severity | None, expected: Severity | None
) -> None:
    assert severity(found("drop", situation(healthy, 100), memory=memory, firing=firing)) is expected


def test_a_drop_says_from_where_to_where() -> None:
    (one,) = found("drop", situation(70, 100), memory=remembered(98, 90))
    assert one.message == "health fell by 28.0 points within 1h, from 98.0 % to 70.0 %"
    assert (one.value, one.threshold) == (28, 25)


def test_a_drop_over_another_time() -> None:
    rules = Rules(drop=Drop(warning=10, critical=25, within=7200))
    assert found("drop", situation(70, 100), memory=remembered(100, minutes_ago=119), rules=rules)


def test_models_and_providers_each_are_a_subject() -> None:
    now = situation(unhealthy=("groq/a", "groq/b"), offline=("groq",))
    assert [one.subject for one in found("critical_model", now)] == ["groq/a", "groq/b"]
    (offline,) = found("provider_offline", now)
    assert (offline.subject, offline.severity, offline.value, offline.threshold) == ("groq", C, None, None)
    assert offline.message.startswith("groq is offline: ")


@pytest.mark.parametrize(
    ("opened_ago", "closed_ago", "alert"),
    [(10, None, False), (300, None, False), (301, None, True), (5, 299, False), (5, 301, True)],
)
def test_a_breaker_that_has_not_closed_for_five_minutes(
    opened_ago: float, closed_ago: float | None, alert: bool
) -> None:
    # Each trial that fails opens it anew: what counts is when it was last closed.
    memory = Memory() if closed_ago is None else Memory(since={"groq/llama": NOW - closed_ago})
    now = situation(open=(Opened("groq/llama", NOW - opened_ago, "5 of 5 failed"),))
    assert bool(found("breaker_open", now, memory=memory)) is alert


def test_a_breaker_says_for_how_long_and_why() -> None:
    now = situation(open=(Opened("groq", NOW - 754, "6 of 10 requests failed in 60 s"),))
    (one,) = found("breaker_open", now)
    assert one.message == "the circuit breaker of groq has not closed for 12m: 6 of 10 requests failed in 60 s"
    assert (one.value, one.threshold, one.severity) == (754, 300, W)


def test_a_breaker_by_another_time() -> None:
    rules = Rules(breaker_open=Lasting(longer_than=10, severity=C))
    now = situation(open=(Opened("groq", NOW - 11, "x"),))
    (one,) = found("breaker_open", now, rules=rules)
    assert one.severity is C
    assert "not closed for 11s" in one.message


@pytest.mark.parametrize(
    ("status", "configured", "message"),
    [
        (401, True, "the configured key of groq is refused (HTTP 401)"),
        (402, True, "the configured key of groq is spent (HTTP 402)"),
        (403, False, "a key in use of groq is refused (HTTP 403)"),
        (None, True, "the configured key of groq is refused"),
    ],
)
def test_a_key_that_is_refused(status: int | None, configured: bool, message: str) -> None:
    (one,) = found("credential", situation(refused=(Refusal("groq", status, configured),)))
    assert (one.message, one.subject, one.value) == (message, "groq", status)


def test_a_key_that_is_refused_in_two_ways_is_one_trouble() -> None:
    (one,) = found("credential", situation(refused=(Refusal("groq", 401, True), Refusal("groq", 403, False))))
    assert "the configured key" in one.message


@pytest.mark.parametrize(
    ("failed", "requests", "firing", "expected"),
    [
        (0, 0, None, None), (19, 19, None, None), (1, 20, None, None), (2, 20, None, W),
        (5, 100, None, None), (6, 100, None, W), (20, 100, None, W), (21, 100, None, C),
        (5, 100, W, W), (4, 100, W, None), (20, 100, C, C), (19, 100, C, W),
    ],
)  # fmt: skip
def test_more_than_five_percent_of_requests_failed(
    failed: int, requests: int, firing: Severity | None, expected: Severity | None
) -> None:
    now = situation(failed=failed, requests=requests)
    assert severity(found("error_budget", now, firing=firing)) is expected


def test_the_error_budget_says_of_how_many() -> None:
    (one,) = found("error_budget", situation(failed=6, requests=100))
    assert one.message == "6.0 % of users' attempts failed within 15m, 6 of 100"
    assert (one.value, one.threshold) == (6, 5)


def test_probes_that_may_not_be_sent_any_more() -> None:
    made = found("probe_cap", situation(capped=("all providers", "groq")))
    assert [one.subject for one in made] == ["all providers", "groq"]
    assert made[1].message == "the daily cap on probes of groq is spent: none are sent until midnight UTC"


def test_trouble_with_the_store() -> None:
    (one,) = found("store", situation(trouble="redis://***@host: refused"))
    assert (one.subject, one.severity) == ("store", W)
    assert one.message.endswith(": redis://***@host: refused")
    assert not found("store", situation())


@pytest.mark.parametrize("name", TABLE)
def test_a_rule_that_is_off_finds_nothing(name: str) -> None:
    now = situation(
        1, 100, failed=90, requests=100, unhealthy=("a/b",), offline=("a",), open=(Opened("a", 0, "x"),),
        refused=(Refusal("a", 401, True),), capped=("a",), trouble="x",
    )  # fmt: skip
    memory = remembered(100)
    assert found(name, now, memory=memory)
    on = getattr(Rules(), name)
    off = msgspec.structs.replace(Rules(), **{name: msgspec.structs.replace(on, enabled=False)})
    assert not found(name, now, memory=memory, rules=off)
    assert policy(off, name) is None
    assert policy(Rules(), name) == on


def test_of_very_many_only_some_are_looked_at_and_nothing_is_said_of_the_others() -> None:
    now = situation(unhealthy=tuple(f"groq/{number}" for number in range(MANY + 1)))
    made = find(now, Memory(), Rules(), {})
    assert len(made.found) == MANY
    assert made.unknown == {"critical_model"}
    now = situation(unhealthy=now.unhealthy[:-1])
    assert not find(now, Memory(), Rules(), {}).unknown


def test_of_breakers_that_were_not_looked_at_nothing_is_said() -> None:
    made = find(situation(open=(Opened("groq", 0, "x"),), unseen=frozenset({"breaker_open"})), Memory(), Rules(), {})
    assert list(made.found) == [("breaker_open", "groq")]
    assert made.unknown == {"breaker_open"}


def test_every_rule_has_settings_and_every_setting_a_rule() -> None:
    assert set(TABLE) == set(Rules.__struct_fields__)
    assert policy(Rules(), "__class__") is None


def test_every_rule_waits_two_minutes_and_repeats_after_thirty_unless_told_otherwise() -> None:
    for name in TABLE:
        rule = getattr(Rules(), name)
        assert (rule.for_, rule.repeat, rule.clear, rule.enabled) == (120, 1800, 60, True)


def test_thresholds_are_settings() -> None:
    rules = Rules(
        health=Threshold(warning=50, critical=10, hysteresis=0), error_budget=Budget(min_requests=1, warning=0),
        critical_model=Rule(severity=W),
    )  # fmt: skip
    assert not found("health", situation(5, 10), rules=rules)
    assert severity(found("health", situation(4, 10), rules=rules)) is W
    assert severity(found("health", situation(5, 10), rules=rules, firing=W)) is None
    assert severity(found("error_budget", situation(failed=1, requests=1), rules=rules)) is C
    assert severity(found("critical_model", situation(unhealthy=("a",)), rules=rules, subject="a")) is W


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\ud800b", "a\u202eb", "x" * 5000, "\u200b" * 400])
def test_what_a_caller_wrote_is_made_harmless(name: str) -> None:
    now = situation(unhealthy=(f"groq/{name}",), open=(Opened(f"groq/{name}", 0, name),), trouble=name)
    for one in find(now, Memory(), Rules(), {}).found.values():
        assert one.subject.isprintable()
        assert one.message.isprintable()
        assert len(one.subject) <= SUBJECT
        assert len(one.message) <= TEXT
        msgspec.json.encode(one)
