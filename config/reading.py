"""Reading the files that a configuration is made of, in a way that they are known again when they change."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

Reader = Callable[[Path, int], bytes]
"""Gives the first so many bytes of a file; raises OSError or ValueError where it cannot be read."""

Seen = dict[Path, tuple[int, bytes]]
"""What was read of each file: at most how many bytes, and a digest of them. A file that could not be read has none."""


def read(path: Path, most: int, seen: Seen | None = None) -> bytes:
    """The first `most` bytes of a file, noted down in `seen`.

    What is no regular file (a pipe, say) is read all the same and not noted: another look would take it away from
    somebody, or wait.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    if seen is not None:
        seen[path] = (most, b"")
    with path.open("rb") as file:
        content = file.read(most)
        if seen is not None:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                seen[path] = (most, _digest(content))
            else:
                del seen[path]
    return content


def read_again(path: Path, most: int, seen: Seen) -> bytes:
    """The same of what may have been read before. Raises OSError and ValueError as `read_regular`."""
    seen[path] = (most, b"")
    content = read_regular(path, most)
    seen[path] = (most, _digest(content))
    return content


def read_regular(path: Path | str, most: int) -> bytes:
    """The first `most` bytes of a regular file: others may keep a reader waiting, and give what they hold once.

    Raises:
        OSError, ValueError: it cannot be read, or is no such file.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.ESPIPE, "it is no regular file, and only such a one can be read again")
        return file.read(most)


def look(seen: Seen) -> Seen:
    """The same files as they are now."""
    found: Seen = {}
    for path, (most, _) in seen.items():
        with contextlib.suppress(OSError, ValueError):
            read_again(path, most, found)
    return found


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe opens at once, too, with nobody at its other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
