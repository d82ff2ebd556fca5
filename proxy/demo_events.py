"""What breakers do while `detour demo` runs: the transitions of `/v1/events`, one line each."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, Final

import aiohttp
import msgspec

from proxy.sse import Splitter

LINES: Final = 8
"""Transitions that are kept."""

AGAIN: Final = 1.0
"""Seconds between two tries to follow the events."""

_FOR_EVER: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0)


class Story:
    """The last transitions, oldest first, as lines."""

    def __init__(self) -> None:
        """Begin with none."""
        self.lines: deque[str] = deque(maxlen=LINES)

    async def follow(self, session: aiohttp.ClientSession, admin: str) -> None:
        """Read the admin port's events for ever."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._read(session, admin)
            await asyncio.sleep(AGAIN)

    async def _read(self, session: aiohttp.ClientSession, admin: str) -> None:
        splitter = Splitter()
        async with session.get(f"{admin}/v1/events", timeout=_FOR_EVER) as answer:
            async for data in answer.content.iter_any():
                self.lines.extend(told(event) for name, event in splitter.feed(data) if name == b"transition")


def told(data: bytes) -> str:
    """Return a transition as a line: the time of day (UTC), the breaker, from which state to which, and why."""
    moved: dict[str, Any] = msgspec.json.decode(data)
    states = f"{_word(moved['was'])} -> {_word(moved['state'])}"
    return f"{str(moved['at'])[11:19]}  {moved['breaker']}  {states}: {moved['reason']}"


def _word(state: str) -> str:
    return state.replace("_", "-")
