"""What one request and one relayed event cost in bytecodes: a figure that no machine and no neighbour changes.

`python -m bench.bytecodes` counts, `--check` fails when a figure has risen by more than a tenth over that in
bytecodes.json, `--write` puts the figures there. Counted is every instruction that the interpreter begins in Detour's
code, in a real data plane with everything on, between a client and a provider in threads of their own.
Nothing is counted by time, and of what a clock starts (a window that turns) the least of several counts has nothing:
so the figures are exact, one set for each Python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import uvloop

from bench.load.wire import ANSWER, CHUNK, STREAM_HEAD, post
from config.load import load_text
from proxy.assembly import Assembly

ROOT: Final = Path(__file__).parent.parent
BASELINE: Final = Path(__file__).with_suffix(".json")
VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
COUNTED: Final = {str(ROOT / package): package for package in ("proxy", "breaker", "config", "healthapi")}

RISE: Final = 0.10
"""Share by which a figure may rise."""

WARM: Final = 50
"""Requests after which everything that is made once is made."""
REQUESTS: Final = 100
EVENTS: Final = 300
COUNTS: Final = 3
"""How often each is counted."""
SHOWN: Final = 5

PATH: Final = "/bench/v1/chat/completions"
CONFIG: Final = """
listen: 127.0.0.1:0
admin: {{listen: "127.0.0.1:0"}}
store: "memory:"
providers:
  bench: {{base_url: "http://127.0.0.1:{port}/v1", api_key: bench}}
  spare: {{base_url: "http://127.0.0.1:{port}/v1", api_key: spare}}
models:
  bench-model: {{targets: [bench/bench-model, spare/bench-model]}}
"""

Costs = dict[str, dict[str, float]]
"""`request` and `event` to what each costs by file, in bytecodes."""


class Meter:
    """Counts bytecodes of this thread by code object while it is on."""

    def __init__(self) -> None:
        self._counts: Counter[CodeType] = Counter()
        self._places: dict[str, str] = {}

    def _called(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any] | None:
        if not self._place(frame.f_code.co_filename):
            return None
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
        if event == "opcode":
            self._counts[frame.f_code] += 1
        return self._step

    def _place(self, file: str) -> str:
        """The file as it is called here; empty when it is not counted."""
        found = self._places.get(file)
        if found is None:
            inside = next((folder for folder in COUNTED if file.startswith(folder + "/")), "")
            found = self._places[file] = COUNTED[inside] + file.removeprefix(inside) if inside else ""
        return found

    @contextmanager
    def on(self) -> Iterator[None]:
        """Count meanwhile."""
        sys._getframe().f_trace_opcodes = True  # Python 3.12 tells of opcodes only when a frame wanted them before
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(None)

    def take(self) -> Counter[str]:
        """What was counted since the last time, by file."""
        found: Counter[str] = Counter()
        for code, number in self._counts.items():
            found[self._place(code.co_filename)] += number
        self._counts.clear()
        return found


class Provider(threading.Thread):
    """Answers requests; a stream goes on by an event each time that the client asks for one."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.more = threading.Semaphore(0)
        self.left = 0
        """Events that the next streams have left."""

    def run(self) -> None:
        """Serve whoever connects, one thread each."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain = ANSWER.encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(plain)
        while (asked := read_message(connection)) is not None:
            if b'"stream":true' not in asked:
                connection.sendall(head + plain)
                continue
            connection.sendall(STREAM_HEAD + CHUNK)
            for _ in range(self.left):
                self.more.acquire()
                connection.sendall(CHUNK)
            self.more.acquire()
            done = b"data: [DONE]\n\n"
            connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))


def read_message(connection: socket.socket) -> bytes | None:
    """A whole request or answer of a known length; None when there is none any more."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        data = connection.recv(65536)
        if not data:
            return None
        seen += data
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", seen)
    end = seen.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(seen) < end:
        seen += connection.recv(65536)
    return seen


class Client:
    """One connection of a client; its methods block, and are called in a thread of their own."""

    def __init__(self, port: int, provider: Provider) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port))
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection.settimeout(20)
        self._provider = provider

    def ask(self, times: int) -> None:
        """So many requests, one after the other."""
        request = post(PATH, stream=False)
        for _ in range(times):
            self._connection.sendall(request)
            answer = read_message(self._connection)
            assert answer is not None
            assert answer.startswith(b"HTTP/1.1 200 "), answer

    def stream(self, events: int) -> None:
        """A stream of so many events, each asked for when the one before has arrived."""
        self._provider.left = events
        self._connection.sendall(post(PATH, stream=True))
        seen, whole = b"", 0
        while not seen.endswith(b"\r\n0\r\n\r\n"):
            data = self._connection.recv(65536)
            assert data, seen
            seen += data
            if seen.count(b"\n\n\r\n") > whole:
                whole += 1
                if whole < events + 2:  # those are the first one, what was asked for, and the word that it is over
                    self._provider.more.release()
        assert seen.startswith(b"HTTP/1.1 200 "), seen[:500]
        assert whole == events + 2, whole

    def close(self) -> None:
        """Leave."""
        self._connection.close()


async def count() -> Costs:
    """Count in a data plane that is made for it."""
    loop = asyncio.get_running_loop()
    provider = Provider()
    provider.start()
    config = load_text(CONFIG.format(port=provider.port), {})
    parts = Assembly(config, loop, instance="bench")
    server = await loop.create_server(parts.plane.server, "127.0.0.1", 0)
    client = Client(server.sockets[0].getsockname()[1], provider)
    meter = Meter()

    async def costs_of(what: Callable[[int], None], times: int) -> Counter[str]:
        await loop.run_in_executor(None, what, times)
        await asyncio.sleep(0.1)  # what comes after the last byte
        return meter.take()

    async def least(what: Callable[[int], None], times: int) -> Counter[str]:
        return min([await costs_of(what, times) for _ in range(COUNTS)], key=Counter.total)

    with meter.on():
        await costs_of(client.ask, WARM)
        request = await least(client.ask, REQUESTS)
        await costs_of(client.stream, EVENTS)
        some, more = await least(client.stream, EVENTS), await least(client.stream, 2 * EVENTS)
    client.close()
    server.close()
    parts.plane.pools.close()
    await asyncio.sleep(0.05)
    event = {file: more[file] - some[file] for file in more if more[file] != some[file]}
    return {"request": _each(request, REQUESTS), "event": _each(event, EVENTS)}


def _each(counts: dict[str, int], times: int) -> dict[str, float]:
    return {file: round(number / times, 2) for file, number in sorted(counts.items())}


def risen(before: Costs, now: Costs) -> list[str]:
    """One line for each figure that has risen too far, with the files it rose in."""
    told = []
    for what, files in now.items():
        old, new = sum(before[what].values()), sum(files.values())
        if new > old * (1 + RISE):
            more = {file: files.get(file, 0) - before[what].get(file, 0) for file in {*files, *before[what]}}
            worst = sorted(((by, file) for file, by in more.items() if by > 0), reverse=True)[:SHOWN]
            where = ", ".join(f"{file} {by:+,.0f}" for by, file in worst)
            told.append(
                f"{what}: {new:,.0f} bytecodes, {old:,.0f} before, {new / old - 1:+.1%} (at most {RISE:+.0%}): {where}"
            )
    return told


def baseline() -> Costs | None:
    """The figures kept for this Python; None when there are none."""
    kept: dict[str, Costs] = json.loads(BASELINE.read_text(encoding="utf-8"))
    return kept.get(VERSION)


def write(costs: Costs) -> None:
    """Keep the figures of this Python."""
    kept = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    text = json.dumps({**kept, VERSION: costs}, indent=1, sort_keys=True)
    BASELINE.write_text(text + "\n", encoding="utf-8")


def main() -> int:
    """Count, and do with the figures what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.bytecodes")
    parser.add_argument("--check", action="store_true", help="fail when a figure has risen by more than a tenth")
    parser.add_argument("--write", action="store_true", help="keep the figures")
    args = parser.parse_args()
    costs = uvloop.run(count())
    if args.write:
        write(costs)
    before = baseline() if args.check else None
    if args.check and before is None:
        print(f"no figures are kept for Python {VERSION}: python -m bench.bytecodes --write", file=sys.stderr)
        return 2
    found = risen(before, costs) if before is not None else []
    for line in found:
        print(line, file=sys.stderr)
    if found:
        print("when it is worth that: python -m bench.bytecodes --write", file=sys.stderr)
    print(json.dumps(costs))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
