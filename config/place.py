"""The tree that a configuration is read into, and how a place in it is written."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any] | list[Any] | str | None
"""A mapping, a list, a scalar's text, or nothing."""


def child(path: str, key: str) -> str:
    """The path of `key` in the mapping at `path`, safe to print."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in key[:256])
    return f"{path}.{shown}" if path else shown


def item(path: str, index: int) -> str:
    """The path of the item at `index` of the list at `path`."""
    return f"{path}[{index}]"
