"""A probe under way."""

from __future__ import annotations

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


def test_words_differ_and_are_long() -> None:
    words = {errand.word() for _ in range(100)}
    assert len(words) == 100
    assert min(map(len, words)) >= 32


def test_a_question_is_no_generation_and_no_other_request() -> None:
    assert set(QUESTIONS) == set(DIALECTS)
    assert not any(one.generation or one.name == "other" for one in QUESTIONS.values())
