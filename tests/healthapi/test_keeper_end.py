"""The keeper's end, and what is not to be written: cases in which a moment decides."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.healthapi.sidecar import Sidecar, eventually

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


async def test_what_is_open_is_written_once(tmp_path: Path) -> None:
    one = Sidecar(file(tmp_path))
    await one.keeper.start()
    try:
        one.registry.open("groq", None, one.now(), 600.0)
        await one.keeper.flush()
        (before,) = read(tmp_path, "PRAGMA data_version"), read(tmp_path, "SELECT rowid, * FROM memo")
        written = (tmp_path / "detour.db-wal").stat().st_mtime_ns
        for _ in range(3):
            await one.keeper.flush()
        assert (tmp_path / "detour.db-wal").stat().st_mtime_ns == written
        one.registry.open("groq", None, one.now(), 900.0)
        await one.keeper.flush()
        assert (tmp_path / "detour.db-wal").stat().st_mtime_ns > written
    finally:
        await one.keeper.stop()
