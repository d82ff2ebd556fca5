from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from config.load import load_text
from healthapi.spend import ALL, Spend, Sum

DAY = 86400.0
CONFIG = """
providers:
  groq: {api_key: k, probes: {daily_cap: {requests: 3}}}
  openai: {api_key: k}
  gemini: {}
probes: {daily_cap: {requests: 5, tokens: 100}}
"""


class Clock:
    now = 20000 * DAY

    def __call__(self) -> float:
        return self.now


def spend() -> tuple[Spend, Clock]:
    clock = Clock()
    return Spend(load_text(CONFIG, {}), clock), clock


def test_the_caps_of_all_and_of_each_provider() -> None:
    made, _ = spend()
    for _ in range(3):
        assert made.fits("groq", 10)
        made.book("groq", 1, 10)
    assert not made.fits("groq", 10)
    assert not made.fits("groq", 0)
    assert made.fits("openai", 70)
    assert not made.fits("openai", 71)
    made.book("openai", 1, 70)
    assert made.fits("openai", 0), "a free question needs no tokens"
    made.book("openai", 1, 0)
    assert not made.fits("openai", 0)
    report = made.report()
    assert (report.requests, report.tokens, report.cap_requests, report.cap_tokens) == (5, 100, 5, 100)
    assert report.capped
    assert (report.providers["groq"].cap_requests, report.providers["groq"].cap_tokens) == (3, 100)
    assert report.providers["groq"].capped
    assert not report.providers["openai"].capped
    assert "gemini" not in report.providers
    assert report.day == "2024-10-04"


def test_a_probe_that_does_not_fit_in_is_a_cap_that_is_reached() -> None:
    made, _ = spend()
    made.book("groq", 1, 95)
    assert not made.report().capped
    made.refuse(ALL)
    assert made.report().capped
    made.book("openai", 1, 0)
    assert made.report().capped, "what costs nothing shows no room"
    made.book("groq", 0, -20)
    assert made.report().capped, "nor does it that the last one cost less: the next one shows"
    made.book("groq", 1, 5)
    assert not made.report().capped


def test_a_new_day() -> None:
    made, clock = spend()
    made.book("groq", 3, 10)
    clock.now += DAY - 1
    assert not made.fits("groq", 1)
    clock.now -= 3600 * 20
    assert not made.fits("groq", 1), "a clock set back by hours is no new day"
    clock.now += 3600 * 20 + 1
    assert made.report().requests == 0
    assert made.fits("groq", 1)
    clock.now -= 10 * DAY
    assert made.fits("groq", 1)
    assert made.day == 19991


def test_what_is_heard_of_another_day() -> None:
    made, _ = spend()
    made.hear(19999, {ALL: Sum(5, 5)})
    assert made.report().requests == 0
    made.hear(20001, {ALL: Sum(4, 4)})
    assert made.report().requests == 4, "the store's clock may be ahead"


@given(st.lists(st.tuples(st.sampled_from(["groq", "openai"]), st.integers(0, 30))))
def test_never_more_than_the_caps(probes: list[tuple[str, int]]) -> None:
    made, _ = spend()
    for provider, tokens in probes:
        if made.fits(provider, tokens):
            made.book(provider, 1, tokens)
    report = made.report()
    assert report.requests <= 5
    assert report.tokens <= 100
    assert report.providers["groq"].requests <= 3
