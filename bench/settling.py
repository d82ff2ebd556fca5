"""Leave for one attempt and its settlement, asked of a registry in this very process: a program, run on a core alone.

What is timed is what stands between a request and its provider: the breakers of the provider, of the target and of the
key at both must admit it, and all are told how it went.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from statistics import median

from bench.children import result
from bench.keeping import quiet_collector
from bench.measure import Bench, Run
from breaker.outcome import SUCCESS, Outcome
from breaker.permit import Permit
from breaker.registry import Registry

BATCH = 1000
"""Attempts between two looks at the clock."""

KEY = "0123456789abcdef"


def settle(bench: Bench, name: str) -> Run:
    """Microseconds of admission and settlement together."""
    command = [sys.executable, "-m", "bench.settling", "--times", str(bench.plan.settlings)]
    return result(command, core=bench.peer_core, seconds=120)


def timed(times: int) -> Run:
    """The same, here and now: of so many attempts, nearly all good."""
    target = ("bench", "bench-model")
    registry = Registry(tracked=100, configured=[target, ("spare", "bench-model")], stand_ins=[target])
    good = Outcome(*target, SUCCESS, True, 0.8, 0.2, 1_700_000_000.0)
    quiet_collector()
    took, now = [], 1000.0
    for _ in range(max(2, times // BATCH)):
        began = time.perf_counter()
        for _ in range(BATCH):
            now += 0.0001
            permit = registry.admit(*target, now, KEY)
            assert isinstance(permit, Permit)
            permit.settle(good, now)
        took.append((time.perf_counter() - began) / BATCH * 1e6)
    took.sort()
    return {"us": median(took), "p90_us": took[len(took) * 9 // 10], "least_us": took[0], "attempts": times}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, required=True)
    print(json.dumps(timed(parser.parse_args().times)))
