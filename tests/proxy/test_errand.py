"""A probe under way."""

from __future__ import annotations

import pytest

from breaker.outcome import Blame, Neutral, Status, Verdict
from config.load import load_text
from config.settings import Timeouts
from proxy import errand
from proxy.errand import KEPT, QUESTIONS, Errand
from proxy.paths import DIALECTS
from proxy.probe import Asks


def test_its_own_limit_is_that_of_its_attempt() -> None:
    limits = Timeouts(connect=5, first_byte=60, idle=30, answer=100, total=300, stream_total=1000)
    found = Errand("m", Asks.GENERATION, 30.0).within(limits)
    assert (found.total, found.stream_total, found.connect, found.answer) == (30.0, 30.0, 5, 100)


def test_an_answer_is_kept_up_to_its_bound() -> None:
    one, other = Errand("m", Asks.LIST, 1.0), Errand("m", Asks.LIST, 1.0)
    one.keep(b"x" * KEPT)
    assert (len(one.answer), one.whole) == (KEPT, True)
    for _ in range(3):
        one.keep(b"yz")
    assert (len(one.answer), one.whole) == (KEPT + 1, False)
    assert other.answer == b""


@pytest.mark.parametrize(
    ("verdict", "counts"),
    [
        (Verdict(Status.SUCCESS), True),
        (Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, message="401", http_status=401), True),
        (Verdict(Status.ERROR, Blame.TARGET_CREDENTIAL, message="404", http_status=404), True),
        (Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, message="429", retry_after=3.0), True),
        (Verdict(Status.ERROR, Blame.TARGET, message="503", http_status=503), False),
        (Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused"), False),
        (Verdict(Status.TIMEOUT, Blame.PROVIDER, message="no connection"), False),
    ],
)
def test_what_is_wrong_with_another_host_says_nothing_of_the_provider(verdict: Verdict, counts: bool) -> None:
    provider = load_text("providers: {fal: {api_key: k}}", {}).providers["fal"]
    elsewhere = Errand("m", Asks.ELSEWHERE, 1.0, provider.queue)
    assert Errand("m", Asks.QUEUE, 1.0).settled(verdict, sent=True) == verdict
    told = elsewhere.settled(verdict, sent=True)
    assert told == elsewhere.verdict
    assert (told == verdict) is counts
    if not counts:
        assert (told.status, told.blame) == (Neutral.CALLER_ERROR, Blame.NOBODY)
        assert told.message == f"queue.fal.run, which was asked in its place: {verdict.message}"


def test_words_differ_and_are_long() -> None:
    words = {errand.word() for _ in range(100)}
    assert len(words) == 100
    assert min(map(len, words)) >= 32


def test_a_question_is_no_generation_and_no_other_request() -> None:
    assert set(QUESTIONS) == set(DIALECTS)
    assert not any(one.generation or one.name == "other" for one in QUESTIONS.values())
