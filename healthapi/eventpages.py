"""GET /v1/events: what happens, as it happens, as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import msgspec
from msgspec import Struct

from healthapi.admin import Admin, Call
from healthapi.answer import Answer, text
from healthapi.errors import Problem
from healthapi.events import Moved
from healthapi.replies import Stream
from healthapi.text import iso

EVENT_STREAM: Final = "text/event-stream"

EVERY: Final = 1.0
"""Seconds between two summaries of outcomes."""

KEEP_ALIVE: Final = 15.0
"""Seconds between two comments, which are for whatever lies in between and cuts silent lines."""

_BEGIN: Final = b"retry: 2000\nid: %s\n\n"
_COMMENT: Final = b": here\n\n"


class Outcomes(Struct, frozen=True, kw_only=True):
    """How many attempts ended how in the last `seconds`, by status or neutral kind; `in_flight` is of now."""

    at: str
    seconds: float
    attempts: dict[str, int]
    in_flight: int


EVENTS: Final = Answer(
    None,
    (text("last_event_id", "Says the same as the header `Last-Event-ID`, which comes before it."),),
    (503,),
    tagged=False,
    media=(EVENT_STREAM,),
    events={"transition": Moved, "outcomes": Outcomes},
)


async def events(admin: Admin, call: Call) -> Stream:
    """Breaker transitions as they happen, and once a second how many attempts ended how.

    Server-sent events. The header `Last-Event-ID` (or the parameter `last_event_id`) asks for the transitions after
    that one, as far as they are kept; an id that is not known for all of them. Without it only new ones are sent.
    """
    last = call.last_event_id or call.query.text("last_event_id") or ""
    return Stream(lambda: _told(admin, last), EVENT_STREAM)


async def _told(admin: Admin, last: str) -> AsyncGenerator[bytes, None]:
    log, ticks = admin.events, _Ticks(admin)
    if _stopping(admin):
        raise Problem(503, "draining", "this process is about to stop; ask another one")
    with log.reading():
        position = log.position(last)
        yield _BEGIN % log.id(position)
        while not _stopping(admin):
            position, frames = log.after(position)
            if frames:
                yield frames
            else:
                await log.news(position, ticks.due_in())
            if due := ticks.due():
                yield due


def _stopping(admin: Admin) -> bool:
    return admin.events.ended or admin.draining()


class _Ticks:
    """What one reader is told regularly, timed by the loop's own clock."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._clock = asyncio.get_running_loop().time
        self._since = self._commented = self._clock()
        self._seen = admin.metrics.outcomes.copy()

    def due_in(self) -> float:
        """Seconds until the next one."""
        return self._since + EVERY - self._clock()

    def due(self) -> bytes:
        """What is due now, nothing when nothing is."""
        now = self._clock()
        if now < self._since + EVERY:
            return b""
        told = b"event: outcomes\ndata: %s\n\n" % msgspec.json.encode(self._outcomes(now))
        if now >= self._commented + KEEP_ALIVE:
            self._commented = now
            told += _COMMENT
        return told

    def _outcomes(self, now: float) -> Outcomes:
        counts = self._admin.metrics.outcomes.copy()
        fresh = {status: count - self._seen[status] for status, count in counts.items()}
        seconds = round(now - self._since, 3)
        self._since, self._seen = now, counts
        return Outcomes(
            at=iso(self._admin.now()), seconds=seconds, attempts=fresh, in_flight=self._admin.metrics.in_flight()
        )
