"""The way back to the client: one answer written straight to its transport.

Bytes go out as they come in, one write per upstream read, with only the framing made new; the events of streams leave
in batches (`proxy.batch`). When the client cannot take more, the upstream connection is told to stop reading: what
waits in between is bounded by the two sockets' buffers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from proxy.sockets import reset

if TYPE_CHECKING:
    from proxy.batch import Batch
    from proxy.client import ClientConnection
    from proxy.reply import Reply
    from proxy.upstream import Upstream

LAST_CHUNK: Final = b"0\r\n\r\n"
TAIL: Final = 4
"""Bytes that tell whether an event has ended: two line ends of two bytes."""
_BLANK_LINE: Final = b"\n\n"
_PLAIN: Final = (b"", b"identity")
_OPEN_ENDED: Final = ("chunked", "close")
"""Kinds of framing that do not say how long the body is."""
COPY_LIMIT: Final = 16 * 1024
"""Bytes above which parts are handed to the transport one by one rather than joined."""


def timing(whole: float, upstream: float) -> bytes:
    """The Server-Timing field: of `whole` seconds, those spent waiting for providers and those spent here."""
    ours, theirs = max(0, int((whole - upstream) * 1e4 + 0.5)), max(0, int(upstream * 1e4 + 0.5))
    return b"Server-Timing: detour;dur=%d.%d, upstream;dur=%d.%d\r\n" % (
        ours // 10,
        ours % 10,
        theirs // 10,
        theirs % 10,
    )


class Relay:
    """What one client gets for one request."""

    __slots__ = (
        "_batch",
        "_chunked",
        "_connection",
        "_delimited",
        "_encoded",
        "_flowing",
        "_last",
        "_version10",
        "_waiting",
        "began_at",
        "bytes_out",
        "close",
        "ended",
        "head_only",
        "label",
        "request_id",
        "shape",
        "spent",
        "started",
        "status",
        "upstream",
    )

    def __init__(
        self,
        connection: ClientConnection,
        batch: Batch,
        request_id: str,
        version10: bool,
        head_only: bool,
        close: bool,
        began_at: float,
    ) -> None:
        # What every event needs comes first: compiled, an object lies in memory in this order.
        self._connection = connection
        self._batch = batch
        self._waiting = b""
        """A head until there are bytes of its body, or events until the batch is flushed."""
        self._last = b""
        """The last bytes of a body that is divided into events: a blank line (one for all: each stream's own would be
        far away by its next event), or at least `TAIL` where there are as many."""
        self.bytes_out = 0
        self._flowing = False
        """Whether the head of a body that is divided into events, and chunked, is out."""
        self._version10 = version10
        self.request_id = request_id
        self.head_only = head_only
        self.began_at = began_at
        self.close = close
        """Whether the client's connection ends with this answer."""
        self.started = False
        """Whether a head was written; from then on the attempt cannot be taken back."""
        self.ended = False
        """Whether the answer was written to its end."""
        self.shape = ""
        """How the body is divided: `sse`, `array` (Gemini without `alt=sse`) or not at all."""
        self.status = 0
        self.label = b""
        """Field lines that say where the answer comes from."""
        self.spent = 0.0
        """Seconds spent upstream in attempts before this one."""
        self.upstream: Upstream | None = None
        self._chunked = False
        self._delimited = False
        self._encoded = False

    @property
    def tail(self) -> bytes:
        """The last few bytes of a body that is divided into events."""
        return self._last[-TAIL:]

    # -- an upstream's answer --------------------------------------------------------------------------------------

    def informational(self, reply: Reply) -> None:
        """Pass on an early hint."""
        transport = self._connection.transport
        if transport is not None and not self._version10 and not self.started:
            transport.write(reply.render())

    def start(self, reply: Reply, now: float, upstream: float, shape: str) -> None:
        """Begin with the head; it leaves together with the first bytes of the body.

        `upstream` is the time from request sent to this moment in seconds; `shape` how the body is divided.
        """
        self.started = True
        self.status = reply.status
        self.shape = shape
        self._encoded = reply.encoding not in _PLAIN
        version10 = self._version10
        if reply.framing.kind in _OPEN_ENDED:
            self._delimited = version10
            self._chunked = not version10
            self.close = self.close or version10
        if not self.close and self._connection.ending:
            self.close = True
        extra = self.label + timing(now - self.began_at, upstream + self.spent)
        self._waiting = reply.render(extra, self.close, version10)

    def write(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Pass on body bytes; `done` ends the answer cleanly. `framed` is as in `Sink.body`."""
        transport = self._connection.transport
        if transport is None:
            return
        size = len(data)
        self.bytes_out += size
        if self._flowing and TAIL <= size <= COPY_LIMIT and not done:
            self._last = _BLANK_LINE if data.endswith(_BLANK_LINE) else data[-TAIL:]
            if not self._waiting:
                self._batch.add(self)
            self._waiting += framed or b"%x\r\n%b\r\n" % (size, data)
            return
        if self.shape:
            self._last = data if size >= TAIL else self._last[-TAIL:] + data
            self._flowing = self._chunked
        self.ended = done
        head, self._waiting = self._waiting, b""
        if not self._chunked:
            tail = b""
        elif data:
            head += b"%x\r\n" % size
            tail = b"\r\n0\r\n\r\n" if done else b"\r\n"
        else:
            tail = LAST_CHUNK if done else b""
        if size > COPY_LIMIT:
            transport.writelines((head, data, tail))
        elif whole := head + data + tail:
            transport.write(whole)

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, b""
        transport = self._connection.transport
        if waiting and transport is not None:
            transport.write(waiting)

    # -- ends that are not clean -----------------------------------------------------------------------------------

    def break_off(self, event: bytes) -> None:
        """End a begun answer visibly (semantics section 6, `off`; proxy-rules 7).

        `event` is an error event in the caller's dialect, written where the answer is an event stream it can still be
        part of. Then the connection closes without the last chunk; an answer that only its closing would end is reset.
        """
        transport = self._connection.transport
        self.close = True
        if transport is None:
            return
        if self._delimited:
            self.flush()
            reset(transport)
            return
        if event and self._chunked and self.shape and not self._encoded:
            self.write(event, done=False)
        self.flush()
        self.ended = False
        transport.close()

    def refuse(self, answer: bytes, status: int) -> None:
        """Write a whole answer of our own."""
        self.started = self.ended = True
        self.status = status
        self.bytes_out += len(answer)
        transport = self._connection.transport
        if transport is not None:
            transport.write(answer)

    # -- backpressure ----------------------------------------------------------------------------------------------

    def attach(self, upstream: Upstream) -> None:
        """Let the client's pace govern `upstream`."""
        self.upstream = upstream
        self._connection.flow = self
        if self._connection.writing_paused:
            upstream.pause()

    def detach(self) -> None:
        """Govern nothing any more."""
        self.upstream = None
        self._connection.flow = None

    def pause(self) -> None:
        """The client's buffer is full."""
        if self.upstream is not None:
            self.upstream.pause()

    def resume(self) -> None:
        """The client took what was buffered."""
        if self.upstream is not None:
            self.upstream.resume()
