from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from healthapi.lag import INTERVAL, Lag


class Clock:
    """As much of an event loop as a timer needs, with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> Timer:
        timer = Timer(when, callback, args)
        self.timers.append(timer)
        return timer

    def move(self, seconds: float) -> None:
        """Let time pass at one go, as when something holds the loop, and then run what is due."""
        self.now += seconds
        due = [timer for timer in self.timers if timer.when <= self.now]
        self.timers = [timer for timer in self.timers if timer.when > self.now]
        for timer in due:
            if not timer.cancelled:
                timer.callback(*timer.args)


class Timer:
    def __init__(self, when: float, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.when = when
        self.callback = callback
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lag(clock: Clock) -> Lag:
    lag = Lag()
    lag.start(clock)  # type: ignore[arg-type]
    return lag


def test_nothing_is_known_before_the_first_look(lag: Lag) -> None:
    assert (lag.worst, lag.total, lag.latencies.count) == (0.0, 0.0, 0)


def test_a_held_loop_shows_as_what_the_timer_came_too_late_by(clock: Clock, lag: Lag) -> None:
    clock.move(INTERVAL)
    clock.move(INTERVAL + 0.3)
    assert lag.worst == pytest.approx(0.3)
    assert lag.total == pytest.approx(0.3)
    assert lag.latencies.count == 2


def test_lateness_does_not_add_up_over_looks(clock: Clock, lag: Lag) -> None:
    for _ in range(10):
        clock.move(INTERVAL + 0.01)
    assert lag.worst == pytest.approx(0.01)
    assert lag.latencies.count == 10


def test_the_worst_is_forgotten_after_a_minute_and_the_next_worst_takes_over(clock: Clock, lag: Lag) -> None:
    clock.move(INTERVAL + 1.0)
    clock.move(30.0)  # 29.5 s late: far worse
    assert lag.worst == pytest.approx(29.5)
    clock.move(INTERVAL + 0.2)
    for _ in range(118):
        clock.move(INTERVAL)
    assert lag.worst == pytest.approx(29.5)
    clock.move(INTERVAL)
    assert lag.worst == pytest.approx(0.2)
    clock.move(INTERVAL)
    clock.move(INTERVAL)
    assert lag.worst == 0.0


def test_memory_is_bounded_by_the_minute(clock: Clock, lag: Lag) -> None:
    for step in range(1000):
        clock.move(INTERVAL + 1 / (step + 1))
    assert len(lag._recent) <= 121


def test_a_timer_that_comes_early_is_punctual() -> None:
    lag = Lag()
    lag.seen(-0.001, 5.0)
    assert (lag.worst, lag.total) == (0.0, 0.0)


def test_starting_twice_sets_one_timer_and_stopping_ends_it(clock: Clock, lag: Lag) -> None:
    lag.start(clock)  # type: ignore[arg-type]
    assert len(clock.timers) == 1
    lag.stop()
    lag.stop()
    clock.move(10)
    assert lag.latencies.count == 0
    lag.start(clock)  # type: ignore[arg-type]
    clock.move(INTERVAL)
    assert lag.latencies.count == 1


class Watched(Lag):
    """Says when it has looked."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = asyncio.Event()

    def seen(self, late: float, now: float) -> None:
        super().seen(late, now)
        self.looked.set()


async def test_it_measures_a_real_loop() -> None:
    lag = Watched()
    lag.start(asyncio.get_running_loop())
    try:
        await asyncio.wait_for(lag.looked.wait(), 30)
    finally:
        lag.stop()
    assert lag.latencies.count == 1
