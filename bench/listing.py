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
    """All targets called, the first page asked for; then asked for each second while requests are served."""
    targets = bench.plan.list_targets
    with (
        answering(bench.folder, bench.load_core) as upstream,
        bench.server(name, upstream, groups=targets // 2) as server,
    ):
        spare = msgspec.structs.replace(server, path=server.path.replace("bench", "spare", 1))
        _call_all(bench, (server, spare), targets)
        with _on(bench.load_core):
            looks = [_look(server.admin) for _ in range(LOOKS)]
        time.sleep(3)  # what all those requests left for the store to write is written
        polled = steady(bench, server, bench.plan.list_seconds, PAGE)
    took = sorted(seconds * 1e3 for seconds, _ in looks)
    return {
        "targets": targets,
        "page_ms": median(took),
        "page_most_ms": took[-1],
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
