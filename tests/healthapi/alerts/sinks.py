"""Real places for messages to go to: an HTTP server and a mail server on the loopback, which take them or do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from config.alerts import Severity
from healthapi.alerts.message import Message, State

PATIENCE = 20.0


class Posted:
    """One request that came."""

    def __init__(self, request: web.Request, body: bytes) -> None:
        self.path = request.raw_path
        self.headers = request.headers
        self.body = body

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class HttpSink:
    """Takes POSTs. `answers` are the statuses to come, the last one for good; `silent`: no answer at all."""

    def __init__(self) -> None:
        self.posted: list[Posted] = []
        self.answers: list[int] = [200]
        self.headers: dict[str, str] = {}
        self.silent = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def documents(self) -> list[dict[str, Any]]:
        """What came, decoded, in its order."""
        return [one.document for one in self.posted]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.posted.append(Posted(request, await request.read()))
        while self.silent:  # noqa: ASYNC110 - until the test says otherwise, or the client leaves
            await asyncio.sleep(0.01)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers=self.headers)


@contextlib.asynccontextmanager
async def http_sink() -> AsyncIterator[HttpSink]:
    """One that listens."""
    sink = HttpSink()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", sink._answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sink.port = runner.addresses[0][1]
    try:
        yield sink
    finally:
        sink.silent = False
        await runner.cleanup()


class MailSink:
    """Takes mail. `answers` are what it says to each command, by its verb, where that is not the usual."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.answers: dict[str, str] = {}
        self.silent = False
        self.port = 0
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            await reader.read(-1)
            return
        writer.write(b"220 sink ESMTP\r\n")
        while line := await reader.readline():
            command = line.decode().strip()
            self.commands.append(command)
            verb = command.partition(" ")[0].upper()
            usual = {"EHLO": "250-sink\r\n250 AUTH PLAIN", "DATA": "354 go on", "QUIT": "221 bye", "AUTH": "235 ok"}
            said = self.answers.get(verb, usual.get(verb, "250 ok"))
            writer.write(f"{said}\r\n".encode())
            if verb == "DATA" and said.startswith("354"):
                mail = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(mail[:-3])
                writer.write(b"250 taken\r\n")
            if verb == "QUIT":
                await writer.drain()
                break


@contextlib.asynccontextmanager
async def mail_sink() -> AsyncIterator[MailSink]:
    """One that listens."""
    sink = MailSink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in sink.tasks:
            task.cancel()
        await asyncio.gather(*sink.tasks, return_exceptions=True)


async def until(holds: Any, what: str = "") -> None:
    """Wait until something is true."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - a server is looked at
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


def message(**changes: Any) -> Message:
    made: dict[str, Any] = {
        "rule": "provider_offline",
        "state": "firing",
        "severity": "critical",
        "subject": "groq",
        "value": 72.5,
        "threshold": 80.0,
        "message": "groq is offline",
        "since": 1_767_225_600.0,
        "fleet": "default",
        "instance": "a1b2",
        "id": "0123456789abcdef",
        "key": "0123456789abcdef-1",
        "at": 1_767_225_720.25,
    }
    made |= changes
    return Message(**{**made, "state": State(made["state"]), "severity": Severity(made["severity"])})
