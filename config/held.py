"""What of the settings a running process cannot change, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from config.place import child
from config.settings import Settings

HELD: Final = ("listen", "tls", "admin.listen", "admin.tls", "store", "redis")
"""The settings and sections that only a restart changes."""


def hold(settings: Settings, running: Settings) -> tuple[Settings, tuple[str, ...]]:
    """`settings` with what cannot change as in `running`, and the paths of what would have changed."""
    differing: list[str] = []
    for path in HELD:
        parts = path.split(".")
        there, here = _at(running, parts), _at(settings, parts)
        if there != here:
            differing += changes(there, here, path)
            settings = _with(settings, parts, there)
    return settings, tuple(differing)


def changes(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The paths of all settings in which two differ, in order; of an entry that came or went, its own.

    Names of entries come from the file and may hold anything; values are never told.
    """
    if isinstance(old, Struct) and type(old) is type(new) and _section(old):
        for field in msgspec.structs.fields(old):
            yield from changes(getattr(old, field.name), getattr(new, field.name), child(path, field.encode_name))
    elif isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*old, *new)):
            if name in old and name in new:
                yield from changes(old[name], new[name], child(path, name))
            else:
                yield child(path, name)
    elif old != new:
        yield path


def _section(value: Struct) -> bool:
    """Whether this is a section of the file, and not a value such as an address."""
    return type(value).__module__ in ("config.settings", "config.alerts")


def _at(settings: Any, parts: list[str]) -> Any:
    for part in parts:
        settings = getattr(settings, part)
    return settings


def _with(section: Any, parts: list[str], value: Any) -> Any:
    first, *rest = parts
    below = _with(getattr(section, first), rest, value) if rest else value
    return msgspec.structs.replace(section, **{first: below})
