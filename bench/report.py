"""From raw runs to the figures people compare: documents of results, kept as JSON, and arithmetic on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.children import ROOT

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = ROOT / "docs" / "benchmarks.md"

_ABOUT: Final = frozenset({"taken_at", "machine", "versions", "plan", "failed", "again"})
"""What a document holds that is no measurement."""

Document = dict[str, Any]


def stamped() -> Document:
    """When a document's run begins."""
    return {"taken_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}


def keep(document: Document, folder: Path) -> None:
    """Write the raw numbers of a run into a folder, named by the time."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(document, folder / f"{datetime.now(UTC):%Y-%m-%dT%H%MZ}.json")


def again(kept: Document, document: Document) -> Document:
    """The kept results with what a later run measured again; of each measurement it says when, and of which Detour."""
    measured = {name: found for name, found in document.items() if name not in _ABOUT}
    later = {"taken_at": document["taken_at"], "detour": document["versions"]["detour"]}
    failed = {name: why for name, why in kept.get("failed", {}).items() if name not in measured}
    told = {**kept.get("again", {}), **dict.fromkeys(measured, later)}
    return {**kept, **measured, "again": told, "failed": failed}


def middle(document: Document, measurement: str, peer: str, figure: str) -> float:
    """Median of a figure over the rounds."""
    return float(median(run[figure] for run in document[measurement][peer]))


def ratio(document: Document, measurement: str, peer: str, other: str, figure: str) -> float:
    """Median over the rounds of this peer's figure by the other's in the same round, of rounds that both had."""
    pairs = zip(document[measurement][peer], document[measurement][other], strict=False)
    return float(median(one[figure] / two[figure] for one, two in pairs))


def spread(document: Document, measurement: str, peer: str, figure: str) -> float:
    """How far the rounds lie apart: the largest figure less the smallest, by the median."""
    found = [run[figure] for run in document[measurement][peer]]
    return float((max(found) - min(found)) / median(found)) if median(found) else 0.0


def added(document: Document, peer: str, figure: str) -> list[float]:
    """What a peer adds to the latency of the provider alone, round by round, in ms."""
    pairs = zip(document["latency"][peer], document["latency"]["direct"], strict=True)
    return [one[figure] - direct[figure] for one, direct in pairs]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    line = "|" + "---|" + "---:|" * (len(head) - 1)
    return "\n".join(["| " + " | ".join(head) + " |", line, *("| " + " | ".join(row) + " |" for row in rows)])


def unclean(document: Document, measurement: str = "events") -> str:
    """Which stream runs something else on the machine disturbed; empty when none."""
    runs = [(peer, run) for peer, runs in document[measurement].items() for run in runs]
    bad = sorted({peer for peer, run in runs if not run["clean"]})
    return f"Some runs of {', '.join(bad)} were disturbed by something else on the machine." if bad else ""


def ceiling(document: Document) -> str:
    """How it is known that neither load nor provider was what limited the slowest of the figures compared."""
    direct = middle(document, "requests", "direct", "per_second")
    text = f"Load and provider share a core and reach {direct:,.0f} requests/s without a proxy between them. "
    return text + limited(document, "requests")


def limited(document: Document, measurement: str) -> str:
    """Which proxies were what limited their figure, and of which it is a lower bound."""
    peers = [peer for peer in document[measurement] if peer != "direct"]
    full = [peer for peer in peers if middle(document, measurement, peer, "core") >= 0.95]
    rest = [peer for peer in peers if peer not in full]
    text = f"The proxy's own core was the limit (at least 95 % busy) for {', '.join(full) or 'none'}."
    if rest:
        text += f" For {', '.join(rest)} it was not: that figure is a lower bound."
    return text


def newest() -> Document:
    """The newest result."""
    document: Document = json.loads(_newest().read_text(encoding="utf-8"))
    return document


def keep_again(document: Document) -> None:
    """Put what a later run measured again into the newest result."""
    _write(again(newest(), document), _newest())


def _newest() -> Path:
    return max(RESULTS.glob("*.json"))


def _write(document: Document, path: Path) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
