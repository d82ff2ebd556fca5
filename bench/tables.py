"""The tables of the measurements of peers, one of each, as Markdown; what a result does not hold is left empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from bench.measure import DIRECT
from bench.report import Document, added, middle, ratio, spread, table

ENVOY: Final = "envoy"
MIB: Final = 1 << 20

Cell = Callable[[str], str]
"""A column: from a peer's name to what stands there."""


def _of(document: Document, name: str, figure: str, form: str = ",.0f", scale: float = 1) -> Cell:
    return lambda peer: format(middle(document, name, peer, figure) * scale, form)


def _against(document: Document, name: str, figure: str) -> Cell:
    return lambda peer: f"{ratio(document, name, peer, ENVOY, figure):.2f}"


def _spread(document: Document, name: str, figure: str) -> Cell:
    return lambda peer: f"{spread(document, name, peer, figure):.0%}"


def _only_peers(cell: Cell) -> Cell:
    return lambda peer: "" if peer == DIRECT else cell(peer)


def _table(document: Document, name: str, columns: dict[str, Cell]) -> str:
    def row(peer: str) -> Sequence[str]:
        return [peer, *(_shown(cell, peer) for cell in columns.values())]

    return table(("", *columns), [row(peer) for peer in document[name]])


def _shown(cell: Cell, peer: str) -> str:
    try:
        return cell(peer)
    except KeyError:
        return ""


def _requests(name: str) -> Callable[[Document], str]:
    def made(document: Document) -> str:
        """Requests per second of one core."""
        columns = {
            "requests/s": _of(document, name, "per_second"),
            "spread": _spread(document, name, "per_second"),
            "÷ Envoy": _only_peers(_against(document, name, "per_second")),
            "of its core": _only_peers(_of(document, name, "core", ".0%")),
            "of the load's": _of(document, name, "load_core", ".0%"),
            "requests per CPU second": _only_peers(_of(document, name, "per_cpu_second")),
            "p50 ms": _of(document, name, "p50_ms", ".2f"),
            "p99 ms": _of(document, name, "p99_ms", ".2f"),
        }
        return _table(document, name, columns)

    return made


def _events(name: str) -> Callable[[Document], str]:
    def made(document: Document) -> str:
        """CPU time per relayed event."""
        columns = {
            "CPU µs per event": _only_peers(_of(document, name, "cpu_us", ".1f")),
            "spread": _only_peers(_spread(document, name, "cpu_us")),
            "÷ Envoy": _only_peers(_against(document, name, "cpu_us")),
            "of its core": _only_peers(_of(document, name, "core", ".0%")),
            "delivered": _of(document, name, "delivered", ".1%"),
            "events per read": _of(document, name, "per_read", ".2f"),
            "longest gap added, ms": _of(document, name, "added_gap_ms", ".1f"),
        }
        return _table(document, name, columns)

    return made


def _bulk(name: str) -> Callable[[Document], str]:
    def made(document: Document) -> str:
        """Bytes per second of large bodies."""
        columns = {
            "MiB/s": _of(document, name, "bytes_per_second", scale=1 / MIB),
            "spread": _spread(document, name, "bytes_per_second"),
            "÷ Envoy": _only_peers(_against(document, name, "bytes_per_second")),
            "of its core": _only_peers(_of(document, name, "core", ".0%")),
            "of the load's": _of(document, name, "load_core", ".0%"),
            "MiB per CPU second": _only_peers(_of(document, name, "bytes_per_cpu_second", scale=1 / MIB)),
        }
        return _table(document, name, columns)

    return made


def latency(document: Document) -> str:
    """Latency at a fixed rate, and what each peer adds to it."""

    def more(figure: str) -> Cell:
        return _only_peers(lambda peer: f"{median(added(document, peer, figure)):+.2f}")

    columns = {
        "p50 ms": _of(document, "latency", "p50_ms", ".2f"),
        "added": more("p50_ms"),
        "p99 ms": _of(document, "latency", "p99_ms", ".2f"),
        "added ": more("p99_ms"),
    }
    return _table(document, "latency", columns)


def memory(document: Document) -> str:
    """Resident memory with many open streams."""
    columns = {
        "MiB with 1 stream": _of(document, "memory", "one", ".1f", 1 / MIB),
        f"MiB with {document['plan']['idle_streams']:,}": _of(document, "memory", "all", ".1f", 1 / MIB),
        "÷ Envoy": _against(document, "memory", "all"),
        "KiB per stream": _of(document, "memory", "per_stream", ".1f", 1 / 1024),
        "÷ Envoy ": _against(document, "memory", "per_stream"),
    }
    return _table(document, "memory", columns)


def start(document: Document) -> str:
    """From start to first byte."""
    columns = {
        "ms": _of(document, "start", "seconds", scale=1e3),
        "spread": _spread(document, "start", "seconds"),
        "÷ Envoy": _against(document, "start", "seconds"),
    }
    return _table(document, "start", columns)


def settle(document: Document) -> str:
    """Admission and settlement of one attempt."""
    columns = {"µs": "us", "9 of 10 below": "p90_us", "least": "least_us"}
    return _table(
        document, "settle", {title: _of(document, "settle", figure, ".2f") for title, figure in columns.items()}
    )


def listed(document: Document) -> str:
    """The first page of the health list."""
    columns = {
        "targets": _of(document, "list", "targets"),
        "first page, ms": _of(document, "list", "page_ms", ".1f"),
        "slowest": _of(document, "list", "page_most_ms", ".1f"),
        "while the store writes": _of(document, "list", "writing_ms", ".1f"),
        "each second, under load": _of(document, "list", "poll_ms", ".1f"),
        "slowest request during a poll, ms": _of(document, "list", "during_ms", ".2f"),
        "between polls": _of(document, "list", "between_ms", ".2f"),
        "added": _of(document, "list", "added_ms", "+.2f"),
    }
    return _table(document, "list", columns)


def _growth(name: str, size: Callable[[int], str]) -> Callable[[Document], str]:
    def made(document: Document) -> str:
        """Requests per second as work grows."""
        curves = {peer: curve(document, name, peer) for peer in document[name]}
        places = [at for at, _ in next(iter(curves.values()))]
        rows = [[peer, *(f"{height:,.0f}" for _, height in points)] for peer, points in curves.items()]
        return table(["requests/s", *(size(at) for at in places)], rows)

    return made


def curve(document: Document, name: str, peer: str) -> list[tuple[int, float]]:
    """Points of one peer: where, and the median of requests per second there."""
    runs = [run["points"] for run in document[name][peer]]
    return [(points[0]["at"], median(point["per_second"] for point in points)) for points in zip(*runs, strict=True)]


def size_of(size: float) -> str:
    """Bytes, as people say them."""
    return f"{size / 1024:g} KiB" if size < MIB else f"{size / MIB:g} MiB"


def soak(document: Document) -> str:
    """What moved in the soak."""
    found = document["soak"]
    rows = [
        ["memory, MiB", f"{found['memory_mib_per_10min']:+.2f}"],
        ["descriptors", f"{found['descriptors_per_10min']:+.2f}"],
        ["tasks", f"{found['tasks_per_10min']:+.2f}"],
    ]
    return table(("", "in ten minutes, after the fifth"), rows)


TABLES: Final[dict[str, Callable[[Document], str]]] = {
    "requests": _requests("requests"),
    "events": _events("events"),
    "crowd": _events("crowd"),
    "latency": latency,
    "memory": memory,
    "upload": _bulk("upload"),
    "download": _bulk("download"),
    "secure": _requests("secure"),
    "start": start,
    "settle": settle,
    "list": listed,
    "connections": _growth("connections", lambda many: f"{many:,}"),
    "targets": _growth("targets", lambda many: f"{many:,}"),
    "bodies": _growth("bodies", size_of),
    "soak": soak,
}
"""By measurement, in the order of the page."""
