from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import pytest

from breaker.outcome import OTHER_MODEL, Kind, Status
from healthapi.cell import ALL_MODELS
from healthapi.history import HOUR, MINUTE
from healthapi.store import Scope
from tests.healthapi.samples import outcome
from tests.healthapi.sidecar import Sidecar, eventually, sidecar


def file(folder: Path) -> str:
    return f"sqlite:///{folder / 'detour.db'}"


async def test_what_was_there_before_a_restart_is_there_after_it(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt(took=1.5)
        one.attempt(Status.TIMEOUT, took=30.0, first_byte=None, message="no answer")
        one.attempt(kind=Kind.PROBE)
        one.attempt(provider="openai", model="gpt/4o")
        before = {(r.provider, r.model): (r.sums(), r.created_at, r.streak) for r in one.store.records()}
        one.fail()
        assert one.is_open()
    async with sidecar(file(tmp_path)) as two:
        kept = {(r.provider, r.model): (r.sums(), r.created_at, r.streak) for r in two.store.records()}
        assert kept["openai", "gpt/4o"] == before["openai", "gpt/4o"]
        record = two.store.get("groq", "llama")
        assert record is not None
        assert (record.sums().calls, record.sums(Kind.PROBE).calls, record.consecutive_failures) == (8, 1, 6)
        assert record.seen(300, two.wall()).judged == 8
        assert two.is_open()
        assert two.registry.find("openai", "gpt/4o") is not None, "what is kept is tracked"
        two.attempt(provider="openai", model="gpt/4o")
        assert await two.calls("llama") == 8


async def test_history_is_kept_by_minute_and_hour_and_for_the_provider_as_a_whole(tmp_path: Path) -> None:
    at = time.time()
    async with sidecar(file(tmp_path)) as one:
        for model in ("llama", "qwen", "llama"):
            one.attempt(model=model, at=at)
        for width in (MINUTE, HOUR):
            bucket = int(at // width)
            for model, calls in (("llama", 2), ("qwen", 1), (ALL_MODELS, 3)):
                (found,) = await one.keeper.cells(Scope.FLEET, "groq", model, width, bucket, bucket)
                assert (found[0], found[1], found[2].calls) == (bucket, Kind.LIVE, calls)


async def test_a_forgotten_targets_counts_are_others_after_a_restart_too(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt(model="a")
        await one.keeper.flush()
        one.attempt(model="a")
        one.store.forget("groq", "a")
        one.attempt(model="a")
        one.store.forget("groq", "a")
        one.attempt(model="a")
    async with sidecar(file(tmp_path)) as two:
        assert {r.model: r.sums().calls for r in two.store.records()} == {OTHER_MODEL: 3, "a": 1}


async def test_more_than_there_is_room_for_is_let_go_of_the_oldest_first(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        for number in range(15):
            one.store.add(outcome(Status.ERROR, model=f"m{number}", at=one.wall() + number))
    async with sidecar(file(tmp_path)) as two:
        calls = {r.model: r.sums().calls for r in two.store.records()}
        assert calls == {OTHER_MODEL: 5, **{f"m{number}": 1 for number in range(5, 15)}}


async def test_trouble_keeps_everything_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "later"
    one = Sidecar(file(folder))
    with caplog.at_level(logging.INFO, logger="detour.store"):
        await one.keeper.start()
        one.attempt()
        for _ in range(3):
            await one.keeper.flush()
        assert one.keeper.trouble is not None
        assert one.keeper.flushes.failed >= 4
        assert await one.calls() == 1, "what is in memory can be read"
        one.attempt()
        folder.mkdir()
        await one.keeper.flush()
        assert one.keeper.trouble is None
    told = [record.levelname for record in caplog.records if "store" in record.message]
    assert told == ["WARNING", "INFO"]
    await one.keeper.stop()
    async with sidecar(file(folder)) as two:
        assert await two.calls() == 2


async def test_what_a_file_held_is_added_to_what_happened_before_it_could_be_opened(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt()
        async with sidecar(file(tmp_path), "b") as second:
            second.attempt()
            assert "in use" in (second.keeper.trouble or "")
            await one.keeper.stop()
            await second.keeper.flush()
            assert second.keeper.trouble is None
            assert await second.calls() == 2


async def test_breakers_moved_by_hand_stay_so_for_as_long_as_was_said(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt()
        one.registry.open("groq", None, one.now(), 600.0)
        one.registry.open("groq", "llama", one.now(), 60.0)
        one.registry.close("groq", "llama", one.now())
    two = Sidecar(file(tmp_path))
    two.ahead = 100.0
    await two.keeper.start()
    breaker = two.registry.breaker("groq", None)
    assert breaker is not None
    assert breaker.manual
    assert 490 < breaker.retry_in(two.now()) <= 500
    assert not two.is_open()
    await two.keeper.stop()


async def test_removing_takes_the_record_its_history_and_what_waits(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt()
        await one.keeper.flush()
        one.attempt()
        one.attempt(model="stays")
        assert await one.keeper.remove([("groq", "llama"), ("groq", "never was")]) == 1
        assert await one.calls() == 0
        hour = int(one.wall() // HOUR)
        assert await one.keeper.cells(Scope.FLEET, "groq", "llama", HOUR, hour, hour) == []
    async with sidecar(file(tmp_path)) as two:
        assert [r.model for r in two.store.records()] == ["stays"]


async def test_a_target_that_is_called_while_it_is_removed_begins_anew(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt()
        one.attempt()
        removing = asyncio.create_task(one.keeper.remove([("groq", "llama")]))
        while one.store.get("groq", "llama") is not None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        assert not removing.done()
        one.attempt()
        await one.keeper.flush()
        assert await removing == 1
        assert await one.calls() == 1
    async with sidecar(file(tmp_path)) as two:
        assert await two.calls() == 1
        hour = int(two.wall() // HOUR)
        totals = [cell.calls for *_, cell in await two.keeper.cells(Scope.FLEET, "groq", "llama", HOUR, hour, hour)]
        assert totals == [1]


async def test_it_flushes_by_itself_and_does_what_is_to_be_done_regularly() -> None:
    one = Sidecar("memory:")
    done: list[float] = []

    async def chore() -> None:
        done.append(time.monotonic())
        if len(done) == 1:
            raise RuntimeError("once")

    one.keeper.every(0.01, chore)
    await one.keeper.start()
    one.attempt()
    await eventually(lambda: len(done) > 2, "a chore goes on after it failed")
    await eventually(lambda: one.keeper.flushes.ok > 1, "flushes come by themselves")
    assert one.keeper.waiting == 0
    await one.keeper.stop()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


async def test_what_it_is_told_of_later_is_done_regularly_too() -> None:
    one = Sidecar("memory:")
    done: list[int] = []

    async def chore() -> None:
        done.append(len(done))

    await one.keeper.start()
    one.keeper.every(0.01, chore)
    await eventually(lambda: len(done) > 2)
    await one.keeper.stop()
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


@pytest.mark.parametrize("store", ["memory:", "file"])
async def test_alone_both_scopes_are_the_same(store: str, tmp_path: Path) -> None:
    async with sidecar(file(tmp_path) if store == "file" else store) as one:
        one.attempt()
        assert not one.keeper.fleet
        assert [await one.calls(scope=scope) for scope in Scope] == [1, 1]
