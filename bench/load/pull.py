"""The client of the download runs: asks for large answers over `--connections` connections; prints one line of JSON.

What it receives the kernel throws away (MSG_TRUNC), so that it is not what limits a proxy.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import threading
import time

from bench.load.wire import post

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Puller(threading.Thread):
    """One connection. `received` counts bytes of bodies."""

    def __init__(self, port: int, request: bytes, until: float) -> None:
        super().__init__()
        self._sock = socket.create_connection(("127.0.0.1", port), 10)
        self._request = request
        self._until = until
        self._discarded = bytearray(1 << 22)
        self.received = 0
        self.answers = 0
        self.fault = ""

    def run(self) -> None:
        """Ask until time is over."""
        try:
            while time.monotonic() < self._until:
                self._ask()
        except (OSError, ValueError) as error:
            self.fault = repr(error)
        self._sock.close()

    def _ask(self) -> None:
        self._sock.sendall(self._request)
        seen = b""
        while b"\r\n\r\n" not in seen:
            data = self._sock.recv(4096)
            if not data:
                raise ValueError("the connection ended")
            seen += data
        head, _, body = seen.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            raise ValueError(seen[:300])
        left = int(length[1]) - len(body)
        while left:
            got = self._sock.recv_into(self._discarded, min(left, len(self._discarded)), socket.MSG_TRUNC)
            if not got:
                raise ValueError("the answer ended early")
            left -= got
        self.received += int(length[1])
        self.answers += 1


def main(args: argparse.Namespace) -> None:
    """One run."""
    began = time.monotonic()
    request = post(args.path, stream=False)
    pullers = [Puller(args.port, request, began + args.seconds) for _ in range(args.connections)]
    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join()
    faults = [puller.fault for puller in pullers if puller.fault]
    if faults:
        raise SystemExit(faults[0])
    seconds = time.monotonic() - began
    answers = sum(puller.answers for puller in pullers)
    received = sum(puller.received for puller in pullers)
    print(json.dumps({"seconds": seconds, "requests": answers, "bytes": received, "failed": 0}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    main(parser.parse_args())
