"""Silences of a fleet: whoever is asked, at whatever moment."""

from __future__ import annotations

import asyncio
import time

import pytest

from healthapi.alerts import silences
from healthapi.alerts.silences import FullError, Silences
from healthapi.store import StoreError
from tests.healthapi.sidecar import sidecar
from tests.redis_server import RedisServer


async def test_none_is_lost_where_many_are_asked_for_at_once(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        desks = [Silences(one.keeper) for one in (a, b)]
        now = time.time()
        made = await asyncio.gather(*(desks[n % 2].add(now, 60.0, subject=f"s{n}") for n in range(20)))
        for one in desks:
            await one.refresh(now + silences.REFRESH)
            assert {found.subject for found in one.current(now)} == {f"s{n}" for n in range(20)}
        ended = await asyncio.gather(*(desks[n % 2].end(one.id, now) for n, one in enumerate(made[:-1])))
        assert ended == made[:-1]
        assert await desks[0].end(made[0].id, now) is None
        for one in desks:
            await one.refresh(now + 2 * silences.REFRESH)
            assert one.current(now) == made[-1:]


async def test_there_are_not_too_many_whoever_asks(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MOST", 5)
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        desks = [Silences(one.keeper) for one in (a, b)]
        asked = (desks[n % 2].add(time.time(), 60.0) for n in range(20))
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(one, FullError) for one in results) == 15


async def test_a_store_that_is_away_says_so(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a:
        desk = Silences(a.keeper)
        made = await desk.add(time.time(), 60.0)
        server.freeze()
        try:
            with pytest.raises(StoreError):
                await desk.add(time.time(), 60.0)
            assert desk.current(time.time()) == [made], "what is known holds on"
        finally:
            server.thaw()


async def test_who_is_always_too_late_gives_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sidecar(url, "a") as a:

        async def never(*_: object) -> bool:
            return False

        monkeypatch.setattr(a.keeper, "swap_note", never)
        with pytest.raises(StoreError, match="ask again"):
            await Silences(a.keeper).add(time.time(), 60.0)
