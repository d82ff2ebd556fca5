"""The database of the archive: who may open it, what it does and what is wrong with it in words.

Everything here waits for a disk and is called from the archive's own thread alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from breaker.outcome import Kind
from healthapi import archive_sql as sql
from healthapi.archive_load import Loaded, cell, load, targets
from healthapi.archive_rows import Key, Rows, numbers, unpacked
from healthapi.archive_schema import MIGRATIONS, Migration, known, migrate
from healthapi.cell import Cell
from healthapi.history import DAY, HOUR, MINUTE
from healthapi.store import StoreError

MEMORY: Final = ":memory:"
"""The path of a database that lives as long as the process."""

MINUTES: Final = DAY + MINUTE
"""Seconds for which cells of a minute are kept: a day, and the bucket with which it begins."""

HOURS: Final = 31 * DAY
"""Seconds for which cells of an hour are kept: thirty days, and the whole of the day with which they begin."""

MOST_TARGETS: Final = 50_000
"""Targets of which anything is kept. Beyond that history is let go of that belongs to no record any more: names come
from callers, and made-up ones must not fill a disk."""

MOST_IN_MEMORY: Final = 200_000
"""Cells of a minute, and cells of an hour, that a database in memory keeps: some 30 MB each."""

PATIENCE: Final = 1.0
"""Seconds to wait while another program, such as the `sqlite3` command line, holds the database."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",  # KiB
    "PRAGMA journal_size_limit = 16777216",
)

_WRONG: Final = {
    sqlite3.SQLITE_FULL: "cannot grow, the disk is full: make room",
    sqlite3.SQLITE_BUSY: "is held by another program (an open transaction?): end it",
    sqlite3.SQLITE_READONLY: "cannot be written to: make it and its directory writable, or name another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: make it and its directory readable and writable, or name another file",
    sqlite3.SQLITE_PERM: "cannot be opened: make it and its directory readable and writable, or name another file",
    sqlite3.SQLITE_NOTADB: "is not a database: name another file, or move this one away",
    sqlite3.SQLITE_CORRUPT: "is damaged: move it away, or try the .recover command of sqlite3",
}
_PASSING: Final = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}
"""What leaves the connection as it was."""


class Limits(Struct, frozen=True):
    """What is kept at most: targets of all kinds, and cells of each width in a database in memory."""

    targets: int = MOST_TARGETS
    in_memory: int = MOST_IN_MEMORY


class ArchiveFile:
    """One database. Everything but the constructor may raise `StoreError`."""

    __slots__ = ("_connection", "_limits", "_lock", "_migrations", "path")

    def __init__(self, path: str, migrations: Sequence[Migration] = MIGRATIONS, limits: Limits | None = None) -> None:
        """Nothing is opened before `open`."""
        self.path = path
        self._migrations = migrations
        self._limits = limits or Limits()
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None

    @property
    def ready(self) -> bool:
        """Whether it is open; after what a disk may do to it, it has to be opened again."""
        return self._connection is not None

    def open(self) -> dict[Key, int]:
        """Open it, make or migrate its tables; returns the numbers of its targets."""
        with self._explained():
            if self._connection is None:
                self._open()
            return targets(self._needed())

    def load(self, now: float) -> Loaded:
        """Everything a process needs to go on where another one stopped."""
        with self._explained():
            return load(self._needed(), now)

    def write(self, rows: Rows) -> None:
        """Write all of it, or nothing."""
        with self._transaction() as connection:
            connection.executemany(sql.ADD_TARGET, rows.targets)
            for statement in sql.DROP_RECORDS:
                connection.execute(statement, (rows.gone,))
            for text in rows.deltas:
                connection.execute(sql.FILL, (text,))
            for statement in sql.ADD_ALL if rows.deltas else ():
                connection.execute(statement)
            for statement in sql.DROP_RECORDS:
                connection.execute(statement, (rows.replaced,))
            connection.execute(sql.PUT_TALLIES, (rows.tallies,))
            connection.execute(sql.PUT_RECORDS, (rows.records,))
            if rows.memos is not None:
                connection.execute(sql.DROP_MEMOS)
                connection.executemany(sql.PUT_MEMO, rows.memos)

    def cells(self, width: int, target: int, first: int, last: int) -> list[tuple[int, Kind, Cell]]:
        """Cells of one target, from one bucket of `width` seconds to another."""
        asked = {"target": target, "first": first * width, "last": last * width}
        with self._explained():
            rows = self._needed().execute(sql.CELLS[width], asked)
            return [(at // width, Kind(kind), cell(values)) for at, kind, *values in rows]

    def all_cells(
        self, width: int, known: dict[int, Key], newest_first: bool
    ) -> list[tuple[str, str, int, Kind, Cell]]:
        """Cells of many targets, given by number."""
        statement = (sql.NEWEST_FIRST if newest_first else sql.OLDEST_FIRST)[width]
        with self._explained():
            rows = self._needed().execute(statement, (numbers(known),))
            return [(*known[number], at // width, Kind(kind), cell(values)) for number, at, kind, *values in rows]

    def prune(self, now: float) -> list[Key]:
        """Delete what is too old or too much; returns the targets of which nothing is left."""
        with self._transaction() as connection:
            connection.execute(sql.EXPIRE[MINUTE], (now - MINUTES,))
            connection.execute(sql.EXPIRE[HOUR], (now - HOURS,))
            for statement in sql.TRIM if self.path == MEMORY else ():
                connection.execute(statement, (self._limits.in_memory,))
            return self._dropped(connection, sql.UNUSED, ()) + self._dropped(
                connection, sql.PAST, (self._limits.targets,)
            )

    def thin(self, targets: int) -> list[Key]:
        """Let go of history that belongs to no record, down to so many targets; returns those that are gone."""
        with self._transaction() as connection:
            return self._dropped(connection, sql.PAST, (targets,))

    def remove(self, given: Sequence[int]) -> None:
        """Delete records and cells of these targets, and their names."""
        with self._transaction() as connection:
            text = numbers(given)
            for statement in (*sql.DROP_RECORDS, *sql.DROP_CELLS, sql.DROP_TARGETS):
                connection.execute(statement, (text,))

    def note(self, name: str) -> bytes | None:
        """A small document, None where there is none."""
        with self._explained():
            found = self._needed().execute("SELECT text FROM note WHERE name = ?", (name,)).fetchone()
            return None if found is None else str(found[0]).encode()

    def put_note(self, name: str, text: bytes) -> None:
        """Keep a small document of text."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, text.decode()))

    def swap_note(self, name: str, was: bytes | None, text: bytes) -> bool:
        """Keep a small document of text in place of another one; whether that one was there still."""
        with self._transaction() as connection:
            found = connection.execute("SELECT text FROM note WHERE name = ?", (name,)).fetchone()
            if (None if found is None else str(found[0]).encode()) != was:
                return False
            connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, text.decode()))
            return True

    def close(self) -> None:
        """Put everything into the one file and let go of it."""
        try:
            if self._connection is not None:
                with self._explained():
                    self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            self._let_go()
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        if self.path != MEMORY and self._lock is None:
            self._lock = _locked(self.path)
        if self.path != MEMORY:
            _check_access(self.path)
        self._connection = connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        known(connection, self._migrations)  # before anything is changed: even how it keeps its journal is its owner's
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        migrate(connection, self._migrations)
        connection.execute(sql.TEMPORARY)

    def _needed(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError("is not open")
        return self._connection

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            connection = self._needed()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what is wrong in words; let go of a connection that may have come to harm."""
        try:
            yield
        except StoreError as error:
            self._let_go()
            raise StoreError(f"{self.path} {error}") from None
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            # What is in memory is nowhere else: no error is a reason to give it up.
            if code not in _PASSING and self.path != MEMORY:
                self._let_go()
            raise StoreError(f"{self.path} {_WRONG.get(code) or f'cannot be used: {error}'}") from error
        except ValueError as error:
            if self.path != MEMORY:
                self._let_go()
            raise StoreError(f"{self.path} holds what Detour never wrote: {error}") from error

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _dropped(self, connection: sqlite3.Connection, which: str, values: tuple[int, ...]) -> list[Key]:
        rows = connection.execute(which, values).fetchall()
        if rows:
            text = numbers(row[2] for row in rows)
            for statement in (*sql.DROP_CELLS, sql.DROP_TARGETS):
                connection.execute(statement, (text,))
        return [(unpacked(provider), unpacked(model)) for provider, model, _ in rows]


def _locked(path: str) -> int:
    """A descriptor that holds a database for this process as long as it is open.

    It is that of a file beside the database. On the database itself it would undo SQLite's own locks when it is closed,
    and on macOS stand in their way.

    Raises:
        StoreError: another process has it, or the file cannot be made.
    """
    try:
        if Path(path).is_dir():
            raise StoreError("is a directory: name a file")
        lock = os.open(os.path.realpath(path) + "-lock", os.O_RDWR | os.O_CREAT, 0o666)
    except FileNotFoundError:
        raise StoreError("is in a directory that does not exist: make it, or name another file") from None
    except OSError as error:
        reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise StoreError(f"is in a directory that cannot be written to ({reason}): name another file") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreError("is in use by another process; give each its own --store, or share one redis://") from None
    except OSError as error:
        os.close(lock)
        raise StoreError(f"cannot be locked ({error.strerror}): name a file on a local disk") from None
    return lock


def _check_access(path: str) -> None:
    """See whether a file may be written to. SQLite would open it all the same and leave others beside it.

    Only while no connection is open: closing a descriptor lets go of SQLite's own locks.

    Raises:
        StoreError: it may not be.
    """
    try:
        os.close(os.open(path, os.O_RDWR))
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreError(f"{_WRONG[sqlite3.SQLITE_READONLY]} ({error.strerror})") from None
