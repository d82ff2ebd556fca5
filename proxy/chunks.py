"""The chunked coding taken apart (RFC 9112 section 7.1): a request's body, and reads of an answer's that are plain.

Extensions and trailers end here (proxy-rules 8). Nothing is forgiven: each line ends in CR LF, a size is hexadecimal
digits and nothing else, and trailers that speak of framing or of another host break the body.
"""

from __future__ import annotations

import re
from string import hexdigits
from typing import TYPE_CHECKING, Final

from proxy.head import HEAD_BYTES, HEAD_FIELDS, MalformedError, TooLargeError

if TYPE_CHECKING:
    from proxy.incoming import Incoming

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_EXTENSION: Final = rb";" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb'|"[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]*+"))?'
_SIZE: Final = re.compile(rb"(?=[0-9A-Fa-f])0*([1-9A-Fa-f][0-9A-Fa-f]{0,15})?(?:" + _EXTENSION + rb")*+\r\n")
_SIZE_BEGUN: Final = re.compile(rb"(?=[0-9A-Fa-f])0*(?:[1-9A-Fa-f][0-9A-Fa-f]{0,15})?(?:;.*)?\r?", re.DOTALL)
_SHORT: Final = 64
"""Bytes of a begun line up to which it is looked at before it is whole."""
_TRAILER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t\x20-\x7e\x80-\xff]*\r\n")
_NEVER: Final = frozenset((b"content-length", b"transfer-encoding", b"host"))
"""Fields that no trailer section may have."""
_LINE_END: Final = b"\r\n"
_CR: Final = 0x0D
_LF: Final = 0x0A
_SIZES, _DATA, _DATA_END, _TRAILERS, _OVER = range(5)


_LONGEST: Final = 8
"""Digits of a size up to which a chunk is plain."""
_VALUES: Final = bytes(int(chr(byte), 16) if chr(byte) in hexdigits else 255 for byte in range(256))
"""What each byte is worth as a hexadecimal digit, 255 for what is none."""


def plain(data: bytes) -> bytes | None:
    """What is in the chunks of which `data` consists.

    None where it is anything but whole chunks that bring nothing with them, and none of them the last: then it is for
    the parser to say what it is.
    """
    at = 0
    parts: list[bytes] = []
    while at < len(data):
        begin, size = at, 0
        most = min(len(data), at + _LONGEST)
        while begin < most and (value := _VALUES[data[begin]]) < 16:
            size = size * 16 + value
            begin += 1
        end = begin + size + 2
        if not size or end + 2 > len(data):
            return None
        if data[begin] != _CR or data[begin + 1] != _LF or data[end] != _CR or data[end + 1] != _LF:
            return None
        part = data[begin + 2 : end]
        at = end + 2
        if not parts and at == len(data):
            return part
        parts.append(part)
    return b"".join(parts)


class Chunks:
    """Reads one chunked body."""

    __slots__ = ("_left", "_line", "_state", "_trailers", "_trailing")

    def __init__(self) -> None:
        self._state = _SIZES
        self._left = 0
        """Bytes of the chunk at hand that are still to come."""
        self._line = b""
        """The beginning of a line whose end has not come."""
        self._trailers = 0
        self._trailing = 0

    @property
    def over(self) -> bool:
        """Whether the body has ended."""
        return self._state == _OVER

    def feed(self, data: bytearray, at: int, end: int, body: Incoming) -> int:
        """Read on in `data` from `at` to `end`, and give `body` what is in the chunks; where reading ended.

        Raises:
            MalformedError, TooLargeError: as named.
        """
        while at < end and self._state != _OVER:
            if self._state == _DATA:
                size = min(self._left, end - at)
                body.add(data, at, at + size)
                at += size
                self._left -= size
                if not self._left:
                    self._state = _DATA_END
                continue
            behind = data.find(b"\n", at, end) + 1
            line = self._line + data[at : behind or end]
            at = behind or end
            if behind:
                self._line = b""
                self._read(bytes(line))
            else:
                self._begun(bytes(line))
        return at

    def _begun(self, line: bytes) -> None:
        """`line` is not whole."""
        if self._state == _DATA_END and line != _LINE_END[:1]:
            raise MalformedError
        if self._state == _SIZES and len(line) <= _SHORT and not _SIZE_BEGUN.fullmatch(line):
            raise MalformedError
        if len(line) > HEAD_BYTES:
            raise TooLargeError
        self._line = line

    def _read(self, line: bytes) -> None:
        """`line` is whole."""
        if self._state == _SIZES:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise MalformedError
            self._left = int(size[1] or b"0", 16)
            self._state = _DATA if self._left else _TRAILERS
        elif self._state == _DATA_END:
            if line != _LINE_END:
                raise MalformedError
            self._state = _SIZES
        elif line == _LINE_END:
            self._state = _OVER
        else:
            self._trailer(line)

    def _trailer(self, line: bytes) -> None:
        field = _TRAILER.fullmatch(line)
        if field is None or field[1].lower() in _NEVER:
            raise MalformedError
        self._trailers += 1
        self._trailing += len(line)
        if self._trailers > HEAD_FIELDS or self._trailing > HEAD_BYTES:
            raise TooLargeError
