"""What the archive holds, read back: records with their histories, cells, memos. Runs in the archive's own thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from breaker.memo import Memo
from breaker.outcome import Kind, Status
from healthapi import archive_sql as sql
from healthapi.archive_rows import Key, unpacked
from healthapi.cell import STATUSES, Cell, Sparse, dense
from healthapi.history import DAY, HOUR, MINUTE, History
from healthapi.record import Record, Tally

_SPANS: Final = ((sql.MINUTE_RINGS, MINUTE, 61), (sql.HOUR_RINGS, HOUR, 48), (sql.HOUR_RINGS, DAY, 31))
"""Where the rings of a `History` come from: statement, width of a bucket in seconds, how many buckets."""

_COUNTS: Final = len(STATUSES)
_sparse: Final = msgspec.json.Decoder(Sparse).decode

_Place = tuple[int, str]


class Loaded(Struct):
    """What was kept: records, the one that was called longest ago first, and what breakers were told to remember."""

    records: list[Record]
    memos: list[Memo]


def targets(connection: sqlite3.Connection) -> dict[Key, int]:
    """The number of every target."""
    return {
        (unpacked(provider), unpacked(model)): number for provider, model, number in connection.execute(sql.TARGETS)
    }


def load(connection: sqlite3.Connection, now: float) -> Loaded:
    """Read everything that a process needs to go on where another one stopped.

    Raises:
        sqlite3.Error: it cannot be read.
        ValueError: it holds what was never written here.
    """
    tallies = {
        (row[0], row[1]): _tally(row[2:], history)
        for row, history in _with_histories(connection.execute(sql.TALLIES), _histories(connection, now))
    }
    rows = connection.execute(sql.RECORDS).fetchall()
    records = [record for row in rows if (record := _record(row, tallies)) is not None]
    return Loaded(records, [memo for row in connection.execute(sql.MEMOS) if (memo := _memo(row)) is not None])


def cell(values: Sequence[Any]) -> Cell:
    """A cell from its columns: counts, blamed, seconds, response, first_byte."""
    blamed, seconds, response, first_byte = values[_COUNTS:]
    return Cell(list(values[:_COUNTS]), blamed, seconds, _sparse(response), _sparse(first_byte))


def _histories(connection: sqlite3.Connection, now: float) -> dict[_Place, History]:
    """Histories by target and kind.

    What lies more than a day ahead was written under a wrong clock; in the rings it would hide everything else.
    """
    found: dict[_Place, History] = {}
    for statement, width, size in _SPANS:
        newest = int(now // width)
        bounds = {"width": width, "first": (newest - size + 1) * width, "last": int(now) + DAY}
        for number, kind, bucket, *groups in connection.execute(statement, bounds):
            history = found.get((number, kind))
            if history is None:
                history = found[number, kind] = History()
            history.put(width, bucket, groups)
    return found


def _with_histories(
    rows: Iterable[tuple[Any, ...]], histories: dict[_Place, History]
) -> Iterable[tuple[tuple[Any, ...], History]]:
    for row in rows:
        yield row, histories.get((row[0], row[1])) or History()


def _tally(values: tuple[Any, ...], history: History) -> Tally:
    seconds, response, first_byte, status, response_time, error, called_at = values[_COUNTS:]
    return Tally(
        list(values[:_COUNTS]),
        seconds,
        dense(_sparse(response)),
        dense(_sparse(first_byte)),
        history,
        Status(status),
        response_time,
        error,
        called_at,
    )


def _record(row: tuple[Any, ...], tallies: dict[_Place, Tally]) -> Record | None:
    provider, model, number, _, streak, created_at, updated_at, last_kind, succeeded, failed = row
    live, probe = tallies.get((number, Kind.LIVE)), tallies.get((number, Kind.PROBE))
    last = tallies.get((number, last_kind)) or live or probe
    if last is None:
        return None
    return Record(
        unpacked(provider),
        unpacked(model),
        created_at,
        updated_at,
        last,
        live,
        probe,
        max(-streak, 0),
        max(streak, 0),
        succeeded,
        failed,
    )


def _memo(row: tuple[Any, ...]) -> Memo | None:
    """A memo, None for one that cannot be understood: its breaker begins closed."""
    values: dict[str, Any] = dict(zip(sql.MEMO, row, strict=True))
    values["provider"] = unpacked(row[0])
    values["model"] = None if row[1] is None else unpacked(row[1])
    values["manual"] = bool(values["manual"])
    try:
        return msgspec.convert(values, Memo)
    except msgspec.ValidationError:
        return None
