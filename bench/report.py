"""From raw runs to the figures people compare, and to the page that shows them (`bench.pages` writes it)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.children import ROOT

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = ROOT / "docs" / "benchmarks.md"

Document = dict[str, Any]


def stamped() -> Document:
    """When a document's run begins."""
    return {"taken_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def keep(document: Document, folder: Path) -> None:
    """Write the raw numbers of a run into a folder, named by the time."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{datetime.now(UTC):%Y-%m-%dT%H%MZ}.json").write_text(text, encoding="utf-8")


def middle(document: Document, measurement: str, peer: str, figure: str) -> float:
    """Median of a figure over the rounds."""
    return float(median(run[figure] for run in document[measurement][peer]))


def ratio(document: Document, measurement: str, peer: str, other: str, figure: str) -> float:
    """Median over the rounds of this peer's figure by the other's in the same round."""
    pairs = zip(document[measurement][peer], document[measurement][other], strict=True)
    return float(median(one[figure] / two[figure] for one, two in pairs))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    line = "|" + "---|" + "---:|" * (len(head) - 1)
    return "\n".join(["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def _rows(document: Document, measurement: str, row: Callable[[str], Sequence[str]]) -> list[Sequence[str]]:
    return [(peer, *row(peer)) for peer in document[measurement]]


def requests_table(document: Document) -> str:
    """Requests per second of one core."""

    def row(peer: str) -> Sequence[str]:
        def of(figure: str) -> float:
            return middle(document, "requests", peer, figure)

        against = "" if peer == "direct" else f"{ratio(document, 'requests', peer, 'envoy', 'per_second'):.2f}"
        busy = "" if peer == "direct" else f"{of('core'):.0%}"
        per_cpu = "" if peer == "direct" else f"{of('per_cpu_second'):,.0f}"
        return f"{of('per_second'):,.0f}", against, busy, per_cpu, f"{of('p50_ms'):.2f}", f"{of('p99_ms'):.2f}"

    head = ("", "requests/s", "÷ Envoy", "of its core", "requests per CPU second", "p50 ms", "p99 ms")
    return table(head, _rows(document, "requests", row))


def events_table(document: Document) -> str:
    """CPU time per relayed event."""

    def row(peer: str) -> Sequence[str]:
        def of(figure: str) -> float:
            return middle(document, "events", peer, figure)

        arrived = f"{of('delivered'):.1%}", f"{of('per_read'):.2f}"
        if peer == "direct":
            return "", "", *arrived
        against = f"{ratio(document, 'events', peer, 'envoy', 'cpu_us'):.2f}"
        return f"{of('cpu_us'):.1f}", against, *arrived

    head = ("", "CPU µs per event", "÷ Envoy", "of the events delivered", "events per read")
    return table(head, _rows(document, "events", row))


def latency_table(document: Document) -> str:
    """Latency at a fixed rate, and what each peer adds to it."""

    def row(peer: str) -> Sequence[str]:
        cells = []
        for figure in ("p50_ms", "p99_ms"):
            here, direct = (middle(document, "latency", name, figure) for name in (peer, "direct"))
            cells += [f"{here:.2f}", "" if peer == "direct" else f"{here - direct:+.2f}"]
        return cells

    return table(("", "p50 ms", "added", "p99 ms", "added"), _rows(document, "latency", row))


def memory_table(document: Document) -> str:
    """Resident memory with many open streams."""

    def row(peer: str) -> Sequence[str]:
        def of(figure: str) -> float:
            return middle(document, "memory", peer, figure)

        return f"{of('one') / 2**20:.1f}", f"{of('all') / 2**20:.1f}", f"{of('per_stream') / 2**10:.1f}"

    streams = f"{document['plan']['idle_streams']:,}"
    head = ("", "MiB with 1 stream", f"MiB with {streams}", "KiB per stream")
    return table(head, _rows(document, "memory", row))


def unclean(document: Document) -> str:
    """Which stream runs something else on the machine disturbed; empty when none."""
    runs = [(peer, run) for peer, runs in document["events"].items() for run in runs]
    bad = sorted({peer for peer, run in runs if not run["clean"]})
    return f"Some runs of {', '.join(bad)} were disturbed by something else on the machine." if bad else ""


def ceiling(document: Document) -> str:
    """How it is known that neither load nor provider was what limited the slowest of the figures compared."""
    direct = middle(document, "requests", "direct", "per_second")
    peers = [peer for peer in document["requests"] if peer != "direct"]
    full = [peer for peer in peers if middle(document, "requests", peer, "core") >= 0.95]
    rest = [peer for peer in peers if peer not in full]
    text = f"Load and provider share a core and reach {direct:,.0f} requests/s without a proxy between them. "
    text += f"The proxy's own core was the limit (at least 95 % busy) for {', '.join(full) or 'none'}."
    if rest:
        text += f" For {', '.join(rest)} it was not: that figure is a lower bound."
    return text


TABLES: Final[dict[str, Callable[[Document], str]]] = {
    "requests": requests_table,
    "events": events_table,
    "latency": latency_table,
    "memory": memory_table,
}


def render(document: Document, stores: str = "") -> str:
    """The whole page; `stores` are the sections of the stores (see `bench.storepage`)."""
    plan, machine, versions = document["plan"], document["machine"], document["versions"]

    def rounds(measurement: str) -> str:
        count = plan["rounds"][measurement]
        return f"median of {count} rounds, the peers in turn" if count > 1 else "one round"

    return f"""<!-- Written by `make bench` from bench/results/. Do not edit. -->

# Benchmarks

Taken {document["taken_at"]} by `make bench`: one run, one machine, everything on loopback. Each proxy has one core to
itself; load and provider share another. Detour runs with everything on: it judges, times and counts every request, and
breakers and a model group are in force.

Machine: {machine["processor"]}, {machine["cores"]} cores, {machine["memory_gib"]} GiB, {machine["distribution"]},
Linux {machine["kernel"]}; load average before the run {machine["load_before"]}.

Versions: {", ".join(f"{name} {version}" for name, version in versions.items())}.

## Requests per second on one core

480 bytes of JSON in, 383 bytes out, {plan["connections"]} connections, `wrk`, {rounds("requests")}.

{requests_table(document)}

{ceiling(document)}

## CPU time per relayed event

{plan["streams"]} streams, one 190-byte event per {plan["gap"] * 1000:.0f} ms each
({plan["streams"] / plan["gap"]:,.0f} events/s), CPU time of the proxy's processes divided by the events that arrived,
{rounds("events")}.

{events_table(document)}

Events that arrive several to a read cost less; on a quiet machine there is one to a read. {unclean(document)}

## Added latency at {plan["rate"]:,} requests/s

Open loop (a request is sent each millisecond whether or not answers came), {rounds("latency")}.

{latency_table(document)}

## Memory for {plan["idle_streams"]:,} open streams

Resident memory of the proxy while every stream is open and silent after its first event, {rounds("memory")}.

{memory_table(document)}

{stores and stores + chr(10)}## Do it again

`make bench` (half an hour, on a quiet machine), `make bench ARGS=--quick`, or `make bench ARGS=stores` for the stores
alone. What the peers are told is in
`bench/configs/`, the load programs are in `bench/load/`, the raw numbers of every round in `bench/results/`.
"""


def newest() -> Document:
    """The newest result."""
    document: Document = json.loads(max(RESULTS.glob("*.json")).read_text(encoding="utf-8"))
    return document
