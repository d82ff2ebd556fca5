"""One outage is one message: what explains what, for how long, and what is told in spite of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.alerts import Budget, Rule, Rules, Severity, Threshold
from healthapi.alerts.alert import Alert
from healthapi.alerts.book import MOST, Book, Reason
from healthapi.alerts.inhibition import INHIBITS, LINGERS, SHARES, explain
from healthapi.alerts.memory import Memory, Minute
from healthapi.alerts.message import State
from healthapi.alerts.rules import TABLE, find
from healthapi.alerts.situation import Opened, Share, Situation
from tests.healthapi.alerts.found import NOW, situation

W, C = Severity.WARNING, Severity.CRITICAL

WELL = {
    "groq": Share(known=4, healthy=4, requests=400),
    "openai": Share(known=16, healthy=16, requests=400),
    "fal": Share(known=20, healthy=20, requests=200),
}


def world(shares: dict[str, Share] | None = None, **more: Any) -> Situation:
    """A situation whose figures are the sums of its providers'."""
    shares = WELL | (shares or {})
    whole = [one for name, one in shares.items() if "/" not in name]
    figures = {name: sum(getattr(one, name) for one in whole) for name in Share.__struct_fields__}
    return situation(**{**figures, "shares": shares, **more})


# Everything that one provider of three does when it goes away: 4 of 40 models, all of its requests.
OUTAGE = world(
    {
        "groq": Share(known=4, healthy=0, requests=400, failed=400),
        "groq/a": Share(known=1, healthy=0, requests=100, failed=100),
        "groq/b": Share(known=1, healthy=0, requests=100, failed=100),
    },
    offline=("groq",),
    unhealthy=("groq/a", "groq/b"),
    open=(Opened("groq", NOW - 600, "x"), Opened("groq/a", NOW - 600, "x"), Opened("groq/c", NOW - 600, "x")),
)


class Watch:
    """Rules, memory and book together, on a clock of their own."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.memory = Memory({int(NOW // 60) - 1: Minute(100.0, 1)})
        self.book = Book(at=NOW)
        self.now = NOW
        self.silent: set[str] = set()
        self.told: list[tuple[str, str, Reason]] = []

    def look(self, now: Situation, seconds: float = 1.0) -> list[tuple[str, str, Reason]]:
        self.now += seconds
        found = find(now, self.memory, self.rules, self.book.firing())
        found = explain(found, now, self.memory, self.rules, self.book, self.now)
        notices = self.book.step(found, self.now, self.rules, lambda alert: alert.rule in self.silent)
        told = [(one.alert.rule, one.alert.subject, one.reason) for one in notices]
        self.told += told
        return told

    def pass_by(self, now: Situation, seconds: int) -> list[tuple[str, str, Reason]]:
        return [one for _ in range(seconds) for one in self.look(now)]

    def alert(self, rule: str, subject: str = "system") -> Alert:
        return next(one for one in self.book.active if (one.rule, one.subject) == (rule, subject))

    @property
    def rules_told(self) -> list[tuple[str, Reason]]:
        return [(rule, reason) for rule, _, reason in self.told]


def test_an_outage_of_a_provider_is_one_message_and_its_end_another() -> None:
    watch = Watch()
    watch.pass_by(OUTAGE, 1000)
    assert watch.told == [("provider_offline", "groq", Reason.FIRING)]
    explained = {(one.rule, one.subject): one.inhibited_by for one in watch.book.active if one.inhibited_by}
    assert explained == dict.fromkeys(
        [
            ("critical_model", "groq/a"), ("critical_model", "groq/b"), ("breaker_open", "groq"),
            ("breaker_open", "groq/a"), ("breaker_open", "groq/c"), ("error_budget", "system"),
        ],
        (("provider_offline", "groq"),),
    )  # fmt: skip
    assert {one.state for one in watch.book.active} == {State.FIRING}
    watch.pass_by(world(), 1000)
    assert [reason for _, _, reason in watch.told] == [Reason.FIRING, Reason.RESOLVED]
    assert watch.book.active == []


def test_the_whole_is_explained_by_the_part_that_is_ill() -> None:
    # 30 of 40 healthy: critical, a drop of 25 points, and nothing of it but one provider.
    outage = world({"openai": Share(known=16, healthy=6, requests=400, failed=200)}, offline=("openai",))
    watch = Watch()
    watch.pass_by(outage, 600)
    assert watch.told == [("provider_offline", "openai", Reason.FIRING)]
    by = {one.rule: one.inhibited_by for one in watch.book.active}
    assert by.keys() == {"provider_offline", "health", "drop", "error_budget"}
    assert watch.alert("health").severity is C


def test_what_several_outages_add_up_to_is_told_where_it_is_critical() -> None:
    both = world({"fal": Share(20, 12), "openai": Share(16, 8)}, offline=("fal", "openai"))
    watch = Watch()
    watch.pass_by(both, 600)
    assert {rule for rule, _ in watch.rules_told} == {"provider_offline", "health", "drop"}
    mild = world({"groq": Share(known=4, healthy=1), "fal": Share(known=20, healthy=16)}, offline=("groq", "fal"))
    watch = Watch()
    watch.pass_by(mild, 600)  # 33 of 40, a drop of 17.5 points
    assert [rule for rule, _ in watch.rules_told] == ["provider_offline"] * 2
    assert watch.alert("health").inhibited_by == (("provider_offline", "fal"), ("provider_offline", "groq"))


def test_what_has_another_reason_too_is_told() -> None:
    more = world(
        {"groq": Share(known=4, healthy=0, requests=400, failed=400), "fal": Share(20, 15, 200, 60)}, offline=("groq",)
    )  # without groq 35 of 40 healthy, and 60 of 1000 failed
    watch = Watch()
    watch.pass_by(more, 600)
    assert {rule for rule, _ in watch.rules_told} == {"provider_offline", "health", "drop", "error_budget"}


def test_other_providers_troubles_are_told() -> None:
    more = world(
        {"groq": OUTAGE.shares["groq"], "fal": Share(20, 19, 200, 10), "fal/x": Share(1, 0, 10, 10)},
        offline=("groq",), unhealthy=("fal/x", "groq/a", "groqs/a"), open=(Opened("groqs", NOW - 600, "x"),),
    )  # fmt: skip
    watch = Watch()
    watch.pass_by(more, 600)
    assert sorted({(rule, subject) for rule, subject, _ in watch.told}) == [
        ("breaker_open", "groqs"), ("critical_model", "fal/x"), ("critical_model", "groqs/a"),
        ("provider_offline", "groq"),
    ]  # fmt: skip


def test_a_model_explains_its_own_breaker_and_what_it_does_to_the_whole() -> None:
    ill = world(
        {"groq": Share(4, 3, 400, 100), "groq/a": Share(1, 0, 100, 100)},
        unhealthy=("groq/a",), open=(Opened("groq/a", NOW - 600, "x"), Opened("groq/a/b", NOW - 600, "x")),
    )  # fmt: skip
    watch = Watch(Rules(health=Threshold(warning=99, critical=50)))
    watch.pass_by(ill, 600)
    assert sorted((rule, subject) for rule, subject, _ in watch.told) == [
        ("breaker_open", "groq/a/b"), ("critical_model", "groq/a"),
    ]  # fmt: skip
    assert watch.alert("health").inhibited_by == (("critical_model", "groq/a"),)
    assert watch.alert("error_budget").inhibited_by == (("critical_model", "groq/a"),)


def test_what_is_not_of_a_provider_is_told_at_any_time() -> None:
    watch = Watch()
    watch.pass_by(msgspec.structs.replace(OUTAGE, trouble="x", capped=("groq",)), 600)
    assert {rule for rule, _ in watch.rules_told} == {"provider_offline", "store", "probe_cap"}


# -- when --------------------------------------------------------------------------------------------------------------


def test_what_is_about_to_fire_is_waited_for() -> None:
    watch = Watch()
    first = world({"groq": Share(4, 3)}, unhealthy=("groq/a",))
    assert watch.pass_by(first, 60) == []
    assert watch.pass_by(OUTAGE, 600) == [("provider_offline", "groq", Reason.FIRING)]


def test_but_not_for_longer_than_its_own_for() -> None:
    watch = Watch(Rules(provider_offline=Rule(for_=240.0)))
    watch.pass_by(OUTAGE, 300)
    assert watch.told == [("provider_offline", "groq", Reason.FIRING)]
    watch = Watch(Rules(provider_offline=Rule(for_=300.0)))
    assert {rule for rule, _, _ in watch.pass_by(OUTAGE, 125)} == {"critical_model", "breaker_open", "error_budget"}


def test_what_is_waited_for_in_vain_is_told_after_its_own_for() -> None:
    watch = Watch()
    ill = world({"groq": Share(4, 3)}, unhealthy=("groq/a",))
    watch.pass_by(msgspec.structs.replace(ill, offline=("groq",)), 110)
    assert watch.pass_by(ill, 119) == []
    assert watch.pass_by(ill, 2) == [("critical_model", "groq/a", Reason.FIRING)]


def test_what_is_left_when_the_outage_is_over_is_told_when_it_lasts() -> None:
    watch = Watch()
    watch.pass_by(OUTAGE, 600)
    left = world({"groq": Share(4, 3)}, unhealthy=("groq/a",))
    assert watch.pass_by(left, 62) == [("provider_offline", "groq", Reason.RESOLVED)]
    assert watch.alert("critical_model", "groq/a").inhibited_by == ()
    assert watch.pass_by(left, 119) == []
    assert watch.pass_by(left, 2) == [("critical_model", "groq/a", Reason.FIRING)]
    assert watch.pass_by(world(), 61) == [("critical_model", "groq/a", Reason.RESOLVED)]


def test_what_comes_back_before_the_end_of_the_outage_counts_as_the_same() -> None:
    watch = Watch()
    watch.pass_by(OUTAGE, 600)
    left = world({"groq": Share(4, 3)}, unhealthy=("groq/a",))
    for _ in range(20):
        watch.pass_by(left, 59)
        watch.pass_by(OUTAGE, 1)
    assert watch.told == [("provider_offline", "groq", Reason.FIRING)]


def test_what_was_told_before_is_told_to_be_over_and_nothing_in_between() -> None:
    watch = Watch()
    ill = world({"groq": Share(4, 3)}, unhealthy=("groq/a",))
    watch.pass_by(ill, 300)
    watch.pass_by(OUTAGE, 4000)
    watch.pass_by(world(), 100)
    assert watch.told == [
        ("critical_model", "groq/a", Reason.FIRING),
        ("provider_offline", "groq", Reason.FIRING),
        ("provider_offline", "groq", Reason.REPEAT),
        ("provider_offline", "groq", Reason.REPEAT),
        ("critical_model", "groq/a", Reason.RESOLVED),
        ("provider_offline", "groq", Reason.RESOLVED),
    ]


def test_what_an_outage_did_to_the_budget_is_explained_as_long_as_it_is_looked_back_on() -> None:
    spent = world({"groq": Share(4, 4, 400, 100)})
    watch = Watch()
    watch.pass_by(OUTAGE, 600)
    watch.pass_by(spent, 900)
    assert watch.rules_told == [("provider_offline", Reason.FIRING), ("provider_offline", Reason.RESOLVED)]
    assert watch.alert("error_budget").inhibited_by == (("provider_offline", "groq"),)
    watch.pass_by(spent, 200)
    assert watch.rules_told[2:] == [("error_budget", Reason.FIRING)], "by then it is no leftover"


def test_a_clock_that_is_set_back_explains_nothing_for_ever() -> None:
    watch = Watch()
    watch.pass_by(OUTAGE, 600)
    watch.pass_by(world(), 100)
    watch.now -= 86400
    watch.pass_by(world({"groq": Share(4, 4, 400, 100)}), 200)
    assert watch.rules_told[2:] == [("error_budget", Reason.FIRING)]


# -- who ---------------------------------------------------------------------------------------------------------------


def test_a_warning_hides_nothing_critical() -> None:
    watch = Watch(Rules(provider_offline=Rule(severity=W)))
    watch.pass_by(OUTAGE, 600)
    assert {rule for rule, _ in watch.rules_told} == {"provider_offline", "critical_model", "error_budget"}
    assert watch.alert("breaker_open", "groq/c").inhibited_by == (("provider_offline", "groq"),)


@pytest.mark.parametrize(
    ("outage", "model", "told"),
    [((), (), False), ((), ("a",), False), (("a",), ("a",), False), (("a", "b"), ("a",), False),
     (("a",), ("a", "b"), True), (("a",), (), True), (("b",), ("a",), True)],
)  # fmt: skip
def test_who_would_not_hear_of_the_outage_hears_of_what_it_does(
    outage: tuple[str, ...], model: tuple[str, ...], told: bool
) -> None:
    watch = Watch(Rules(provider_offline=Rule(channels=outage), critical_model=Rule(channels=model)))
    watch.pass_by(OUTAGE, 600)
    assert ("critical_model" in {rule for rule, _ in watch.rules_told}) is told


def test_a_silent_outage_is_silent_in_all_it_does() -> None:
    watch = Watch()
    watch.silent = {"provider_offline"}
    watch.pass_by(OUTAGE, 600)
    assert watch.told == []


def test_a_rule_that_is_off_explains_nothing() -> None:
    watch = Watch(Rules(provider_offline=Rule(enabled=False)))
    watch.pass_by(OUTAGE, 600)
    assert {rule for rule, _ in watch.rules_told} == {"critical_model", "breaker_open", "error_budget"}
    assert watch.alert("breaker_open", "groq/a").inhibited_by == (("critical_model", "groq/a"),)


def test_at_once_where_that_is_asked_for() -> None:
    at_once = {name: Rule(for_=0.0) for name in ("provider_offline", "critical_model")}
    watch = Watch(Rules(error_budget=Budget(for_=0.0), health=Threshold(for_=0.0), **at_once))
    assert watch.look(OUTAGE) == [("provider_offline", "groq", Reason.FIRING)]


def test_what_is_explained_takes_no_room_from_what_is_not() -> None:
    crowd = tuple(f"groq/{number:03}" for number in range(MOST + 10))
    ill = world({"groq": Share(100, 0)}, offline=("groq",), unhealthy=crowd)
    watch = Watch()
    watch.pass_by(ill, 200)
    assert len([one for one in watch.book.active if one.rule == "critical_model"]) == MOST
    watch.book.changed = False
    watch.pass_by(msgspec.structs.replace(ill, unhealthy=(*crowd, "openai/x", "openai/y")), 200)
    assert watch.told[1:] == [
        ("critical_model", "openai/x", Reason.FIRING), ("critical_model", "openai/y", Reason.FIRING),
    ]  # fmt: skip
    assert len([one for one in watch.book.active if one.rule == "critical_model"]) == MOST
    assert watch.book.left_out == 12
    watch.book.changed = False
    watch.look(msgspec.structs.replace(ill, unhealthy=(*crowd, "openai/x", "openai/y")))
    assert not watch.book.changed, "nobody pushes anybody out for nothing"


def test_a_restart_forgets_none_of_it() -> None:
    watch = Watch()
    for _ in range(10):
        watch.pass_by(OUTAGE, 60)
        alerts = msgspec.json.decode(msgspec.json.encode(watch.book.active), type=list[Alert])
        watch.book = Book(alerts, watch.book.past, watch.book.at)
    watch.pass_by(world(), 100)
    assert [reason for _, _, reason in watch.told] == [Reason.FIRING, Reason.RESOLVED]


def test_the_tables_name_rules_that_there_are() -> None:
    inhibited = {rule for rules in INHIBITS.values() for rule in rules}
    assert INHIBITS.keys() | inhibited | LINGERS.keys() | SHARES.keys() <= TABLE.keys()
    assert SHARES.keys() <= inhibited
    for number, (rule, rules) in enumerate(INHIBITS.items()):
        assert not {rule, *list(INHIBITS)[:number]} & set(rules), "the more encompassing first"
