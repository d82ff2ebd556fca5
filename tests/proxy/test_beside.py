"""Work beside the event loop."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

from proxy.beside import SHARE, beside


async def test_it_is_done_in_a_thread_that_gives_way_soon() -> None:
    before = sys.getswitchinterval()
    begun, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> tuple[threading.Thread, float]:
        loop.call_soon_threadsafe(begun.set)
        assert goes_on.wait(10)
        return threading.current_thread(), sys.getswitchinterval()

    job = asyncio.create_task(beside(work))
    await begun.wait()  # so the loop goes on meanwhile
    goes_on.set()
    thread, interval = await job
    assert thread is not threading.main_thread()
    assert interval == pytest.approx(SHARE)
    assert sys.getswitchinterval() == before


async def test_what_goes_wrong_is_raised() -> None:
    before = sys.getswitchinterval()

    def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await beside(work)
    assert sys.getswitchinterval() == before
