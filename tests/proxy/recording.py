"""Ends of a connection that write down what is done to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from proxy.upstream import Upstream


class Transport(asyncio.Transport):
    """What is written to a peer, and whether reading from it goes on."""

    def __init__(self, **extra: Any) -> None:
        super().__init__(extra)
        self.writes: list[bytes] = []
        self.reading = True
        self.unsent = 0
        """Bytes that its peer has not taken yet."""
        self.ending = ""
        """`closed` or `aborted` once it was; the first counts."""
        self.most = 64 * 1024
        """Bytes that may wait in it."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.most = high or 0

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.writes.extend(bytes(part) for part in list_of_data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def close(self) -> None:
        self.ending = self.ending or "closed"

    def abort(self) -> None:
        self.ending = self.ending or "aborted"

    def is_closing(self) -> bool:
        return bool(self.ending)


class Turn:
    """As much of a loop as a batch knows; its turn ends when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def call_soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def end(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class Line:
    """A client's connection as a body sees it."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True


class Home:
    """A pool as a connection sees it."""

    def __init__(self) -> None:
        self.released: list[Upstream] = []
        self.forgotten: list[Upstream] = []

    def release(self, connection: Upstream) -> None:
        self.released.append(connection)

    def forget(self, connection: Upstream) -> None:
        self.forgotten.append(connection)


def upstream(transport: Transport | None = None) -> tuple[Upstream, Transport, Home]:
    """A connection that was just made."""
    home, transport = Home(), transport or Transport()
    made = Upstream(home)
    made.connection_made(transport)
    return made, transport, home


def feed(connection: Upstream, data: bytes) -> None:
    """Have `connection` read `data`, at most as much at a time as its buffer takes."""
    while data:
        buffer = connection.get_buffer(-1)
        size = min(len(data), len(buffer))
        buffer[:size] = data[:size]
        connection.buffer_updated(size)
        data = data[size:]
