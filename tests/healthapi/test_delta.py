from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import MESSAGE_LIMIT, Blame, Status
from healthapi.delta import Delta, copied
from tests.healthapi.samples import NOW, delta, outcome

BAD = Status.ERROR

statuses = st.lists(st.sampled_from(list(Status)), min_size=1, max_size=12)


def of(found: list[Status], at: float = NOW) -> Delta:
    return delta(*(outcome(status, at=at + place) for place, status in enumerate(found)))


def test_what_one_success_leaves() -> None:
    made = delta(outcome(took=1.5, first_byte=0.2))
    assert (made.provider, made.model, made.minute, made.first_at, made.last_at) == (
        "groq",
        "llama",
        NOW // 60,
        NOW,
        NOW,
    )
    assert (made.counts, made.blamed, made.seconds, made.streak) == ([1, 0, 0, 0, 0], 0, 1.5, 1)
    assert (sum(made.response.values()), sum(made.first_byte.values())) == (1, 1)
    assert (made.last_error, made.last_success_at, made.last_failure_at) == (None, NOW, None)


def test_a_failure_keeps_its_message_within_bounds_and_a_success_ends_it() -> None:
    made = delta(outcome(BAD, message="x" * 900), outcome(BAD, message="", first_byte=None))
    assert made.last_error == "error"
    assert delta(outcome(BAD, message="x" * 900)).last_error == "x" * MESSAGE_LIMIT
    assert delta(outcome(BAD), outcome()).last_error is None


def test_only_what_is_the_targets_or_its_providers_doing_is_blamed() -> None:
    made = delta(*(outcome(BAD, blame=blame) for blame in Blame))
    assert (made.calls, made.blamed) == (5, 2)


@given(statuses, statuses)
def test_one_after_the_other_is_all_together(first: list[Status], second: list[Status]) -> None:
    both, later = of(first), of(second, NOW + len(first))
    kept = copied(later)
    both.follow(later)
    assert both == of(first + second)
    assert later == kept


@given(statuses, statuses)
def test_a_copy_is_a_thing_of_its_own(first: list[Status], second: list[Status]) -> None:
    made = of(first)
    other = copied(made)
    other.follow(of(second))
    assert made == of(first)
