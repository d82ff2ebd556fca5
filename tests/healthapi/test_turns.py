from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.turns import BATCH, LONGEST, STEP, let_go, turns


@given(st.lists(st.integers(), max_size=100))
def test_everything_comes_in_its_order(things: list[int]) -> None:
    async def collected() -> list[int]:
        return [thing async for thing in turns(things)]

    assert asyncio.run(collected()) == things


async def test_others_have_turns_while_it_takes_long() -> None:
    done = 0
    seen: list[int] = []

    async def other() -> None:
        while done < 10 * STEP:
            seen.append(done)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    async for _ in turns(range(10 * STEP)):
        time.sleep(LONGEST / 4)  # noqa: ASYNC251 - this is what takes long
        done += 1
    await task
    assert set(seen) >= set(range(STEP, 10 * STEP, STEP))


async def test_what_is_quick_is_done_at_once() -> None:
    others: list[str] = []
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(lambda _: others.append("was let in"))
    async for _ in turns(range(STEP - 1)):
        assert others == []
    await task


async def test_nothing_is_taken_before_it_is_wanted() -> None:
    taken: list[int] = []

    def things() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    async for number in turns(things()):
        assert taken == list(range(number + 1))


@pytest.mark.parametrize("count", [0, 1, BATCH, BATCH + 1, 5 * BATCH])
async def test_everything_is_let_go_of(count: int) -> None:
    some, named = list(range(count)), dict.fromkeys(range(count))
    await let_go(some)
    await let_go(named)
    assert (some, named) == ([], {})
