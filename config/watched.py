"""Files that are read again when they change: what became of that, for the admin port and metrics."""

from __future__ import annotations

from msgspec import Struct


class WatchedFiles(Struct):
    """The files of one setting.

    `trouble` says why what they hold now is not in force, None when it is. `expires` is the Unix time at which the
    certificate in force ends, None where none is told.
    """

    name: str
    trouble: str | None = None
    expires: float | None = None
