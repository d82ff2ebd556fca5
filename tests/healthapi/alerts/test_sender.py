"""Queues over real sockets: a dead channel delays no other, and nothing is sent for ever or kept without bounds."""

from __future__ import annotations

import asyncio
import logging

import pytest

from config.alerts import Channel as Settings
from config.alerts import ChannelType
from config.secret import Secret
from healthapi.alerts import sender as sending
from healthapi.alerts.channels import channels
from healthapi.alerts.message import Message
from healthapi.alerts.notes import Parcel
from healthapi.alerts.sender import QUEUE, TRIES, Result, Sender, backoff
from tests.healthapi.alerts.found import NOW
from tests.healthapi.alerts.sinks import HttpSink, http_sink, message, until

FAST = (0.0,) * (TRIES - 1)


class Desk:
    """Whoever handed messages in, and hears what became of them."""

    def __init__(self, **sinks: HttpSink) -> None:
        self.done: list[tuple[str, str, Result]] = []
        self.mine = True
        made = channels(
            {
                name: Settings(type=ChannelType.WEBHOOK, url=Secret(f"{sink.url}/canary-secret"))
                for name, sink in sinks.items()
            }
        )
        self.sender = Sender(made, lambda: self.mine, self._done, lambda: NOW, FAST)

    async def _done(self, parcel: Parcel, result: Result) -> None:
        self.done.append((parcel.channel, parcel.message.key, result))

    async def put(self, name: str, number: int = 1) -> None:
        await self.sender.put(Parcel(name, message(key=f"k{number}")))


def test_it_waits_a_second_and_twice_that_and_never_more_than_a_minute() -> None:
    assert backoff() == (1, 2, 4, 8, 16, 32, 60, 60, 60)
    assert len(backoff()) + 1 == TRIES == 10


async def test_it_delivers_in_order() -> None:
    async with http_sink() as sink:
        desk = Desk(ops=sink)
        for number in range(5):
            await desk.put("ops", number)
        await until(lambda: len(desk.done) == 5)
        assert [one["key"] for one in sink.documents] == ["k0", "k1", "k2", "k3", "k4"]
        assert desk.sender.counts == {("ops", Result.DELIVERED): 5}
        assert desk.sender.tried["ops"] == sending.Tried(NOW, Result.DELIVERED)
        await desk.sender.stop()


async def test_it_tries_again() -> None:
    async with http_sink() as sink:
        sink.answers = [500, 503, 429, 200]
        desk = Desk(ops=sink)
        await desk.put("ops")
        await until(lambda: desk.done)
        assert desk.done == [("ops", "k1", Result.DELIVERED)]
        assert len(sink.posted) == 4
        assert len({one.body for one in sink.posted}) == 1, "the same bytes each time"
        assert desk.sender.counts == {("ops", Result.FAILED): 3, ("ops", Result.DELIVERED): 1}


async def test_it_gives_up_after_ten_tries_and_counts_what_it_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async with http_sink() as sink:
        sink.answers = [500]
        desk = Desk(ops=sink)
        await desk.put("ops")
        await until(lambda: desk.done)
        assert desk.done == [("ops", "k1", Result.DROPPED)]
        assert len(sink.posted) == 10
        assert desk.sender.counts == {("ops", Result.FAILED): 10, ("ops", Result.DROPPED): 1}
        assert desk.sender.tried["ops"].detail == "it answered 500"
        (line,) = caplog.records
        assert line.levelno == logging.WARNING
        assert "canary" not in str(line.__dict__)
        sink.answers = [200]
        await desk.put("ops", 2)
        await until(lambda: len(desk.done) == 2)
        assert desk.done[1] == ("ops", "k2", Result.DELIVERED)


async def test_what_is_refused_for_good_is_not_tried_again() -> None:
    async with http_sink() as sink:
        sink.answers = [404, 200]
        desk = Desk(ops=sink)
        await desk.put("ops", 1)
        await desk.put("ops", 2)
        await until(lambda: len(desk.done) == 2)
        assert desk.done == [("ops", "k1", Result.DROPPED), ("ops", "k2", Result.DELIVERED)]


async def test_a_dead_channel_delays_no_other() -> None:
    async with http_sink() as dead, http_sink() as alive:
        dead.silent = True
        desk = Desk(dead=dead, alive=alive)
        for number in range(20):
            await desk.put("dead", number)
            await desk.put("alive", number)
        await until(lambda: len(desk.done) == 20)
        assert {name for name, _, _ in desk.done} == {"alive"}
        assert len(dead.posted) == 1, "one at a time"
        await desk.sender.stop()


async def test_an_attempt_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIME_LIMIT", 0.1)
    async with http_sink() as sink:
        sink.silent = True
        desk = Desk(ops=sink)
        tried = await desk.sender.test("ops", message())
        assert (tried.result, tried.detail) == (Result.FAILED, "no answer within 0.1 s")


async def test_only_so_many_wait_and_the_oldest_go() -> None:
    async with http_sink() as sink:
        sink.silent = True
        desk = Desk(ops=sink)
        for number in range(QUEUE + 5):
            await desk.put("ops", number)
        assert desk.done == [("ops", f"k{number}", Result.DROPPED) for number in range(1, 6)]
        sink.silent = False
        await until(lambda: len(desk.done) == QUEUE + 5)
        assert desk.sender.counts == {("ops", Result.DELIVERED): QUEUE, ("ops", Result.DROPPED): 5}


async def test_what_waits_already_is_not_sent_twice() -> None:
    async with http_sink() as sink:
        sink.silent = True
        desk = Desk(ops=sink)
        for _ in range(5):
            await desk.put("ops")
        sink.silent = False
        await until(lambda: desk.done)
        await desk.sender.stop()
        assert len(sink.posted) == 1


async def test_what_is_somebody_elses_by_now_is_let_go() -> None:
    async with http_sink() as sink:
        sink.silent = True
        desk = Desk(ops=sink)
        await desk.put("ops", 1)
        await desk.put("ops", 2)
        await until(lambda: sink.posted)
        desk.mine = False
        sink.silent = False
        await until(lambda: desk.done)  # the one that was under way
        await asyncio.sleep(0.05)
        assert [key for _, key, _ in desk.done] == ["k1"]
        assert len(sink.posted) == 1
        desk.mine = True
        await desk.put("ops", 2)
        await until(lambda: len(desk.done) == 2)


async def test_a_channel_that_there_is_not_any_more() -> None:
    desk = Desk()
    await desk.put("gone")
    assert desk.done == [("gone", "k1", Result.DROPPED)]


async def test_to_stop_is_to_let_go_at_once() -> None:
    async with http_sink() as sink:
        sink.silent = True
        desk = Desk(ops=sink)
        await desk.put("ops")
        await until(lambda: sink.posted)
        await desk.sender.stop()
        assert desk.done == []
        await desk.put("ops")
        sink.silent = False
        await until(lambda: desk.done)


async def test_a_queue_goes_on_after_its_task_came_to_harm() -> None:
    async with http_sink() as sink:
        desk = Desk(ops=sink)
        sink.silent = True
        await desk.put("ops", 1)
        await until(lambda: sink.posted)
        desk.sender._tasks["ops"].cancel()
        await until(lambda: desk.sender._tasks["ops"].done())
        sink.silent = False
        await desk.put("ops", 1)
        await until(lambda: desk.done)
        assert desk.done == [("ops", "k1", Result.DELIVERED)]


class Broken:
    """A channel with a bug."""

    async def send(self, message: Message) -> None:
        raise RuntimeError("https://canary-secret")


async def test_a_bug_of_a_channel_says_nothing_secret() -> None:
    desk = Desk()
    sender = Sender({"ops": Broken()}, lambda: True, desk._done, lambda: NOW, FAST)
    tried = await sender.test("ops", message())
    assert (tried.result, tried.detail) == (Result.FAILED, "a bug of the channel: RuntimeError")
    await sender.put(Parcel("ops", message(key="k1")))
    await until(lambda: desk.done)
    assert desk.done == [("ops", "k1", Result.DROPPED)]


async def test_a_test_goes_past_the_queue_and_is_sent_once() -> None:
    async with http_sink() as sink:
        sink.answers = [500]
        desk = Desk(ops=sink)
        tried = await desk.sender.test("ops", message())
        assert (tried.result, tried.detail) == (Result.FAILED, "it answered 500")
        assert len(sink.posted) == 1
        assert desk.done == []
        with pytest.raises(KeyError):
            await desk.sender.test("gone", message())


async def test_other_channels_take_over_what_waits_and_those_that_are_gone_end() -> None:
    async with http_sink() as old, http_sink() as new:
        old.answers = [500] * 1000
        desk = Desk(ops=old, gone=old)
        desk.sender._waits = (0.05,) * 100
        await desk.put("ops")
        await desk.put("gone")
        await until(lambda: len(old.posted) >= 4)
        desk.sender.adopt(Desk(ops=new, fresh=new).sender._channels)
        await desk.put("fresh", 2)
        await until(lambda: len(desk.done) == 2)
        assert sorted(desk.done) == [("fresh", "k2", Result.DELIVERED), ("ops", "k1", Result.DELIVERED)]
        assert {name for name, _ in desk.sender.counts} == {"ops", "fresh"}
        assert set(desk.sender.tried) == {"ops", "fresh"}
        posted = len(old.posted)
        await asyncio.sleep(0.2)
        assert len(old.posted) == posted
        await desk.sender.stop()
