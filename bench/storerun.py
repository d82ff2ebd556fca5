"""The measurements of the stores, one after the other, and the document they are kept in."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from bench import costs, machine, measure, peers, plan, stores, troubles
from bench.report import RESULTS, Document, stamped

FOLDER: Final = RESULTS / "stores"


class Plan(Struct, frozen=True):
    """How often each is repeated: rounds of requests and of troubles, and flushes of each size."""

    requests: int = 5
    troubles: int = 3
    flushes: int = 7
    load: plan.Plan = plan.FULL


QUICK: Final = Plan(1, 1, 2, plan.QUICK)
SHORT: Final = Plan(1, 0, 2, plan.SHORT)
"""Without troubles, each of which takes a third of a minute."""


def run(size: Plan) -> Document:
    """Everything that is measured of stores."""
    document: Document = {
        **stamped(),
        "machine": machine.describe(),
        "versions": peers.store_versions(),
        "plan": msgspec.to_builtins(size),
    }
    with tempfile.TemporaryDirectory(prefix="detour-bench-") as folder:
        # nginx started by root serves as another user: it must be able to reach its folders.
        Path(folder).chmod(0o755)
        bench = measure.Bench(size.load, Path(folder), *measure.cores())
        document["requests"] = _in_turn(
            "store", stores.STORES, size.requests, lambda name: stores.requests(bench, name)
        )
        document["troubles"] = _in_turn(
            "trouble", list(troubles.TROUBLES), size.troubles, lambda name: troubles.latency(bench, name)
        )
        document["flushes"] = {
            kind: {str(touched): _told(bench, kind, touched, size.flushes) for touched in costs.TOUCHED}
            for kind in costs.FLUSHED
        }
        _say("an idle sidecar, a day of history")
        document["idle"], document["day"] = costs.idle(bench), costs.day(bench)
    return document


def _told(bench: measure.Bench, kind: str, touched: int, times: int) -> measure.Run:
    _say(f"flush to {kind}: {touched:,} targets")
    return costs.flushes(bench, kind, touched, times)


def _in_turn(
    what: str, names: Sequence[str], rounds: int, measured: Callable[[str], measure.Run]
) -> dict[str, list[Any]]:
    """Runs of each, one after the other, each round beginning with another one."""
    runs: dict[str, list[Any]] = {name: [] for name in names if rounds}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            _say(f"{what}, round {number + 1} of {rounds}: {name}")
            runs[name].append(measured(name))
    return runs


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def newest() -> Document | None:
    """The newest result, None while there is none."""
    files = sorted(FOLDER.glob("*.json"))
    if not files:
        return None
    document: Document = json.loads(files[-1].read_text(encoding="utf-8"))
    return document
