"""Brings messages to their channels: one queue and one task for each, so that a dead one delays no other.

A message is tried again for some minutes, then dropped and counted. Nothing here ever waits for a channel but the task
that is the channel's own.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from healthapi.alerts.channels.contract import Channel, ChannelError
from healthapi.alerts.message import Message
from healthapi.alerts.notes import Parcel

_LOG: Final = logging.getLogger("detour.alerts")

TIME_LIMIT: Final = 10.0
"""Seconds that one attempt may take."""

TRIES: Final = 10
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds between attempts: doubling, up to this."""

QUEUE: Final = 100
"""Messages that wait for one channel, the oldest out first."""


class Result(enum.StrEnum):
    """What became of a message, or of an attempt at it."""

    DELIVERED = "delivered"
    FAILED = "failed"
    """An attempt failed; there may be another one."""
    DROPPED = "dropped"


class Tried(Struct, frozen=True):
    """The last attempt at a channel: when (Unix time), what came of it, and in what way it failed."""

    at: float
    result: Result
    detail: str = ""


class Sender:
    """The ways to all channels. Used from one event loop.

    `allowed` says whether messages are this sidecar's to send, and is asked before each attempt; `done` is told what
    became of each message; `now` tells Unix time. `waits` are the seconds between attempts.
    """

    def __init__(
        self,
        channels: Mapping[str, Channel],
        allowed: Callable[[], bool],
        done: Callable[[Parcel, Result], Awaitable[None]],
        now: Callable[[], float],
        waits: tuple[float, ...] | None = None,
    ) -> None:
        """Send to these channels."""
        self._channels = channels
        self._allowed = allowed
        self._done = done
        self._now = now
        self._waits = backoff() if waits is None else waits
        self._queues: dict[str, dict[str, Parcel]] = {name: {} for name in channels}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.counts: Counter[tuple[str, Result]] = Counter()
        """Attempts that failed, and messages that were delivered or dropped, by channel."""
        self.tried: dict[str, Tried] = {}

    def adopt(self, channels: Mapping[str, Channel]) -> None:
        """Send to these channels from now on: those of the same name go on with what waits for them."""
        for name in self._channels.keys() - channels.keys():
            self._queues.pop(name).clear()
            self.tried.pop(name, None)
            for result in Result:
                self.counts.pop((name, result), None)
            task = self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
        for name in channels:
            self._queues.setdefault(name, {})
        self._channels = channels

    async def put(self, parcel: Parcel) -> None:
        """Take a message to be delivered; one that waits already is the same one. One for no channel is dropped."""
        queue = self._queues.get(parcel.channel)
        if queue is None:
            await self._over(parcel, Result.DROPPED, "there is no such channel any more")
            return
        queue.setdefault(parcel.message.key, parcel)
        task = self._tasks.get(parcel.channel)
        if task is None or task.done():
            self._tasks[parcel.channel] = asyncio.create_task(self._work(parcel.channel), name="alerts")
        if len(queue) > QUEUE:
            oldest = next(islice(queue, 1, None))  # the first is under way
            await self._over(queue.pop(oldest), Result.DROPPED, "too many messages wait")

    async def test(self, name: str, message: Message) -> Tried:
        """Send a message once, past the queue; tells what came of it. Raises KeyError."""
        tried, _ = await self._attempt(name, message)
        self.counts[name, tried.result] += 1
        return tried

    async def stop(self) -> None:
        """Let go of everything; what was not delivered is kept by whoever handed it in."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in self._queues.values():
            queue.clear()

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _work(self, name: str) -> None:
        queue = self._queues[name]
        while queue:
            key, parcel = next(iter(queue.items()))
            result = await self._deliver(name, parcel)
            if result is None:
                queue.clear()  # another sidecar has them by now
                return
            queue.pop(key, None)
            await self._over(parcel, result.result, result.detail)

    async def _deliver(self, name: str, parcel: Parcel) -> Tried | None:
        """Try until it is delivered or dropped; None where it is not this sidecar's to send any more."""
        tried = None
        for wait in (0.0, *self._waits):
            await asyncio.sleep(wait)
            if not self._allowed():
                return None
            tried, again = await self._attempt(name, parcel.message)
            if tried.result is Result.DELIVERED:
                return tried
            self.counts[name, Result.FAILED] += 1
            if not again:
                break
        detail = "" if tried is None else tried.detail
        return Tried(self._now(), Result.DROPPED, detail)

    async def _attempt(self, name: str, message: Message) -> tuple[Tried, bool]:
        """One attempt, and whether another one makes sense."""
        channel, again = self._channels[name], True
        try:
            async with asyncio.timeout(TIME_LIMIT):
                await channel.send(message)
        except ChannelError as error:
            detail, again = str(error), error.again
        except TimeoutError:
            detail = f"no answer within {TIME_LIMIT:g} s"
        except Exception as error:  # of a channel's making: its words may hold the address, which is a secret
            detail = f"a bug of the channel: {type(error).__name__}"
        else:
            detail = ""
        tried = Tried(self._now(), Result.FAILED if detail else Result.DELIVERED, detail)
        self.tried[name] = tried
        return tried, again

    async def _over(self, parcel: Parcel, result: Result, detail: str) -> None:
        name = parcel.channel
        self.counts[name, result] += 1
        if result is Result.DROPPED:
            self.tried[name] = Tried(self._now(), result, detail)
            extra = {"channel": name, "rule": parcel.message.rule, "subject": parcel.message.subject, "why": detail}
            _LOG.warning("an alert could not be delivered and was dropped", extra=extra)
        await self._done(parcel, result)


def backoff() -> tuple[float, ...]:
    """Seconds between the attempts at one message."""
    return tuple(min(FIRST_WAIT * 2**number, LONGEST_WAIT) for number in range(TRIES - 1))
