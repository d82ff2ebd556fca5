from __future__ import annotations

import pytest

from healthapi.fleet import duties
from healthapi.store import StoreError
from tests.healthapi.sidecar import Sidecar, eventually, sidecar
from tests.redis_server import RedisServer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthapi.fleet.duties.RENEW", 0.05)
    monkeypatch.setattr(duties, "LIFE", 0.6)


def on_duty(*sidecars: Sidecar) -> list[int]:
    return [one.keeper.duty("watch") for one in sidecars]


async def test_alone_every_duty_is_ones_own() -> None:
    async with sidecar("memory:") as one:
        assert on_duty(one) == [1]


async def test_one_of_a_fleet_has_a_duty_and_gives_it_back_at_its_end(url: str) -> None:
    async with sidecar(url, "b") as b:
        async with sidecar(url, "a") as a:
            await eventually(lambda: on_duty(a), "asks")
            first = await eventually(lambda: max(on_duty(a)), "a has it")
            for _ in range(5):
                assert on_duty(b) == [0]
                await a.keeper.flush()
            assert on_duty(a) == [first]
        assert await eventually(lambda: max(on_duty(b)), "b takes over") == first + 1


async def test_another_one_takes_over_from_one_that_is_gone(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        await eventually(lambda: on_duty(a)[0], "a has it")
        on_duty(b)
        for task in a.keeper._tasks:
            task.cancel()  # as dead as it can be in this process
        number = await eventually(lambda: on_duty(b)[0], "b takes over")
        assert number == 2
        assert on_duty(a) == [0], "it knows by its own clock that it is over"
        assert await a.keeper.put_note("diary", b"old", "watch", 1) is False
        assert await b.keeper.put_note("diary", b"new", "watch", 2) is True
        assert await a.keeper.note("diary") == b"new"


async def test_while_the_store_is_away_a_duty_ends_unless_it_is_to_go_on_alone(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        await eventually(lambda: on_duty(a)[0], "a has it")
        on_duty(b)
        server.freeze()
        try:
            await eventually(lambda: on_duty(a) == [0], "it is over")

            def alone() -> list[int]:
                return [one.keeper.duty("watch", alone=True) for one in (a, b)]

            await eventually(lambda: alone() == [1, 0], "it goes on where it was, and nowhere else")
            with pytest.raises(StoreError):
                await a.keeper.note("diary")
            with pytest.raises(StoreError):
                await a.keeper.put_note("diary", b"x")
        finally:
            server.thaw()
        await eventually(lambda: max(on_duty(a, b)), "somebody has it again")


@pytest.mark.parametrize("store", ["memory", "file", "redis"])
async def test_notes_are_kept(store: str, url: str, tmp_path: object) -> None:
    address = {"memory": "memory:", "file": f"sqlite:///{tmp_path}/detour.db", "redis": url}[store]
    async with sidecar(address) as one:
        assert await one.keeper.note("diary") is None
        assert await one.keeper.put_note("diary", '{"é": 1}'.encode())
        await one.keeper.put_note("diary", '{"é": 2}'.encode())
        assert await one.keeper.note("diary") == '{"é": 2}'.encode()
    if store != "memory":
        async with sidecar(address) as two:
            assert await two.keeper.note("diary") == '{"é": 2}'.encode()


@pytest.mark.parametrize("store", ["memory", "file", "redis"])
async def test_a_note_is_changed_only_as_it_was_read(store: str, url: str, tmp_path: object) -> None:
    address = {"memory": "memory:", "file": f"sqlite:///{tmp_path}/detour.db", "redis": url}[store]
    async with sidecar(address) as one:
        assert not await one.keeper.swap_note("diary", b"there was none", b"x")
        assert await one.keeper.note("diary") is None
        assert await one.keeper.swap_note("diary", None, "é".encode())
        assert not await one.keeper.swap_note("diary", None, b"x")
        assert not await one.keeper.swap_note("diary", b"e", b"x")
        assert await one.keeper.note("diary") == "é".encode()
        assert await one.keeper.swap_note("diary", "é".encode(), b"y")
        assert await one.keeper.note("diary") == b"y"


async def test_a_change_that_is_sent_twice_is_made_once_and_was_made(url: str) -> None:
    async with sidecar(url) as one:
        assert await one.keeper.swap_note("diary", None, b"x")
        assert await one.keeper.swap_note("diary", None, b"x"), "its first answer may have been lost"
