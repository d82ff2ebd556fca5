"""Reading the files that a configuration is made of, in a way that they are known again when they change."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

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


def look(seen: Seen) -> Seen:
    """The same files as they are now."""
    found: Seen = {}
    for path, (most, _) in seen.items():
        found[path] = (most, b"")
        try:
            if stat.S_ISREG(path.stat().st_mode):
                read(path, most, found)
        except (OSError, ValueError):
            continue
    return found


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
