"""The words of the judgement: which verdicts count, and names that can be no target's own."""

from __future__ import annotations

import pytest

from breaker.outcome import (
    NO_MODEL,
    OTHER_MODEL,
    SUCCESS,
    Answer,
    Blame,
    Kind,
    Neutral,
    Outcome,
    Retry,
    Status,
    Verdict,
)


@pytest.mark.parametrize("status", list(Status))
def test_every_status_counts(status: Status) -> None:
    assert Verdict(status).counted


@pytest.mark.parametrize("kind", list(Neutral))
def test_no_neutral_kind_counts(kind: Neutral) -> None:
    assert not Verdict(kind).counted


def test_a_success_is_nobodys_fault_and_asks_for_nothing() -> None:
    assert (SUCCESS.status, SUCCESS.blame, SUCCESS.retry, SUCCESS.message) == (
        Status.SUCCESS,
        Blame.NOBODY,
        Retry.NEVER,
        "",
    )


def test_verdicts_do_not_change() -> None:
    with pytest.raises(AttributeError):
        SUCCESS.message = "changed"  # type: ignore[misc]


def test_attempts_are_live_unless_said_otherwise() -> None:
    assert Outcome("p", "m", SUCCESS, False, response_time=0.1, first_byte=None, at=0.0).kind is Kind.LIVE


def test_the_words_of_the_api() -> None:
    assert [status.value for status in Status] == ["success", "error", "timeout", "rate_limited", "network_error"]
    assert [kind.value for kind in Neutral] == ["caller_error", "policy", "cancelled"]
    assert (NO_MODEL, OTHER_MODEL) == ("~none", "~other")


def test_an_answer_holds_numbers_and_names_only() -> None:
    assert not {"body", "prompt", "headers", "credential"} & set(vars(Answer))
    assert "request_id" in vars(Answer)
