"""A readable copy of an encoded body, in bounds. Sans-I/O.

gzip (RFC 1952, several members too) and deflate (RFC 1950, and the raw RFC 1951 streams some servers send under that
name). Whatever else, whatever is broken and whatever expands beyond reason sets `failed`: such a body is judged by its
status and framing only.
"""

from __future__ import annotations

import zlib
from typing import Final

CALL_LIMIT: Final = 4 * 1024 * 1024
"""Most bytes one call may expand to. Event streams shrink about fifty times at best: 64 KiB make 3 MiB."""

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW: Final = -15


class Decoder:
    """Decodes the body of one answer, for reading along.

    `encoding` is the value of Content-Encoding. Once `failed` is set nothing more comes out.
    """

    __slots__ = ("_gzip", "_head", "_inflate", "_members", "_plain", "failed")

    def __init__(self, encoding: bytes) -> None:
        name = encoding.strip().lower()
        self._plain = name in (b"", b"identity")
        self._gzip = name in (b"gzip", b"x-gzip")
        self.failed = not (self._plain or self._gzip or name == b"deflate")
        self._inflate = zlib.decompressobj(_GZIP) if self._gzip else None
        self._members = 0
        self._head = b""

    def feed(self, data: bytes) -> bytes:
        """What `data` adds to the decoded body."""
        if self.failed:
            return b""
        if self._plain:
            return data
        if self._inflate is None:
            # Two bytes tell a zlib header (RFC 1950, section 2.2) from a raw stream.
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return b""
            zlib_header = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inflate = zlib.decompressobj(_ZLIB if zlib_header else _RAW)
        return self._decode(self._inflate, data)

    def _decode(self, inflate: zlib._Decompress, data: bytes) -> bytes:
        decoded = bytearray()
        while data:
            if inflate.eof:
                self._members += 1
                if not self._gzip:
                    break  # what follows the end is no part of the body
                self._inflate = inflate = zlib.decompressobj(_GZIP)
            try:
                decoded += inflate.decompress(data, CALL_LIMIT + 1 - len(decoded))
            except zlib.error:
                self.failed = self._members == 0  # behind a complete member: padding
                break
            if len(decoded) > CALL_LIMIT:
                self.failed = True
                return b""
            data = inflate.unused_data
        return bytes(decoded)
