from __future__ import annotations

import pytest

from breaker.outcome import MESSAGE_LIMIT, OTHER_MODEL, Blame, Kind, Neutral, Status
from healthapi.history import Counts
from healthapi.record import PLACES, STATUSES, Sums
from tests.healthapi.samples import NOW, delta, outcome, record

BAD = Status.ERROR
PROBE = Kind.PROBE


def test_every_status_has_a_place_and_neutral_kinds_have_none() -> None:
    assert [PLACES[status] for status in Status] == list(range(5))
    assert STATUSES[0] is Status.SUCCESS
    assert not any(kind in PLACES for kind in Neutral)


def test_a_record_after_one_success() -> None:
    made = record(outcome(took=1.5, first_byte=0.2))
    assert (made.provider, made.model) == ("groq", "llama")
    assert (made.created_at, made.updated_at, made.last_success_at, made.last_failure_at) == (NOW, NOW, NOW, None)
    assert (made.consecutive_successes, made.consecutive_failures) == (1, 0)
    assert made.last is made.live
    assert made.probe is None
    assert made.sums() == Sums(1, 1, 1.5)
    assert (made.last.last_status, made.last.last_response_time, made.last.last_error) == (Status.SUCCESS, 1.5, None)
    assert (made.last.response.count, made.last.first_byte.count) == (1, 1)


def test_no_first_byte_is_no_latency() -> None:
    made = record(outcome(Status.TIMEOUT, took=120, first_byte=None))
    assert (made.last.response.count, made.last.first_byte.count) == (1, 0)


def test_failures_count_their_elapsed_time() -> None:
    made = record(outcome(took=1), outcome(Status.TIMEOUT, took=120, first_byte=None))
    assert made.sums() == Sums(2, 1, 121)


def test_consecutive_counts_start_again_at_the_other_kind_of_end() -> None:
    made = record(outcome(), outcome(), outcome(BAD, at=NOW + 1), outcome(BAD, at=NOW + 2), outcome(BAD, at=NOW + 3))
    assert (made.consecutive_successes, made.consecutive_failures) == (0, 3)
    assert (made.last_success_at, made.last_failure_at) == (NOW, NOW + 3)
    made.take(delta(outcome(at=NOW + 4)))
    assert (made.consecutive_successes, made.consecutive_failures) == (1, 0)
    assert (made.created_at, made.updated_at) == (NOW, NOW + 4)


@pytest.mark.parametrize(
    ("message", "kept"),
    [("503 overloaded", "503 overloaded"), ("", "error"), ("x" * 900, "x" * MESSAGE_LIMIT)],
)
def test_the_message_of_a_failure(message: str, kept: str) -> None:
    assert record(outcome(BAD, message=message)).last.last_error == kept


@pytest.mark.parametrize(
    ("blame", "group"),
    [
        (Blame.TARGET, Counts(blamed=1)),
        (Blame.PROVIDER, Counts(blamed=1)),
        (Blame.TARGET_CREDENTIAL, Counts(other=1)),
        (Blame.PROVIDER_CREDENTIAL, Counts(other=1)),
        (Blame.NOBODY, Counts(other=1)),
    ],
)
def test_whose_doing_a_failure_was_is_kept(blame: Blame, group: Counts) -> None:
    assert record(outcome(BAD, blame=blame)).seen(300, NOW) == group


def test_live_traffic_and_probes_are_kept_apart_and_read_together() -> None:
    made = record(outcome(took=1), outcome(BAD, kind=PROBE, took=3, at=NOW + 5), outcome(took=2, at=NOW + 1))
    assert made.sums(Kind.LIVE) == Sums(2, 2, 3)
    assert made.sums(PROBE) == Sums(1, 0, 3)
    assert made.sums() == Sums(3, 2, 6)
    assert made.seen(300, NOW, PROBE) == Counts(blamed=1)
    assert made.seen(300, NOW) == Counts(success=2, blamed=1)
    assert made.last is made.live, "the last to arrive, whatever its time"
    both = made.together()
    assert both is not None
    assert (both.sums(), both.response.count, both.last_called_at) == (Sums(3, 2, 6), 3, NOW + 5)
    assert made.sums(Kind.LIVE) == Sums(2, 2, 3), "reading together changes neither"


def test_a_kind_that_never_came_is_nothing() -> None:
    live, probed = record(outcome()), record(outcome(kind=PROBE))
    assert live.together(PROBE) is None
    assert probed.together(Kind.LIVE) is None
    assert probed.together() is probed.together(PROBE) is probed.last
    assert live.seen(300, NOW, PROBE) == Counts()
    assert live.sums(PROBE) == Sums()


def test_absorbing_adds_everything_and_keeps_the_later_end() -> None:
    other = record(outcome(BAD, model=OTHER_MODEL, at=NOW + 9, message="older"))
    other.absorb(record(outcome(at=NOW), outcome(BAD, at=NOW + 10, message="newer", kind=PROBE)))
    assert other.model == OTHER_MODEL
    assert other.sums() == Sums(3, 1, 1.5)
    assert (other.created_at, other.updated_at) == (NOW, NOW + 10)
    assert (other.last_success_at, other.last_failure_at) == (NOW, NOW + 10)
    assert other.last is other.probe
    assert other.last.last_error == "newer"
    assert (other.consecutive_failures, other.consecutive_successes) == (1, 0)


def test_absorbing_an_older_one_leaves_the_end_as_it_was() -> None:
    other = record(outcome(BAD, at=NOW + 10), outcome(BAD, at=NOW + 11, message="mine"))
    other.absorb(record(outcome(at=NOW, took=9)))
    assert (other.last.last_error, other.last.last_response_time) == ("mine", 0.5)
    assert (other.updated_at, other.consecutive_failures, other.consecutive_successes) == (NOW + 11, 2, 0)
    assert other.sums() == Sums(3, 1, 10)


def test_absorbing_a_later_one_of_the_same_kind_takes_its_end() -> None:
    other = record(outcome(BAD, at=NOW))
    other.absorb(record(outcome(at=NOW + 1, took=9)))
    assert (other.last.last_error, other.last.last_response_time, other.last.last_status) == (None, 9, Status.SUCCESS)
    assert (other.consecutive_failures, other.consecutive_successes) == (0, 1)
