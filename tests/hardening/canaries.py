"""Secrets that nobody may ever see again, and the search for them in whatever was written."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from msgspec import Struct

PIECE: Final = 12
"""Characters in a row that give a secret away."""

_BETWEEN: Final = re.compile(rb'[\s",{}]+')
"""What no secret here and no disguise of one has in it."""

BLOCK: Final = 6
"""Characters looked for first: much faster, since one in seven of these parts of a secret is enough."""


class Canary(Struct, frozen=True):
    """One secret. `name` says which, in messages that must not repeat it."""

    name: str
    value: str

    @property
    def disguises(self) -> dict[str, bytes]:
        """How it may be written, by the name of that way."""
        raw = self.value.encode()
        found = {
            "as it is": raw,
            "percent-encoded": urllib.parse.quote(self.value, safe="").encode(),
            "percent-encoded in full": "".join(f"%{byte:02x}" for byte in raw).encode(),
            "escaped for JSON": json.dumps(self.value)[1:-1].encode(),
            "in hexadecimal": raw.hex().encode(),
            "backwards": raw[::-1],
        }
        return {way: form for way, form in found.items() if way == "as it is" or form != raw}

    @property
    def encoded(self) -> dict[str, bytes]:
        """Its base64, which depends on what stands before it: at each of three offsets the part that does not."""
        raw = self.value.encode()
        found = {}
        for name, encode in (("base64", base64.b64encode), ("URL-safe base64", base64.urlsafe_b64encode)):
            for offset in range(3):
                whole = encode(b"\0" * offset + raw)
                found[f"{name} at {offset}"] = whole[4 if offset else 0 : len(whole) // 4 * 4 - 4]
        return found


class _Form(Struct, frozen=True):
    """A way to write one secret: `blocks` are parts of it, one of which is in any `PIECE` characters of it."""

    told: str
    form: bytes
    folded: bool
    blocks: tuple[bytes, ...]


@cache
def _forms(canary: Canary) -> tuple[_Form, ...]:
    found = []
    for way, form in (canary.disguises | canary.encoded).items():
        folded = "hexadecimal" in way or "percent" in way
        form = form.lower() if folded else form
        starts = range(0, len(form) - BLOCK + 1, PIECE - BLOCK + 1)
        found.append(_Form(f"{canary.name}, {way}", form, folded, tuple(form[at : at + BLOCK] for at in starts)))
    return tuple(found)


def found_in(text: str | bytes | bytearray, canaries: Iterable[Canary]) -> list[str]:
    """Which canaries there are any twelve characters of in `text`, and how they are written; names alone, no text."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else bytes(text)
    data = b"\n".join(set(_BETWEEN.split(data)))  # most of what is written is written again and again
    lower = data.lower()
    return [
        form.told
        for canary in canaries
        for form in _forms(canary)
        if any(block in (lower if form.folded else data) for block in form.blocks)
        and _whole(lower if form.folded else data, form.form)
    ]


def _whole(data: bytes, form: bytes) -> bool:
    """Whether any `PIECE` characters of it are there, or all of a shorter one."""
    pieces = {form[at : at + PIECE] for at in range(max(1, len(form) - PIECE + 1))}
    return any(piece in data for piece in pieces if len(set(piece)) > 3)


def guilty(written: Mapping[str, bytes], canaries: Iterable[Canary]) -> dict[str, list[str]]:
    """Which of many writings give which canaries away; looked for in all of them together first, which is faster."""
    canaries = list(canaries)
    if not found_in(b"\n".join(written.values()), canaries):
        return {}
    return {name: seen for name, raw in written.items() if (seen := found_in(raw, canaries))}
