"""The pages of the documentation, and what they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (*sorted(DOCS.glob("*.md")), *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")))
}
"""Text by path from the root."""

_FENCE: Final = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", text)


def blocks(text: str, *kinds: str) -> list[str]:
    """The blocks of code that are marked as one of `kinds`."""
    return [block for _, kind, block in _FENCE.findall(text) if kind in kinds]


def spans(text: str) -> list[str]:
    """What stands in backticks in a page's prose, an escaped bar of a table as it is meant."""
    return [span.replace("\\|", "|") for span in re.findall(r"`([^`\n]+)`", prose(text))]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        made = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.add(made if made not in found else f"{made}-1")
    return found


def commands(text: str) -> Iterator[str]:
    """The lines of a page's shell blocks, continued ones in one, without what is shown to be printed."""
    for block in blocks(text, "sh", "bash"):
        yield from re.sub(r"\\\n *", "", block).splitlines()
    for block in blocks(text, "console"):
        yield from (line[2:] for line in block.splitlines() if line.startswith("$ "))


def words(command: str) -> list[str]:
    """A line of a shell in its words, without comments; none where it is only part of a command."""
    try:
        return shlex.split(command, comments=True)
    except ValueError:
        return []
