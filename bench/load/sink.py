"""The provider of large bodies and of the soak: takes any request whole, answers with `--answer` bytes, counts.

It must not be what limits a proxy, so it copies nothing: what it receives the kernel throws away (MSG_TRUNC), and what
it sends is a file in memory that the kernel sends as it lies there. A share of the answers are faults, each sort in
turn: a 503, an answer cut off in its middle, one cut off in its head. (None at all would be no fault: on a connection
used before, that is how one looks which was closed too late.) `GET /counts` tells how many of each there were.
A list of its models, which a proxy may ask for by itself, is no attempt of a client's: it is given, and not counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import select
import signal
import socket
from collections import Counter
from typing import Final

from bench.load.wire import answer

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_JSON: Final = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_OVERLOADED: Final = b'{"error":{"message":"overloaded, try again later","type":"server_error"}}'
_MODELS: Final = b'{"object":"list","data":[{"id":"bench-model","object":"model","created":0,"owned_by":"bench"}]}'
_SMALL: Final = 1 << 16
_TORN: Final = 40
"""Bytes of a head that breaks off."""

FAULTS: Final = ("error", "cut", "torn")


class Answers:
    """What is sent in turn, and how often it was."""

    def __init__(self, size: int, faults: float) -> None:
        self.whole = File(_JSON % (b"200 OK", size, answer(size)))
        self.error = File(_JSON % (b"503 Service Unavailable", len(_OVERLOADED), _OVERLOADED))
        self.counts: Counter[str] = Counter()
        self._every = round(1 / faults) if faults else 0
        self._faults = itertools.cycle(FAULTS)
        self._number = 0

    def next(self) -> str:
        """What the next request gets."""
        self._number += 1
        kind = next(self._faults) if self._every and self._number % self._every == 0 else "answered"
        self.counts[kind] += 1
        return kind


class File:
    """Bytes, and the same in a file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.number = os.memfd_create("answer")
        os.write(self.number, data)


class Connection:
    """One connection: a request in, an answer out, and so on."""

    discarded = bytearray(1 << 22)

    def __init__(self, sock: socket.socket, answers: Answers) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._answers = answers
        self._seen = b""
        self._left = 0
        self._file: File | None = None
        self._sent = self._end = 0
        self._close = False

    def readable(self) -> bool:
        """Take what has arrived; returns whether the connection goes on."""
        if self._left:
            got = self.sock.recv_into(self.discarded, min(self._left, len(self.discarded)), socket.MSG_TRUNC)
            self._left -= got
            return bool(got) and (self._left > 0 or self._answer())
        data = self.sock.recv(_SMALL)
        self._seen += data
        head, end, body = self._seen.partition(b"\r\n\r\n")
        if not data or not end:
            return bool(data)
        self._seen = b""
        if head.startswith(b"GET "):
            told = json.dumps(self._answers.counts).encode() if head.startswith(b"GET /counts ") else _MODELS
            self.sock.sendall(_JSON % (b"200 OK", len(told), told))
            return True
        length = _LENGTH.search(head)
        self._left = (int(length[1]) if length else 0) - len(body)
        return self._left > 0 or self._answer()

    def _answer(self) -> bool:
        kind = self._answers.next()
        file = self._answers.error if kind == "error" else self._answers.whole
        self._close = kind in ("cut", "torn")
        self._file, self._sent = file, 0
        self._end = {"cut": len(file.data) // 2, "torn": _TORN}.get(kind, len(file.data))
        return self.writable()

    def writable(self) -> bool:
        """Send on; returns whether the connection goes on."""
        file = self._file
        if file is None:
            return True
        try:
            if self._end <= _SMALL and not self._sent:
                self._sent = self.sock.send(file.data[: self._end])
            while self._sent < self._end:
                self._sent += os.sendfile(self.sock.fileno(), file.number, self._sent, self._end - self._sent)
        except BlockingIOError:
            return True
        self._file = None
        return not self._close

    @property
    def sending(self) -> bool:
        """Whether there is something left to send."""
        return self._file is not None


def serve(port: int, answers: Answers) -> None:
    """Serve until told to stop."""
    listener = socket.create_server(("127.0.0.1", port), backlog=2048)
    listener.setblocking(False)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    open_ones: dict[int, Connection] = {}
    while True:
        for number, happened in poll.poll():
            connection = open_ones.get(number)
            if connection is None:
                sock, _ = listener.accept()
                open_ones[sock.fileno()] = Connection(sock, answers)
                poll.register(sock, select.EPOLLIN)
                continue
            waited = connection.sending
            try:
                goes_on = connection.writable() if happened & select.EPOLLOUT else connection.readable()
            except BlockingIOError:
                goes_on = True
            except OSError:
                goes_on = False
            if not goes_on:
                poll.unregister(number)
                del open_ones[number]
                connection.sock.close()
            elif connection.sending != waited:
                poll.modify(number, select.EPOLLOUT if connection.sending else select.EPOLLIN)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer", type=int, required=True, help="bytes of an answer's body")
    parser.add_argument("--faults", type=float, default=0, help="share of the answers that are faults")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(args.port, Answers(max(args.answer, len(answer(0))), args.faults))
