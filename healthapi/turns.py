"""Long work on the event loop, in turns.

Requests are served on the same loop: a document about ten thousand targets takes hundreds of milliseconds, and no
request may wait for more than a small part of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, TypeVar

_T = TypeVar("_T")

LONGEST: Final = 0.0002
"""Seconds that work goes on before others have a turn; the step that is under way then is finished first.

A request waits for so long when it comes in, and again when its answer does.
"""

STEP: Final = 4
"""Things done between two looks at the clock."""

ROUNDS: Final = 2
"""Rounds of the loop that others have then: in so many a request that has come in is on its way to its provider."""

BATCH: Final = 20
"""Things let go of between two of these steps."""


async def turns(things: Iterable[_T]) -> AsyncIterator[_T]:
    """The same things, with turns for others in between; what is done with each of them should be short.

    Between two of them anything may change that is not the caller's own: `things` must not be what others add to.
    """
    until = time.perf_counter() + LONGEST
    for number, thing in enumerate(things, 1):
        yield thing
        if not number % STEP and time.perf_counter() >= until:
            await turn()
            until = time.perf_counter() + LONGEST


async def turn() -> None:
    """Let others have theirs."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


async def let_go(things: list[Any] | dict[Any, Any]) -> None:
    """Empty a list or dict in turns: to free thousands of objects at once holds the loop for milliseconds."""
    async for _ in turns(range(0, len(things), BATCH)):
        if isinstance(things, list):
            del things[-BATCH:]
        else:
            for _ in range(min(BATCH, len(things))):
                things.popitem()
