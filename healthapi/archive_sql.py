"""The statements of the archive.

A flush hands SQLite one JSON text for each hundred deltas; SQLite reads them into a table of its own and adds them up
by itself, in C and without Python's lock, so that the event loop goes on meanwhile. Nothing calls back into Python.
"""

from __future__ import annotations

from typing import Final

_COUNTS: Final = ("success", "error", "timeout", "rate_limited", "network_error")
_CELL: Final = (*_COUNTS, "blamed", "seconds", "response", "first_byte")
_LATENCIES: Final = ("response", "first_byte")
_LAST: Final = ("last_status", "last_response_time", "last_error")
_TIMES: Final = ("last_success_at", "last_failure_at")

DELTA: Final = ("at", "target", "kind", *_CELL, *_LAST, *_TIMES, "first_at", "last_at", "streak")
"""Columns of the deltas of a batch; from `last_status` on they are null in what is for history alone."""

TALLY: Final = ("target", "kind", *_COUNTS, "seconds", *_LATENCIES, *_LAST, "last_called_at")
RECORD: Final = ("target", "calls", "streak", "created_at", "updated_at", "last_kind", *_TIMES)
MEMO: Final = (
    *("provider", "model", "state", "cause", "origin", "reason"),
    *("manual", "openings", "http_status", "opened_at", "retry_at"),
)


def _list(*columns: str) -> str:
    return ", ".join(columns)


def _unpacked(columns: tuple[str, ...]) -> str:
    """What selects these columns out of JSON arrays."""
    values = (f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
    return f"SELECT {_list(*values)} FROM json_each(?) WHERE true"  # noqa: S608


def _added(table: str, columns: tuple[str, ...]) -> str:
    """Assignments that add numbers, and histograms bucket by bucket."""
    sums = (f"{name} = {name} + excluded.{name}" for name in columns if name not in _LATENCIES)
    return _list(*sums, *(f"{name} = {_merged(f'{table}.{name}', f'excluded.{name}')}" for name in _LATENCIES))


def _merged(mine: str, more: str) -> str:
    return f"""CASE '{{}}' WHEN {more} THEN {mine} WHEN {mine} THEN {more} ELSE (
    SELECT json_group_object(key, count) FROM (
        SELECT key, sum(value) AS count FROM (
            SELECT key, value FROM json_each({mine}) UNION ALL SELECT key, value FROM json_each({more})
        ) GROUP BY CAST(key AS INTEGER)
    )
) END"""  # noqa: S608


def _cells(table: str, at: str) -> str:
    return f"""
INSERT INTO {table} (at, target, kind, {_list(*_CELL)})
SELECT {at}, target, kind, {_list(*_CELL)} FROM temp.delta WHERE true ORDER BY rowid
ON CONFLICT DO UPDATE SET {_added(table, _CELL)}"""  # noqa: S608


# -- a batch ----------------------------------------------------------------------------------------------------------

TEMPORARY: Final = f"CREATE TEMP TABLE IF NOT EXISTS delta ({_list(*DELTA)})"
FILL: Final = f"INSERT INTO temp.delta {_unpacked(DELTA)}"
EMPTY: Final = "DELETE FROM temp.delta"

ADD_MINUTES: Final = _cells("minute", "at")
ADD_HOURS: Final = _cells("hour", "at - at % 3600")

ADD_TALLIES: Final = f"""
INSERT INTO tally ({_list(*TALLY)})
SELECT {_list(*TALLY[:-1])}, last_at FROM temp.delta WHERE last_at IS NOT NULL ORDER BY rowid
ON CONFLICT DO UPDATE SET {_added("tally", (*_COUNTS, "seconds"))},
    {_list(*(f"{name} = excluded.{name}" for name in (*_LAST, "last_called_at")))}"""  # noqa: S608

# As `Record.take` does it: a run goes on when all that is new went the way of what was there.
ADD_RECORDS: Final = f"""
INSERT INTO record ({_list(*RECORD)})
SELECT target, {" + ".join(_COUNTS)}, streak, first_at, last_at, kind, {_list(*_TIMES)}
FROM temp.delta WHERE last_at IS NOT NULL ORDER BY rowid
ON CONFLICT DO UPDATE SET
    calls = calls + excluded.calls,
    streak = CASE
        WHEN abs(excluded.streak) = excluded.calls AND (excluded.streak > 0) = (streak > 0)
        THEN streak + excluded.streak ELSE excluded.streak END,
    created_at = min(created_at, excluded.created_at),
    updated_at = excluded.updated_at,
    last_kind = excluded.last_kind,
    {_list(*(f"{name} = coalesce(excluded.{name}, {name})" for name in _TIMES))}"""  # noqa: S608

ADD_ALL: Final = (ADD_MINUTES, ADD_HOURS, ADD_TALLIES, ADD_RECORDS, EMPTY)
"""From the deltas of a batch to where they belong."""

# Names come as bytes: they may hold what no text can.
ADD_TARGET: Final = """
INSERT OR IGNORE INTO target (id, provider, model) VALUES (?, CAST(? AS TEXT), CAST(? AS TEXT))"""

_GIVEN: Final = "(SELECT value FROM json_each(?))"
DROP_RECORDS: Final = (
    f"DELETE FROM record WHERE target IN {_GIVEN}",  # noqa: S608
    f"DELETE FROM tally WHERE target IN {_GIVEN}",  # noqa: S608
)
DROP_CELLS: Final = (
    f"DELETE FROM minute WHERE target IN {_GIVEN}",  # noqa: S608
    f"DELETE FROM hour WHERE target IN {_GIVEN}",  # noqa: S608
)
DROP_TARGETS: Final = f"DELETE FROM target WHERE id IN {_GIVEN}"  # noqa: S608
PUT_TALLIES: Final = f"INSERT INTO tally ({_list(*TALLY)}) {_unpacked(TALLY)}"
PUT_RECORDS: Final = f"INSERT INTO record ({_list(*RECORD)}) {_unpacked(RECORD)}"

DROP_MEMOS: Final = "DELETE FROM memo"
PUT_MEMO: Final = f"""
INSERT INTO memo ({_list(*MEMO)})
VALUES (CAST(? AS TEXT), CAST(? AS TEXT), {_list(*"?" * (len(MEMO) - 2))})"""  # noqa: S608

# -- reading ----------------------------------------------------------------------------------------------------------

_NAMES: Final = "CAST(provider AS BLOB), CAST(model AS BLOB)"

TARGETS: Final = f"SELECT {_NAMES}, id FROM target"  # noqa: S608
MEMOS: Final = f"SELECT {_NAMES}, {_list(*MEMO[2:])} FROM memo ORDER BY rowid"  # noqa: S608
TALLIES: Final = f"SELECT {_list(*TALLY)} FROM tally"  # noqa: S608
RECORDS: Final = f"""
SELECT {_NAMES}, {_list(*RECORD)} FROM record JOIN target ON target.id = record.target
ORDER BY updated_at, target.id"""  # noqa: S608

_GROUPS: Final = """sum(success), sum(blamed), sum(error + timeout + rate_limited + network_error - blamed)"""


def _rings(table: str) -> str:
    return f"""
SELECT target, kind, at / :width, {_GROUPS} FROM {table} JOIN record USING (target)
WHERE at >= :first AND at <= :last GROUP BY at / :width, target, kind ORDER BY at / :width DESC"""  # noqa: S608


MINUTE_RINGS: Final = _rings("minute")
HOUR_RINGS: Final = _rings("hour")


def _bucket_by_bucket(table: str, width: int) -> str:
    return f"""
WITH RECURSIVE bucket (start) AS (
    VALUES (max(:first, (SELECT min(at) FROM {table})))
    UNION ALL SELECT start + {width} FROM bucket WHERE start < min(:last, (SELECT max(at) FROM {table}))
)
SELECT at, kind, {_list(*_CELL)} FROM bucket CROSS JOIN {table} ON at = start AND target = :target
WHERE at <= :last ORDER BY at, kind"""  # noqa: S608


def _of_many(table: str, order: str) -> str:
    return f"SELECT target, at, kind, {_list(*_CELL)} FROM {table} WHERE target IN {_GIVEN} ORDER BY at {order}"  # noqa: S608


CELLS: Final = {60: _bucket_by_bucket("minute", 60), 3600: _bucket_by_bucket("hour", 3600)}
"""By the width of a bucket in seconds. `first` and `last` are where buckets begin."""

OLDEST_FIRST: Final = {60: _of_many("minute", "ASC"), 3600: _of_many("hour", "ASC")}
NEWEST_FIRST: Final = {60: _of_many("minute", "DESC"), 3600: _of_many("hour", "DESC")}

# -- letting go -------------------------------------------------------------------------------------------------------

EXPIRE: Final = {60: "DELETE FROM minute WHERE at < ?", 3600: "DELETE FROM hour WHERE at < ?"}


def _trim(table: str) -> str:
    key = "at, target, kind"
    return f"""
DELETE FROM {table} WHERE ({key}) IN (
    SELECT {key} FROM {table} ORDER BY {key} LIMIT max(0, (SELECT count(*) FROM {table}) - ?)
)"""  # noqa: S608


TRIM: Final = (_trim("minute"), _trim("hour"))
"""Leave so many, the oldest go."""

UNUSED: Final = f"""
SELECT {_NAMES}, id FROM target
WHERE id NOT IN (SELECT target FROM record)
    AND id NOT IN (SELECT target FROM hour) AND id NOT IN (SELECT target FROM minute)"""  # noqa: S608
"""Targets that nothing is kept of."""

PAST: Final = f"""
SELECT {_NAMES}, id FROM target WHERE id NOT IN (SELECT target FROM record) AND model <> '~all'
ORDER BY id LIMIT max(0, (SELECT count(*) FROM target) - ?)"""  # noqa: S608
"""Targets of which there is history alone, the longest known first: those beyond so many in all."""
