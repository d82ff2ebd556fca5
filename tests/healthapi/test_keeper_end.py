"""The keeper's end, and what is not to be written: cases in which a moment decides."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.healthapi.sidecar import Sidecar, sidecar

TARGETS = 1000


def file(folder: Path) -> str:
    return f"sqlite:///{folder / 'detour.db'}"


def read(folder: Path, question: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(folder / "detour.db")) as connection:
        return connection.execute(question).fetchall()


@pytest.mark.parametrize("turns", [0, 1, 3, 6, 10, 20])
async def test_a_flush_that_is_under_way_is_not_cut_off(tmp_path: Path, turns: int) -> None:
    """With more targets than become text at one go, the end may come between two of them."""
    one = Sidecar(file(tmp_path))
    await one.keeper.start()
    for number in range(TARGETS):
        one.attempt(model=f"model-{number % 90}", at=one.wall() - 60 * (number // 90))
    flush = asyncio.create_task(one.keeper.flush())
    for _ in range(turns):
        await asyncio.sleep(0)
    await one.keeper.stop()
    await flush
    assert read(tmp_path, "SELECT sum(calls) FROM record") == [(TARGETS,)]


async def test_what_stays_open_is_not_written_again_and_again(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        journal = tmp_path / "detour.db-wal"
        written = [journal.stat().st_mtime_ns]
        one.registry.open("groq", None, one.now(), 600.0)
        for _ in range(6):
            await one.keeper.flush()
            written.append(journal.stat().st_mtime_ns)
        # Once for the opening; and once more at most, should the two clocks have been read far apart for once.
        assert 2 <= len(set(written)) <= 3
        one.registry.open("groq", None, one.now(), 900.0)
        await one.keeper.flush()
        assert journal.stat().st_mtime_ns > written[-1]


async def test_what_is_lost_in_the_end_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = sqlite3.connect(tmp_path / "detour.db", isolation_level=None)
    async with sidecar(file(tmp_path)) as one:
        one.attempt()
        await one.keeper.flush()
        other.execute("BEGIN IMMEDIATE")
        one.attempt()
    other.close()
    assert "is lost" in caplog.text
    assert read(tmp_path, "SELECT calls FROM record") == [(1,)]


async def test_what_is_kept_of_a_provider_that_is_not_configured_stays_kept(tmp_path: Path) -> None:
    async with sidecar(file(tmp_path)) as one:
        one.attempt(provider="gone")
        one.registry.open("gone", None, one.now(), 600.0)
    async with sidecar(file(tmp_path)) as two:
        two.attempt()
        assert not two.is_open("gone", None)
    assert read(tmp_path, "SELECT provider, state FROM memo") == [("gone", "open")]
