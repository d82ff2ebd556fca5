"""The top-level fields of a JSON object that is cut short or not quite JSON, and where they stand in a whole one.

Follows strings and brackets and nothing else, with regular expressions that never go back, so that its time grows with
the body's length however the body was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Final

import msgspec

MOST_STEPS: Final = 100_000
"""Fields and brackets followed before giving up: some tens of milliseconds."""

COST_OF_ESCAPES: Final = 10
"""Steps that a name with escapes in it counts for."""

MOST_COLONS: Final = 100_000
"""Colons in a body whose fields are all decoded: there may be as many fields, each of some hundred bytes."""

LONGEST_NAME: Final = 256
"""Bytes of a field's name that is looked at."""

_decode: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+\{")
_NAME: Final = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_SCALAR: Final = re.compile(_STRING + rb'|[^"{}\[\],\s]++(?=[\s,}])', re.DOTALL)
_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]])", re.DOTALL)
_COMMA: Final = re.compile(rb"[ \t\r\n]*+,")
_END: Final = re.compile(rb"[ \t\r\n]*+\}[ \t\r\n]*+")


def fields(body: bytes | bytearray, wanted: Collection[str]) -> dict[str, bytes]:
    """The JSON text of those top-level fields named in `wanted` that are whole, the last of each name. Never raises."""
    return {name: bytes(body[start:end]) for name, start, end in _walk(body, wanted) if name is not None}


def places(body: bytes | bytearray, name: str) -> list[tuple[int, int]]:
    """Where the values of the top-level fields called `name` begin and end, in a whole object; else nowhere."""
    plain = _plain_places(body, name)
    if plain is not None:
        return plain
    found = list(_walk(body, (name,)))
    whole = bool(found) and found[-1][0] is None
    return [(start, end) for _, start, end in found[:-1]] if whole else []


def _plain_places(body: bytes | bytearray, name: str) -> list[tuple[int, int]] | None:
    """The same of JSON that a decoder takes, many times as fast; None of all else, and where names come twice."""
    start = _START.match(body)
    if start is None or body.count(b":") > MOST_COLONS:
        return None
    try:
        values = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    at = start.end()
    found = []
    for key, raw in values.items():
        head = _NAME.match(body, at)
        value = bytes(raw)
        if head is None or not body.startswith(value, head.end()):
            return None
        end = head.end() + len(value)
        if key == name:
            found.append((head.end(), end))
        comma = _COMMA.match(body, end)
        at = comma.end() if comma is not None else end
    return found if _END.fullmatch(body, at) else None


def _walk(body: bytes | bytearray, wanted: Collection[str]) -> Iterator[tuple[str | None, int, int]]:
    """Name, beginning and end of each wanted top-level field; at last, without a name, the end of a whole object."""
    quoted = {f'"{name}"'.encode(): name for name in wanted}
    start = _START.match(body)
    at = start.end() if start is not None else -1
    steps = MOST_STEPS
    while at >= 0 and steps > 0:
        name = _NAME.match(body, at)
        if name is None:
            break
        end, steps = _value(body, name.end(), steps - 1)
        if end < 0:
            break
        key = quoted.get(name[1])
        if key is None and b"\\" in name[1] and len(name[1]) <= LONGEST_NAME:
            key = text(name[1])
            steps -= COST_OF_ESCAPES
        if key is not None and key in wanted:
            yield key, name.end(), end
        comma = _COMMA.match(body, end)
        at = comma.end() if comma is not None else -1
        if comma is None and _END.fullmatch(body, end):
            yield None, end, end


def text(value: bytes) -> str | None:
    """The text of a JSON string; None when it is none. Bytes that are not UTF-8 become surrogates."""
    try:
        decoded = json.loads(value.decode("utf-8", "surrogateescape"), strict=False)
    except ValueError:
        return None
    return decoded if isinstance(decoded, str) else None


def _value(body: bytes | bytearray, at: int, steps: int) -> tuple[int, int]:
    """Where the value at `at` ends, -1 when it does not, and the steps left."""
    scalar = _SCALAR.match(body, at)
    if scalar is not None:
        return scalar.end(), steps
    depth = 0
    while steps > 0:
        bracket = _BRACKET.match(body, at)
        if bracket is None:
            break
        steps -= 1
        at = bracket.end()
        depth += 1 if bracket[1] in b"{[" else -1
        if depth <= 0:
            return at, steps
    return -1, steps
