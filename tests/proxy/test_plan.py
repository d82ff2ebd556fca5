"""Which targets stand in, and in what order."""

from __future__ import annotations

import pytest

from breaker.health import Health
from breaker.outcome import Retry
from breaker.permit import Rejection
from breaker.target import Standing
from config.words import Strategy
from proxy.plan import Candidate, least_bad, ranked, suits

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


@pytest.mark.parametrize(
    ("retry", "same_provider", "window", "needed", "expected"),
    [
        (Retry.ANY, True, None, None, True),
        (Retry.ANY, False, None, None, True),
        (Retry.OTHER_TARGET, True, None, None, True),
        (Retry.OTHER_PROVIDER, True, None, None, False),
        (Retry.OTHER_PROVIDER, False, None, None, True),
        (Retry.LARGER_WINDOW, False, 200_000, 128_000, True),
        (Retry.LARGER_WINDOW, False, 128_000, 128_000, False),
        (Retry.LARGER_WINDOW, False, 8_000, 128_000, False),
        (Retry.LARGER_WINDOW, True, 200_000, None, True),
        (Retry.LARGER_WINDOW, False, None, None, False),
        (Retry.LARGER_WINDOW, False, None, 8_000, False),
        (Retry.NEVER, False, None, None, False),
    ],
)
def test_what_suits(retry: Retry, same_provider: bool, window: int | None, needed: int | None, expected: bool) -> None:
    assert suits(retry, same_provider=same_provider, window=window, needed=needed) is expected
