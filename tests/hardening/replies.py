"""A reader of answers that forgives nothing: how many there are in what a client got, and whether each is whole."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

STATUS: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)")
FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*)")


class BrokenError(Exception):
    """What came is not a whole answer, and a client can tell."""


class Reply(Struct, frozen=True):
    """One answer."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


def replies(raw: bytes, methods: Sequence[bytes] = ()) -> list[Reply]:
    """All answers in what came on a connection until its end; `methods` are those that were asked with, GET beyond.

    Raises:
        BrokenError: the last of them is cut short, or what came is not HTTP.
    """
    found: list[Reply] = []
    final = 0
    while raw:
        method = methods[final] if final < len(methods) else b"GET"
        reply, raw = _one(raw, method)
        found.append(reply)
        final += reply.status >= 200
    return found


def count(raw: bytes) -> int:
    """How many whole answers came so far, interim ones not counted."""
    found = 0
    with contextlib.suppress(BrokenError):
        while raw:
            reply, raw = _one(raw, b"GET")
            found += reply.status >= 200
    return found


def _one(raw: bytes, method: bytes) -> tuple[Reply, bytes]:
    head, blank, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status = STATUS.fullmatch(first)
    fields = [FIELD.fullmatch(line) for line in lines]
    if not blank or status is None or None in fields:
        raise BrokenError(f"head {head!r}")
    reply = Reply(int(status[1]), tuple((field[1], field[2]) for field in fields if field), b"")
    lengths, codings = reply.values(b"content-length"), reply.values(b"transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise BrokenError(f"two framings in {head!r}")
    if method == b"HEAD" or reply.status < 200 or reply.status in (204, 304):
        return reply, rest
    if codings:
        body, rest = _chunks(rest)
    elif lengths:
        size = int(lengths[0])
        if len(rest) < size:
            raise BrokenError(f"{len(rest)} of {size} bytes")
        body, rest = rest[:size], rest[size:]
    else:
        raise BrokenError(f"no framing in {head!r}")
    return Reply(reply.status, reply.fields, body), rest


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end or not re.fullmatch(rb"[0-9a-f]+", line):
            raise BrokenError(f"chunk size {line!r}")
        size = int(line, 16)
        if len(rest) < size + 2 or rest[size : size + 2] != b"\r\n":
            raise BrokenError("a chunk that is cut short")
        body, rest = body + rest[:size], rest[size + 2 :]
        if not size:
            return body, rest
