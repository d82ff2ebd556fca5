"""Sidecars of a fleet on a real Redis, each with its own records and breakers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from breaker.outcome import OTHER_MODEL, Kind, Status
from breaker.transition import Cause
from breaker.transitions import Event, State
from healthapi.cell import ALL_MODELS
from healthapi.fleet.fleet import Fleet
from healthapi.fleet.link import Call, LinkError
from healthapi.history import HOUR, MINUTE
from healthapi.store import Scope, StoreError
from tests.healthapi.sidecar import Sidecar, eventually, sidecar
from tests.redis_server import RedisServer

Run = Callable[..., Awaitable[list[Any]]]


def fleet_of(one: Sidecar) -> Fleet:
    assert one.keeper._shared is not None
    return one.keeper._shared


def meddle(one: Sidecar, how: Callable[[Run, Sequence[Call]], Awaitable[list[Any]]]) -> Callable[[], None]:
    """Put something between a sidecar's flushes and its Redis; returns what takes it away again."""
    link = fleet_of(one)._link
    run = link.run

    async def meddled(calls: Sequence[Call], **more: Any) -> list[Any]:
        return await how(run, calls)

    link.run = meddled  # type: ignore[method-assign]

    def undo() -> None:
        link.run = run  # type: ignore[method-assign]

    return undo


async def lose_answers(run: Run, calls: Sequence[Call]) -> list[Any]:
    await run(calls)
    return [LinkError("the answer got lost")] * len(calls)


async def lose_questions(run: Run, calls: Sequence[Call]) -> list[Any]:
    return [LinkError("never sent")] * len(calls)


async def test_each_answers_for_all_and_for_itself_when_asked_so(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        for _ in range(3):
            a.attempt()
        b.attempt(Status.TIMEOUT, took=2.0, message="no answer")
        b.attempt(model="only at b", kind=Kind.PROBE)
        await a.keeper.flush()
        await b.keeper.flush()
        for one in (a, b):
            record = await one.record()
            assert record is not None
            assert record.sums().calls == 4
            assert record.live is not None
            assert record.live.counts == [3, 0, 1, 0, 0]
            assert record.live.response.count == 4
            assert record.live.first_byte.count == 4
            assert record.seen(300, one.wall()).judged == 4
            assert record.seen(30 * 86400, one.wall()).judged == 4
            assert (record.streak, record.last.last_error) == (-1, "no answer")
            assert await one.calls("only at b") == 1
        assert [await one.calls(scope=Scope.INSTANCE) for one in (a, b)] == [3, 1]


async def test_history_is_the_fleets(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        at = a.wall()
        a.attempt(at=at)
        b.attempt(Status.ERROR, at=at)
        b.attempt(model="qwen", at=at)
        await b.keeper.flush()
        for width in (MINUTE, HOUR):
            bucket = int(at // width)
            for model, counts in (("llama", [1, 1, 0, 0, 0]), (ALL_MODELS, [2, 1, 0, 0, 0])):
                (found,) = await a.keeper.cells(Scope.FLEET, "groq", model, width, bucket - 1, bucket)
                assert (found[0], found[1], found[2].counts) == (bucket, Kind.LIVE, counts)
        (own,) = await a.keeper.cells(Scope.INSTANCE, "groq", "llama", HOUR, int(at // HOUR), int(at // HOUR))
        assert own[2].calls == 1


async def test_an_answer_that_got_lost_counts_once(url: str) -> None:
    async with sidecar(url, "a") as a:
        a.attempt()
        undo = meddle(a, lose_answers)
        await a.keeper.flush()
        a.attempt()
        await a.keeper.flush()
        assert a.keeper.trouble == "the answer got lost"
        assert a.keeper.waiting > 0
        undo()
        assert await a.calls() == 2
        assert a.keeper.waiting == 0
        await eventually(lambda: a.keeper.trouble is None, "all is well")


async def test_what_could_not_be_told_is_told_later(url: str) -> None:
    async with sidecar(url, "a") as a:
        undo = meddle(a, lose_questions)
        for minute in range(5):
            a.attempt(at=a.wall() + 60 * minute)
            await a.keeper.flush()
        assert a.keeper.waiting == 10, "five minutes of the target, and of its provider"
        undo()
        assert await a.calls() == 5


async def test_more_than_one_round_trip_carries_goes_in_several(url: str) -> None:
    sizes: list[int] = []

    async def count(run: Run, calls: Sequence[Call]) -> list[Any]:
        sizes.append(len(calls))
        return await run(calls)

    async with sidecar(url, "a") as a:
        meddle(a, count)
        for number in range(90):
            for minute in range(9):
                a.attempt(model=f"m{number}", at=a.wall() - 60 * minute)
        await a.keeper.flush()
        assert a.keeper.waiting == 0
        assert len(sizes) > 2
        picture = await a.keeper.reading(Scope.FLEET)
        assert sum(record.sums().calls for record in picture.store.records()) == 810


async def test_a_store_that_lost_everything_is_told_again(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        for model in ("llama", "qwen"):
            a.attempt(model=model)
            b.attempt(Status.ERROR, model=model)
        a.attempt(kind=Kind.PROBE)
        await asyncio.gather(a.keeper.flush(), b.keeper.flush())
        at = a.wall()
        server.command("FLUSHALL")
        a.attempt()  # after it, and told by a flush that finds out
        await asyncio.gather(a.keeper.flush(), b.keeper.flush())

        async def whole() -> bool:
            return [await one.calls(model) for one in (a, b) for model in ("llama", "qwen")] == [4, 2, 4, 2]

        await eventually(whole, "everything is there again")
        record = await b.record()
        assert record is not None
        assert record.seen(300, at).total == 4
        assert record.seen(86400, at).total == 4
        assert record.sums(Kind.PROBE).calls == 1
        for model, calls in (("llama", 4), (ALL_MODELS, 6)):
            found = await b.keeper.cells(Scope.FLEET, "groq", model, HOUR, int(at // HOUR) - 1, int(at // HOUR) + 1)
            assert sum(cell.calls for _, _, cell in found) == calls


async def test_a_loss_is_found_out_without_any_traffic(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        for number in range(40):
            a.attempt(model=f"m{number}")
        await a.keeper.flush()
        server.command("FLUSHALL")

        async def whole() -> bool:
            picture = await b.keeper.reading(Scope.FLEET)
            return sum(record.sums().calls for record in picture.store.records()) == 40

        await eventually(whole, "everything is there again")


async def test_a_store_that_forgot_the_last_moments_is_told_them_again(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a:
        a.attempt()
        await a.keeper.flush()
        dumps = {key: server.command("DUMP", key) for key in server.command("KEYS", "*")}
        for _ in range(3):
            a.attempt()
            await a.keeper.flush()
        for key, dump in dumps.items():  # what a replica that lags behind knows when it takes over
            server.command("RESTORE", key, 0, dump, "REPLACE")
        a.attempt()
        for _ in range(6):
            await a.keeper.flush()
        assert await a.calls() == 5
        record = await a.record()
        assert record is not None
        assert record.seen(300, a.wall()).total == 5


async def test_removed_records_are_gone_for_all(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        a.attempt()
        b.attempt()
        b.attempt(model="stays")
        assert await b.calls() >= 1
        await asyncio.gather(a.keeper.flush(), b.keeper.flush())
        assert await a.keeper.remove([("groq", "llama")]) == 1
        assert [await one.calls() for one in (a, b)] == [0, 0]
        assert await a.calls("stays") == 1


async def test_others_of_all_shards_are_one_record(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("healthapi.fleet.sender.IDENTITIES", 1)
    async with sidecar(url, "a") as a:
        for number in range(400):
            a.store.add(a.attempt(model=f"m{number % 90}"))
        await a.keeper.flush()
        picture = await a.keeper.reading(Scope.FLEET)
        records = list(picture.store.records())
        other = picture.store.get("groq", OTHER_MODEL)
        assert other is not None
        assert len([record for record in records if record.model == OTHER_MODEL]) == 1
        assert sum(record.sums().calls for record in records) == 800
        assert len(records) < 90


async def test_while_the_store_is_away_the_last_picture_is_shown_as_such(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a:
        a.attempt()
        assert await a.calls() == 1
        server.kill()
        try:
            picture = await a.keeper.reading(Scope.FLEET)
            assert picture.stale is not None
            assert picture.store.get("groq", "llama") is not None
            assert (await a.keeper.reading(Scope.INSTANCE)).stale is None
            await eventually(lambda: server.address in (a.keeper.trouble or ""), "the trouble is told")
            async with sidecar(url, "b") as b:
                with pytest.raises(StoreError, match="scope=instance"):
                    await b.keeper.reading(Scope.FLEET)
                with pytest.raises(StoreError, match="scope=instance"):
                    await b.keeper.cells(Scope.FLEET, "groq", "llama", HOUR, 0, 1)
        finally:
            server.start()


# -- breakers ------------------------------------------------------------------------------------------------------


async def test_what_one_finds_out_the_others_hear_of(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        b.attempt()
        a.fail()
        await eventually(b.is_open, "the opening is heard of")
        breaker = b.registry.breaker("groq", "llama")
        assert breaker is not None
        assert (breaker.cause, breaker.reason) == (Cause.CONSECUTIVE, "5 failures in a row, last: 503 overloaded")
        assert 50 < breaker.retry_in(b.now()) <= 60
        assert [move.event for move in b.moves] == [Event.TOLD_OPEN]
        b.registry.reset("groq", "llama", b.now())
        await eventually(lambda: not a.is_open(), "the reset is heard of")
        assert a.moves[-1].cause is Cause.RESET


@pytest.mark.parametrize("model", ["llama", None])
async def test_what_is_done_by_hand_goes_for_all(url: str, model: str | None) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        a.attempt()
        b.attempt()
        for rounds in range(3):
            a.registry.open("groq", model, a.now(), 600.0)
            await eventually(lambda: b.is_open(model=model), f"open {rounds}")
            breaker = b.registry.breaker("groq", model)
            assert breaker is not None
            assert breaker.manual
            b.registry.close("groq", model, b.now())
            await eventually(lambda: not a.is_open(model=model), f"closed {rounds}")


async def test_a_reset_of_everything_goes_for_all(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        b.fail()
        await eventually(a.is_open)
        a.registry.reset_all(a.now())
        a.keeper.reset_all()
        await eventually(lambda: not b.is_open(), "closed at b")
        async with sidecar(url, "c") as c:
            assert not c.is_open()


async def test_who_comes_later_knows_what_is_open(url: str) -> None:
    async with sidecar(url, "a") as a:
        a.fail()
        await eventually(lambda: not fleet_of(a).states._moved)
    async with sidecar(url, "b") as b:
        assert b.is_open(), "known before there is any traffic"
        assert b.registry.find("groq", "llama") is not None


async def test_a_message_that_got_lost_is_made_up_for_by_asking(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        b.attempt()
        fleet_of(b).states._tasks[1].cancel()  # nobody listens any more
        a.fail()
        await eventually(b.is_open, "found out by asking")


async def test_failing_a_little_everywhere_trips_everywhere(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b, sidecar(url, "c") as c:
        for one in (a, b, c):
            for status in (Status.SUCCESS, Status.ERROR, Status.ERROR, Status.SUCCESS):
                one.attempt(status)
        assert not any(one.is_open() for one in (a, b, c)), "too few for any of them"
        for one in (a, b, c):
            await one.keeper.flush()
        await eventually(lambda: all(one.is_open() for one in (a, b, c)), "all of them")
        reasons = {one.registry.breaker("groq", "llama").reason for one in (a, b, c)}  # type: ignore[union-attr]
        assert reasons == {"6 of 12 requests failed in 60 s in the fleet, last: 503 overloaded"}


async def test_what_was_before_it_closed_does_not_trip_it_again(url: str) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        for one in (a, b):
            one.fail(4)
            one.attempt()
            one.fail(2)
        await asyncio.gather(a.keeper.flush(), b.keeper.flush())
        await eventually(lambda: a.is_open() and b.is_open())
        a.registry.close("groq", "llama", a.now())
        await eventually(lambda: not b.is_open())
        for one in (a, b):
            one.fail(1)
            one.attempt()
            await one.keeper.flush()
        await asyncio.sleep(0.3)
        assert not a.is_open()
        assert not b.is_open()


async def test_one_of_them_tries_it_out(url: str) -> None:
    async with sidecar(url, "a", open_for="1s") as a, sidecar(url, "b", open_for="1s") as b:
        a.fail()
        await eventually(b.is_open)
        both = (a, b)

        def may() -> list[Sidecar]:
            return [one for one in both if one.registry.rejection("groq", "llama", one.now()) is None]

        await eventually(may, "somebody may")
        for _ in range(40):
            assert len(may()) <= 1
            await asyncio.sleep(0.02)
        (holder,) = await eventually(may, "somebody may again")
        permit = holder.registry.admit("groq", "llama", holder.now(), lease=60.0)
        assert holder.registry.breaker("groq", "llama").state is State.HALF_OPEN  # type: ignore[union-attr]
        for _ in range(30):
            assert may() == []
            await asyncio.sleep(0.02)
        permit.settle(made_well(holder), holder.now())
        await eventually(lambda: not a.is_open() and not b.is_open(), "closed for both")


async def test_a_holder_without_requests_gives_way(url: str) -> None:
    async with sidecar(url, "a", open_for="1s") as a, sidecar(url, "b", open_for="1s") as b:
        a.fail()
        await eventually(b.is_open)
        tried: set[str] = set()

        async def seen() -> bool:
            for name, one in (("a", a), ("b", b)):
                if one.registry.rejection("groq", "llama", one.now()) is None:
                    tried.add(name)
            return len(tried) == 2

        await eventually(seen, "each of them may in turn, as neither uses it")


async def test_in_silence_each_decides_alone(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a", open_for="1s") as a, sidecar(url, "b", open_for="1s") as b:
        a.fail()
        await eventually(b.is_open)
        server.freeze()
        try:

            def may(one: Sidecar) -> bool:
                return one.registry.rejection("groq", "llama", one.now()) is None

            await eventually(lambda: may(a) and may(b), "both may")
        finally:
            server.thaw()


async def test_what_was_moved_in_silence_is_told_when_it_is_over(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        b.attempt()
        server.freeze()
        try:
            a.fail()
            await asyncio.sleep(0.3)
            assert a.is_open()
            assert not b.is_open()
        finally:
            server.thaw()
        await eventually(b.is_open)


async def test_what_opened_in_silence_is_newer_than_what_the_fleet_closed_before_it(
    url: str, server: RedisServer
) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        a.fail()
        await eventually(b.is_open)
        a.registry.close("groq", "llama", a.now())
        await eventually(lambda: not b.is_open())
        await eventually(lambda: not fleet_of(a).states._moved)
        server.freeze()
        try:
            async with sidecar(url, "c") as c:  # which knows nothing of all that
                c.fail()
                server.thaw()
                await eventually(lambda: a.is_open() and b.is_open(), "the others follow")
                assert c.is_open()
        finally:
            server.thaw()


async def test_what_the_fleet_closed_after_it_opened_in_silence_is_newer(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a, sidecar(url, "b") as b:
        a.attempt()
        link = fleet_of(b).states._link
        run = link.run

        async def silent(calls: Sequence[Call], **more: Any) -> list[Any]:
            return [LinkError("silence")] * len(calls)

        link.run = silent  # type: ignore[method-assign]
        fleet_of(b).states._tasks[1].cancel()
        b.fail()
        a.fail()
        await eventually(lambda: not fleet_of(a).states._moved)
        a.registry.close("groq", "llama", a.now())
        await eventually(lambda: not fleet_of(a).states._moved)
        assert b.is_open()
        link.run = run  # type: ignore[method-assign]
        await eventually(lambda: not b.is_open(), "it follows")
        assert not a.is_open()


async def test_open_breakers_outlive_a_store_that_lost_everything(url: str, server: RedisServer) -> None:
    async with sidecar(url, "a") as a:
        a.fail()
        await eventually(lambda: not fleet_of(a).states._moved)
        server.command("FLUSHALL")

        async def known() -> bool:
            return bool(server.command("KEYS", "*:b"))

        await eventually(known, "it is told again")
        async with sidecar(url, "b") as b:
            assert b.is_open()


def made_well(one: Sidecar) -> Any:
    from tests.healthapi.samples import outcome

    return outcome(at=one.wall())
