"""`make bench`: Detour beside proxies and gateways of others, one core each, and with each store, on this machine."""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import machine, measure, pages, peers, plan, report, soak, storepage, storerun, tables, targets
from bench.children import ROOT, BenchError
from bench.measurements import MEASUREMENTS, OTHER_NAMES, taking_part
from bench.plan import Plan

KEPT: Final = ROOT / "build" / "bench"
"""Where results of runs lie that are not those of the page."""

MINUTES: Final = {"quick": 0.5, "short": 0.0, "full": 30.0}
PLANS: Final = {"quick": plan.QUICK, "short": plan.SHORT, "full": plan.FULL}
STORES: Final = {"quick": storerun.QUICK, "short": storerun.SHORT, "full": storerun.Plan()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, keep the raw numbers, print the tables; of a full run render the pages too."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.again and (not args.full or not args.only or args.peers):
        parser.error("--again takes the measurements of --only, as --full has them, with all their peers")
    machine.ready_tools()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if (busy := machine.describe()["load_before"]) > 0.5:
        print(f"this machine is busy (load average {busy}): the figures will say little", file=sys.stderr)
    size = "full" if args.full else "quick" if args.quick else "short"
    try:
        with _folder() as folder:
            if args.what in ("all", "peers"):
                _peers(args, size, folder)
        if args.what == "stores" or (args.what == "all" and not args.only):
            _stores("full" if args.what == "stores" and size == "short" else size)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("all", "peers", "stores"), default="all", help="what is measured")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--full", action="store_true", help="everything, and the pages made from it")
    length.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--page", action="store_true", help="make the page from it, though it is not the full run")
    parser.add_argument("--again", action="store_true", help="put it in the place of the same in the newest results")
    parser.add_argument("--only", nargs="+", choices=[*MEASUREMENTS, "soak"], default=[], help="some measurements")
    parser.add_argument("--peers", nargs="+", metavar="NAME", default=[], help="some of the peers, Envoy always")
    parser.add_argument("--minutes", type=float, help="how long the soak takes; 0: none")
    return parser


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for what peers read and write, compiled Python among it: each is compiled once in a run."""
    with tempfile.TemporaryDirectory(prefix="detour-bench-") as folder:
        # nginx started by root serves as another user: it must be able to reach its folders.
        Path(folder).chmod(0o755)
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/compiled"
        yield Path(folder)


def _peers(args: argparse.Namespace, size: str, folder: Path) -> None:
    wanted = [name for name in MEASUREMENTS if not args.only or name in args.only]
    minutes = MINUTES[size] if args.minutes is None else args.minutes
    if args.only and "soak" not in args.only:
        minutes = 0
    if not args.peers and any(set(OTHER_NAMES) & set(MEASUREMENTS[name].peers) for name in wanted):
        subprocess.run([Path(__file__).parent / "gateways" / "install"], check=False, timeout=900)
    document = run(PLANS[size], wanted, frozenset(args.peers), minutes, folder)
    failed = document.get("failed", {})
    whole = (args.full or args.page) and args.what != "stores" and not (args.only or args.peers)
    again = args.again and not failed
    if again:
        report.keep_again(document)
    else:
        report.keep(document, report.RESULTS if whole else KEPT)
    if whole or again:
        pages.write()
    for name in tables.TABLES:
        if name in document:
            print(f"\n{name}\n{tables.TABLES[name](document)}")
    if "requests" in document:
        print(report.ceiling(document))
    print(f"\ntargets\n{targets.table_of(document)}")
    if failed:
        raise BenchError(f"could not be measured: {', '.join(failed)}")


def _stores(size: str) -> None:
    document = storerun.run(STORES[size])
    if size == "full":
        report.keep(document, storerun.FOLDER)
        pages.write()
    print(*storepage.told(document), storepage.noise(document) if document["troubles"] else "", sep="\n")


def run(size: Plan, wanted: Sequence[str], some: frozenset[str], minutes: float, folder: Path) -> report.Document:
    """All rounds of the wanted measurements, then the soak."""
    document: report.Document = {
        **report.stamped(),
        "machine": machine.describe(),
        "versions": peers.versions(),
        "plan": msgspec.to_builtins(size),
    }
    bench = measure.Bench(size, folder, *measure.cores())
    gone: set[str] = set()
    for name in (one for one in wanted if size.rounds[one]):
        _or_fail(document, name, partial(_rounds, bench, name, some, gone))
    if minutes:
        _say(f"soak, {minutes:g} minutes")
        _or_fail(document, "soak", partial(soak.soak, bench, minutes))
    return document


def _or_fail(document: report.Document, name: str, measured: Callable[[], Any]) -> None:
    """Measure into the document; what cannot be measured does not spoil the rest of a long run."""
    try:
        document[name] = measured()
    except (BenchError, subprocess.TimeoutExpired) as error:
        _say(f"{name} could not be measured: {error}")
        document.setdefault("failed", {})[name] = str(error)[:500]


def _rounds(bench: measure.Bench, name: str, some: frozenset[str], gone: set[str]) -> dict[str, list[measure.Run]]:
    """All rounds of one measurement; gateways of others that do not work join `gone`, and take part no more."""
    runs: dict[str, list[measure.Run]] = {}
    rounds = bench.plan.rounds[name]
    for number in range(rounds):
        for peer in taking_part(name, number, bench.plan.gateways, some):
            if peer in gone:
                continue
            _say(f"{name}, round {number + 1} of {rounds}: {peer}")
            try:
                runs.setdefault(peer, []).append(MEASUREMENTS[name].run(bench, peer))
            except BenchError as error:
                if peer not in OTHER_NAMES:
                    raise
                gone.add(peer)
                _say(f"{peer} does not work, going on without: {str(error).splitlines()[0]}")
    return {peer: runs[peer] for peer in MEASUREMENTS[name].peers if runs.get(peer)}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
