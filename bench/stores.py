"""What keeping health costs traffic: the requests of `make bench`, with each kind of store in turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.measure import Bench, Run, saturated
from bench.peers import DETOUR, answering, peer_running
from bench.redisserver import redis_server

MEMORY: Final = "memory"
STORES: Final = (MEMORY, "sqlite", "redis")
"""Nothing outlives the process; a file; a Redis on the core of the load, since in use it is not on Detour's either."""


@contextmanager
def store(bench: Bench, name: str) -> Iterator[str]:
    """The address of an empty store of one kind."""
    if name == "redis":
        with redis_server(bench.folder, bench.load_core) as server:
            yield server.url
    elif name == "sqlite":
        file = bench.folder / "detour.db"
        yield f"sqlite:///{file}"
        for left in bench.folder.glob("detour.db*"):
            left.unlink()
    else:
        yield "memory:"


def requests(bench: Bench, name: str) -> Run:
    """Most requests per second of Detour with one kind of store."""
    with (
        answering(bench.folder, bench.load_core) as upstream,
        store(bench, name) as url,
        peer_running(DETOUR, upstream, bench.folder, bench.peer_core, url) as server,
    ):
        return saturated(bench, server)
