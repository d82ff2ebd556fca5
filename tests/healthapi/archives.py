"""Archives with something in them, and what they hold in a form that compares, for the tests of the archive."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

from breaker.outcome import Outcome
from healthapi.archive import Archive, Batch, Loaded
from healthapi.archive_file import Limits
from healthapi.cell import Cell, sparse
from healthapi.delta import Delta
from healthapi.memory import MemoryStore
from healthapi.record import Record, Tally
from tests.healthapi.samples import NOW, outcome

ROOT = Path(__file__).parents[2]
SPANS = (60.0, 300.0, 3600.0, 6 * 3600.0, 24 * 3600.0, 47 * 3600.0, 7 * 86400.0, 30 * 86400.0)
"""Periods in seconds that are asked of histories."""


class Near:
    """A time, or a sum of seconds, that equals one which differs by as much as adding and printing make it differ."""

    def __init__(self, value: float | None) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Near({self.value!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Near):
            return NotImplemented
        if self.value is None or other.value is None:
            return self.value is other.value
        return abs(self.value - other.value) < 1e-5

    __hash__ = None  # type: ignore[assignment]


@contextlib.asynccontextmanager
async def opened(path: Path | str, now: float = NOW, limits: Limits | None = None) -> AsyncIterator[Archive]:
    """An open archive, closed at the end."""
    archive = Archive(str(path), limits=limits)
    await archive.open(now)
    try:
        yield archive
    finally:
        await archive.close()


async def reopened(path: Path | str, now: float = NOW) -> Loaded:
    """What a process finds that starts with this file."""
    archive = Archive(str(path))
    try:
        return await archive.open(now)
    finally:
        await archive.close()


def deltas(*outcomes: Outcome) -> list[Delta]:
    """What a store tells of these outcomes."""
    store = MemoryStore()
    for one in outcomes:
        store.add(one)
    return store.take()


def crowd(names: Iterable[str], at: float = NOW) -> Batch:
    """A batch with a success of each of these models."""
    return Batch(deltas(*[outcome(model=name, at=at) for name in names]))


def calls(loaded: Loaded) -> dict[str, int]:
    """How often each model was called."""
    return {record.model: record.sums().calls for record in loaded.records}


def plain(record: Record, now: float) -> dict[str, Any]:
    """All that a record says, as plain values that compare: floats nearly."""
    return {
        "names": (record.provider, record.model),
        "times": (Near(record.created_at), Near(record.updated_at)),
        "streak": record.streak,
        "last_success": Near(record.last_success_at),
        "last_failure": Near(record.last_failure_at),
        "last": "live" if record.last is record.live else "probe",
        "live": record.live and _tally(record.live, now),
        "probe": record.probe and _tally(record.probe, now),
    }


def _tally(tally: Tally, now: float) -> dict[str, Any]:
    return {
        "counts": tally.counts,
        "seconds": Near(tally.seconds),
        "response": sparse(tally.response),
        "first_byte": sparse(tally.first_byte),
        "history": [tally.history.counts(span, now) for span in SPANS],
        "last": (tally.last_status, Near(tally.last_response_time), tally.last_error),
        "called": Near(tally.last_called_at),
    }


def plain_cell(cell: Cell) -> tuple[Any, ...]:
    """A cell as plain values that compare."""
    return (cell.counts, cell.blamed, Near(cell.seconds), cell.response, cell.first_byte)


def asked(path: Path | str, question: str) -> list[Any]:
    """What another program reads in the file."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def changed(path: Path | str, *statements: str) -> None:
    """Let another program change the file."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
