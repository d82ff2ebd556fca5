"""What breakers did lately, for everybody who reads `/v1/events`.

A transition is written out once, as the frame that every reader is sent. A reader is no more than a number: how far it
has read. So a slow one costs nothing, however many there are: what it has not taken when the log moves on is lost to
it, and the gap in the ids shows that.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from breaker.transition import Transition
from healthapi.errors import Problem
from healthapi.text import breaker_name, clean, iso

SIZE: Final = 1000
"""Transitions that are kept."""

READERS: Final = 32
"""Most readers at a time."""

BATCH: Final = 50
"""Most transitions that are sent in one piece: what a slow reader keeps in memory."""

_ID: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})", re.ASCII)


class Moved(Struct, frozen=True, kw_only=True):
    """A transition as readers get it. `breaker` is its key in `/circuit-breakers`; `at` is ISO 8601 in UTC."""

    at: str
    breaker: str
    scope: str
    provider: str
    model: str | None
    credential: str | None
    was: str
    state: str
    event: str
    cause: str
    reason: str
    generation: int
    seconds_until_retry: float | None


class EventLog:
    """The last transitions, oldest first. Used from one event loop."""

    __slots__ = ("_epoch", "_frames", "_news", "_number", "_wall", "ended", "readers")

    def __init__(self, size: int = SIZE, wall: Callable[[], float] = time.time) -> None:
        """Keep `size` transitions; `wall` tells Unix time in seconds, which each is given as it comes."""
        self._frames: deque[bytes] = deque(maxlen=size)
        self._number = 0
        self._epoch = secrets.token_hex(4)  # tells ids of this process from those of the one before a restart
        self._wall = wall
        self._news = asyncio.Event()
        self.ended = False
        self.readers = 0

    def add(self, transition: Transition) -> None:
        """Write a transition down and wake whoever waits for one."""
        self._number += 1
        data = msgspec.json.encode(_moved(transition, self._wall()))
        self._frames.append(b"event: transition\nid: %s\ndata: %s\n\n" % (self.id(self._number), data))
        self._wake()

    def end(self) -> None:
        """Let all readers go, now and for good: the process stops."""
        self.ended = True
        self._wake()

    def id(self, number: int) -> bytes:
        """The id of a transition by its number; numbers count up from 1."""
        return f"{self._epoch}-{number}".encode()

    def position(self, last_id: str) -> int:
        """The number of the last transition that a reader knows which says so with an id.

        Without an id it wants new ones only. An id that is not of this process stands for 0: all that is kept.
        """
        if not last_id:
            return self._number
        found = _ID.fullmatch(last_id)
        if found is None or found[1] != self._epoch or int(found[2]) > self._number:
            return 0
        return int(found[2])

    def after(self, position: int) -> tuple[int, bytes]:
        """The frames of the transitions after a position, at most `BATCH` of them, and the position behind them."""
        oldest = self._number - len(self._frames)
        start = max(position, oldest)
        frames = list(islice(self._frames, start - oldest, start - oldest + BATCH))
        return start + len(frames), b"".join(frames)

    async def news(self, position: int, seconds: float) -> None:
        """Wait until there is something after a position, or `ended`, for at most so many seconds."""
        if self._number > position or self.ended:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """A reader's place, for as long as it reads.

        Raises:
            Problem: 503 when all are taken.
        """
        if self.readers >= READERS:
            message = f"{READERS} readers follow the events already; try again later"
            raise Problem(503, "too_many_readers", message, (("Retry-After", "10"),))
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1

    def _wake(self) -> None:
        self._news.set()
        self._news.clear()


def _moved(transition: Transition, at: float) -> Moved:
    retry_in = transition.retry_in
    return Moved(
        at=iso(at),
        breaker=breaker_name(transition.provider, transition.model, transition.credential),
        scope=transition.scope,
        provider=clean(transition.provider),
        model=None if transition.model is None else clean(transition.model),
        credential=transition.credential,
        was=transition.was,
        state=transition.state,
        event=transition.event,
        cause=transition.cause,
        reason=clean(transition.reason),
        generation=transition.generation,
        seconds_until_retry=None if retry_in is None else round(retry_in, 3),
    )
