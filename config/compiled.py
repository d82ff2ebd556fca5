"""Whether the hot modules are compiled: this one is among them, and looks at itself."""

from __future__ import annotations


def build() -> str:
    """`compiled` or `interpreted`."""
    return "interpreted" if __file__.endswith(".py") else "compiled"
