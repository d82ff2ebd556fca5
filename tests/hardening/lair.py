"""A Detour whose every secret is a canary, between callers that send canaries and providers that repeat what they hear.

Whatever it writes is kept: standard output and error, answers, what the store got, what alert channels were sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.e2e.world import PATIENCE, ROOT, environment, split
from tests.hardening.canaries import Canary

WILLS: Final = (
    *(
        "ok",
        "echo-401",
        "echo-403",
        "echo-402",
        "echo-500",
        "echo-429",
        "echo-bare",
        "echo-html",
        "echo-text",
        "echo-field",
        "echo-json",
    ),
    *("echo-sse", "echo-sse-first", "redirect", "echo-status", "echo-garbage", "echo-half", "echo-chunk", "gone"),
)
"""What a provider does when it is told to in `X-Will`; what begins with `echo` repeats the whole request."""


def secrets() -> dict[str, Canary]:
    """A canary for each place that a secret can be in."""
    values = {
        "caller bearer": "sk-proj-Kx81QwLm3Vt9Kp2Hs6BearerZz",
        "caller x-api-key": "sk-ant-Wd52Np8Rf4Tq7Lc1XapiZz",
        "caller goog key": "AIzaGt83Kd9Lm2Xq7Vb5Rn1Googkey0",
        "caller query key": "AIzaYb47Mh2Qs9Wd6Fk3Query/+key=1",
        "caller cookie": "sessCz64Vn8Jt3Lp7Rw2Cookie",
        "caller basic": "dXNlcjpQbTM4VGs1Tng5QmFzaWM0Zz",
        "caller wordy key": "team-alpha-production-gateway-orchid",
        "caller proxy password": "Hq29Xv7Lk4Bm8ProxyAuth1c",
        "caller protocol": "sk-Fj75Rw3Tn8Pd2Subproto6k",
        "own key by value": "sk-own-Lz93Vq5Kn8Wt2ByValue7d",
        "own key by variable": "sk-ant-own-Rb46Xm9Tk3ByVariable1q",
        "own key by file": "AIza-own-Dn71Kw4Vs8Lp2ByFile9x",
        "own key in the query": "Qy58Tn3Xb7Mk2/ownquery+=Zr6w",
        "own header": "Hv37Lk9Wq4Np6HeaderToken2s",
        "own proxy password": "Px84Mn2Tv6Kd9Egress/5t",
        "admin token": "Ad62Kv8Ln3Xq7AdminToken4w",
        "wrong admin token": "Wr15Tn9Kb4Vm8WrongToken6d",
        "client token": "Cl93Xk5Qn7Tw2ClientToken8v",
        "redis password": "Rd47Vn6Kt3Lw9RedisPass2x",
        "slack path": "T0Sl58/B0Kn4/Sv72Xq6SlackHook",
        "webhook path": "Wh36Tn8Kv5Lq2WebhookPath4d",
        "webhook secret": "Hs91Kx4Vn7Tq3HmacSecret6w",
        "mail password": "Ml64Vt2Kn9Xw5MailPass/8q",
        "sentry key": "fe83a1c94d7b2056e1f8c3a7",
    }
    return {name: Canary(name, value) for name, value in values.items()}


class Parrot:
    """A provider's server: does what `X-Will` asks for and repeats all it was told. `heard` is every byte of that."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.said = 0
        self.port = 0
        self.elsewhere = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Parrot:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: *([0-9]+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                self.heard += head + body
                self.said += 1
                will = re.search(rb"(?i)x-will: *([a-z0-9-]+)", head)
                last = self._answer(writer, will[1].decode() if will else "ok", head.decode("latin-1"))
                await writer.drain()
                if last:
                    break
        writer.close()

    def _answer(self, writer: asyncio.StreamWriter, will: str, head: str) -> bool:
        """Answer; returns whether the connection ends then."""
        message = f"Incorrect API key provided. You sent: {' | '.join(head.splitlines())}"
        flat = re.sub(r"[^\x20-\x7e]", " ", message)
        error = {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}
        if status := re.fullmatch(r"echo-([0-9]{3})", will):
            writer.write(_framed(int(status[1]), json.dumps(error), f"Retry-After: 1\r\nX-Debug: {flat}\r\n"))
        elif will == "echo-bare":
            said = re.findall(r"(?i)^(?:authorization|x-api-key|x-goog-api-key|x-lab-token):.*?(\S+)\r?$", head, re.M)
            said += re.findall(r"[?&]key=([^ &]+)", head)
            writer.write(_framed(500, json.dumps({"error": {"message": f"{' and '.join(said)} will not do here"}})))
        elif will == "echo-html":
            writer.write(_framed(503, f"<html><title>{message}</title>{message}</html>", kind="text/html"))
        elif will == "echo-text":
            writer.write(_framed(500, message, kind="text/plain"))
        elif will == "echo-field":
            fields = f'WWW-Authenticate: Bearer realm="{flat}"\r\nSet-Cookie: k={flat}\r\nRetry-After: {flat}\r\n'
            writer.write(_framed(401, json.dumps(error), fields))
        elif will == "echo-json":
            writer.write(_framed(200, json.dumps(error)))
        elif will in ("echo-sse", "echo-sse-first"):
            first = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n' if will == "echo-sse" else ""
            text = f"{first}event: error\ndata: {json.dumps(error)}\n\n"
            writer.write(_framed(200, text, kind="text/event-stream"))
        elif will == "redirect":
            writer.write(_framed(307, "", f"Location: {self.elsewhere}{head.split(' ')[1]}\r\n"))
        elif will == "echo-status":
            writer.write(f"HTTP/1.1 500 {flat}\r\nContent-Length: 0\r\n\r\n".encode())
        elif will == "echo-garbage":
            writer.write(f"{flat}\r\nHTTP/1.1 200 OK\r\n{flat}\x00: {flat}\r\n\r\n".encode())
            return True
        elif will == "echo-half":
            writer.write(_framed(200, json.dumps(error))[:-9])
            return True
        elif will == "echo-chunk":
            writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{flat}\r\n".encode())
            return True
        elif will == "gone":
            return True
        else:
            writer.write(
                _framed(200, json.dumps({"id": "x", "choices": [{"message": {"content": "yes"}}], "data": []}))
            )
        return False


def _framed(status: int, body: str, fields: str = "", kind: str = "application/json") -> bytes:
    raw = body.encode()
    return (
        f"HTTP/1.1 {status} Well\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\n{fields}\r\n".encode(
            "latin-1"
        )
        + raw
    )


_SERVING: Final = re.compile(rb"proxy\W+https?://127\.0\.0\.1:([0-9]+)\W+admin\W+https?://127\.0\.0\.1:([0-9]+)\W")
"""The line that says where it listens, as text or as JSON."""


class Lair:
    """The running process, and all it has written so far: `answers` of its own by what was asked."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.answers: dict[str, bytes] = {}
        self.port = self.admin = 0

    @property
    def written(self) -> bytes:
        """Standard output and standard error."""
        return (self.folder / "out").read_bytes() + (self.folder / "err").read_bytes()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log."""
        return [json.loads(line) for line in (self.folder / "err").read_bytes().splitlines()]

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while not (found := _SERVING.search(self.written)):
                assert self.process.returncode is None, self.written
                await asyncio.sleep(0.05)
        self.port, self.admin = int(found[1]), int(found[2])

    async def said(self, words: str, times: int = 1) -> None:
        """Wait for so many lines of the log that begin so."""
        async with asyncio.timeout(PATIENCE):
            while sum(line["message"].startswith(words) for line in self.lines) < times:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def lair(folder: Path, config: dict[str, Any], env: dict[str, str]) -> AsyncIterator[Lair]:
    """Start it with the file `detour.yaml` in `folder`; ended by SIGTERM."""
    (folder / "detour.yaml").write_text(yaml.safe_dump(config))
    arguments = ["serve", "-c", "detour.yaml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "default", "-m", "proxy.cli", *arguments),
            cwd=folder,
            env=environment({"PYTHONPATH": str(ROOT)} | env),
            stdout=out,
            stderr=err,
        )
    running = Lair(process, folder)
    try:
        await running.ready()
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), PATIENCE)
    assert code == 0, running.written[-4000:]


def status_of(raw: bytes) -> int:
    """The status of an answer, 0 where there is none."""
    return split(raw)[0] if raw.startswith(b"HTTP/") else 0
