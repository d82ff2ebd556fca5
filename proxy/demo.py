"""`detour demo`: see it work with no key and no network.

Scripted providers that fail on cue run in this process, the real `detour serve` as a child of it with a configuration
made for the occasion, and traffic goes through it until Ctrl-C or for `--seconds`. The table shows nothing but what
the child's admin port says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import aiohttp
import msgspec
import uvloop

from proxy.demo_events import Story
from proxy.demo_lanes import LANES, Lane, client, configuration, drive, shown
from proxy.demo_table import Said, elsewhere, introduction, printable, table
from proxy.fake import FakeProvider

STARTING: Final = 20.0
"""Seconds the child has to come up."""
STOPPING: Final = 10.0
"""Seconds the child has to go away before it is killed."""
EACH_LINE: Final = 5.0
"""Seconds between two tables where there is no terminal."""
EACH_FRAME: Final = 1.0
"""Seconds between two tables on a terminal."""


def run(seconds: float | None = None, out: TextIO | None = None) -> int:
    """Run the demo for `seconds`, or until Ctrl-C; returns the exit status: 0, or 1 when Detour could not run."""
    return uvloop.run(_demo(seconds, sys.stdout if out is None else out, LANES))


async def _demo(seconds: float | None, out: TextIO, lanes: Sequence[Lane]) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with contextlib.AsyncExitStack() as stack:
        urls = {}
        for lane in lanes:
            fake = FakeProvider(models={lane.model: lane.script}, keep=0, most=1000)
            urls[lane.provider] = (await stack.enter_async_context(fake)).url
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="detour-demo-"))
        child = Child()
        stack.push_async_callback(child.stop)
        if not await child.start(_write(Path(folder), configuration(urls, lanes))):
            print("Detour did not start:\n" + child.last_words(), file=out, flush=True)
            return 1
        print(introduction(child.proxy, child.admin, len(lanes)), file=out, flush=True)
        session = await stack.enter_async_context(client())
        await _traffic(session, child, stopping, seconds, out, lanes)
        if child.ended:
            print("Detour ended by itself:\n" + child.last_words(), file=out, flush=True)
            return 1
    return 0


def _write(folder: Path, configured: dict[str, Any]) -> Path:
    path = folder / "detour.yaml"
    path.write_bytes(msgspec.json.encode(configured))  # JSON is YAML
    return path


async def _traffic(
    session: aiohttp.ClientSession,
    child: Child,
    stopping: asyncio.Event,
    seconds: float | None,
    out: TextIO,
    lanes: Sequence[Lane],
) -> None:
    """Keep traffic and table going until told to stop, the time is over or the child has ended."""
    story = Story()
    screen = Screen(out, session, child.admin, lanes, story)
    work = [asyncio.create_task(drive(session, child.proxy, lane)) for lane in lanes]
    work += [asyncio.create_task(story.follow(session, child.admin)), asyncio.create_task(screen.keep_drawing())]
    ends = [asyncio.create_task(stopping.wait()), asyncio.create_task(child.wait())]
    try:
        done, _ = await asyncio.wait([*ends, *work], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*ends, *work):
            task.cancel()
        await asyncio.gather(*ends, *work, return_exceptions=True)
    if not child.ended:
        await screen.draw()


class Child:
    """The `detour serve` under demonstration, in a session of its own so that Ctrl-C is ours to pass on."""

    def __init__(self) -> None:
        self.proxy = ""
        self.admin = ""
        self._process: asyncio.subprocess.Process | None = None
        self._lines: deque[str] = deque(maxlen=20)
        self._reading: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._process is None or self._process.returncode is not None

    async def start(self, path: Path) -> bool:
        """Start it with a configuration file; returns whether it serves."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DETOUR_")}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy.cli", "serve", "-c", str(path)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._reading = asyncio.create_task(self._read())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), STARTING)
        return bool(self.proxy)

    async def wait(self) -> None:
        """Wait for its end."""
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that is not enough."""
        if self._process is not None and not self.ended:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOPPING)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        if self._reading is not None:
            await self._reading

    def last_words(self) -> str:
        """Return the last lines it wrote."""
        return "\n".join("  " + printable(line) for line in self._lines)

    async def _read(self) -> None:
        """Read what it logs, for as long as it lives: where it listens, and what to show if it dies."""
        stream = self._process.stderr if self._process is not None else None
        while stream is not None and (line := await _line(stream)) is not None:
            self._lines.append(line.rstrip())
            if not self.proxy:
                self._listens(line)
        self._ready.set()

    def _listens(self, line: str) -> None:
        try:
            said = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if isinstance(said, dict) and {"proxy", "admin"} <= said.keys():
            self.proxy, self.admin = str(said["proxy"]), str(said["admin"])
            self._ready.set()


async def _line(stream: asyncio.StreamReader) -> str | None:
    """Return the next line; "" in place of one that is too long, None at the end."""
    try:
        raw = await stream.readline()
    except ValueError:
        return ""
    return raw.decode("utf-8", "replace") if raw else None


class Screen:
    """The table and what breakers did last: drawn over itself on a terminal, printed every few seconds elsewhere."""

    def __init__(
        self, out: TextIO, session: aiohttp.ClientSession, admin: str, lanes: Sequence[Lane], story: Story
    ) -> None:
        self._out = out
        self._session = session
        self._admin = admin
        self._story = story
        self._shows = shown(lanes)
        self._terminal = out.isatty()
        self._colours = self._terminal and "NO_COLOR" not in os.environ
        self._drawn = 0

    async def keep_drawing(self) -> None:
        """Draw for ever."""
        while True:
            await asyncio.sleep(EACH_FRAME if self._terminal else EACH_LINE)
            await self.draw()

    async def draw(self) -> None:
        """Ask the admin port and draw what it says; a port that does not answer leaves the last table as it is."""
        try:
            said = await self._ask()
        except (aiohttp.ClientError, TimeoutError):
            return
        width = shutil.get_terminal_size((200, 50)).columns - 1 if self._terminal else 200
        lines = table(said, self._shows, width=width, colours=self._colours)
        lines += [printable(line)[:width] for line in ("", *self._story.lines)]
        if self._terminal and self._drawn:
            self._out.write(f"\x1b[{self._drawn}F\x1b[J")
        print(*lines, *([] if self._terminal else [""]), sep="\n", file=self._out, flush=True)
        self._drawn = len(lines)

    async def _ask(self) -> Said:
        rows = msgspec.json.decode(await self._get("/health/models"))["data"]
        return Said(
            system=msgspec.json.decode(await self._get("/health/system")),
            records=msgspec.json.decode(await self._get("/v1/model-health?limit=1000"))["models"],
            live={(str(row["provider"]), str(row["model_id"])): str(row["status"]) for row in rows},
            breakers=msgspec.json.decode(await self._get("/circuit-breakers"))["circuit_breakers"],
            elsewhere=elsewhere((await self._get("/metrics")).decode()),
        )

    async def _get(self, path: str) -> bytes:
        async with self._session.get(self._admin + path) as answer:
            return await answer.read()
