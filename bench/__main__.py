"""`make bench`: Detour beside nginx and Envoy, one core each, and with each store, from one run on this machine."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import machine, measure, pages, peers, report, storepage, storerun
from bench.children import BenchError

FULL = measure.Plan(measure.ROUNDS)
QUICK = measure.Plan(dict.fromkeys(measure.ROUNDS, 1), requests_seconds=2, streams_seconds=2, rate_seconds=2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, keep the raw numbers, render the pages, print the tables."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "stores"), default="all", help="the stores alone, or all")
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is kept")
    parser.add_argument("--only", choices=list(measure.MEASUREMENTS), help="one measurement; nothing is kept")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="some of the peers, Envoy always; nothing is kept")
    args = parser.parse_args(arguments)
    machine.ready_tools()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if (busy := machine.describe()["load_before"]) > 0.5:
        print(f"this machine is busy (load average {busy}): the figures will say little", file=sys.stderr)
    try:
        if args.what == "all":
            _peers(args)
        if not (args.only or args.peers):
            _stores(args.quick)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _peers(args: argparse.Namespace) -> None:
    wanted = [args.only] if args.only else list(measure.MEASUREMENTS)
    document = run(QUICK if args.quick else FULL, wanted, args.peers)
    if not (args.quick or args.only or args.peers):
        report.keep(document, report.RESULTS)
        pages.write()
    for name in wanted:
        print(f"\n{name}\n{report.TABLES[name](document)}")
    if "requests" in wanted:
        print(report.ceiling(document))
    if "events" in wanted:
        print(report.unclean(document))


def _stores(quick: bool) -> None:
    document = storerun.run(storerun.QUICK if quick else storerun.Plan())
    if not quick:
        report.keep(document, storerun.FOLDER)
        pages.write()
    print(*storepage.told(document), storepage.noise(document), sep="\n")


def run(plan: measure.Plan, wanted: Sequence[str], some: Sequence[str] | None) -> report.Document:
    """All rounds of the wanted measurements; the peers of a round follow one another, each round in another order."""
    document: report.Document = {
        **report.stamped(),
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


if __name__ == "__main__":
    sys.exit(main())
