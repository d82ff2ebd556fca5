from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import Kind, Status
from healthapi.delta import Delta
from healthapi.outbox import Outbox
from tests.healthapi.samples import NOW, delta, outcome


def one(model: str = "llama", minute: int = 0, kind: Kind = Kind.LIVE, status: Status = Status.SUCCESS) -> Delta:
    return delta(outcome(status, model=model, at=NOW + 60 * minute, kind=kind))


def calls(deltas: list[Delta]) -> Counter[tuple[str, Kind]]:
    found: Counter[tuple[str, Kind]] = Counter()
    for made in deltas:
        found[made.model, made.kind] += made.calls
    return found


def filled(*deltas: Delta, most: int = 100) -> Outbox:
    box = Outbox(most)
    box.extend(deltas)
    return box


def test_what_is_of_one_target_kind_and_minute_is_one() -> None:
    box = filled(one(), one("other"), one(kind=Kind.PROBE), one(minute=1), one())
    assert len(box) == 4
    assert [made.calls for made in box.take()] == [1, 1, 1, 2], "what was added to last comes last"
    assert (len(box), box.take()) == (0, [])


def test_the_oldest_are_taken_first() -> None:
    box = filled(one(minute=0), one(minute=1), one(minute=2))
    assert [made.minute - NOW // 60 for made in box.take(2)] == [0, 1]
    assert [made.minute - NOW // 60 for made in box.take(2)] == [2]


def test_beyond_the_bound_later_minutes_go_to_the_last_one_and_new_targets_have_room() -> None:
    box = filled(one(minute=0), one(minute=1), one(minute=2), one(minute=3), one("new"), most=2)
    assert [(made.model, made.minute - NOW // 60, made.calls) for made in box.take()] == [
        ("llama", 0, 1),
        ("llama", 1, 3),
        ("new", 0, 1),
    ]


@pytest.mark.parametrize(("to", "left"), [("~other", {("~other", Kind.LIVE): 3}), (None, {})])
def test_deltas_of_a_record_that_left_are_anothers_or_nobodys(
    to: str | None, left: dict[tuple[str, Kind], int]
) -> None:
    box = filled(one("gone"), one("gone", minute=1), one("gone"))
    box.move("groq", "gone", to)
    box.move("elsewhere", "gone", to)
    assert calls(box.take()) == left


def test_what_is_moved_keeps_its_order_over_both_kinds() -> None:
    box = filled(one("gone"), one("gone", kind=Kind.PROBE), one("gone", minute=1), one("gone"), one("other"))
    box.move("groq", "gone", "~other")
    seen = [(made.model, made.kind, made.minute - NOW // 60, made.calls) for made in box.take()]
    live, probe = Kind.LIVE, Kind.PROBE
    assert seen == [("other", live, 0, 1), ("~other", probe, 0, 1), ("~other", live, 1, 1), ("~other", live, 0, 2)]


def test_what_is_moved_is_added_to_what_is_there() -> None:
    box = filled(one("gone"), one("~other"))
    box.move("groq", "gone", "~other")
    assert [made.calls for made in box.take()] == [2]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from("abc"), st.integers(0, 3), st.sampled_from(list(Kind))),
        st.tuples(st.just("move"), st.sampled_from("abc"), st.just(0), st.just(Kind.LIVE)),
        st.tuples(st.just("take"), st.just(""), st.integers(0, 3), st.just(Kind.LIVE)),
    ),
    max_size=40,
)


@given(steps, st.integers(1, 5))
def test_nothing_is_lost_and_nothing_is_counted_twice(told: list[tuple[str, str, int, Kind]], most: int) -> None:
    box, taken, added = Outbox(most), [], 0
    for what, model, number, kind in told:
        if what == "add":
            box.add(one(model, number, kind))
            added += 1
        elif what == "move":
            box.move("groq", model, "~other")
        else:
            taken += box.take(number)
    taken += box.take()
    assert sum(calls(taken).values()) == added
