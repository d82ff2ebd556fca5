"""What passes between a connection and its handler."""

from __future__ import annotations

from proxy.request import CLOSE, KEEP


async def test_a_written_answer_is_all_that_is_asked_for() -> None:
    assert (KEEP.keep_alive, CLOSE.keep_alive) == (True, False)
