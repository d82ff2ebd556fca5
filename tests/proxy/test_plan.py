"""Which targets stand in, and in what order."""

from __future__ import annotations

import pytest

from breaker.health import Health
from breaker.outcome import Retry
from breaker.permit import Rejection
from breaker.target import Standing
from config.words import Strategy
from proxy.plan import ANYTHING, Candidate, least_bad, ranked

H, U, D, B = Health.HEALTHY, Health.UNKNOWN, Health.DEGRADED, Health.UNHEALTHY


def candidate(
    model: str,
    health: Health = U,
    rate: float | None = None,
    first_byte: float | None = None,
    rejection: Rejection | None = None,
) -> Candidate:
    return Candidate("p", model, rejection, Standing(health, rate, first_byte))


def order(strategy: Strategy, *candidates: Candidate) -> str:
    return " ".join(found.model for found in ranked(candidates, strategy))


@pytest.mark.parametrize(
    ("strategy", "candidates", "expected"),
    [
        (
            Strategy.UPTIME,
            [candidate("bad", B, 0.1), candidate("so-so", D, 0.9), candidate("new"), candidate("good", H, 0.96)],
            "good new so-so bad",
        ),
        (Strategy.UPTIME, [candidate("a", H, 0.97), candidate("b", H, 0.99), candidate("c", H, 0.98)], "b c a"),
        (
            Strategy.UPTIME,
            [candidate("a", H, 1.0), candidate("b", H, 1.0, 0.9), candidate("c", H, 1.0, 0.2)],
            "c b a",
        ),
        (Strategy.UPTIME, [candidate("first", H, 1.0, 0.5), candidate("second", H, 1.0, 0.5)], "first second"),
        (Strategy.UPTIME, [candidate("none"), candidate("some", U, 0.5)], "some none"),
        (
            Strategy.LATENCY,
            [candidate("slow", H, 1.0, 3.0), candidate("ill", B, 0.1, 0.1), candidate("quick", D, 0.9, 0.4)],
            "quick slow ill",
        ),
        (Strategy.LATENCY, [candidate("unseen"), candidate("seen", H, 1.0, 60.0)], "seen unseen"),
        (Strategy.ORDER, [candidate("ill", B, 0.1), candidate("new"), candidate("good", H, 1.0)], "new good ill"),
        (Strategy.ORDER, [], ""),
    ],
)
def test_best_first(strategy: Strategy, candidates: list[Candidate], expected: str) -> None:
    assert order(strategy, *candidates) == expected


@pytest.mark.parametrize("strategy", list(Strategy))
def test_what_is_not_admitted_is_left_out(strategy: Strategy) -> None:
    shut = candidate("shut", H, 1.0, 0.1, Rejection("open", 5.0, 503))
    assert order(strategy, shut, candidate("ill", B, 0.0)) == "ill"


def test_the_least_bad_is_the_one_whose_trial_is_soonest() -> None:
    late = candidate("late", rejection=Rejection("r", 9.0, 503, "open"))
    soon = candidate("soon", rejection=Rejection("r", 1.0, 503, "half_open"))
    limited = candidate("limited", rejection=Rejection("r", 0.5, 429, "hold_off"))
    refused = candidate("refused", rejection=Rejection("r", 0.1, 401, "credential"))
    assert least_bad([late, limited, refused, soon]) is soon
    assert least_bad([limited, refused]) is None
    assert least_bad([candidate("admitted")]) is None
    assert least_bad([]) is None


def test_anything_suits_until_something_failed() -> None:
    assert ANYTHING.suits("p", None)
    for retry in (Retry.ANY, Retry.OTHER_TARGET, Retry.NEVER):
        assert ANYTHING.after(retry, "p", 1000) is ANYTHING


def test_a_provider_whose_key_was_refused_is_asked_no_more() -> None:
    wanted = ANYTHING.after(Retry.OTHER_PROVIDER, "p", None).after(Retry.ANY, "q", None)
    assert not wanted.suits("p", None)
    assert wanted.suits("q", None)
    assert not wanted.after(Retry.OTHER_PROVIDER, "q", None).suits("p", None)


@pytest.mark.parametrize(
    ("too_small", "window", "expected"),
    [
        ((128_000,), 200_000, True),
        ((128_000,), 128_000, False),
        ((128_000,), None, False),
        ((None,), 8_000, True),
        ((None,), None, False),
        ((128_000, 8_000), 64_000, False),
        ((8_000, 128_000), 64_000, False),
        ((8_000, None), 64_000, True),
    ],
)
def test_a_prompt_goes_to_larger_windows_only(
    too_small: tuple[int | None, ...], window: int | None, expected: bool
) -> None:
    wanted = ANYTHING
    for tokens in too_small:
        wanted = wanted.after(Retry.LARGER_WINDOW, "p", tokens).after(Retry.ANY, "q", 1_000_000)
    assert wanted.suits("p", window) is expected
