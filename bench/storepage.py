"""What was measured of the stores, as sections of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from bench import costs
from bench.report import Document, middle, ratio, table
from bench.stores import MEMORY
from bench.troubles import AFTER, LASTS, NONE


def requests_table(document: Document) -> str:
    """Requests per second with each store."""
    rows = []
    for name in document["requests"]:
        row = [name]
        for figure in ("per_second", "per_cpu_second"):
            against = "" if name == MEMORY else f"{ratio(document, 'requests', name, MEMORY, figure):.3f}"
            row += [f"{middle(document, 'requests', name, figure):,.0f}", against]
        row += [f"{middle(document, 'requests', name, figure):.2f}" for figure in ("p50_ms", "p99_ms")]
        rows.append(row)
    head = ("store", "requests/s", "÷ memory", "requests per CPU second", "÷ memory", "p50 ms", "p99 ms")
    return table(head, rows)


def troubles_table(document: Document) -> str:
    """Latency without and with each trouble."""
    rows = []
    for name, runs in document["troubles"].items():
        row = [name]
        for figure in ("p50_ms", "p99_ms"):
            for half in ("undisturbed", "troubled"):
                row.append(f"{median(run[half][figure] for run in runs):.2f}")
            row.append(f"{median(run['troubled'][figure] - run['undisturbed'][figure] for run in runs):+.2f}")
        rows.append(row)
    head = ("trouble", "p50 ms without", "with", "difference", "p99 ms without", "with", "difference")
    return table(head, rows)


def noise(document: Document) -> str:
    """How far p99 of two undisturbed halves lies apart."""
    runs = document["troubles"][NONE]
    most = max(abs(run["troubled"]["p99_ms"] - run["undisturbed"]["p99_ms"]) for run in runs)
    apart = f"Where nothing was done, p99 of the two halves was up to {most:.2f} ms apart"
    return f"{apart}: a difference below that tells nothing."


def flushes_table(document: Document) -> str:
    """The cost of one flush."""
    rows = []
    for kind in costs.FLUSHED:
        for touched in costs.TOUCHED:
            again, held = costs.again(document, kind, touched), document["flushes"][kind][str(touched)]["held"]

            def of(*path: str, runs: list[costs.Run] = again) -> float:
                return costs.typical(runs, *path)

            own = [
                f"{of('seconds') * 1e3:,.1f}",
                f"{of('cpu_seconds') * 1e3:,.1f}",
                f"{costs.typical(held, 'cpu_seconds') * 1e3:,.1f}",
                f"{of('written') / 1024:,.0f}",
            ]
            theirs = [f"{of('redis', 'cpu_seconds') * 1e3:,.1f}", f"{of('redis', 'sent') / 1024:,.0f}"]
            rows.append([f"{kind}, {touched:,}", *own, *(theirs if kind == "redis" else ["", ""])])
    head = (
        "store, targets touched", "ms", "CPU ms of Detour", "longest hold of the loop, ms", "KiB written",
        "CPU ms of Redis", "KiB read",
    )  # fmt: skip
    return table(head, rows)


TABLES: Final[dict[str, Callable[[Document], str]]] = {
    "requests": requests_table,
    "troubles": troubles_table,
    "flushes": flushes_table,
}


def render(document: Document) -> str:
    """The sections."""
    plan, load = document["plan"], document["plan"]["load"]
    machine, versions = document["machine"], document["versions"]
    return f"""## Stores: requests per second

What it costs traffic that health outlives the process. The same requests as above, Detour with one store after the
other in the same run, median of {plan["requests"]} rounds; ratios are of the same round. Redis stands on the core of
the load. Taken {document["taken_at"]}, load average before the run {machine["load_before"]};
{", ".join(f"{name} {version}" for name, version in versions.items())}.

{requests_table(document)}

## Stores: latency while Redis is in trouble

Open loop, {load["rate"]:,} requests/s. Each run has two halves in the same process, without and with the trouble, which
lasts {LASTS:.0f} s and has gone {AFTER:.1f} s before the end, so that catching up is measured too. Every request was
answered with 200. Median of {plan["troubles"]} rounds.

{troubles_table(document)}

{noise(document)}

## Stores: what one flush costs

Once a second what happened is carried to the store: one entry for each target that was touched, however often. Median
of {plan["flushes"]} flushes on targets with some past; the loop's longest hold is processor time it spends in one go,
in which no request gets on. What follows for large fleets is in [scaling](scaling.md).

{flushes_table(document)}
"""


def told(document: Document) -> Sequence[str]:
    """The tables for a terminal."""
    return [f"\n{name}\n{made(document)}" for name, made in TABLES.items()]
