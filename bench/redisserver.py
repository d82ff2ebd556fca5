"""A Redis of the benchmark's own: on one core, on the loopback, keeping nothing on disk."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from bench import children
from bench.children import BenchError, free_port

PATIENCE = 5.0
"""Seconds that an answer to a question of the benchmark's may take."""


class RedisServer:
    """One server process that can be troubled; `port` stays the same for its whole life."""

    def __init__(self, folder: Path, core: int) -> None:
        """Nothing is started yet."""
        self.port = free_port()
        self._folder = folder
        self._core = core
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address as `store:` takes it."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty."""
        program = shutil.which("redis-server")
        if program is None:
            raise BenchError("redis-server is not installed")
        log = self._folder / f"redis-{self.port}.out"
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self._folder}
        command = [program, *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
        self._child = children.start(command, core=self._core, log=log)
        children.wait(self._child, self.port, log)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        child, self._child = self._child, None
        if child is not None:
            os.kill(child.pid, signal.SIGCONT)
            children.end(child)

    def kill(self) -> None:
        """End it without a word."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def ask(self, *words: str | int) -> Any:
        """What it answers to one command. Raises redis.RedisError."""
        with contextlib.closing(redis.Redis(port=self.port, socket_timeout=PATIENCE)) as client:
            return client.execute_command(*words)

    def keys(self) -> int:
        """How many keys it holds."""
        return int(self.ask("DBSIZE"))

    def _signal(self, number: int) -> None:
        if self._child is not None:
            os.kill(self._child.pid, number)


@contextmanager
def redis_server(folder: Path, core: int, *, started: bool = True) -> Iterator[RedisServer]:
    """A server that is ended afterwards."""
    server = RedisServer(folder, core)
    try:
        if started:
            server.start()
        yield server
    finally:
        server.stop()
