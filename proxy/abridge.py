"""A JSON body without what is inside its longest strings: pictures, files and documents, which nobody here looks into.

Skipping a string byte by byte, as a decoder must, takes longer than everything else that is done with a large body;
finding its end takes a tenth of that. Pure, and for any bytes: what is no JSON comes back as something that is none.
"""

from __future__ import annotations

from typing import Final

LARGE: Final = 128 * 1024
"""Bytes from which on a body is worth it."""
LONG: Final = 16 * 1024
"""Bytes of a string that is shortened, its quotes among them."""
SPARSE: Final = 8 * 1024
"""Bytes of a body for each quote that is looked at: where they are denser, a decoder is as quick."""
FILLER: Final = b"~"
"""What stands for a long string: not empty, and the name of no model."""


def abridged(body: bytes | bytearray) -> bytes | bytearray:
    """`body` with `FILLER` inside its strings of more than `LONG` bytes; itself where none is found."""
    parts: list[bytes | bytearray] = []
    kept, begin, at = 0, -1, -1
    for _ in range(len(body) // SPARSE):
        last, at = at, body.find(b'"', at + 1)
        if at < 0:
            break
        if begin < 0:
            begin = at
        elif not _escaped(body, last + 1, at):
            if at - begin > LONG:
                parts += (body[kept : begin + 1], FILLER)
                kept = at
            begin = -1
    if not parts:
        return body
    parts.append(body[kept:])
    return b"".join(parts)


def _escaped(body: bytes | bytearray, begin: int, quote: int) -> bool:
    """Whether the quote, the first one from `begin` on, follows an odd number of backslashes."""
    if not body.endswith(b"\\", begin, quote):
        return False
    text = body[begin:quote]
    return (len(text) - len(text.rstrip(b"\\"))) % 2 == 1
