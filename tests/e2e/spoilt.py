"""Ways in which a disk or a file ceases to take what is written, and is mended again; all of them real."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.stored import FILE

SPACE = 4 << 20
"""Bytes of a disk that is to be filled."""


class Way:
    """One of them, for the files of the process `pid` in `folder`. `words` are what people are told."""

    words = ""
    times = 2
    """How often it is worth being tried in one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextlib.contextmanager
    def ready(cls, folder: Path) -> Iterator[Way]:
        yield cls(folder)

    def spoil(self, pid: int) -> None:
        raise NotImplementedError

    def mend(self, pid: int) -> None:
        raise NotImplementedError


class FullDisk(Way):
    """A small file system of its own, and a file that takes what is left of it."""

    words = "cannot grow, the disk is full: make room"

    @classmethod
    @contextlib.contextmanager
    def ready(cls, folder: Path) -> Iterator[Way]:
        with mounted(folder):
            yield cls(folder)

    def spoil(self, pid: int) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            for size in (1 << 16, 512, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"x" * size):
                        pass

    def mend(self, pid: int) -> None:
        (self.folder / "ballast").unlink()


class Limited(Way):
    """The process may make no file longer than a few pages: what it writes beyond fails as on a broken disk."""

    words = "cannot be used: disk I/O error"

    def spoil(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, resource.RLIM_INFINITY))

    def mend(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class ReadOnly(Way):
    """The files may not be changed any more, not even through descriptors that are open already."""

    words = "cannot be (written to: make it and its directory writable|used: disk I/O error)"

    def spoil(self, pid: int) -> None:
        with (self.folder / f"{FILE}-wal").open("r+b", buffering=0) as file:
            if self._mark("+i"):
                try:
                    os.pwrite(file.fileno(), b"", 0)
                except PermissionError:
                    return
        self.mend(pid)
        pytest.skip("files cannot be made unchangeable here: that takes root, and a file system that knows of it")

    def mend(self, pid: int) -> None:
        self._mark("-i")

    def _mark(self, how: str) -> bool:
        return _called("chattr", how, *(str(self.folder / name) for name in (FILE, f"{FILE}-wal")))


class Held(Way):
    """Another program has begun to change the database and does not come to an end."""

    words = r"is held by another program \(an open transaction\?\): end it"
    times = 1  # each flush waits for it

    def spoil(self, pid: int) -> None:
        self._other = sqlite3.connect(self.folder / FILE, isolation_level=None, timeout=10)
        self._other.execute("BEGIN IMMEDIATE")

    def mend(self, pid: int) -> None:
        self._other.execute("ROLLBACK")
        self._other.close()


@contextlib.contextmanager
def mounted(folder: Path, options: str = f"size={SPACE}") -> Iterator[None]:
    """A file system of its own at `folder`."""
    if not _called("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)):
        pytest.skip("file systems cannot be mounted here: that takes root")
    try:
        yield
    finally:
        _called("umount", "--lazy", str(folder))


@contextlib.contextmanager
def unwritable(folder: Path) -> Iterator[Callable[[], object]]:
    """A directory that may not be written to; calling what is given makes it writable."""
    if os.geteuid():
        folder.chmod(0o500)
        try:
            yield lambda: folder.chmod(0o700)
        finally:
            folder.chmod(0o700)
    else:  # whom modes do not bind
        with mounted(folder):
            assert _called("mount", "-o", "remount,ro", str(folder))
            yield lambda: _called("mount", "-o", "remount,rw", str(folder))


def _called(*arguments: str) -> bool:
    """Whether a command could be run and did what it was to do."""
    try:
        return not subprocess.run(arguments, check=False, capture_output=True).returncode
    except FileNotFoundError:
        return False
