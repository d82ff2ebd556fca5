"""A parser of requests that forgives nothing: the reference by which what reaches an upstream is looked at.

It knows RFC 9112 and what of it Detour may send, and shares no line with any library. Whatever two readers could take
for different messages is `UncleanError`, also where the RFC lets a recipient forgive it.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

HEAD: Final = 80 * 1024
"""Most bytes of a head: what Detour lets in, and room for what it adds."""
LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21\x22\x24-\x7e]+) HTTP/1\.1")
FIELD: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?((?:[\x21-\x7e\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)"
)
LENGTH: Final = re.compile(rb"0|[1-9][0-9]{0,17}")
SIZE: Final = re.compile(rb"0|[1-9a-f][0-9a-f]{0,15}")
NEVER: Final = frozenset(
    b"keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer expect".split()
)
"""Fields that concern the connection to Detour alone."""


class UncleanError(Exception):
    """Bytes that are not a request, or that could be taken for another one."""


class Seen(Struct, frozen=True):
    """One whole request."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        """All values of a field, in order; `name` is lowercased."""
        return [value for key, value in self.fields if key.lower() == name]


def parse(data: bytes | bytearray, authority: bytes) -> tuple[Seen, int] | None:
    """The request that `data` begins with and its size; None while it is incomplete.

    Raises:
        UncleanError: no continuation of `data` can be a request to `authority` that is well-formed.
    """
    size = data.find(b"\r\n\r\n")
    if size < 0:
        return _begun(bytes(data))
    first, *lines = bytes(data[:size]).split(b"\r\n")
    line = LINE.fullmatch(first)
    if line is None:
        raise UncleanError(f"request line {first!r}")
    method, target = line.groups()
    if not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")):
        raise UncleanError(f"target {target!r}")
    fields = []
    for text in lines:
        field = FIELD.fullmatch(text)
        if field is None:
            raise UncleanError(f"field line {text!r}")
        fields.append((field[1], field[2]))
    head = Seen(method, target, tuple(fields), b"")
    _check(head, authority)
    body = _body(head, data, size + 4)
    if body is None:
        return None
    return Seen(method, target, head.fields, body[0]), body[1]


def _begun(data: bytes) -> None:
    if len(data) > HEAD:
        raise UncleanError("an endless head")
    if b"\n" in data.replace(b"\r\n", b"") or b"\0" in data or data.startswith(b"\r"):
        raise UncleanError(f"bare line ends or NUL in {data!r}")


def _check(head: Seen, authority: bytes) -> None:
    if head.values(b"host") != [authority]:
        raise UncleanError(f"Host {head.values(b'host')}")
    names = [name.lower() for name, _ in head.fields]
    odd = [name for name in names if name in NEVER or name.startswith(b"x-detour-")]
    if odd:
        raise UncleanError(f"fields that concern nobody here: {odd}")
    connection = [value.lower() for value in head.values(b"connection")]
    if connection not in ([], [b"upgrade"]) or bool(connection) != bool(head.values(b"upgrade")):
        raise UncleanError(f"Connection {connection} with Upgrade {head.values(b'upgrade')}")
    if b"h2c" in b",".join(head.values(b"upgrade")).lower():
        raise UncleanError("h2c")
    if len(head.values(b"via")) != 1 or b"detour-" not in head.values(b"via")[0].rpartition(b",")[2]:
        raise UncleanError(f"Via {head.values(b'via')}")


def _body(head: Seen, data: bytes | bytearray, start: int) -> tuple[bytes, int] | None:
    """The body and the end of the message."""
    lengths, codings = head.values(b"content-length"), head.values(b"transfer-encoding")
    if lengths and codings:
        raise UncleanError("Content-Length with Transfer-Encoding")
    if codings:
        if codings != [b"chunked"]:
            raise UncleanError(f"Transfer-Encoding {codings}")
        return _chunks(data, start)
    if not lengths:
        return b"", start
    if len(lengths) > 1 or not LENGTH.fullmatch(lengths[0]):
        raise UncleanError(f"Content-Length {lengths}")
    end = start + int(lengths[0])
    return (bytes(data[start:end]), end) if len(data) >= end else None


def _chunks(data: bytes | bytearray, at: int) -> tuple[bytes, int] | None:
    parts = []
    while True:
        end = data.find(b"\r\n", at)
        line = bytes(data[at : end if end >= 0 else len(data)])
        if end < 0 and len(line) < 18:
            return None
        if not SIZE.fullmatch(line):
            raise UncleanError(f"chunk size {line!r}")
        size, at = int(line, 16), end + 2
        rest = bytes(data[at + size : at + size + 2])
        if not b"\r\n".startswith(rest):
            raise UncleanError(f"a chunk of {size} bytes that ends in {rest!r}")
        if len(rest) < 2:
            return None
        if size == 0:
            return b"".join(parts), at + 2
        parts.append(bytes(data[at : at + size]))
        at += size + 2
