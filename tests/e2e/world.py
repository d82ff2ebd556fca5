"""A real `detour serve` process, and raw sockets on both of its sides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
"""Seconds after which a test that waits for something gives up."""


USUAL = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", "memory:")
"""Arguments that are given unless a test says otherwise: they beat what a file says."""


class Detour:
    """One running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.url = ""
        self.admin = ""
        self._ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def admin_port(self) -> int:
        return int(self.admin.rpartition(":")[2])

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"message": raw.decode("utf-8", "replace"), "level": "raw"}
            self.lines.append(line)
            if line["message"] == "serving":
                self.url, self.admin = line["proxy"], line["admin"]
                self._ready.set()
        self._ready.set()

    async def ready(self) -> None:
        await asyncio.wait_for(self._ready.wait(), PATIENCE)
        assert self.url, f"did not start: {self.lines}"

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(self.process.wait(), PATIENCE)
        await self._reading
        return code

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What the log holds that a healthy run does not."""
        return [line for line in self.lines if line["level"] in ("error", "critical", "raw") or "exception" in line]

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """GET from the admin port: (status, decoded JSON or text)."""
        async with client(self.admin_port) as peer:
            extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            await peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{extra}\r\n".encode())
            status, fields, body = split(await peer.rest())
            kind = {name.lower(): value for name, value in fields}.get(b"content-type", b"")
            return status, json.loads(body) if b"json" in kind else body.decode()

    async def record(self, provider: str, model: str) -> dict[str, Any]:
        status, found = await self.get(f"/v1/model-health/{provider}/{model}")
        assert status == 200, found
        assert isinstance(found, dict)
        return found

    async def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry `labels`."""
        _, text = await self.get("/metrics")
        total = 0.0
        for line in text.splitlines():
            if line.startswith((name + "{", name + " ")) and all(
                f'{key}="{value}"' in line for key, value in labels.items()
            ):
                total += float(line.rpartition(" ")[2])
        return total


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's variables without keys and settings, and `more`.

    No probes are sent unless `more` says otherwise, whatever a file says: they would come among what tests look at.
    """
    clean = {
        key: value
        for key, value in os.environ.items()
        if not key.endswith(("_API_KEY", "_TOKEN")) and not key.startswith("DETOUR_")
    }
    return {**clean, "DETOUR_PROBES_ENABLED": "false", **(more or {})}


@contextlib.asynccontextmanager
async def detour(
    config: dict[str, Any] | None = None,
    *,
    path: Path | None = None,
    env: dict[str, str] | None = None,
    more: tuple[str, ...] = (),
    usual: tuple[str, ...] = USUAL,
) -> AsyncIterator[Detour]:
    """A running Detour with `config` (written to `path`) on free ports; ended and looked over at the end.

    `more` are further arguments; the last one of a kind wins.
    """
    arguments = [sys.executable, "-m", "proxy.cli", "serve", *usual]
    if config is not None:
        assert path is not None
        path.write_text(yaml.safe_dump(config))  # noqa: ASYNC240 - a page of text, before anything runs
        arguments += ["-c", str(path)]
    arguments += more
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=ROOT,
        env=environment(env),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )
    running = Detour(process)
    try:
        await running.ready()
        yield running
    finally:
        code = await running.stop()
    assert code == 0, running.lines[-20:]
    assert not running.complaints, running.complaints


ALONE: dict[str, Any] = {"breakers": {"mode": "off"}, "retries": {"max_attempts": 1}}
"""Sections with which a request is one attempt, whatever became of those before it: for tests of what one comes to."""


def lab(url: str, **sections: Any) -> dict[str, Any]:
    """A configuration in which one origin stands for providers of every dialect."""
    timeouts = {
        "connect": "1s",
        "first_byte": "600ms",
        "idle": "600ms",
        "answer": "800ms",
        "total": "5s",
        "stream_total": "8s",
    }
    config: dict[str, Any] = {
        "providers": {
            "openai": {"base_url": f"{url}/v1", "api_key": "sk-configured-openai"},
            "anthropic": {"base_url": f"{url}/v1", "api_key": "sk-configured-anthropic"},
            "gemini": {"base_url": f"{url}/v1beta", "api_key": "configured-gemini"},
            "fal": {"base_url": url, "api_key": "configured-fal"},
        },
        "timeouts": timeouts,
    }
    return ALONE | config | sections


class Peer:
    """One end of a raw TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def settled(self, turns: int = 3) -> None:
        """Let what was sent go out as a segment of its own (nothing may depend on that it does)."""
        self.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(turns + 1):
            await asyncio.sleep(0)

    async def until(self, mark: bytes) -> bytes:
        """Everything up to and including `mark`."""
        return await asyncio.wait_for(self.reader.readuntil(mark), PATIENCE)

    async def exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def rest(self) -> bytes:
        """Everything until the other side ends; a reset raises ConnectionResetError."""
        return await asyncio.wait_for(self.reader.read(-1), PATIENCE)

    async def request(self) -> tuple[bytes, bytes]:
        """One request as it came: (head with its blank line, body)."""
        head = await self.until(b"\r\n\r\n")
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            return head, await self.until(b"0\r\n\r\n")
        for line in lower.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head, await self.exactly(int(line.partition(b":")[2]))
        return head, b""

    async def answer(self) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """One framed response: (status, fields, body with its chunk framing removed)."""
        head = await self.until(b"\r\n\r\n")
        status, fields, _ = split(head)
        named = {name.lower(): value for name, value in fields}
        if status in (204, 304) or status < 200:
            return status, fields, b""
        if named.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = b""
            while size := int((await self.until(b"\r\n")).split(b";")[0], 16):
                body += await self.exactly(size)
                await self.exactly(2)
            await self.exactly(2)
            return status, fields, body
        return status, fields, await self.exactly(int(named.get(b"content-length", b"0")))

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        """End with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(__import__("socket").SOL_SOCKET, __import__("socket").SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[Peer]:
    """A raw connection to a local port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class RawUpstream:
    """A server that does nothing by itself: the test takes each connection and speaks for it."""

    def __init__(self, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
        self._host = host
        self._tls = tls
        self._arrived: asyncio.Queue[Peer] = asyncio.Queue()
        self.accepted = 0
        self._peers: list[Peer] = []
        self._server: asyncio.Server | None = None
        self.port = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._arrived.put_nowait(peer)

    async def __aenter__(self) -> RawUpstream:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls, limit=1 << 24)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for peer in self._peers:
            peer.writer.transport.abort()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def waiting(self) -> int:
        """Connections that came and were not taken by `accept` yet."""
        return self._arrived.qsize()

    async def accept(self) -> Peer:
        """The next connection."""
        return await asyncio.wait_for(self._arrived.get(), PATIENCE)


def split(raw: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """(status, fields as they came, everything behind the head)."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    return int(first.split(b" ", 2)[1]), fields, body


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds; fails after `PATIENCE`."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - conditions are of other processes, whose events reach nobody here
            await asyncio.sleep(0.01)


def post(path: str, body: bytes, *, host: str = "localhost", extra: str = "", close: bool = True) -> bytes:
    """A JSON POST as bytes."""
    ending = "Connection: close\r\n" if close else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{ending}{extra}\r\n"
    )
    return head.encode() + body
