"""The head of a provider's answer, read once: what the client gets of it, how the body ends, what kind of body it is.

Fields keep order, case and number; what concerns one connection only stops here (proxy-rules 1 to 3, 8).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from proxy.framing import Framing, defect, options
from proxy.headers import HOP_BY_HOP, PROTECTED
from proxy.names import Names

_NAMES: Final = Names(HOP_BY_HOP | {b"content-length", b"content-type", b"content-encoding"})
_HARMLESS: Final = frozenset((b"keep-alive", b"close", b"Keep-Alive", b"Close"))
_CLOSING: Final = frozenset((b"close", b"Close"))
_CONTROL: Final = bytes((*range(0x09), *range(0x0A, 0x20), 0x7F))
_PASSING: Final = (b"", b"content-type", b"content-encoding")

MOST_KNOWN: Final = 1024
MOST_NAMES: Final = 64
LONGEST_NAMES: Final = 2048
"""Bounds of what is remembered: sets of names, names in a set, bytes of all names in a set."""

_known: Final[dict[tuple[bytes, ...], _Places]] = {}


class Reply:
    """An answer's head.

    `block` are the lines of the fields that pass, with their ends. `content_type` and `encoding` are lower-case, empty
    where absent. `upgrade` is the protocol a 101 switches to.
    """

    __slots__ = ("block", "content_type", "encoding", "framing", "reason", "status", "upgrade")

    def __init__(
        self,
        status: int,
        reason: bytes,
        block: bytes,
        framing: Framing,
        content_type: bytes = b"",
        encoding: bytes = b"",
        upgrade: bytes = b"",
    ) -> None:
        self.status = status
        self.reason = reason
        self.block = block
        self.framing = framing
        self.content_type = content_type
        self.encoding = encoding
        self.upgrade = upgrade

    def fields(self) -> dict[bytes, bytes]:
        """The fields that pass by lowercased name; of several with one name, the last."""
        parts = (line.partition(b": ") for line in self.block.split(b"\r\n")[:-1])
        return {name.lower(): value for name, _, value in parts}

    def render(self, extra: bytes = b"", close: bool = False, version10: bool = False) -> bytes:
        """The head for the client. `extra` are lines of ours with their ends.

        A client of HTTP/1.0 (`version10`) must be told that its connection stays open.
        """
        if self.status == 101:
            extra = b"Connection: Upgrade\r\nUpgrade: %b\r\n%b" % (self.upgrade, extra)
        elif close:
            extra = b"Connection: close\r\n" + extra
        elif version10:
            extra = b"Connection: keep-alive\r\n" + extra
        framing = self.framing.fields(version10)
        return b"HTTP/1.1 %d %b\r\n%b%b%b\r\n" % (self.status, self.reason, self.block, extra, framing)


class _Places:
    """Where in a head the fields are that mean something here; -1 for none.

    `passing` are those that go on, and `pieces` their lines with every second piece, a value, still to come.
    """

    __slots__ = (
        "connection",
        "content_encoding",
        "content_type",
        "encodings",
        "lengths",
        "passing",
        "pieces",
        "upgrade",
    )

    def __init__(self, names: tuple[bytes, ...]) -> None:
        found: dict[bytes, list[int]] = {}
        for at, field in enumerate(names):
            found.setdefault(_NAMES[field], []).append(at)
        self.passing = sorted(at for name in _PASSING for at in found.get(name, ()))
        self.pieces = [b""]
        for at in self.passing:
            self.pieces[-1] += names[at] + b": "
            self.pieces += (b"", b"\r\n")
        self.lengths = found.get(b"content-length", [])
        self.encodings = found.get(b"transfer-encoding", [])
        self.connection = found.get(b"connection", [])
        self.content_type = found.get(b"content-type", [-1])[-1]
        self.content_encoding = found.get(b"content-encoding", [-1])[-1]
        self.upgrade = found.get(b"upgrade", [-1])[-1]

    def block(self, values: list[bytes]) -> bytes:
        """The lines of the fields that pass, with their values."""
        pieces = self.pieces.copy()
        at = 1
        for place in self.passing:
            pieces[at] = values[place]
            at += 2
        return b"".join(pieces)


def read(
    method: str, status: int, reason: bytes, version10: bool, names: list[bytes], values: list[bytes]
) -> Reply | str:
    """Read the head of the answer to `method`, or say what is wrong with it (proxy-rules 6).

    `version10` says that it came as HTTP/1.0; `names` and `values` are those of its fields.
    """
    key = tuple(names)
    places = _known.get(key)
    if places is None:
        places = _look(key)
    encodings = [values[at] for at in places.encodings]
    lengths = [values[at] for at in places.lengths]
    problem = defect(encodings, lengths, version10)
    if problem is not None:
        return problem
    block = places.block(values)
    close = version10
    if places.connection:
        connection = [values[at] for at in places.connection]
        if len(connection) == 1 and connection[0] in _HARMLESS:
            close = connection[0] in _CLOSING
        else:
            named = options(connection)
            going = [at for at in places.passing if _passes(names[at].lower(), named)]
            block = b"".join([b"%b: %b\r\n" % (names[at], values[at]) for at in going])
            close = b"close" in named or (version10 and b"keep-alive" not in named)
    return Reply(
        status,
        # The parser lets control bytes pass in the reason; a client might not.
        reason if reason.isalpha() else reason.translate(None, _CONTROL),
        block,
        _framing(method, status, bool(encodings), int(lengths[0]) if lengths else None, close),
        values[places.content_type].lower() if places.content_type >= 0 else b"",
        values[places.content_encoding].strip().lower() if places.content_encoding >= 0 else b"",
        values[places.upgrade] if places.upgrade >= 0 else b"",
    )


def _look(names: tuple[bytes, ...]) -> _Places:
    """Find the fields by their names: a provider sends the same ones with every answer, so this is remembered."""
    places = _Places(names)
    if len(names) <= MOST_NAMES and sum(map(len, names)) <= LONGEST_NAMES:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[names] = places
    return places


def _framing(method: str, status: int, chunked: bool, length: int | None, close: bool) -> Framing:
    """How the body ends (RFC 9112 section 6.3)."""
    if method == "HEAD" or status == 304:
        return Framing("none", length, close)
    if status < 200 or status == 204:
        return Framing("none", None, close)
    if chunked:
        return Framing("chunked", None, close)
    if length is not None:
        return Framing("length", length, close)
    return Framing("close", None, True)


def _passes(name: bytes, named: Collection[bytes]) -> bool:
    """Whether a field passes although a `Connection` list names `named`."""
    return name not in named or name in PROTECTED
