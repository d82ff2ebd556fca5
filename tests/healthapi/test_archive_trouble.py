"""What a disk, another process or a signal can do to an archive. All of it is done for real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from healthapi.archive import Archive, Batch
from healthapi.cell import ALL_MODELS
from healthapi.store import StoreError
from tests.healthapi.archives import ROOT, asked, calls, changed, crowd, deltas, opened, reopened
from tests.healthapi.samples import NOW, outcome

NOBODY = 65534

WRITER = """
import asyncio, sys
from tests.healthapi.archives import crowd, opened
async def main():
    async with opened(sys.argv[1]) as archive:
        print("ready", flush=True)
        for count in range(1, 1_000_000):
            await archive.write(crowd([f"m{place}" for place in range(20)]))
            print(count, flush=True)
asyncio.run(main())
"""

HOLDER = """
import asyncio, sys
from tests.healthapi.archives import opened
async def main():
    async with opened(sys.argv[1]):
        print("ready", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""

LIMITED = """
import asyncio, json, resource, sys
from healthapi.store import StoreError
from tests.healthapi.archives import crowd, opened
async def main():
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    troubles = []
    async with opened(sys.argv[1]) as archive:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        for count in range(100):
            batch = crowd([f"m{count}-{place}" for place in range(100)])
            for attempt in range(4):
                if attempt == 3:
                    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                try:
                    await archive.write(batch)
                    break
                except StoreError as error:
                    troubles.append(str(error))
            else:
                sys.exit("not written at all")
    print(json.dumps(troubles))
asyncio.run(main())
"""


@contextlib.contextmanager
def child(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that runs this script on this file."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    return iter(process.stdout.readline, "")


@contextlib.contextmanager
def restricted() -> Iterator[Path]:
    """A directory, and a user to whom permissions mean something (to root they mean nothing)."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        root = os.geteuid() == 0
        if root:
            os.chown(directory, NOBODY, -1)
            os.seteuid(NOBODY)
        try:
            yield directory
        finally:
            if root:
                os.seteuid(0)
            directory.chmod(0o700)


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A file system of one megabyte; skips where none may be mounted."""
    directory.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(options, capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount a small file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", str(directory)], check=True)


async def refused(path: Path, message: str) -> None:
    archive = Archive(str(path))
    for _ in range(2):
        with pytest.raises(StoreError, match=message) as caught:
            await archive.open(NOW)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(str(path))
    await archive.close()


async def test_a_killed_process_leaves_every_batch_whole(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    with child(WRITER, path) as process:
        told = 0
        for line in lines(process):
            told = 0 if line == "ready\n" else int(line)
            if told >= 40:
                process.send_signal(signal.SIGKILL)
                break
        told = max([told, *[int(line) for line in lines(process)]])
        assert process.wait() == -signal.SIGKILL
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    loaded = await reopened(path)
    (written,) = set(calls(loaded).values())
    assert told <= written <= told + 1
    assert len(loaded.records) == 20
    async with opened(path) as archive:
        for width in (60, 3600):
            found = await archive.cells("groq", ALL_MODELS, width, 0, int(NOW))
            assert [cell.calls for _, _, cell in found] == [written * 20]


async def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "detour.db"
        async with opened(path) as archive:
            await archive.write(crowd(["before"]))
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            batch = crowd([f"m{place}" for place in range(500)])
            for _ in range(3):
                with pytest.raises(StoreError, match=r"cannot grow, the disk is full: make room"):
                    await archive.write(batch)
            assert len(await archive.cells("groq", "before", 60, 0, int(NOW))) == 1, "reading goes on"
            filler.unlink()
            await archive.write(batch)
        counted = calls(await reopened(path))
    assert len(counted) == 501
    assert set(counted.values()) == {1}


async def test_a_write_that_the_system_refuses_is_told_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    with child(LIMITED, path) as process:
        (line,) = lines(process)
        assert process.wait() == 0
    troubles = json.loads(line)
    assert len(troubles) >= 3, "in the end even trying again is of no use"
    assert all("cannot be used: disk I/O error" in trouble for trouble in troubles)
    counted = calls(await reopened(path))
    assert len(counted) == sum(counted.values()) == 100 * 100
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_is_held_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    (tmp_path / "link.db").symlink_to(path)
    with child(HOLDER, path) as process:
        assert next(lines(process)) == "ready\n"
        for name in ("detour.db", "link.db"):
            await refused(
                tmp_path / name, "is in use by another process; give each its own --store, or share one redis://"
            )
        archive = Archive(str(path))
        with pytest.raises(StoreError):
            await archive.open(NOW)
        process.send_signal(signal.SIGKILL)
        process.wait()
    await archive.open(NOW)
    await archive.write(crowd("a"))
    await refused(path, "is in use by another process")
    await archive.close()
    assert calls(await reopened(path)) == {"a": 1}


async def test_a_file_that_may_not_be_written_to() -> None:
    with restricted() as directory:
        path = directory / "detour.db"
        async with opened(path) as archive:
            await archive.write(crowd("a"))
        for mode in (0o400, 0o000):
            path.chmod(mode)
            await refused(path, "cannot be written to: make it and its directory writable, or name another file")
        path.chmod(0o600)
        assert calls(await reopened(path)) == {"a": 1}
        assert set(os.listdir(directory)) == {"detour.db", "detour.db-lock"}


@pytest.mark.parametrize("mode", [0o500, 0o600, 0o000])
async def test_a_directory_that_may_not_be_written_to(mode: int) -> None:
    with restricted() as directory:
        directory.chmod(mode)
        await refused(directory / "detour.db", r"cannot be written to \(Permission denied\): name another file")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/detour.db", "is in a directory that does not exist: make it, or name another file"),
        ("text.db", "is not a database: name another file, or move this one away"),
        ("directory", "is a directory: name a file"),
        ("text.db/detour.db", r"cannot be written to \(Not a directory\)"),
    ],
)
async def test_what_is_no_place_for_an_archive(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "text.db").write_text("important notes\n" * 100)
    (tmp_path / "directory").mkdir()
    await refused(tmp_path / name, message)
    assert (tmp_path / "text.db").read_text() == "important notes\n" * 100


async def test_a_damaged_file_is_told_and_left(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(crowd([f"m{place}" for place in range(300)]))
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * len(content[8192:])
    path.write_bytes(content)
    await refused(path, "is damaged: move it away")
    assert path.stat().st_size == len(content)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE tally SET response = 'x'", "UPDATE tally SET last_status = 'fine'", "UPDATE tally SET first_byte = '[]'"],
)
async def test_what_detour_never_wrote_is_told(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(crowd("a"))
    changed(path, statement)
    await refused(path, "holds what Detour never wrote")


async def test_a_database_that_another_program_holds_too_long(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="is held by another program"):
                await archive.write(crowd("a"))
        await archive.write(crowd("b"))
    assert calls(await reopened(path)) == {"b": 1}


async def test_a_write_that_fails_in_the_middle_is_undone_and_may_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(crowd("a"))
        changed(path, "ALTER TABLE memo RENAME TO elsewhere")
        batch = Batch(deltas(outcome(model="b"), outcome(model="a")), memos=[])
        for _ in range(2):
            with pytest.raises(StoreError, match="no such table: memo"):
                await archive.write(batch)
            assert asked(path, "SELECT sum(calls) FROM record") == [(1,)]
        changed(path, "ALTER TABLE elsewhere RENAME TO memo")
        await archive.write(batch)
        await asyncio.sleep(0)
    assert calls(await reopened(path)) == {"a": 2, "b": 1}
