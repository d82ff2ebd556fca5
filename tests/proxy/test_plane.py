"""The door all exchanges come in by, and how it is closed."""

from __future__ import annotations

import asyncio

from breaker.outcome import Answer
from breaker.registry import Registry
from config.load import load_text
from proxy.connect import Connector
from proxy.plane import DataPlane
from proxy.pool import Pools
from tests.proxy.kept import Kept

ANSWER = Answer("i-1", "GET", "", "", "", 404, "rejected", False, 0, 0.1, 0.0, 0, 9, 1.0)


def plane() -> tuple[DataPlane, Kept]:
    loop = asyncio.get_running_loop()
    config, kept = load_text("limits: {replay: 1MiB, replay_total: 1MiB}\n", {}), Kept()
    made = DataPlane(config, Registry(tracked=10), kept, Pools(Connector(loop), loop), loop, instance="abc")
    return made, kept


async def test_requests_have_names_of_their_own() -> None:
    made, _ = plane()
    assert [made.request_id() for _ in range(17)][::16] == ["abc-1", "abc-11"]
    assert made.name == b"abc"
    assert made.replay.limit == 2**20


async def test_draining_waits_for_the_last_exchange() -> None:
    made, kept = plane()
    made.in_flight = 2
    draining = asyncio.create_task(made.drain(5.0))
    await asyncio.sleep(0)
    assert made.draining
    made.ended(ANSWER)
    await asyncio.sleep(0)
    assert not draining.done()
    made.ended(ANSWER)
    assert await draining == 0
    assert kept.answers == [ANSWER, ANSWER]


async def test_an_end_before_draining_is_not_the_last() -> None:
    made, _ = plane()
    made.in_flight = 1
    made.ended(ANSWER)
    assert (made.in_flight, made.idle.is_set()) == (0, False)


async def test_draining_nothing_takes_no_time() -> None:
    made, _ = plane()
    assert await made.drain(100.0) == 0


async def test_draining_has_an_end() -> None:
    made, _ = plane()
    made.in_flight = 3
    assert await made.drain(0.01) == 3
