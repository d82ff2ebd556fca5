"""The tables of the archive, made to be read with the `sqlite3` command line, and how older ones become these.

Cells are keyed by time first: a flush then touches the few pages of the running minute and hour, however many targets
there are, and what is too old is one stretch at the beginning. What one target did is looked up bucket by bucket.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from healthapi.store import StoreError

APPLICATION: Final = int.from_bytes(b"dtur")
"""`PRAGMA application_id`: says whose database a file is."""

Migration = tuple[str, ...]
"""The statements that make one version of the schema from the one before."""

_COUNTED: Final = """
    success INTEGER NOT NULL, error INTEGER NOT NULL, timeout INTEGER NOT NULL, rate_limited INTEGER NOT NULL,
    network_error INTEGER NOT NULL"""

_LATENCIES: Final = """
    seconds REAL NOT NULL,       -- sum of all response times
    response TEXT NOT NULL,      -- {"bucket": count}, buckets of breaker/latency.py
    first_byte TEXT NOT NULL,    -- the same"""

_CELLS: Final = f"""(
    at INTEGER NOT NULL,         -- Unix time of the beginning
    target INTEGER NOT NULL,
    kind TEXT NOT NULL,{_COUNTED},
    blamed INTEGER NOT NULL,     -- failures blamed on the target or its provider
    {_LATENCIES}
    PRIMARY KEY (at, target, kind)
) WITHOUT ROWID"""

MIGRATIONS: Final[tuple[Migration, ...]] = (
    (
        """CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,         -- "~all": all models of the provider together, in history only
    UNIQUE (provider, model)
)""",
        """CREATE TABLE record (
    target INTEGER PRIMARY KEY,
    calls INTEGER NOT NULL,
    streak INTEGER NOT NULL,     -- so many successes in a row, or failures where it is negative
    created_at REAL NOT NULL,    -- Unix time, as all …_at
    updated_at REAL NOT NULL,
    last_kind TEXT NOT NULL,
    last_success_at REAL,
    last_failure_at REAL
)""",
        f"""CREATE TABLE tally (
    target INTEGER NOT NULL,
    kind TEXT NOT NULL,          -- live or probe{_COUNTED},
    {_LATENCIES}
    last_status TEXT NOT NULL,
    last_response_time REAL NOT NULL,
    last_error TEXT,
    last_called_at REAL NOT NULL,
    PRIMARY KEY (target, kind)
) WITHOUT ROWID""",
        f"CREATE TABLE minute {_CELLS}",
        f"CREATE TABLE hour {_CELLS}",
        """CREATE TABLE memo (
    provider TEXT NOT NULL,
    model TEXT,                  -- NULL: the provider's own breaker
    state TEXT NOT NULL,
    cause TEXT,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL,
    manual INTEGER NOT NULL,
    openings INTEGER NOT NULL,
    http_status INTEGER,
    opened_at REAL NOT NULL,
    retry_at REAL NOT NULL
)""",
        """CREATE VIEW health AS
SELECT provider, model, kind, success, error, timeout, rate_limited, network_error,
    round(1000 * seconds / (success + error + timeout + rate_limited + network_error)) AS average_ms,
    last_status, last_error, datetime(last_called_at, 'unixepoch') AS last_called
FROM tally JOIN target ON target.id = tally.target ORDER BY last_called_at DESC""",
    ),
    # Small documents of whoever wants to go on after a restart where it stopped: alerts, what probes spent.
    ("CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL)",),
)
"""One for each version there ever was, the first one from nothing. Files in the field: only ever append."""


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Make the tables what this version needs, all or nothing.

    Raises:
        StoreError: it is somebody else's database, or a newer version's. Nothing was changed.
        sqlite3.Error: it could not be done.
    """
    version = known(connection, migrations)
    if version == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in migrations[version:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def known(connection: sqlite3.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> int:
    """The version of the tables there are; 0 where there are none. Only looks.

    Raises:
        StoreError: it is somebody else's database, or a newer version's.
        sqlite3.Error: it cannot be read.
    """
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner != APPLICATION and (owner or version or tables):
        raise StoreError("is the database of another program: name another file")
    if version > len(migrations):
        raise StoreError(
            f"was written by a newer Detour (schema {version}, this one knows {len(migrations)}): "
            "run that one, or name another file"
        )
    return int(version)
