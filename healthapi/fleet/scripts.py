"""What the shared store does by itself: Lua that runs in Redis, where each script is one step that nobody interrupts.

The files in `lua/` are parts; a script is the parts it needs, one after the other. Scripts are named by the hash of
their text, so two releases of Detour can share a Redis.
"""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path
from typing import Final

from msgspec import Struct

_FOLDER: Final = Path(__file__).parent / "lua"


class Script(Struct, frozen=True):
    """One script: a name for people, its text, and the hash (hexadecimal) under which a server knows it."""

    name: str
    text: bytes
    sha: bytes


def _script(name: str, *parts: str) -> Script:
    text = b"\n".join((_FOLDER / f"{part}.lua").read_bytes() for part in (*parts, name))
    return Script(name, text, sha1(text, usedforsecurity=False).hexdigest().encode())


FLUSH: Final = _script("flush", "clock", "cells", "rings", "shelf")
"""Take in what a sidecar counted, once. The head of each file in `lua/` says what goes in and what comes out."""

READ: Final = _script("read")
"""Records that changed since a version."""

READ_CELLS: Final = _script("read_cells")
"""One target's history by minute or hour."""

REMOVE: Final = _script("remove", "clock", "shelf")
"""Drop records."""

MOVE: Final = _script("move", "clock")
"""Say what a breaker is now. Shard 0, as the two below."""

POLL: Final = _script("poll", "clock")
"""Breakers that moved since a version."""

LEASE: Final = _script("lease")
"""Ask for, keep or drop the right to do what only one of a fleet does at a time."""

DUTY: Final = _script("duty")
"""Ask for, and renew, what only one of a fleet does at a time."""

NOTE: Final = _script("note")
"""Read or write a small document."""

CLAIM: Final = _script("claim", "clock", "purse")
"""Leave to send a probe."""

SPENT: Final = _script("spent", "clock", "purse")
"""Correct and read what probes have spent."""

ALL: Final = (FLUSH, READ, READ_CELLS, REMOVE, MOVE, POLL, LEASE, DUTY, NOTE, CLAIM, SPENT)
