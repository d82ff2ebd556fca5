from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from healthapi.archive import Archive
from healthapi.archive_schema import APPLICATION, MIGRATIONS, migrate
from healthapi.store import StoreError
from tests.healthapi.archives import asked, calls, changed, crowd, opened

LATER = (*MIGRATIONS, ("ALTER TABLE record ADD COLUMN note TEXT", "UPDATE record SET note = 'migrated'"))
BROKEN = (*MIGRATIONS, ("ALTER TABLE record ADD COLUMN note TEXT", "UPDATE nowhere SET note = ''"))
VERSION = "SELECT user_version, application_id FROM pragma_user_version, pragma_application_id"


async def filled(path: Path) -> None:
    async with opened(path) as archive:
        await archive.write(crowd("ab"))


async def test_an_older_file_becomes_a_newer_one_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    await filled(path)
    for _ in range(2):
        archive = Archive(str(path), LATER)
        assert calls(await archive.open(0.0)) == {"a": 1, "b": 1}
        await archive.close()
        assert asked(path, VERSION) == [(len(MIGRATIONS) + 1, APPLICATION)]
        assert asked(path, "SELECT DISTINCT note FROM record") == [("migrated",)]


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    await filled(path)
    changed(path, "PRAGMA user_version = 7")
    before = path.read_bytes()
    archive = Archive(str(path))
    with pytest.raises(StoreError, match=r"newer Detour \(schema 7, this one knows 2\): run that one"):
        await archive.open(0.0)
    await archive.close()
    assert path.read_bytes() == before


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    await filled(path)
    archive = Archive(str(path), BROKEN)
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await archive.open(0.0)
    await archive.close()
    assert asked(path, VERSION) == [(len(MIGRATIONS), APPLICATION)]
    assert "note" not in asked(path, "SELECT sql FROM sqlite_master WHERE name = 'record'")[0][0]
    async with opened(path) as again:
        assert calls(await again.open(0.0)) == {"a": 1, "b": 1}


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE theirs (x)", "PRAGMA user_version = 1", "PRAGMA application_id = 42"],
)
async def test_the_database_of_another_program_is_left_alone(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "theirs.db"
    changed(path, statement)
    before = asked(path, "SELECT * FROM sqlite_master"), asked(path, VERSION)
    archive = Archive(str(path))
    with pytest.raises(StoreError, match="is the database of another program: name another file"):
        await archive.open(0.0)
    await archive.close()
    assert (asked(path, "SELECT * FROM sqlite_master"), asked(path, VERSION)) == before


async def test_an_empty_file_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    path.touch()
    await filled(path)
    assert asked(path, VERSION) == [(len(MIGRATIONS), APPLICATION)]


def test_nothing_is_done_twice() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    before = connection.total_changes
    migrate(connection)
    assert connection.total_changes == before
    connection.close()
