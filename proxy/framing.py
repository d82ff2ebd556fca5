"""Where a message ends (proxy-rules 6 and 8, RFC 9112 section 6).

The same rules hold for requests and answers; what breaks them is never guessed at, because two programs that guess
differently see different messages in the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["none", "length", "chunked", "close"]

LONGEST_DIGITS: Final = 18
"""Digits of a Content-Length that still fits into 64 bits."""


@dataclass(init=False)
class Framing:
    """How an answer's body ends.

    `length` is the declared Content-Length; with `kind` none it is what the answer to a HEAD or a 304 says about the
    body it does not have. `close` says that the connection carries no further answer.
    """

    kind: Kind
    length: int | None = None
    close: bool = False

    def __init__(self, kind: Kind, length: int | None = None, close: bool = False) -> None:
        self.kind = kind
        self.length = length
        self.close = close

    def fields(self, version10: bool) -> bytes:
        """The framing field towards the client, a whole line or nothing.

        A close-delimited body becomes chunked (proxy-rules 8), but for a client of HTTP/1.0 (`version10`), which knows
        no chunks and reads until the connection closes.
        """
        if self.length is not None:
            return b"Content-Length: %d\r\n" % self.length
        if self.kind == "none" or version10:
            return b""
        return b"Transfer-Encoding: chunked\r\n"


def defect(encodings: Sequence[bytes], lengths: Sequence[bytes], version10: bool) -> str | None:
    """What is wrong with a message's framing fields, None when nothing is.

    `encodings` and `lengths` are the values of all its Transfer-Encoding and Content-Length fields.
    """
    if encodings:
        if lengths:
            return "Transfer-Encoding together with Content-Length"
        if version10:
            return "Transfer-Encoding in HTTP/1.0"
        if len(encodings) > 1:
            return "more than one Transfer-Encoding"
        if encodings[0].strip(b" ").lower() != b"chunked":  # to the parser, one with a tab behind it is another coding
            return "a Transfer-Encoding other than chunked"
    elif lengths:
        first = lengths[0]
        if not first.isdigit() or len(first) > LONGEST_DIGITS:
            return "a malformed Content-Length"
        if len(lengths) > 1 and any(other != first for other in lengths):
            return "differing Content-Length fields"
    return None


def options(values: Sequence[bytes]) -> frozenset[bytes]:
    """The options in the values of all `Connection` fields, lowercased."""
    return frozenset(option.strip(b" \t") for option in b",".join(values).lower().split(b","))
