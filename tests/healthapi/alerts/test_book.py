"""The book on a clock that tests move: what is told, when, and never otherwise."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.alerts import Rule, Rules, Severity
from healthapi.alerts.alert import Alert
from healthapi.alerts.book import MOST, PAST, Book, Notice, Reason
from healthapi.alerts.message import State
from healthapi.alerts.rules import Finding, Findings
from tests.healthapi.alerts.found import NOW, finding, findings

W, C = Severity.WARNING, Severity.CRITICAL
NOTHING = findings()


class Watch:
    """A book and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.rules = Rules(provider_offline=Rule(**settings))
        self.book = Book()
        self.now = NOW
        self.silent: set[str] = set()
        self.told: list[Notice] = []

    def look(self, *found: Finding, unknown: tuple[str, ...] = ()) -> list[Reason]:
        notices = self.book.step(
            findings(*found, unknown=unknown), self.now, self.rules, lambda alert: alert.subject in self.silent
        )
        self.told += notices
        return [one.reason for one in notices]

    def pass_by(self, seconds: float, *found: Finding, step: float = 1.0) -> list[Reason]:
        """Look every `step` seconds while so many pass."""
        told: list[Reason] = []
        for _ in range(round(seconds / step)):
            self.now += step
            told += self.look(*found)
        return told

    @property
    def alert(self) -> Alert:
        (one,) = self.book.active
        return one


def test_it_has_to_last() -> None:
    watch = Watch()
    assert watch.look(finding()) == []
    assert watch.alert.state is State.PENDING
    assert watch.pass_by(119, finding()) == []
    assert watch.pass_by(1, finding()) == [Reason.FIRING]
    assert watch.alert.state is State.FIRING
    assert watch.alert.since == NOW
    assert watch.alert.fired_at == watch.alert.told_at == NOW + 120


def test_what_does_not_last_is_never_told_and_forgotten() -> None:
    watch = Watch()
    for _ in range(20):
        watch.pass_by(100, finding())
        assert watch.pass_by(1) == []
        assert watch.book.active == []
    assert watch.book.past == []


def test_it_is_told_at_once_where_that_is_asked_for() -> None:
    watch = Watch(for_=0.0)
    assert watch.look(finding()) == [Reason.FIRING]


def test_one_alert_and_one_resolved_message() -> None:
    watch = Watch()
    told = watch.pass_by(600, finding()) + watch.pass_by(600)
    assert told == [Reason.FIRING, Reason.RESOLVED]
    assert watch.book.active == []
    (past,) = watch.book.past
    assert past.state is State.RESOLVED
    assert past.resolved_at == NOW + 600 + 61
    assert len({one.alert.id for one in watch.told}) == 1
    assert [one.alert.messages for one in watch.told] == [1, 2]


def test_what_flaps_is_one_alert() -> None:
    watch = Watch()
    told = watch.pass_by(121, finding())
    for _ in range(15):
        told += watch.pass_by(59) + watch.pass_by(1, finding())
    assert told == [Reason.FIRING]
    assert watch.pass_by(61) == [Reason.RESOLVED]


def test_what_comes_back_after_it_was_over_is_another_alert() -> None:
    watch = Watch()
    watch.pass_by(121, finding())
    watch.pass_by(61)
    watch.pass_by(121, finding())
    first, _, second = watch.told
    assert first.alert.id != second.alert.id


def test_it_is_repeated_while_it_lasts() -> None:
    watch = Watch()
    assert watch.pass_by(121, finding()) == [Reason.FIRING]
    assert watch.pass_by(1799, finding()) == []
    assert watch.pass_by(1, finding()) == [Reason.REPEAT]
    assert watch.pass_by(3600, finding(), step=5) == [Reason.REPEAT] * 2


def test_it_is_never_repeated_where_that_is_asked_for() -> None:
    watch = Watch(repeat=0.0)
    assert watch.pass_by(7200, finding(), step=10) == [Reason.FIRING]


def test_it_is_not_repeated_while_it_seems_to_be_over() -> None:
    watch = Watch(repeat=30.0, clear=300.0)
    watch.pass_by(121, finding())
    assert watch.pass_by(299) == []


def test_one_trouble_that_worsens_is_one_alert_that_escalates() -> None:
    watch = Watch()
    watch.pass_by(121, finding())
    watch.now += 1
    assert watch.look(finding(severity=C)) == [Reason.WORSE]
    assert watch.pass_by(600, finding(severity=C)) == []
    first, second = watch.told
    assert first.alert.id == second.alert.id
    assert (first.alert.severity, second.alert.severity) == (W, C)


def test_its_end_is_told_as_it_was_told() -> None:
    watch = Watch()
    watch.pass_by(121, finding(severity=C))
    watch.pass_by(50, finding(severity=W))
    assert watch.pass_by(61) == [Reason.RESOLVED]
    assert watch.told[-1].alert.severity is watch.book.past[0].severity is C


def test_what_goes_up_and_down_is_told_to_be_worse_once() -> None:
    watch = Watch()
    told = watch.pass_by(121, finding())
    for _ in range(50):
        told += watch.pass_by(10, finding(severity=C)) + watch.pass_by(10, finding())
    assert told == [Reason.FIRING, Reason.WORSE]


def test_what_gets_worse_before_it_is_told_is_told_once() -> None:
    watch = Watch()
    told = watch.pass_by(60, finding()) + watch.pass_by(600, finding(severity=C))
    assert told == [Reason.FIRING]
    assert watch.told[0].alert.severity is C


def test_a_repeat_says_how_bad_it_is_now_so_that_it_can_get_worse_again() -> None:
    watch = Watch()
    watch.pass_by(121, finding(severity=C))
    assert watch.pass_by(1800, finding()) == [Reason.REPEAT]
    assert watch.told[-1].alert.severity is W
    assert watch.pass_by(1, finding(severity=C)) == [Reason.WORSE]


def test_each_subject_is_an_alert_of_its_own() -> None:
    watch = Watch()
    watch.pass_by(121, finding("groq"), finding("openai"))
    assert watch.pass_by(200, finding("openai")) == [Reason.RESOLVED]
    assert Counter(one.alert.subject for one in watch.told) == {"groq": 2, "openai": 1}


def test_what_is_not_known_now_stays_as_it_is() -> None:
    watch = Watch()
    watch.pass_by(121, finding())
    watch.now += 5000
    assert watch.look(unknown=("provider_offline",)) == []
    assert watch.alert.state is State.FIRING
    assert watch.look(finding()) == [Reason.REPEAT]


def test_what_is_known_of_a_rule_of_which_not_all_is_known_goes_on() -> None:
    watch = Watch()
    told = watch.pass_by(121, finding("a"), finding("b"))
    assert told == [Reason.FIRING] * 2
    watch.now += 1800
    assert watch.look(finding("a"), unknown=("provider_offline",)) == [Reason.REPEAT]
    watch.now += 100
    assert watch.look(finding("a"), unknown=("provider_offline",)) == []
    assert len(watch.book.active) == 2


def test_what_a_rule_that_is_off_had_told_is_over() -> None:
    watch = Watch()
    watch.pass_by(121, finding())
    watch.rules = Rules(provider_offline=Rule(enabled=False))
    watch.now += 1
    assert watch.look(unknown=("provider_offline",)) == [Reason.RESOLVED]


def test_an_alert_of_a_rule_that_there_is_not_is_over() -> None:
    stray = Alert.begin(finding(rule="gone"), NOW)
    stray.state = State.FIRING
    book = Book([stray], at=NOW)
    assert book.step(NOTHING, NOW + 1, Rules(), lambda _: False) == []
    assert book.active == []


# -- silences ----------------------------------------------------------------------------------------------------------


def test_a_silence_keeps_it_back_and_its_end_lets_it_out() -> None:
    watch = Watch()
    watch.silent.add("groq")
    assert watch.pass_by(600, finding()) == []
    assert watch.alert.state is State.FIRING
    watch.silent.clear()
    assert watch.pass_by(1, finding()) == [Reason.FIRING]


def test_what_was_never_told_is_never_told_to_be_over() -> None:
    watch = Watch()
    watch.silent.add("groq")
    assert watch.pass_by(600, finding()) + watch.pass_by(600) == []
    assert [one.state for one in watch.book.past] == [State.RESOLVED]


def test_what_was_told_is_told_to_be_over_though_it_is_silent() -> None:
    watch = Watch()
    watch.pass_by(121, finding())
    watch.silent.add("groq")
    assert watch.pass_by(4000, finding(), finding(severity=C), step=10) == []
    assert watch.pass_by(100) == [Reason.RESOLVED]


# -- bounds, clocks, restarts ------------------------------------------------------------------------------------------


def test_only_so_many_of_one_rule_are_told_one_by_one() -> None:
    watch = Watch()
    crowd = [finding(f"p{number:03}") for number in range(MOST + 30)]
    told = watch.pass_by(143, *crowd, step=11)
    assert len(told) == MOST == len(watch.book.active)
    assert watch.book.left_out == 30
    # Others do not push out those that are there; they come when there is room.
    assert watch.pass_by(11, *crowd[1:], step=11) == []
    assert watch.pass_by(121, *crowd[1:], step=11).count(Reason.RESOLVED) == 1
    assert watch.book.left_out == 29
    other = finding("store", rule="store")
    assert watch.look(*crowd, other) == []
    assert any(alert.rule == "store" for alert in watch.book.active), "each rule has room of its own"


def test_only_so_many_that_are_over_are_remembered() -> None:
    watch = Watch(for_=0.0, clear=0.0)
    for number in range(PAST + 20):
        watch.now += 1
        watch.look(finding(f"p{number}"))
    watch.look()
    assert len(watch.book.past) == PAST
    assert watch.book.past[0].subject == f"p{PAST + 19}"


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    watch = Watch()
    watch.pass_by(60, finding())
    watch.now -= 86400
    assert watch.pass_by(121, finding()) == [Reason.FIRING]
    watch.now -= 86400
    assert watch.pass_by(1801, finding()) == [Reason.REPEAT]
    assert watch.pass_by(30) == []
    watch.now -= 86400
    assert watch.pass_by(61) == [Reason.RESOLVED]


def test_what_was_pending_when_nobody_looked_begins_anew() -> None:
    watch = Watch()
    watch.pass_by(100, finding())
    watch.now += 3600
    assert watch.look(finding()) == []
    assert watch.pass_by(119, finding()) == []
    assert watch.pass_by(1, finding()) == [Reason.FIRING]


def kept(book: Book) -> Book:
    """The book after a restart."""
    active = msgspec.json.decode(msgspec.json.encode(book.active), type=list[Alert])
    past = msgspec.json.decode(msgspec.json.encode(book.past), type=list[Alert])
    return Book(active, past, book.at)


def test_a_restart_changes_nothing() -> None:
    watch = Watch()
    told = watch.pass_by(60, finding())
    for _ in range(6):
        watch.book = kept(watch.book)
        told += watch.pass_by(30, finding())
    watch.book = kept(watch.book)
    told += watch.pass_by(30)
    watch.book = kept(watch.book)
    told += watch.pass_by(31)
    assert told == [Reason.FIRING, Reason.RESOLVED]


def test_it_says_what_is_worth_keeping() -> None:
    watch = Watch()

    def changed(*found: Finding) -> bool:
        watch.now += 1
        watch.look(*found)
        was, watch.book.changed = watch.book.changed, False
        return was

    assert not changed()
    assert changed(finding())
    assert not changed(finding())
    assert changed(finding(severity=C))
    assert changed()
    watch.pass_by(122, finding())
    watch.book.changed = False
    assert not changed(finding())
    assert changed()
    assert not changed()
    assert changed(finding())
    assert not watch.book.past_changed
    watch.pass_by(62)
    assert watch.book.past_changed


# -- whatever happens --------------------------------------------------------------------------------------------------

LOOKS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abc"), st.sampled_from([W, C]), max_size=3),
        st.sampled_from([1.0, 1.0, 1.0, 30.0, 100.0, 130.0]),
        st.frozensets(st.sampled_from("abc"), max_size=1),
        st.sampled_from([False, False, False, False, True]),
        st.booleans(),
    ),
    max_size=80,
)


@given(LOOKS, st.sampled_from([0.0, 120.0]), st.sampled_from([0.0, 60.0]), st.sampled_from([50.0, 1800.0]))
def test_one_alert_for_a_trouble_and_never_an_end_without_a_beginning(
    looks: list[tuple[dict[str, Severity], float, frozenset[str], bool, bool]],
    for_: float,
    clear: float,
    repeat: float,
) -> None:
    watch = Watch(for_=for_, clear=clear, repeat=repeat)
    open_: dict[str, str] = {}
    last: dict[str, float] = {}
    worst: dict[str, Severity] = {}
    absent: dict[str, float] = {}
    present: dict[str, float] = {}
    lasting: set[str] = set()  # told or, while there is silence, not
    for found, seconds, silent, unknown, restart in looks:
        watch.now += seconds
        watch.silent = set(silent)
        if restart:
            watch.book = kept(watch.book)
        ones = [] if unknown else [finding(name, severity) for name, severity in found.items()]
        before = len(watch.told)
        watch.look(*ones, unknown=("provider_offline",) if unknown else ())
        for name in "abc":
            if unknown:
                continue
            if name in found:
                present.setdefault(name, watch.now)
                absent.pop(name, None)
                if watch.now - present[name] >= for_:
                    lasting.add(name)
            else:
                absent.setdefault(name, watch.now)
                if name not in lasting or watch.now - absent[name] >= clear:
                    present.pop(name, None)
                    lasting.discard(name)
        for notice in watch.told[before:]:
            alert = notice.alert
            name = alert.subject
            if notice.reason is Reason.FIRING:
                assert name not in open_, "two alerts for one trouble"
                assert watch.now - present[name] >= for_, "it had not lasted"
                open_[name], worst[name] = alert.id, alert.severity
            else:
                assert open_.get(name) == alert.id, "told of what nobody knows"
            if notice.reason is Reason.RESOLVED:
                assert watch.now - absent[name] >= clear, "it was not over"
                del open_[name]
            elif notice.reason is Reason.WORSE:
                assert (worst[name], alert.severity) == (W, C)
                worst[name] = C
            elif notice.reason is Reason.REPEAT:
                assert watch.now - last[name] >= repeat
                worst[name] = alert.severity
            if notice.reason is not Reason.RESOLVED:
                assert name not in silent, "told in spite of a silence"
            last[name] = watch.now
    keys = [one.key for one in watch.book.active]
    assert len(keys) == len(set(keys))
    assert len({(one.alert.id, one.alert.messages) for one in watch.told}) == len(watch.told), "a key twice"


@given(LOOKS)
def test_a_restart_at_any_point_changes_nothing(
    looks: list[tuple[dict[str, Severity], float, frozenset[str], bool, bool]],
) -> None:
    one, other = Watch(), Watch()
    for found, seconds, silent, unknown, restart in looks:
        made = Findings({}) if unknown else findings(*(finding(*item) for item in found.items()))
        for watch in (one, other):
            watch.now += seconds
            watch.silent = set(silent)
        if restart:
            other.book = kept(other.book)
        assert one.look(*made.found.values()) == other.look(*made.found.values())
    assert [a.id for a in one.book.active] == [a.id for a in other.book.active]


@pytest.mark.parametrize("identity", ["active", "past"])
def test_an_alert_is_found_by_its_id(identity: str) -> None:
    watch = Watch(for_=0.0, clear=0.0)
    watch.look(finding())
    (alert,) = watch.book.active
    if identity == "past":
        watch.look()
    assert watch.book.find(alert.id) is alert
    assert watch.book.find("nothing") is None
