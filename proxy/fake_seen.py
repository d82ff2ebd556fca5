"""What the scripted provider saw: one `Seen` per request, kept also when the client went away half-way."""

from __future__ import annotations

import enum
from typing import Any

from msgspec import Struct, field


class Ended(enum.StrEnum):
    """How a request of the scripted provider came to its end."""

    OPEN = "open"
    """Still going on."""
    ANSWERED = "answered"
    """The whole answer was handed to the transport."""
    CLIENT_LEFT = "client_left"
    """The client's FIN came before the answer was complete."""
    CLIENT_RESET = "client_reset"
    """The client's RST came before the answer was complete."""
    CLOSED = "closed"
    """The script closed the connection (FIN) before the answer was complete."""
    RESET = "reset"
    """The script reset the connection (RST)."""
    STOPPED = "stopped"
    """The scripted provider was stopped meanwhile."""


class Seen(Struct):
    """One request as it came, byte for byte, and what became of it. Times are the event loop's, in seconds.

    An entry stands in the log from the end of the request's head on and is filled in as things happen, so that an
    upload the client broke off shows what had arrived. `headers` are the raw pairs in order and case.
    """

    number: int
    """Counts the requests of this provider from 1."""
    connection: int
    """Counts the accepted connections of this provider from 1."""
    reused: bool
    """Whether the connection had carried a request before."""
    method: str
    target: bytes
    version: str
    headers: list[tuple[bytes, bytes]]
    at: float
    """When the head was complete."""
    keep_alive: bool = True
    received: bytearray = field(default_factory=bytearray)
    """The body's bytes, as many as the provider keeps."""
    size: int = 0
    """All body bytes that came, kept or not; chunk framing excluded."""
    body_at: float | None = None
    """When the body was complete; None when it never was."""
    endpoint: str = ""
    dialect: str = ""
    model: str = ""
    script: str = ""
    streamed: bool = False
    status: int = 0
    """Status of the answer's head, 0 when none was sent."""
    events: int = 0
    """Content pieces sent of a streamed answer (comments, opening and closing events are not counted)."""
    sent: int = 0
    """Bytes of the answer handed to the transport, heads and framing included."""
    answer_at: float | None = None
    """When the first byte of the answer was handed to the transport."""
    ended: Ended = Ended.OPEN
    ended_at: float | None = None
    first: dict[bytes, bytes] = {}
    """The first value of each header by its lower-case name, made when first asked for."""
    client_closed_at: float | None = None
    """When the client's end closed (FIN or RST) before the answer was complete; None when it did not."""

    @property
    def body(self) -> bytes:
        """The body as far as it came and was kept."""
        return bytes(self.received)

    @property
    def complete(self) -> bool:
        """Whether the whole request arrived."""
        return self.body_at is not None

    @property
    def aborted(self) -> bool:
        """Whether the client closed or reset the connection before the answer was complete."""
        return self.client_closed_at is not None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of the header called `name` (any case), None when there is none."""
        if not self.first:
            self.first = {key.lower(): value for key, value in reversed(self.headers)}
        return self.first.get(name.lower())

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of the header called `name`, in order."""
        wanted = name.lower()
        return [value for key, value in self.headers if key.lower() == wanted]

    def end(self, how: Ended, now: float) -> None:
        """Note how and when it ended."""
        self.ended = how
        self.ended_at = now

    def document(self) -> dict[str, Any]:
        """Return the entry as a JSON-able mapping for the log file; bytes become latin-1 text, lossless."""
        return {
            **{name: getattr(self, name) for name in self.__struct_fields__ if name not in _AS_TEXT},
            "target": self.target.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers],
            "body": self.body.decode("latin-1"),
        }


_AS_TEXT = frozenset({"target", "headers", "received", "first"})
