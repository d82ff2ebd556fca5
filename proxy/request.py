"""What a client's connection and the handler of its requests have between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from aiohttp.http_parser import RawRequestMessage
    from aiohttp.streams import StreamReader

    from proxy.client import ClientConnection


class BadBodyError(Exception):
    """The request's body broke its framing while it was being read."""


class BodySpentError(Exception):
    """A request's body was read after its answer."""


class Flow(Protocol):
    """Whoever writes to a client and must hear when it cannot keep up."""

    def pause(self) -> None:
        """The client's buffer is full."""

    def resume(self) -> None:
        """The client took what was buffered."""


class Request:
    """What the handler gets: the parsed head, the body's reader and the connection it came on."""

    __slots__ = ("_task", "connection", "message", "method", "payload")

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        connection: ClientConnection,
        writer: object,
        task: object,
    ) -> None:
        self.message = message
        self.payload = payload
        self.connection = connection
        self.method = message.method
        self._task = task

    def _cancel(self, exc: BaseException) -> None:
        """aiohttp: the connection is gone."""
        self.payload.set_exception(exc)

    def _finish(self) -> None:
        """aiohttp: the answer was given."""


class Written:
    """An answer that is already on the wire; `keep_alive` says whether its connection may stay."""

    __slots__ = ("keep_alive",)

    def __init__(self, keep_alive: bool) -> None:
        self.keep_alive = keep_alive


KEEP: Final = Written(keep_alive=True)
CLOSE: Final = Written(keep_alive=False)

Handler = Callable[[Request], Awaitable[Written]]
