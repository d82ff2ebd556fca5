"""`make bench`: Detour beside nginx and Envoy, one core each, from one run on this machine."""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import machine, measure, peers, report
from bench.children import BenchError

FULL = measure.Plan(measure.ROUNDS)
QUICK = measure.Plan(dict.fromkeys(measure.ROUNDS, 1), requests_seconds=2, streams_seconds=2, rate_seconds=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, keep the raw numbers, render the page, print the tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    parser.add_argument("--only", choices=list(measure.MEASUREMENTS), help="one measurement; nothing is kept")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="some of the peers, Envoy always; nothing is kept")
    args = parser.parse_args(arguments)
    machine.ready_tools()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    plan = QUICK if args.quick else FULL
    wanted = [args.only] if args.only else list(measure.MEASUREMENTS)
    if (busy := machine.describe()["load_before"]) > 0.5:
        print(f"this machine is busy (load average {busy}): the figures will say little", file=sys.stderr)
    try:
        document = run(plan, wanted, args.peers)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    if not (args.quick or args.only or args.peers):
        keep(document)
    for name in wanted:
        print(f"\n{name}\n{report.TABLES[name](document)}")
    if "requests" in wanted:
        print(report.ceiling(document))
    if "events" in wanted:
        print(report.unclean(document))
    return 0


def run(plan: measure.Plan, wanted: Sequence[str], some: Sequence[str] | None) -> report.Document:
    """All rounds of the wanted measurements; the peers of a round follow one another, each round in another order."""
    document: report.Document = {
        "taken_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine.describe(),
        "versions": peers.versions(),
        "plan": msgspec.to_builtins(plan),
    }
    with tempfile.TemporaryDirectory(prefix="detour-bench-") as folder:
        # nginx started by root serves as another user: it must be able to reach its folders.
        Path(folder).chmod(0o755)
        bench = measure.Bench(plan, Path(folder), *measure.cores())
        for name in wanted:
            taking_part = {measure.DIRECT, "envoy", *(some or measure.names(name))}
            who = [peer for peer in measure.names(name) if peer in taking_part]
            document[name] = {peer: [] for peer in who}
            for number in range(plan.rounds[name]):
                for peer in who[number % len(who) :] + who[: number % len(who)]:
                    print(f"{name}, round {number + 1} of {plan.rounds[name]}: {peer}", file=sys.stderr, flush=True)
                    document[name][peer].append(measure.MEASUREMENTS[name](bench, peer))
    return document


def keep(document: report.Document) -> None:
    """Write the raw numbers and the page."""
    report.RESULTS.mkdir(exist_ok=True)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%MZ")
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (report.RESULTS / f"{stamp}.json").write_text(text, encoding="utf-8")
    report.PAGE.write_text(report.render(document), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
