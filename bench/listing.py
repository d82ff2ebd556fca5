"""The health list when there are many targets: how long its first page takes, and what asking for it costs traffic."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Final

import msgspec

from bench.children import BenchError
from bench.measure import Bench, Load, Run, steady, wrk
from bench.peers import Server, answering

PAGE: Final = "/v1/model-health"
LOOKS: Final = 40


def listed(bench: Bench, name: str) -> Run:
    """All targets called, the first page asked for; then asked for each second while requests are served.

    It is asked for at once, while the store writes down ten thousand targets, and again once it has.
    """
    targets = bench.plan.list_targets
    with (
        answering(bench.folder, bench.load_core) as upstream,
        bench.server(name, upstream, groups=targets // 2) as server,
    ):
        spare = msgspec.structs.replace(server, path=server.path.replace("bench", "spare", 1))
        _call_all(bench, (server, spare), targets)
        at_once = _looks(bench, server)
        time.sleep(3)  # what all those requests left for the store to write is written
        took = _looks(bench, server)
        polled = steady(bench, server, bench.plan.list_seconds, PAGE)
    return {
        "targets": targets,
        "writing_ms": median(at_once),
        "page_ms": median(took),
        "page_most_ms": max(took),
        **{figure: polled[figure] for figure in ("polls", "poll_ms", "during_ms", "between_ms")},
        "added_ms": polled["during_ms"] - polled["between_ms"],
    }


def _call_all(bench: Bench, paths: tuple[Server, ...], targets: int) -> None:
    """Have every target called. BenchError when some still are not after some time."""
    total = 0
    for _ in range(20):
        for one in paths:
            wrk(bench, one, 3, Load(bench.plan.connections, models=targets // len(paths)))
        _, total = _look(paths[0].admin)
        if total >= targets:
            return
    raise BenchError(f"only {total} of {targets} targets were called")


def _looks(bench: Bench, server: Server) -> list[float]:
    """Milliseconds that the first page took, some times in a row."""
    with _on(bench.load_core):
        return [_look(server.admin)[0] * 1e3 for _ in range(LOOKS)]


@contextmanager
def _on(core: int) -> Iterator[None]:
    """Be on that core meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _look(port: int) -> tuple[float, int]:
    """Seconds that the first page takes to be there whole, and how many targets there are."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", PAGE)
    body = connection.getresponse().read()
    took = time.perf_counter() - began
    connection.close()
    return took, int(json.loads(body)["total"])
