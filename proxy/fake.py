"""The scripted provider: a small HTTP server that speaks the vendors' formats and goes wrong on cue.

What it does is chosen by the model's name: `ok` answers, `fail-503` fails, `stall@after=3` stops after three events;
names that are no script's behave as `ok`. docs/scripted-provider.md lists them all. It is raw asyncio rather than a
web framework, since half of what it is for no framework would let through, and it is a witness: `log` holds every
request byte for byte, and when the client's end closed.

As a process: `python -m proxy.fake --port 0 [--log FILE]` prints its URL.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

import msgspec
import uvloop

from proxy import fake_breaches, fake_refusals, fake_turns
from proxy.fake_connection import Connection
from proxy.fake_conversation import Conversation
from proxy.fake_errors import Problem
from proxy.fake_faults import Act, Fault, find
from proxy.fake_script import Script, ScriptError
from proxy.fake_seen import Ended, Seen

__all__ = ["Conversation", "Ended", "FakeProvider", "Fault", "Script", "Seen", "main"]

REGISTERING = (fake_refusals, fake_breaches, fake_turns)
"""Imported for the scripts they register."""

SCRIPT_HEADER = b"x-fake-script"


class FakeProvider:
    """A scripted provider on one port of this event loop.

    Args:
        host: address to listen on.
        port: port to listen on; 0 for any free one, found in `port` after `start`.
        models: model names that behave as a script: `{"llama-3.3-70b": "flaky@every=5"}`.
        tls: serve TLS with this context.
        keep: most body bytes kept of a request that has ended; all are counted.
        most: most entries of the log; when it is full its older half is dropped.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        models: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        keep: int = 64 << 20,
        most: int = 100_000,
    ) -> None:
        """Prepare a provider; `start` makes it listen."""
        self.host = host
        self.port = port
        self.keep = keep
        self.models = dict(models or {})
        self.offered = ["ok", "stall"]
        """The models that its list of them names."""
        self.scripts: dict[str, Act | Fault] = {}
        """Scripts of a test's own, by model name or header; they win over the registered ones."""
        self.log: list[Seen] = []
        self.counts: Counter[str] = Counter()
        """Requests by script, as it was written."""
        self.memory: dict[tuple[str, str], Any] = {}
        """What scripts remember between requests, by script and model."""
        self.requests = 0
        self.connections = 0
        """Connections accepted so far."""
        self.open: set[Connection] = set()
        self.mistakes: list[str] = []
        """What the clients sent that is not HTTP."""
        self.on_ended: Callable[[Seen], None] | None = None
        self._most = most
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._errors: list[Exception] = []

    async def start(self) -> FakeProvider:
        """Listen. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), self.host, self.port, ssl=self._tls, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Close everything. Raises an ExceptionGroup of what went wrong inside scripts."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.stop()
        await self.until(lambda: not self.open)
        if self._errors:
            errors, self._errors = self._errors, []
            raise ExceptionGroup("scripts of the scripted provider failed", errors)

    async def __aenter__(self) -> FakeProvider:
        """Start."""
        return await self.start()

    async def __aexit__(self, *_exc: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def url(self) -> str:
        """The origin, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self._tls else ''}://{host}:{self.port}"

    @property
    def busy(self) -> list[Seen]:
        """Requests that have not come to their end yet."""
        return [seen for seen in self.log if seen.ended is Ended.OPEN]

    async def until(self, condition: Callable[[], bool], seconds: float = 5.0) -> None:
        """Return once `condition` holds, which is looked at every millisecond.

        Raises:
            TimeoutError: it did not come to hold within `seconds`.
        """
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - conditions are anything a test can see, not events
                await asyncio.sleep(0.001)

    # What connections tell.

    def accepted(self, connection: Connection) -> int:
        """Take note of a connection and return its number."""
        self.open.add(connection)
        self.connections += 1
        return self.connections

    def lost(self, connection: Connection) -> None:
        """Take note of a connection's end."""
        self.open.discard(connection)

    def add(self, seen: Seen) -> int:
        """Log a request and return its number."""
        self.requests += 1
        if len(self.log) >= self._most:
            del self.log[: self._most // 2]
        self.log.append(seen)
        return self.requests

    def ended(self, seen: Seen) -> None:
        """Take note that a request came to its end."""
        del seen.received[self.keep :]
        if self.on_ended is not None:
            self.on_ended(seen)

    def malformed(self, why: str) -> None:
        """Take note of bytes that are not HTTP."""
        self.mistakes.append(why)

    def at_head(self, seen: Seen) -> bool:
        """Say whether the script a header names wants to run before the body has come."""
        named = seen.header(SCRIPT_HEADER)
        return named is not None and self._find(named.decode("latin-1"))[1].at_head

    def run(self, conversation: Conversation) -> None:
        """Choose the script and start it."""
        seen = conversation.seen
        named = seen.header(SCRIPT_HEADER)
        seen.script = seen.model if named is None else named.decode("latin-1")
        seen.script = self.models.get(seen.script, seen.script)
        self.counts[seen.script] += 1
        conversation.asked.script, fault = self._find(seen.script)
        conversation.asked.offered = tuple(self.offered)
        try:
            work = fault.act(conversation)
        except Exception as error:
            self._failed(conversation, error)
            return
        if work is not None:
            conversation.spawn(work, self._failed)

    def _find(self, text: str) -> tuple[Script, Fault]:
        own = self.scripts.get(text)
        if own is not None:
            return Script(text), own if isinstance(own, Fault) else Fault(own)
        try:
            return find(text)
        except ScriptError as error:
            wrong = Problem(400, "fake_script_error", None, str(error))
            return Script("ok"), Fault(lambda talk: fake_refusals.refuse(talk, wrong))

    def _failed(self, conversation: Conversation, error: BaseException | None) -> None:
        if isinstance(error, Exception):
            self._errors.append(error)
            conversation.reset()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a scripted provider as a process until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m proxy.fake", description="A scripted LLM provider for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="write one JSON line per request to this file; - is standard output")
    parser.add_argument("--keep", type=int, default=65_536, help="most body bytes kept of a request")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=SCRIPT", help="a model's script")
    parser.add_argument("--offer", action="append", metavar="NAME", help="a model that the list of models names")
    given = parser.parse_args(arguments)
    models = dict(entry.partition("=")[::2] for entry in given.model)
    provider = FakeProvider(given.host, given.port, models=models, keep=given.keep, most=1000)
    provider.offered = given.offer or provider.offered
    with contextlib.ExitStack() as files:
        if given.log == "-":
            provider.on_ended = _writer(sys.stdout)
        elif given.log is not None:
            provider.on_ended = _writer(files.enter_context(open(given.log, "a", encoding="utf-8")))
        uvloop.run(_serve(provider))
    return 0


async def _serve(provider: FakeProvider) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with provider:
        print(provider.url, flush=True)
        await stopping.wait()


def _writer(file: TextIO) -> Callable[[Seen], None]:
    def write(seen: Seen) -> None:
        file.write(msgspec.json.encode(seen.document()).decode() + "\n")
        file.flush()

    return write


if __name__ == "__main__":
    sys.exit(main())
