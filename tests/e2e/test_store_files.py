"""Files that cannot be used when a sidecar starts: it serves all the same, says why, and leaves them as they are."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.spoilt import FullDisk, unwritable
from tests.e2e.stored import (
    FILE,
    OVER,
    TROUBLE,
    Load,
    act,
    ask,
    breaker,
    calls,
    failures,
    files,
    history,
    in_trouble,
    read,
    said,
    sidecar,
    well_again,
)
from tests.e2e.world import Detour, lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

IN_USE = "detour.db is in use by another process; give each its own --store, or share one redis://"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


# -- what lies there is not ours to use ----------------------------------------------------------------------------


def change(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def overwrite(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))


def not_one(path: Path) -> None:
    path.write_bytes(b"what somebody wrote down\n" * 500)


def newer(path: Path) -> None:
    change(path, "PRAGMA user_version = 99")


def foreign(path: Path) -> None:
    path.unlink()
    change(path, "CREATE TABLE song (title TEXT)", "INSERT INTO song VALUES ('Autobahn')")


def made_up(path: Path) -> None:
    change(path, "UPDATE tally SET response = 'no histogram'")


SPOILT: dict[Callable[[Path], None], str] = {
    not_one: "detour.db is not a database: name another file, or move this one away",
    overwrite: "detour.db is damaged: move it away, or try the .recover command of sqlite3",
    newer: "detour.db was written by a newer Detour (schema 99, this one knows 2): run that one, or name another file",
    foreign: "detour.db is the database of another program: name another file",
    made_up: "detour.db holds what Detour never wrote: ",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
async def test_a_file_that_cannot_be_used_is_left_alone(
    fake: FakeProvider, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path, config = tmp_path / FILE, lab(fake.url)
    async with sidecar(tmp_path, config) as running:
        await ask(running, "ok", times=3)
    spoil(path)
    before = path.read_bytes()
    async with sidecar(tmp_path, config) as running:
        assert (await in_trouble(running)).startswith(SPOILT[spoil])
        assert await ask(running, "ok", times=5) == [200] * 5
        assert await calls(running) == 5
        await failures(running, 2)
        assert await running.metric("detour_store_waiting") > 0
        assert path.read_bytes() == before
        assert len(said(running, TROUBLE)) == 1
        # As it was told: moved away. No new start is needed, and nothing that happened meanwhile is missing.
        for name in files(tmp_path):
            if name.startswith(FILE) and not name.endswith("-lock"):
                (tmp_path / name).rename(tmp_path / f"away-{name}")
        await well_again(running)
        assert len(said(running, OVER)) == 1
        assert await ask(running, "ok") == [200]
    assert (tmp_path / f"away-{FILE}").read_bytes() == before
    async with sidecar(tmp_path, config) as running:
        assert await calls(running) == 6
        assert (await history(running))["totals"]["calls"] == 6


async def test_breakers_that_opened_meanwhile_are_kept_then(fake: FakeProvider, tmp_path: Path) -> None:
    config = lab(fake.url, admin={"token": TOKEN}, breakers={})
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    async with sidecar(tmp_path, config) as running:
        await in_trouble(running)
        status, _ = await act(running, "/circuit-breakers/openai/open?for=10m")
        assert status == 200
        (tmp_path / FILE).unlink()
        await well_again(running)
    async with sidecar(tmp_path, config) as running:
        assert (await breaker(running, "openai"))["state"] == "open"


# -- nothing can lie there -----------------------------------------------------------------------------------------


async def made_good(running: Detour, load: Load, words: str, mend: Callable[[], object]) -> None:
    """Trouble from the start, under load, until it is mended."""
    assert words in await in_trouble(running)
    await load.more()
    mend()
    await well_again(running)
    await load.more()
    assert len(said(running, TROUBLE)) == len(said(running, OVER)) == 1
    assert [line for line in running.lines if line["level"] == "warning"] == said(running, TROUBLE)


async def test_a_directory_that_comes_later(fake: FakeProvider, tmp_path: Path) -> None:
    config, store = lab(fake.url), ("--store", "sqlite:///later/on/detour.db")
    asked = len(fake.log)
    async with sidecar(tmp_path, config, *store) as running, Load(running) as load:
        words = "later/on/detour.db is in a directory that does not exist: make it, or name another file"
        await made_good(running, load, words, lambda: (tmp_path / "later/on").mkdir(parents=True))
    assert (load.failed, load.lost) == ([], 0)
    async with sidecar(tmp_path, config, *store) as running:
        assert await calls(running) == len(fake.log) - asked
    assert files(tmp_path) == ["detour.yaml", "later"]


async def test_a_directory_that_may_be_written_to_later(fake: FakeProvider, tmp_path: Path) -> None:
    config, store = lab(fake.url), ("--store", f"sqlite:///{tmp_path}/shut/detour.db")
    (tmp_path / "shut").mkdir()
    asked = len(fake.log)
    with unwritable(tmp_path / "shut") as writable:
        async with sidecar(tmp_path, config, *store) as running, Load(running) as load:
            await made_good(running, load, "is in a directory that cannot be written to", writable)
        async with sidecar(tmp_path, config, *store) as running:
            assert await calls(running) == len(fake.log) - asked
    assert (load.failed, load.lost) == ([], 0)


async def test_a_disk_that_is_full_from_the_start(fake: FakeProvider, tmp_path: Path) -> None:
    config, folder = lab(fake.url), tmp_path / "disk"
    store = ("--store", f"sqlite:///{folder}/detour.db")
    folder.mkdir()
    asked = len(fake.log)
    with FullDisk.ready(folder) as way:
        way.spoil(0)
        async with sidecar(tmp_path, config, *store) as running, Load(running) as load:
            await made_good(running, load, FullDisk.words, lambda: way.mend(0))
        async with sidecar(tmp_path, config, *store) as running:
            assert await calls(running) == len(fake.log) - asked
    assert (load.failed, load.lost) == ([], 0)


async def test_a_directory_in_place_of_the_file(fake: FakeProvider, tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    async with sidecar(tmp_path, lab(fake.url)) as running, Load(running) as load:
        await made_good(running, load, "detour.db is a directory: name a file", (tmp_path / FILE).rmdir)
    assert (load.failed, load.lost) == ([], 0)


# -- somebody else has it ------------------------------------------------------------------------------------------


async def test_two_sidecars_on_one_file(fake: FakeProvider, tmp_path: Path) -> None:
    """The second serves without it, and takes it over with all that is in it when the first has ended."""
    config, asked = lab(fake.url), len(fake.log)
    async with sidecar(tmp_path, config) as running, contextlib.AsyncExitStack() as later:
        assert await ask(running, "ok", times=7) == [200] * 7
        assert await ask(running, "acme/ok", times=2) == [200] * 2
        created = (await running.record("openai", "ok"))["created_at"]
        second = await later.enter_async_context(sidecar(tmp_path, config))
        assert await in_trouble(second) == IN_USE
        async with Load(second) as load:
            await load.more()
        assert (load.failed, load.lost) == ([], 0)
        assert await calls(second) == len(fake.log) - asked - 9
        assert await calls(running) == 7
        assert await running.metric("detour_store_trouble") == 0
        assert await running.stop() == 0
        await well_again(second)
        assert await calls(second) == len(fake.log) - asked - 2
        assert await calls(second, "acme/ok") == 2
        assert (await second.record("openai", "ok"))["created_at"] == created
        assert len(said(second, TROUBLE)) == len(said(second, OVER)) == 1
    async with sidecar(tmp_path, config) as running:
        assert await calls(running) == len(fake.log) - asked - 2
        assert (await history(running))["totals"]["calls"] == len(fake.log) - asked
    assert read(tmp_path / FILE, "PRAGMA integrity_check") == [("ok",)]


async def test_another_program_holds_it_at_the_start(fake: FakeProvider, tmp_path: Path) -> None:
    config, asked = lab(fake.url), len(fake.log)
    async with sidecar(tmp_path, config) as running:
        await ask(running, "ok", times=3)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def let_go() -> None:
        other.execute("ROLLBACK")
        other.close()

    async with sidecar(tmp_path, config) as running, Load(running) as load:
        await made_good(running, load, "is held by another program", let_go)
    assert (load.failed, load.lost) == ([], 0)
    async with sidecar(tmp_path, config) as running:
        assert await calls(running) == len(fake.log) - asked
