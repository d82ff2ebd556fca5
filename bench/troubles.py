"""Requests while the shared store is in trouble: each trouble comes and goes while latency is measured.

Every run has two halves of the same length in the same process, one without and one with the trouble; what they differ
by is what the trouble costs traffic. Where nothing is done in either half one sees what they differ by anyway.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import msgspec
from msgspec import Struct

from bench.children import BenchError, free_port, running
from bench.measure import Bench, Run, steady
from bench.peers import DETOUR, answering, peer_running
from bench.redisserver import PATIENCE, RedisServer, redis_server

COMES: Final = 1.5
"""Seconds after the load was to be warm; the load program takes some of them to start."""

LASTS: Final = 3.0
"""Seconds of trouble."""

LOOK: Final = 2.0
"""Seconds into the trouble at which Detour is asked whether it knows."""

AFTER: Final = 2.5
"""Seconds of requests after it has gone: what waited is told then."""


class Scene(Struct, frozen=True):
    """What trouble is made with. `way` is the process of the slow way to the server, where there is one."""

    server: RedisServer
    way: int = 0


class Trouble(Struct, frozen=True):
    """What is done, and how it is undone. `known`: Detour has to say that something is wrong."""

    comes: Callable[[Scene], object]
    goes: Callable[[Scene], object]
    known: bool = True


def _nothing(scene: Scene) -> None:
    """Leave it alone."""


def _limit(size: int) -> Callable[[Scene], object]:
    return lambda scene: scene.server.ask("CONFIG", "SET", "maxmemory", size)


NONE: Final = "none"
DOWN: Final = "down at start"
SLOW: Final = "a second slow"
TROUBLES: Final = {
    NONE: Trouble(_nothing, _nothing, known=False),
    DOWN: Trouble(_nothing, lambda scene: scene.server.start()),
    "killed": Trouble(lambda scene: scene.server.kill(), lambda scene: scene.server.start()),
    "frozen": Trouble(lambda scene: scene.server.freeze(), lambda scene: scene.server.thaw()),
    SLOW: Trouble(lambda scene: os.kill(scene.way, signal.SIGUSR1), lambda scene: os.kill(scene.way, signal.SIGUSR2)),
    "flushed": Trouble(lambda scene: scene.server.ask("FLUSHALL"), _nothing, known=False),
    "out of memory": Trouble(_limit(1), _limit(0)),
}
"""In the order in which they are had."""


def latency(bench: Bench, name: str) -> Run:
    """Requests at a fixed rate without a trouble and with it."""
    trouble = TROUBLES[name]
    seconds = COMES + LASTS + AFTER
    with ExitStack() as stack:
        upstream = stack.enter_context(answering(bench.folder, bench.load_core))
        server = stack.enter_context(redis_server(bench.folder, bench.load_core, started=name != DOWN))
        scene, port = Scene(server), server.port
        if name == SLOW:
            port, way = stack.enter_context(_way(bench, port))
            scene = Scene(server, way)
        url = f"redis://127.0.0.1:{port}"
        detour = stack.enter_context(peer_running(DETOUR, upstream, bench.folder, bench.peer_core, url))
        before = None if name == DOWN else steady(bench, detour, seconds)
        course = Course(trouble, scene, detour.admin, bench.plan.warm + COMES)
        with course:
            troubled = steady(bench, detour, seconds)
        undisturbed = before or steady(bench, detour, seconds)
        kept = server.keys()
    if trouble.known != bool(course.said):
        raise BenchError(f"{name}: the trouble was not what it was meant to be: {course.said or 'nobody saw it'}")
    return {"undisturbed": undisturbed, "troubled": troubled, "said": course.said, "keys": kept}


class Course(threading.Thread):
    """A trouble that comes and goes while the body of a `with` runs."""

    def __init__(self, trouble: Trouble, scene: Scene, admin: int, wait: float) -> None:
        """Let it come after `wait` seconds; Detour is asked on its port `admin`."""
        super().__init__()
        self._trouble = trouble
        self._scene = scene
        self._admin = admin
        self._wait = wait
        self._failed: Exception | None = None
        self.said = ""
        """What Detour said is wrong, empty for nothing."""

    def run(self) -> None:
        """Come, look, go."""
        try:
            time.sleep(self._wait)
            self._trouble.comes(self._scene)
            time.sleep(LOOK)
            self.said = _store_check(self._admin)
            time.sleep(LASTS - LOOK)
            self._trouble.goes(self._scene)
        except Exception as error:  # whatever it was, the one who waits is to have it
            self._failed = error

    def __enter__(self) -> None:
        """Begin."""
        self.start()

    def __exit__(self, *_: object) -> None:
        """Wait for its end."""
        self.join()
        if self._failed is not None:
            raise BenchError(f"trouble could not be made: {self._failed}") from self._failed


def _store_check(admin: int) -> str:
    """What Detour says is wrong with its store; empty when nothing is."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz?verbose", timeout=PATIENCE) as answer:
        checks = msgspec.json.decode(answer.read())["checks"]
    found = next(check for check in checks if check["name"] == "store")
    return "" if found["ok"] else str(found["detail"])


@contextmanager
def _way(bench: Bench, port: int) -> Iterator[tuple[int, int]]:
    """The way to a server that can be made slow: its port and its process id."""
    here = free_port()
    command = [sys.executable, "-m", "bench.load.slow", "--port", str(here), "--to", str(port)]
    with running(command, core=bench.load_core, port=here, log=bench.folder / "slow.out") as pids:
        yield here, pids[0]
