"""Half an hour at 60 % of what Detour can carry, while 2 % of the provider's answers are faults.

What must stay flat is looked at all along; in the end Detour must have counted what the provider did.
"""

from __future__ import annotations

import math
import os
import re
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from statistics import linear_regression
from typing import Any, Final

import msgspec
from msgspec import Struct

from bench import proc
from bench.children import running
from bench.measure import Bench, Load, Run, saturated, wrk
from bench.peers import DETOUR, Server, prepared, sinking

SHARE: Final = 0.6
"""Of the most requests per second."""

FAULTS: Final = 0.02
REST: Final = 5
"""Milliseconds that a connection rests after each answer, so that the load is what is asked for."""

ROUND_TRIP: Final = 0.001
"""Seconds that an answer is guessed to take; the load is corrected by a trial."""

TRIAL: Final = 5.0
SETTLED: Final = 300.0
"""Seconds after which memory has to be flat; a sixth of the run, when that is less."""

SAMPLES_EVERY: Final = 10.0
QUIET: Final = 3.0
"""Seconds after the load in which what is under way ends."""

EXPECTED: Final = {"answered": "success", "error": "error", "cut": "network_error", "torn": "network_error"}
"""What the provider did to what Detour counts it as."""

_ATTEMPTS: Final = re.compile(r'^detour_attempts_total\{.*?status="(\w+)".*\} (\S+)$', re.MULTILINE)


class Sample(Struct, frozen=True):
    """What a process had at a time, in seconds since the load began."""

    at: float
    resident: int
    descriptors: int
    tasks: int


class Sampler(threading.Thread):
    """Looks at a process every so often while the body of a `with` runs."""

    def __init__(self, pid: int, tasks: Path, every: float) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._tasks = tasks
        self._every = every
        self._over = threading.Event()
        self.samples: list[Sample] = []

    def run(self) -> None:
        """Look until told that it is over."""
        began = time.monotonic()
        while not self._over.wait(self._every):
            os.kill(self._pid, signal.SIGUSR1)
            time.sleep(0.5)
            told = self._tasks.read_text(encoding="utf-8").split()
            at, resident = time.monotonic() - began, proc.resident_bytes([self._pid])
            self.samples.append(Sample(at, resident, proc.descriptors(self._pid), int(told[-1]) if told else 0))

    def __enter__(self) -> None:
        """Begin."""
        self.start()

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self.join()


def soak(bench: Bench, minutes: float) -> Run:
    """One run of that many minutes."""
    seconds, tasks = minutes * 60, bench.folder / "tasks"
    tasks.write_text("")
    with sinking(bench.folder, bench.load_core, 383, FAULTS) as upstream:
        command, server = prepared(DETOUR, upstream, bench.folder)
        observed = [sys.executable, "-m", "bench.observed", *command[1:]]
        log, more = bench.folder / "soak.out", {"BENCH_TASKS": str(tasks)}
        with running(observed, core=bench.peer_core, port=server.port, log=log, more=more) as pids:
            server.pids.extend(pids)
            most = saturated(bench, server)["per_second"]
            load = _load(bench, server, most)
            sampler = Sampler(pids[0], tasks, min(SAMPLES_EVERY, seconds / 40))
            before = proc.cpu_seconds(pids)
            with sampler:
                run = wrk(bench, server, seconds, load)
            cpu = proc.cpu_seconds(pids) - before
            time.sleep(QUIET)
            counted, answered = _attempts(server.admin), _counts(upstream.port)
    return {
        "minutes": minutes,
        "requests": run["requests"],
        "failed": run["failed"],
        "per_second": run["requests"] / run["seconds"],
        "most_per_second": most,
        "core": cpu / run["seconds"],
        "samples": [msgspec.to_builtins(one) for one in sampler.samples],
        "provider": answered,
        "detour": counted,
        "unaccounted": unaccounted(answered, counted),
        **flat(sampler.samples, min(SETTLED, seconds / 6)),
    }


def _load(bench: Bench, server: Server, most: float) -> Load:
    """What comes to that share of the most."""
    wanted = SHARE * most
    connections = max(1, round(wanted * (REST / 1000 + ROUND_TRIP)))
    trial = wrk(bench, server, TRIAL, Load(connections, rest=REST))
    return Load(max(1, round(connections * wanted * trial["seconds"] / trial["requests"])), rest=REST)


def flat(samples: list[Sample], after: float) -> dict[str, float]:
    """How memory, descriptors and tasks moved after so many seconds: MiB and numbers in ten minutes, by their trend."""
    late = [one for one in samples if one.at >= after]
    times = [one.at / 600 for one in late]

    def trend(values: list[float]) -> float:
        return linear_regression(times, values).slope if len(late) > 1 else math.nan

    return {
        "memory_mib_per_10min": trend([one.resident / 2**20 for one in late]),
        "descriptors_per_10min": trend([float(one.descriptors) for one in late]),
        "tasks_per_10min": trend([float(one.tasks) for one in late]),
    }


def unaccounted(provider: dict[str, int], detour: dict[str, int]) -> int:
    """How many attempts the two count differently.

    Those that were out when the load ended count as `cancelled` in Detour, whatever the provider did to them: that many
    may lie on either side.
    """
    expected: Counter[str] = Counter()
    for done, number in provider.items():
        expected[EXPECTED[done]] += number
    kinds = {*expected, *detour} - {"cancelled"}
    apart = sum(abs(expected[kind] - detour.get(kind, 0)) for kind in kinds)
    return max(0, apart - detour.get("cancelled", 0))


def _attempts(admin: int) -> dict[str, int]:
    found: Counter[str] = Counter()
    for status, number in _ATTEMPTS.findall(_get(admin, "/metrics").decode()):
        found[status] += round(float(number))
    return dict(found)


def _counts(port: int) -> dict[str, int]:
    counts: dict[str, int] = msgspec.json.decode(_get(port, "/counts"))
    return counts


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return answer.read()
