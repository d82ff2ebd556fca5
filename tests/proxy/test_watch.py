"""One ticker for all limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from proxy.watch import HOUSEKEEPING, PAUSE, TICK, Watch


class Item:
    def __init__(self, due: float) -> None:
        self.due = due
        self.calls: list[float] = []
        self.watch: Watch | None = None

    def overdue(self, now: float) -> None:
        self.calls.append(now)
        self.due = float("inf")
        if self.watch is not None:
            self.watch.discard(self)


async def test_what_is_past_its_limit_is_told() -> None:
    watch = Watch(asyncio.get_running_loop())
    late, later, never = Item(5.0), Item(6.0), Item(float("inf"))
    late.watch = watch
    for item in (late, later, never):
        watch.add(item)
    watch.look(4.999)
    assert late.calls == []
    watch.look(5.0)
    assert (late.calls, later.calls) == ([5.0], [])
    late.due = 5.5
    watch.look(7.0)
    assert (late.calls, later.calls, never.calls) == ([5.0], [7.0], [])
    watch.discard(late)


async def test_a_limit_may_move() -> None:
    watch = Watch(asyncio.get_running_loop())
    item = Item(5.0)
    watch.add(item)
    item.due = 9.0
    watch.look(8.0)
    assert item.calls == []
    watch.look(9.5)
    assert item.calls == [9.5]


async def test_periodic_calls_are_made_each_half_second() -> None:
    watch = Watch(asyncio.get_running_loop())
    calls: list[float] = []
    watch.every(calls.append)
    for now in (1.0, 1.1, 1.0 + HOUSEKEEPING, 1.9, 9.0):
        watch.look(now)
    assert calls == [1.0, 1.0 + HOUSEKEEPING, 9.0]


async def test_it_ticks_until_stopped() -> None:
    loop = asyncio.get_running_loop()
    watch = Watch(loop)
    assert watch.now() <= loop.time()
    ticked = watch.future()
    watch.every(lambda now: None if ticked.done() else ticked.set_result(None))
    watch.stop()
    watch.start()
    async with asyncio.timeout(5):
        await ticked
    watch.stop()
    item = Item(0.0)
    watch.add(item)
    await asyncio.sleep(0.15)
    assert item.calls == []


class Loop:
    """A loop whose time the test moves, and whose one timer the test fires."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timer: Callable[[], None] | None = None

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.timer = call

    def fire_at(self, now: float) -> None:
        self.now = now
        assert self.timer is not None
        self.timer()


def test_the_clock_of_limits_stands_still_while_the_process_does() -> None:
    loop = Loop()
    watch = Watch(cast(asyncio.AbstractEventLoop, loop))
    watch.start()
    item = Item(watch.now() + 1.0)
    watch.add(item)
    loop.fire_at(100.0 + TICK)
    loop.fire_at(107.0)  # starved for seven seconds, with the provider's answer waiting to be read
    assert item.calls == []
    assert watch.now() < 100.2
    loop.fire_at(107.0 + TICK + PAUSE / 2)  # a little late is not a pause
    assert item.calls == []
    for _ in range(30):
        loop.fire_at(loop.now + TICK)
    (called,) = item.calls
    assert 101.0 <= called <= 101.0 + 2 * TICK + PAUSE
