"""Which moves follow an attempt."""

from __future__ import annotations

import pytest

from breaker.outcome import Blame, Neutral, Retry, Status, Verdict
from config.words import OnRateLimit
from proxy.paths import CHAT, IMAGES, Endpoint
from proxy.retry import Move, moves, pause, repeatable
from proxy.verdict import Ending

SAME, OTHER, WAIT = Move.SAME, Move.OTHER, Move.WAIT


def error(status: int | None, retry: Retry = Retry.ANY, kind: Status | Neutral = Status.ERROR) -> Verdict:
    return Verdict(kind, Blame.TARGET, retry, "m", status)


@pytest.mark.parametrize(
    ("verdict", "ending", "expected"),
    [
        (error(500), Ending.COMPLETE, (SAME, OTHER)),
        (error(529), Ending.COMPLETE, (SAME, OTHER)),
        (error(504, kind=Status.TIMEOUT), Ending.COMPLETE, (SAME, OTHER)),
        (error(408, kind=Status.TIMEOUT), Ending.COMPLETE, (OTHER,)),
        (error(None, kind=Status.NETWORK_ERROR), Ending.RESET, (SAME, OTHER)),
        (error(200, kind=Status.NETWORK_ERROR), Ending.LOST, (SAME, OTHER)),
        (error(None, kind=Status.NETWORK_ERROR), Ending.UNREACHABLE, (OTHER,)),
        (error(None, kind=Status.TIMEOUT), Ending.CONNECT_TIMEOUT, (OTHER,)),
        (error(None, kind=Status.NETWORK_ERROR), Ending.MALFORMED, (OTHER,)),
        (error(None, Retry.OTHER_TARGET, Status.TIMEOUT), Ending.NO_HEAD, (OTHER,)),
        (error(None, Retry.OTHER_TARGET, Status.TIMEOUT), Ending.NO_CONTENT, (OTHER,)),
        (error(500, Retry.ANY, Status.TIMEOUT), Ending.STALLED, (OTHER,)),
        (error(401, Retry.OTHER_PROVIDER), Ending.COMPLETE, (OTHER,)),
        (error(404, Retry.OTHER_TARGET), Ending.COMPLETE, (OTHER,)),
        (error(400, Retry.LARGER_WINDOW, Neutral.CALLER_ERROR), Ending.COMPLETE, (OTHER,)),
        (error(400, Retry.NEVER, Neutral.POLICY), Ending.COMPLETE, ()),
        (error(None, Retry.NEVER, Status.TIMEOUT), Ending.TOTAL, ()),
        (error(200), Ending.COMPLETE, (OTHER,)),
    ],
)
def test_moves(verdict: Verdict, ending: Ending, expected: tuple[Move, ...]) -> None:
    assert moves(verdict, ending, OnRateLimit.REROUTE) == expected
    assert moves(verdict, ending, OnRateLimit.WAIT) == expected


def test_after_a_rate_limit() -> None:
    limited = error(429, kind=Status.RATE_LIMITED)
    assert moves(limited, Ending.COMPLETE, OnRateLimit.REROUTE) == (OTHER, WAIT)
    assert moves(limited, Ending.COMPLETE, OnRateLimit.WAIT) == (WAIT, OTHER)


@pytest.mark.parametrize(
    ("endpoint", "background", "ending", "status", "expected"),
    [
        (CHAT, False, Ending.COMPLETE, 500, True),
        (CHAT, False, Ending.RESET, None, True),
        (CHAT, True, Ending.COMPLETE, 500, False),
        (CHAT, True, Ending.UNREACHABLE, None, True),
        (IMAGES, False, Ending.COMPLETE, 500, False),
        (IMAGES, False, Ending.COMPLETE, 429, True),
        (IMAGES, False, Ending.COMPLETE, 503, True),
        (IMAGES, False, Ending.LOST, 503, False),
        (IMAGES, False, Ending.RESET, None, False),
        (IMAGES, False, Ending.NO_HEAD, None, False),
        (IMAGES, False, Ending.CONNECT_TIMEOUT, None, True),
        (IMAGES, False, Ending.UNREACHABLE, None, True),
    ],
)
def test_what_may_be_sent_again(
    endpoint: Endpoint, background: bool, ending: Ending, status: int | None, expected: bool
) -> None:
    assert repeatable(endpoint, background, ending, status) is expected


@pytest.mark.parametrize(("again", "chance", "seconds"), [(0, 0.0, 0.0), (0, 1.0, 0.2), (1, 0.5, 0.2), (3, 1.0, 1.6)])
def test_pauses_double_and_jitter_is_full(again: int, chance: float, seconds: float) -> None:
    assert pause(again, chance) == pytest.approx(seconds)


def test_a_pause_never_overflows() -> None:
    assert pause(10_000, 1.0) == pause(10, 1.0)
