from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest

from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State
from healthapi import events as module
from healthapi.errors import Problem
from healthapi.events import BATCH, READERS, EventLog
from tests.healthapi.admin_world import NOW

FRAME = re.compile(rb"event: transition\nid: ([0-9a-f]{8}-[0-9]+)\ndata: (\{[^\n\r]*\})\n\n")


def moved(reason: str = "opened by hand for 60 s", **changes: Any) -> Transition:
    made = Transition(
        Scope.TARGET,
        "groq",
        "llama",
        None,
        State.CLOSED,
        State.OPEN,
        Event.FORCE_OPEN,
        Cause.MANUAL,
        reason,
        7,
        59.99951,
        1000.0,
    )
    return msgspec.structs.replace(made, **changes)


def log(size: int = 1000) -> EventLog:
    return EventLog(size, wall=lambda: NOW)


def filled(count: int, size: int = 1000) -> EventLog:
    made = log(size)
    for number in range(1, count + 1):
        made.add(moved(generation=number))
    return made


def read(frames: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Ids and data, and nothing but frames."""
    assert FRAME.sub(b"", frames) == b""
    return [(found[0].decode(), msgspec.json.decode(found[1])) for found in FRAME.findall(frames)]


def all_after(events: EventLog, position: int) -> list[int]:
    """The generations of everything after a position."""
    told: list[int] = []
    while True:
        position, frames = events.after(position)
        if not frames:
            return told
        told += [data["generation"] for _, data in read(frames)]


def test_a_transition_as_readers_get_it() -> None:
    events = log()
    events.add(moved())
    ((_, data),) = read(events.after(0)[1])
    assert data == {
        "at": "2026-01-01T00:00:00.000Z",
        "breaker": "groq/llama",
        "scope": "target",
        "provider": "groq",
        "model": "llama",
        "credential": None,
        "was": "closed",
        "state": "open",
        "event": "force_open",
        "cause": "manual",
        "reason": "opened by hand for 60 s",
        "generation": 7,
        "seconds_until_retry": 60.0,
    }


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"scope": Scope.PROVIDER, "model": None}, "groq"),
        ({"scope": Scope.CREDENTIAL, "credential": "1a2b3c4d"}, "groq/llama#key:1a2b3c4d"),
        ({"scope": Scope.CREDENTIAL, "model": None, "credential": "1a2b3c4d"}, "groq#key:1a2b3c4d"),
        ({"retry_in": None}, "groq/llama"),
    ],
)
def test_the_name_is_that_of_the_breaker(changes: dict[str, Any], name: str) -> None:
    events = log()
    events.add(moved(**changes))
    ((_, data),) = read(events.after(0)[1])
    assert data["breaker"] == name
    assert (data["seconds_until_retry"] is None) == ("retry_in" in changes)


def test_hostile_text_stays_in_its_line() -> None:
    events = log()
    nasty = "x\n\nevent: transition\r\nid: 9\rdata: {}\u2028\udcff\x00"
    events.add(moved(nasty, provider=nasty, model=nasty))
    ((_, data),) = read(events.after(0)[1])
    assert data["reason"] == nasty.replace("\udcff", "?")


def test_ids_count_up_and_tell_processes_apart() -> None:
    ids = [name for name, _ in read(filled(3).after(0)[1])]
    assert [name.partition("-")[2] for name in ids] == ["1", "2", "3"]
    other = [name for name, _ in read(filled(3).after(0)[1])]
    assert set(ids).isdisjoint(other)


@pytest.mark.parametrize(
    ("last_id", "generations"),
    [
        ("", []),  # new ones only
        ("{}-3", []),
        ("{}-2", [3]),
        ("{}-0", [1, 2, 3]),
        ("{}-4", [1, 2, 3]),  # from the future
        ("{}-", [1, 2, 3]),
        ("{}--1", [1, 2, 3]),
        ("{}-٣", [1, 2, 3]),
        ("{}-2\n", [1, 2, 3]),
        ("{}-" + "9" * 5000, [1, 2, 3]),
        ("00000000-2", [1, 2, 3]),  # of another process
        ("0", [1, 2, 3]),
        ("\udcff", [1, 2, 3]),
    ],
)
def test_what_a_reader_is_sent_that_knows_an_id(last_id: str, generations: list[int]) -> None:
    events = filled(3)
    epoch = events.id(0).decode().partition("-")[0]
    assert all_after(events, events.position(last_id.replace("{}", epoch))) == generations


def test_what_is_kept_is_bounded() -> None:
    events = filled(25, size=10)
    assert all_after(events, 0) == list(range(16, 26))
    assert all_after(events, 3) == list(range(16, 26))  # a reader that was too slow goes on with the oldest there is
    assert all_after(events, 20) == [21, 22, 23, 24, 25]
    assert all_after(events, 25) == []


def test_one_piece_is_bounded() -> None:
    events = filled(2 * BATCH + 1)
    position, frames = events.after(0)
    assert (position, len(read(frames))) == (BATCH, BATCH)
    assert all_after(events, 0) == list(range(1, 2 * BATCH + 2))


async def test_all_who_wait_are_woken_at_once() -> None:
    events = log()
    waiting = [asyncio.create_task(events.news(0, 60.0)) for _ in range(50)]
    await asyncio.sleep(0)
    events.add(moved())
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


async def test_nobody_waits_for_what_is_there() -> None:
    await asyncio.wait_for(filled(1).news(0, 60.0), 5)


async def test_waiting_ends_by_itself() -> None:
    await asyncio.wait_for(filled(1).news(1, 0.01), 5)


async def test_waiting_ends_with_the_log() -> None:
    events = log()
    waiting = asyncio.create_task(events.news(0, 60.0))
    await asyncio.sleep(0)
    events.end()
    await asyncio.wait_for(waiting, 5)
    await asyncio.wait_for(events.news(0, 60.0), 5)


def test_places_are_few_and_given_back() -> None:
    events = log()
    readers = [events.reading() for _ in range(READERS)]
    for reader in readers:
        reader.__enter__()
    with pytest.raises(Problem) as caught, events.reading():
        pass
    assert (caught.value.status, caught.value.code) == (503, "too_many_readers")
    assert ("Retry-After", "10") in caught.value.headers
    readers[0].__exit__(None, None, None)
    with events.reading():
        assert events.readers == READERS
    for reader in readers[1:]:
        reader.__exit__(None, None, None)
    assert events.readers == 0


def test_the_clock_is_the_wall_s_unless_another_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.SIZE == 1000
    events = EventLog()
    events.add(moved())
    ((_, data),) = read(events.after(0)[1])
    assert data["at"] > "2024"
