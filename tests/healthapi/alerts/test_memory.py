from __future__ import annotations

import msgspec

from healthapi.alerts.memory import Memory
from tests.healthapi.alerts.found import NOW


def test_it_remembers_by_minute_and_forgets_what_is_too_old() -> None:
    memory = Memory()
    assert memory.take(NOW, 100.0, (), 3600)
    assert not memory.take(NOW + 1, 50.0, (), 3600)
    assert memory.best(NOW + 59, 3600) is None
    assert memory.best(NOW + 60, 3600) == 75
    assert memory.take(NOW + 60, 60.0, (), 3600)
    assert memory.best(NOW + 120, 3600) == 75
    for minute in range(2, 200):
        memory.take(NOW + 60 * minute, 60.0, (), 3600)
    assert len(memory.minutes) <= 62
    assert memory.best(NOW + 200 * 60, 3600) == 60


def test_what_is_not_known_is_not_remembered() -> None:
    memory = Memory()
    assert not memory.take(NOW, None, (), 3600)
    assert memory.minutes == {}


def test_a_clock_that_is_set_back_forgets_the_future() -> None:
    memory = Memory()
    memory.take(NOW, 100.0, (), 3600)
    memory.take(NOW - 600, 50.0, (), 3600)
    assert memory.best(NOW, 3600) == 50


def test_since_when_breakers_are_not_closed() -> None:
    memory = Memory()
    assert memory.take(NOW, None, [("groq", NOW - 5)], 3600)
    assert not memory.take(NOW + 60, None, [("groq", NOW + 60)], 3600)  # a trial failed
    assert memory.open_since("groq", NOW + 60) == NOW - 5
    assert memory.take(NOW + 61, None, (), 3600)
    assert memory.take(NOW + 90, None, [("groq", NOW + 90)], 3600)
    assert memory.open_since("groq", NOW + 90) == NOW + 90
    assert memory.open_since("never seen", NOW) == NOW
    memory.begin_again()
    assert memory.take(NOW + 900, None, [("groq", NOW + 880)], 3600)
    assert memory.open_since("groq", NOW + 880) == NOW + 880, "nobody knows that it was not closed in between"


def test_it_can_be_kept() -> None:
    memory = Memory()
    memory.take(NOW, 90.0, [("groq/\ufffd", NOW)], 3600)
    assert msgspec.json.decode(msgspec.json.encode(memory), type=Memory) == memory
