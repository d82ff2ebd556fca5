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


async def test_an_end_is_told_and_no_end_of_a_probe() -> None:
    made, kept = plane()
    made.in_flight = 2
    made.ended(ANSWER)
    made.ended(None)
    assert (made.in_flight, kept.answers) == (0, [ANSWER])
