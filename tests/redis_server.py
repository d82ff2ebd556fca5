"""Real Redis servers on the loopback: one, three as a Cluster, a master with its replica and a Sentinel.

Their data lie in a folder of the test's. Each is ended by its own process id. Without a server on the machine the tests
that want one fail: `make test` installs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PROGRAM: Final = shutil.which("redis-server") or shutil.which("valkey-server")
SERVICE: Final = "store"
"""What the Sentinel calls the master it watches."""

PATIENCE: Final = 30.0
SLOTS: Final = 16384


def eventually(holds: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until something is true, and give it back. A server that changes its part drops its clients meanwhile."""
    end = time.monotonic() + seconds
    while True:
        found = None
        with contextlib.suppress(redis.ConnectionError):
            found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One server process on one port of the loopback, with options by their names in redis.conf, `_` for `-`."""

    def __init__(self, folder: Path, *, sentinel: bool = False, **options: str | int) -> None:
        if PROGRAM is None:
            pytest.fail("no redis-server on the PATH: install it (Debian, Ubuntu: apt-get install redis-server)")
        self.port = free_port()
        self.folder = folder / str(self.port)
        self.folder.mkdir(parents=True)
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.options: dict[str, str | int] = {"save": '""', "appendonly": "no", "repl_diskless_sync_delay": 0}
        if sentinel:
            self.options = {}
        self.options |= {"bind": "127.0.0.1", "dir": str(self.folder), **options}
        if "tls_cert_file" in options:
            self.options |= {"port": 0, "tls_port": self.port}
        else:
            self.options["port"] = self.port
        if "cluster_enabled" in options:
            self.options["cluster_port"] = free_port()  # else it is 10000 further up, where there may be none
        self.lines: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> RedisServer:
        file = self.folder / "redis.conf"
        if not (self._sentinel and file.exists()):  # a Sentinel keeps what it knows in this file
            lines = [f"{name.replace('_', '-')} {value}" for name, value in self.options.items()]
            file.write_text("\n".join([*lines, *self.lines]) + "\n")
        assert PROGRAM is not None
        command = [PROGRAM, str(file), *(["--sentinel"] if self._sentinel else [])]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers, f"redis-server on port {self.port} answers: {self.log[-2000:]}")
        return self

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def client(self) -> redis.Redis:
        """A client for the test itself, to be closed; it knows the password and trusts any certificate."""
        password = self.options.get("requirepass")
        tls = {"ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False} if "tls_port" in self.options else {}
        return redis.Redis(
            port=self.port,
            password=None if password is None else str(password),
            socket_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),
            **tls,  # type: ignore[arg-type]
        )

    def command(self, *words: Any) -> Any:
        """What the server answers to one command, sent as it is."""
        with contextlib.closing(self.client()) as client:
            connection = client.connection_pool.get_connection()
            connection.send_command(*words)
            answer = connection.read_response()
            client.connection_pool.release(connection)
            return answer

    def stop(self) -> None:
        """End it, whatever state it is in."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it with no chance to say or write anything."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-2000:]
        try:
            return bool(self.command("PING"))
        except (redis.ConnectionError, redis.TimeoutError):
            return False


@contextlib.contextmanager
def redis_server(folder: Path, **options: str | int) -> Iterator[RedisServer]:
    """One server."""
    server = RedisServer(folder, **options)
    try:
        yield server.start()
    finally:
        server.stop()


@contextlib.contextmanager
def redis_cluster(folder: Path, **options: str | int) -> Iterator[list[RedisServer]]:
    """Three masters with a third of the slots each, all of which know it."""
    options = {"cluster_enabled": "yes", "cluster_node_timeout": 2000, **options}
    servers = [RedisServer(folder, **options) for _ in range(3)]
    try:
        for server in servers:
            server.start()
        for place, server in enumerate(servers):
            first, end = place * SLOTS // 3, (place + 1) * SLOTS // 3
            server.command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            for other in servers:
                if other is not server:
                    bus = other.options["cluster_port"]
                    server.command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        for server in servers:
            eventually(lambda server=server: _whole(server), "the cluster is whole")
        yield servers
    finally:
        for server in servers:
            server.stop()


def _whole(server: RedisServer) -> bool:
    covered = sum(last - first + 1 for first, last, *_ in server.command("CLUSTER", "SLOTS"))
    return covered == SLOTS and b"cluster_state:ok" in server.command("CLUSTER", "INFO")


@contextlib.contextmanager
def redis_sentinel(folder: Path, **options: str | int) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its replica, and a Sentinel that calls them `SERVICE` and knows both."""
    master = RedisServer(folder, **options)
    replica = RedisServer(folder, replicaof=f"127.0.0.1 {master.port}", **options)
    sentinel = RedisServer(folder, sentinel=True)
    sentinel.lines = [
        f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1",
        f"sentinel down-after-milliseconds {SERVICE} 500",
        f"sentinel failover-timeout {SERVICE} 3000",
    ]
    if password := options.get("requirepass"):
        master.options["masterauth"] = replica.options["masterauth"] = password
        sentinel.lines.append(f"sentinel auth-pass {SERVICE} {password}")
    servers = (master, replica, sentinel)
    try:
        for server in servers:
            server.start()
        eventually(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "the replica follows")
        eventually(
            lambda: len(sentinel.command("SENTINEL", "REPLICAS", SERVICE)) == 1, "the Sentinel knows the replica"
        )
        yield servers
    finally:
        for server in servers:
            server.stop()
