"""Sidecars that keep health in a file, and the clients that go on asking whatever becomes of either."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from healthapi.archive import Archive, Batch
from tests.e2e.pairs import TOKEN
from tests.e2e.world import PATIENCE, ROOT, Detour, client, environment, post, split

FILE = "detour.db"
"""Where a sidecar keeps health that was told nothing: in its working directory."""

TROUBLE = "the store is in trouble"
OVER = "the store takes everything again"

PATHS = {
    "openai": "/openai/v1/chat/completions",
    "gone": "/gone/v1/chat/completions",
    "anthropic": "/anthropic/v1/messages",
}


@contextlib.asynccontextmanager
async def sidecar(
    folder: Path,
    config: dict[str, Any],
    *more: str,
    launcher: Sequence[str] = (),
    env: dict[str, str] | None = None,
) -> AsyncIterator[Detour]:
    """A running Detour with `folder` for its working directory and the store that is the default.

    Ended and looked over at the end, unless the test killed it. `more` are further arguments.
    """
    path = folder / "detour.yaml"
    if not path.exists():
        path.write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        *launcher,
        *(sys.executable, "-m", "proxy.cli", "serve", "-c", str(path)),
        *("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", *more),
        cwd=folder,
        env=environment({"PYTHONPATH": str(ROOT)} | (env or {})),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        limit=1 << 20,
    )
    running = Detour(process)
    killed = False
    try:
        await running.ready()
        yield running
    finally:
        killed = process.returncode == -signal.SIGKILL
        code = await running.stop()
    assert killed or code == 0, running.lines[-20:]
    assert not running.complaints, running.complaints


async def kill(running: Detour) -> None:
    """End it as a crash would."""
    running.process.kill()
    await running.process.wait()


def said(running: Detour, words: str) -> list[dict[str, Any]]:
    """The lines of its log that begin with these words."""
    return [line for line in running.lines if str(line["message"]).startswith(words)]


async def comes(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """What `look` finds, once `holds` says yes to it."""
    found = None
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds(found := await look()):  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"this is how it stayed: {found}") from None
    return found


def body(model: str, provider: str = "openai") -> bytes:
    """A question for a model; what is no ASCII is escaped, so that a name may hold anything."""
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Where to?"}]}
    return json.dumps(asked | ({"max_tokens": 20} if provider == "anthropic" else {})).encode()


async def ask(running: Detour, model: str, provider: str = "openai", times: int = 1) -> list[int]:
    """Ask a model so many times, one after the other; returns the statuses."""
    async with client(running.port) as peer:
        statuses = []
        for _ in range(times):
            await peer.send(post(PATHS[provider], body(model, provider), close=False))
            statuses.append((await peer.answer())[0])
        return statuses


class Load:
    """Clients that ask a model each, again and again on a connection of their own, until they are told to stop."""

    def __init__(self, running: Detour, *models: str, gap: float = 0.01) -> None:
        self.answers: list[tuple[float, str, int]] = []
        """Loop time, model and status of every answer that came whole."""
        self.lost = 0
        """Requests of which the connection ended before the answer did."""
        self._running = running
        self._models = models or ("ok",) * 4
        self._gap = gap
        self._over = False
        self._clients: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._clients = [asyncio.create_task(self._ask(model)) for model in self._models]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._clients)

    async def _ask(self, model: str) -> None:
        loop = asyncio.get_running_loop()
        async with client(self._running.port) as peer:
            while not self._over:
                try:
                    await peer.send(post(PATHS["openai"], body(model), close=False))
                    status, _, _ = await peer.answer()
                except (OSError, EOFError):
                    self.lost += 1
                    return
                self.answers.append((loop.time(), model, status))
                await asyncio.sleep(self._gap)

    @property
    def failed(self) -> list[tuple[float, str, int]]:
        """The answers that are no good."""
        return [answer for answer in self.answers if answer[2] != 200]

    async def more(self, count: int = 50) -> None:
        """Return once so many further answers have come."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(PATIENCE):
            while len(self.answers) < wanted:  # noqa: ASYNC110 - of other tasks
                await asyncio.sleep(0.01)


async def calls(running: Detour, model: str = "ok", provider: str = "openai") -> int:
    """How many calls the record of a model counts; 0 where there is no record."""
    status, found = await running.get(f"/v1/model-health/{provider}/{quote(model, safe='')}")
    assert status in (200, 404), found
    return int(found["call_count"]) if status == 200 else 0


async def history(running: Detour, window: str = "24h", **which: str) -> dict[str, Any]:
    """The document of the history API."""
    asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"window": window, **which}.items())
    status, found = await running.get(f"/v1/model-health/history?{asked}")
    assert status == 200, found
    assert isinstance(found, dict)
    return found


async def health(running: Detour) -> dict[str, Any]:
    """Every record, by provider and model."""
    status, found = await running.get("/v1/model-health?limit=1000")
    assert status == 200, found
    assert found["total"] == len(found["models"])
    return {f"{row['provider']} {row['model']}": row for row in found["models"]}


async def store_check(running: Detour) -> dict[str, Any]:
    """What `/readyz?verbose` says of the store; it is ready, whatever that is."""
    assert (await running.get("/readyz"))[0] == 200
    status, found = await running.get("/readyz?verbose")
    assert status == 200
    return next(check for check in found["checks"] if check["name"] == "store")


async def in_trouble(running: Detour) -> str:
    """What is wrong with the store, once something is."""
    found = await comes(lambda: store_check(running), lambda check: not check["ok"])
    assert await running.metric("detour_store_trouble") == 1
    return str(found["detail"])


async def well_again(running: Detour) -> None:
    """Return once nothing is wrong with the store any more, and nothing waits for it."""
    await comes(lambda: store_check(running), lambda check: bool(check["ok"]))
    await comes(lambda: running.metric("detour_store_waiting"), lambda waiting: waiting == 0)
    assert await running.metric("detour_store_trouble") == 0


async def failures(running: Detour, more: int) -> None:
    """Return once so many further flushes have failed."""

    async def failed() -> float:
        return await running.metric("detour_store_flushes_total", result="failed")

    before = await failed()
    await comes(failed, lambda found: found >= before + more)


async def flushed(running: Detour) -> None:
    """Return once everything that has happened by now is in the file."""

    async def flushes() -> float:
        return await running.metric("detour_store_flushes_total", result="ok")

    before = await flushes()
    await comes(flushes, lambda found: found >= before + 2)


def read(path: Path, question: str) -> list[Any]:
    """Ask the file itself."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def files(folder: Path) -> list[str]:
    """What there is in a directory."""
    return sorted(path.name for path in folder.iterdir())


async def fill(path: Path, batch: Batch, now: float) -> None:
    """Make a file that holds this, as a sidecar would have left it at the Unix time `now`."""
    archive = Archive(str(path))
    await archive.open(now)
    await archive.write(batch)
    await archive.close()


async def act(running: Detour, path: str, token: str = TOKEN) -> tuple[int, Any]:
    """POST to the admin port: (status, document)."""
    async with client(running.admin_port) as peer:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
        await peer.send(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        status, _, document = split(await peer.rest())
        return status, json.loads(document)


async def breaker(running: Detour, name: str) -> dict[str, Any]:
    """A breaker by the name of what it guards."""
    status, found = await running.get(f"/circuit-breakers/{name}")
    assert status == 200, found
    if "circuit_breakers" in found:
        found = found["circuit_breakers"][name]
    assert isinstance(found, dict)
    return found
