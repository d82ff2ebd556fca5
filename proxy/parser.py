"""The answers on one connection, taken apart by httptools.

httptools' parser is lenient towards responses on purpose, so framing is checked by `proxy.framing` before anything is
believed (proxy-rules 6). What was found lies here until the connection has handed it on, once for each read.
"""

from __future__ import annotations

from typing import Final

import httptools

from proxy.reply import Reply, read

_LF: Final = 0x0A
_VERSIONS: Final = ("1.1", "1.0")


class DefectError(Exception):
    """The answer is none; `AnswerParser.defect` says why, unless bytes came behind its end."""


class AnswerParser:
    """What was found of an answer so far, and what was found since the last time that was taken."""

    __slots__ = (
        "_after_head",
        "_method",
        "_names",
        "_parser",
        "_reason",
        "_upgrade",
        "_values",
        "between",
        "chunks",
        "defect",
        "done",
        "extra",
        "informational",
        "keep",
        "plain",
        "reply",
    )

    def __init__(self) -> None:
        # What every read needs comes first: compiled, an object lies in memory in this order.
        self.done = False
        """Whether the answer is whole."""
        self.between = False
        """Whether a chunk was read to its end and nothing behind it."""
        self._parser = httptools.HttpResponseParser(self)
        self._after_head = False
        self._method = "GET"
        self._upgrade: bytes | None = None
        self._names: list[bytes] = []
        self._values: list[bytes] = []
        self._reason = b""
        self.reply: Reply | None = None
        """The head, once it is whole."""
        self.informational: list[Reply] | None = None
        """Heads that came before it (1xx), not taken yet."""
        self.chunks: list[bytes] = []
        """What came of the body, not taken yet."""
        self.extra = False
        """Whether bytes came that nobody asked for: the connection cannot be trusted with another request."""
        self.keep = False
        """Whether the connection may carry another request, as the head says."""
        self.plain = False
        """Whether the answer's first bytes say that it is HTTP/1.1, so that httptools need not be asked."""
        self.defect = ""

    def begin(self, method: str, upgrade: bytes | None) -> None:
        """Read the next answer, to a request with `method` that asks for the protocols in `upgrade`.

        Only what a clean answer leaves behind is put back: after any other the connection closes.
        """
        self._names = []
        self._values = []
        self._reason = b""
        self.reply = None
        self.done = self.between = False
        self._method = method
        self._upgrade = upgrade
        if method == "HEAD" or self._after_head:
            # After the answer to a HEAD httptools waits for the body that Content-Length announced.
            self._after_head = method == "HEAD"
            self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: memoryview) -> None:
        """Take what was read apart.

        Raises:
            HttpParserUpgrade: the head was 101; its argument says where in `data` the other protocol begins.
            HttpParserError: this is no answer, or not all of it is; what came before can be had.
        """
        self._parser.feed_data(data)
        self.between = self.between and data[-1] == _LF

    # -- httptools' callbacks --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A response begins; after a complete one it is bytes nobody asked for."""
        if self.done:
            self.extra = True
            raise DefectError

    def on_status(self, reason: bytes) -> None:
        """Reason phrase, possibly in parts."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """One field line; those behind the body are trailers, which end here (proxy-rules 8)."""
        if self.reply is None:
            self._names.append(name)
            self._values.append(value or b"")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        parser = self._parser
        status = parser.get_status_code()
        version = "1.1" if self.plain else parser.get_http_version()
        found = read(self._method, status, self._reason, version == "1.0", self._names, self._values)
        if isinstance(found, str):
            self.defect = found
            raise DefectError
        if version not in _VERSIONS or status < 100:
            self.defect = f"not an HTTP/1 response: HTTP/{version} with status {status}"
            raise DefectError
        if status < 200:
            if status != 101:
                self.plain = False
                self.informational = [*(self.informational or ()), found]
                return
            if not (parser.should_upgrade() and _offered(found.upgrade, self._upgrade)):
                self.defect = "a 101 to a protocol that was not asked for"
                raise DefectError
        self.reply = found
        self.keep = not found.framing.close
        if self._method == "HEAD":
            self.done = True

    def on_body(self, data: bytes) -> None:
        """Body bytes, framing removed. httptools does not know of a HEAD, whose answer has none."""
        if self.done:
            self.extra = True
        else:
            self.chunks.append(data)

    def on_chunk_header(self) -> None:
        """The line with a chunk's size was read."""
        self.between = False

    def on_chunk_complete(self) -> None:
        """A chunk was read to its end; what follows it, if anything, is told of or leaves no line end."""
        self.between = True

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self.reply is None:
            self._names = []
            self._values = []
            self._reason = b""
            return
        self.done = True


def _offered(protocol: bytes, upgrade: bytes | None) -> bool:
    """Whether `protocol` is one of those in the request's `upgrade` (RFC 9110 section 7.8)."""
    return protocol.strip().lower() in [name.strip() for name in (upgrade or b"").lower().split(b",") if name.strip()]
