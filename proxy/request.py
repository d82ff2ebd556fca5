"""What a client's connection and the handler of its requests have between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from proxy.client import ClientConnection
    from proxy.head import Head
    from proxy.incoming import Incoming
    from proxy.known import Known


class BadBodyError(Exception):
    """The request's body broke its framing while it was being read."""


class Flow(Protocol):
    """Whoever writes to a client and must hear when it cannot keep up."""

    def pause(self) -> None:
        """The client's buffer is full."""

    def resume(self) -> None:
        """The client took what was buffered."""


class Request:
    """What the handler gets: the head, the body as it comes and the connection both came on.

    `length` is the Content-Length, -1 without one. `known` is set where the head is one that the connection knew.
    """

    __slots__ = ("connection", "head", "known", "length", "method", "payload")

    def __init__(
        self, connection: ClientConnection, head: Head, payload: Incoming, length: int, known: Known | None
    ) -> None:
        self.connection = connection
        self.head = head
        self.method = head.method
        self.payload = payload
        self.length = length
        self.known = known


class Written:
    """An answer that is already on the wire; `keep_alive` says whether its connection may stay."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


KEEP: Final = Written(keep_alive=True)
CLOSE: Final = Written(keep_alive=False)

Handler = Callable[[Request], Awaitable[Written]]
