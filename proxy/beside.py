"""Doing what takes long, and needs the interpreter all the while, beside the event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

SHARE: Final = 0.0002
"""Seconds after which a thread gives way to another one that waits: with Python's own 5 ms the loop would wait that
long each time something comes in."""


async def beside(work: Callable[[], T]) -> T:
    """Do some work in a thread, with the event loop hardly held up."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SHARE)
    try:
        return await asyncio.to_thread(work)
    finally:
        sys.setswitchinterval(before)
