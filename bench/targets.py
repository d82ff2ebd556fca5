"""What the figures are to be, and whether they are: the one place where targets are written down."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Final

from msgspec import Struct

from bench.report import Document, added, middle, ratio

DETOUR, ENVOY = "detour", "envoy"


class Target(Struct, frozen=True):
    """One target: what of, against whom, the figure, and the bound it must keep."""

    work: str
    against: str
    figure: Callable[[Document], float]
    bound: float
    most: bool = True
    """Whether the bound is the most it may be, or the least."""
    unit: str = ""
    """`×` is times the other's."""

    def asked(self) -> str:
        """The bound, as people write it."""
        return f"{'≤' if self.most else '≥'} {self.bound:g}{self._after()}"

    def got(self, document: Document) -> float | None:
        """The figure; None when it was not measured."""
        try:
            return self.figure(document)
        except KeyError:
            return None

    def met(self, document: Document) -> bool | None:
        """Whether it is met; None when it was not measured."""
        got = self.got(document)
        return None if got is None else (got <= self.bound if self.most else got >= self.bound)

    def shown(self, document: Document) -> str:
        """The figure, as people write it."""
        got = self.got(document)
        return "" if got is None else f"{got:,.0f}" + self._after() if got >= 100 else f"{got:.2f}{self._after()}"

    def _after(self) -> str:
        return self.unit if self.unit in ("", "×") else f" {self.unit}"


def _ratio(name: str, figure: str, other: str = ENVOY) -> Callable[[Document], float]:
    return lambda document: ratio(document, name, DETOUR, other, figure)


def _middle(name: str, figure: str) -> Callable[[Document], float]:
    return lambda document: middle(document, name, DETOUR, figure)


def _soak(figure: str) -> Callable[[Document], float]:
    return lambda document: float(document["soak"][figure])


def _added(figure: str) -> Callable[[Document], float]:
    """What Detour adds by what Envoy adds, of the same round; rounds in which Envoy adds nothing tell nothing."""

    def found(document: Document) -> float:
        pairs = zip(added(document, DETOUR, figure), added(document, ENVOY, figure), strict=True)
        ratios = [one / other for one, other in pairs if other > 0]
        if not ratios:
            raise KeyError(figure)
        return median(ratios)

    return found


TARGETS: Final = (
    Target("requests/s", "Envoy", _ratio("requests", "per_second"), 1.1, False, "×"),
    Target("requests/s", "LiteLLM", _ratio("requests", "per_second", "litellm"), 50, False, "×"),
    Target("requests/s", "Portkey's gateway", _ratio("requests", "per_second", "portkey"), 10, False, "×"),
    Target("CPU per event, 500 streams", "Envoy", _ratio("events", "cpu_us"), 0.75, unit="×"),
    Target("CPU per event, 2,000 streams", "Envoy", _ratio("crowd", "cpu_us"), 0.8, unit="×"),
    Target("longest gap added, 2,000 streams", "", _middle("crowd", "added_gap_ms"), 50, unit="ms"),
    Target("added latency, p50", "Envoy", _added("p50_ms"), 1.5, unit="×"),
    Target("added latency, p99", "Envoy", _added("p99_ms"), 2, unit="×"),
    Target("memory per idle stream", "Envoy", _ratio("memory", "per_stream"), 1.5, unit="×"),
    Target("memory with 2,000 idle streams", "Envoy", _ratio("memory", "all"), 1.5, unit="×"),
    Target("bytes/s of 1 MiB requests", "Envoy", _ratio("upload", "bytes_per_second"), 0.7, False, "×"),
    Target("bytes/s of 1 MiB answers", "Envoy", _ratio("download", "bytes_per_second"), 0.7, False, "×"),
    Target("requests/s, TLS to the provider", "Envoy", _ratio("secure", "per_second"), 0.8, False, "×"),
    Target("admission and settlement of an attempt", "", _middle("settle", "us"), 4, unit="µs"),
    Target("health list of 10,000 targets, first page", "", _middle("list", "page_ms"), 5, unit="ms"),
    Target("latency added while it is polled", "", _middle("list", "added_ms"), 1, unit="ms"),
    Target("start to first byte", "Envoy", _ratio("start", "seconds"), 3, unit="×"),
    Target("soak: memory in ten minutes", "", _soak("memory_mib_per_10min"), 1, unit="MiB"),
    Target("soak: descriptors in ten minutes", "", _soak("descriptors_per_10min"), 1),
    Target("soak: tasks in ten minutes", "", _soak("tasks_per_10min"), 1),
    Target("soak: attempts counted differently from the provider", "", _soak("unaccounted"), 0),
)


def table_of(document: Document) -> str:
    """All targets, those that are missed among them."""
    words = {True: "met", False: "**missed**", None: "not measured"}
    rows = [(one.work, one.against, one.asked(), one.shown(document), words[one.met(document)]) for one in TARGETS]
    head = "| work | against | target | measured | |\n|---|---|---:|---:|---|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


COMPARED: Final = (
    ("requests per second", "requests", "per_second", True),
    ("requests per second, TLS to the provider", "secure", "per_second", True),
    ("bytes per second of 1 MiB requests", "upload", "bytes_per_second", True),
    ("bytes per second of 1 MiB answers", "download", "bytes_per_second", True),
    ("CPU time per event, 500 streams", "events", "cpu_us", False),
    ("CPU time per event, 2,000 streams", "crowd", "cpu_us", False),
    ("added latency, p50", "latency", "p50_ms", False),
    ("added latency, p99", "latency", "p99_ms", False),
    ("memory per idle stream", "memory", "per_stream", False),
    ("memory with 2,000 idle streams", "memory", "all", False),
    ("start to first byte", "start", "seconds", False),
)
"""What proxies are compared by: in words, the measurement, its figure, and whether more of it is better."""


def ahead(document: Document) -> str:
    """A table of who is ahead of Detour in what."""
    rows = []
    for what, name, figure, more in COMPARED:
        peers = [peer for peer in document.get(name, ()) if peer != "direct"]
        if DETOUR in peers:
            figures = {peer: _figure(document, name, peer, figure) for peer in peers}
            own = figures[DETOUR]
            better = [peer for peer, got in figures.items() if (got > own if more else got < own)]
            better.sort(key=figures.__getitem__, reverse=more)
            rows.append(f"| {what} | {', '.join(better) or 'none'} |")
    return "\n".join(["| figure | ahead of Detour, the first most |", "|---|---|", *rows])


def _figure(document: Document, name: str, peer: str, figure: str) -> float:
    return median(added(document, peer, figure)) if name == "latency" else middle(document, name, peer, figure)
