"""A request's head: from bytes to what is read of it.

llhttp parses it, in its strict mode, and is shown one head and nothing else: no body, nothing of a next request. So
whatever it takes for the end must be the first empty line, and none of its states outlives a request. What it lets pass
although others may read it differently is refused here (found with httptools 0.9, llhttp 9): request lines without a
version or with one of another protocol, and HTTP/2.0.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from proxy.headers import Pair, Scan, scan

HEAD_BYTES: Final = 64 * 1024
"""Most bytes of a request line with its header fields (semantics section 7)."""
HEAD_FIELDS: Final = 100
LONGEST_METHOD: Final = 32
END: Final = b"\r\n\r\n"

_METHOD: Final = re.compile(rb"[!#$%%&'*+.^_`|~0-9A-Za-z-]{1,%d} " % LONGEST_METHOD)
_BEGUN: Final = re.compile(rb"[!#$%%&'*+.^_`|~0-9A-Za-z-]{0,%d}" % LONGEST_METHOD)
_SINGLE: Final = frozenset(
    b"content-length content-location content-range content-type etag host max-forwards server transfer-encoding "
    b"user-agent".split()
)
"""Fields that a request has once at most (RFC 9110): whoever reads the first of two sees another request than whoever
reads the last."""
_USUAL: Final = (b"POST ", b"GET ", b"CONNECT ")
_VERSIONS: Final = (b" HTTP/1.1", b" HTTP/1.0")


class MalformedError(Exception):
    """The bytes are no request of HTTP/1."""


class TooLargeError(Exception):
    """More bytes or fields than a head may have."""


class Head:
    """A request's head. `fields` are its pairs in the order, number and case in which they came.

    `path` is the request-target as it came, `scan` what a look at the fields found, `raw` all its bytes.
    """

    __slots__ = ("fields", "keep_alive", "method", "path", "raw", "scan", "version10")

    def __init__(
        self,
        method: str,
        path: str,
        version10: bool,
        keep_alive: bool,
        fields: list[Pair],
        scan: Scan,
        raw: bytes = b"",
    ) -> None:
        self.method = method
        self.path = path
        self.version10 = version10
        self.keep_alive = keep_alive
        self.fields = fields
        self.scan = scan
        self.raw = raw


class HeadReader:
    """Reads one head, in as many parts as it comes in."""

    __slots__ = ("_begun", "_complete", "_fields", "_keep_alive", "_parser", "_raw", "_shown")

    def __init__(self) -> None:
        self._raw = bytearray()
        self._shown = 0
        """Bytes the parser was shown."""
        self._begun = False
        self._complete = False
        self._keep_alive = False
        self._fields: list[Pair] = []
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytearray, at: int, end: int) -> int:
        """Read on in `data` from `at` to `end`; where the head ended, 0 when it has not.

        Raises:
            MalformedError, TooLargeError: as named.
        """
        raw = self._raw
        before = len(raw)
        raw += memoryview(data)[at:end]
        behind = raw.find(END, max(before - len(END) + 1, 0)) + len(END)
        whole = behind >= len(END)
        if whole:
            del raw[behind:]
        if len(raw) > HEAD_BYTES:
            raise TooLargeError
        self._show(bytes(raw[self._shown :]))
        if not whole:
            return 0
        if not self._complete:
            raise MalformedError
        return at + behind - before

    def head(self) -> Head:
        """The head, once it has ended. Raises MalformedError."""
        raw = bytes(self._raw)
        line = raw[: raw.index(b"\r\n")]
        if not line.endswith(_VERSIONS):
            raise MalformedError
        method, _, rest = line.partition(b" ")
        fields = self._fields
        names = [name.lower() for name, _ in fields]
        if len(set(names)) != len(names) and any(names.count(name) > 1 for name in _SINGLE):
            raise MalformedError
        if b" \r\n" in raw or b"\t\r\n" in raw:
            fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        version10 = line.endswith(b"0")
        return Head(
            method.decode("ascii"),
            rest[: -len(_VERSIONS[0])].strip(b" ").decode("ascii"),
            version10,
            self._keep_alive,
            fields,
            scan(fields, version10=version10),
            raw,
        )

    def _show(self, data: bytes) -> None:
        """Let the parser read on.

        It knows some methods only, and some of those only with other protocols: each is shown as POST, but for CONNECT
        with its own kind of target. So nothing is shown before the method is whole.
        """
        size = len(data)
        if not self._shown and not data.startswith(_USUAL):
            method = _METHOD.match(data)
            if method is None:
                if _BEGUN.fullmatch(data):
                    return
                raise MalformedError
            data = b"POST " + data[method.end() :]
        self._shown += size
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # whoever serves the request decides about that
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, TooLargeError):
                raise cause from None
            raise MalformedError from None

    # -- httptools callbacks ---------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The head begins; a second one has no business here."""
        if self._begun:
            raise MalformedError
        self._begun = True

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One field line."""
        if len(self._fields) == HEAD_FIELDS:
            raise TooLargeError
        self._fields.append((name, value or b""))

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        """Nothing of a body is shown: to the parser the head ended elsewhere."""
        raise MalformedError
