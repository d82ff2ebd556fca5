"""docs/benchmarks.md, written from a result: every section that was measured, beginning with the targets."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench.chart import Axis, Line, draw
from bench.plan import FULL
from bench.report import PAGE, Document
from bench.sections import SECTIONS, words
from bench.tables import TABLES, curve
from bench.targets import ahead, table_of

COLOURS: Final = {"detour": 0, "envoy": 1, "nginx": 2, "direct": 3}

AXES: Final[dict[str, tuple[str, Callable[[float], str]]]] = {
    "connections": ("connections", lambda many: f"{many:,.0f}"),
    "targets": ("targets", lambda many: f"{many:,.0f}"),
    "bodies": ("bytes of a request", lambda many: f"{many:,.0f}"),
}


def render(document: Document, stores: str = "") -> str:
    """The whole page; `stores` are the sections of the stores (see `bench.storepage`)."""
    machine, versions = document["machine"], document["versions"]
    whole = document["plan"]["rounds"] == FULL.rounds
    command = "make bench-full" if whole else "make bench"
    sections = "\n".join(_sections(document))
    return f"""<!-- Written by `make bench-full` from bench/results/. Do not edit. -->

# Benchmarks

Taken {document["taken_at"]} by `{command}`: one run, one machine, everything on loopback. Each proxy has one core
to itself; load and provider share another. Detour runs with everything on: it judges, times and counts every request,
breakers and a model group are in force, and what happens is kept in an SQLite file. How all of it is measured, and how
it is known that load and provider are not what is measured, is in [bench/README.md](../bench/README.md).

Machine: {machine["processor"]}, {machine["cores"]} cores, {machine["memory_gib"]} GiB, {machine["distribution"]},
Linux {machine["kernel"]}; load average before the run {machine["load_before"]}.

Versions: {", ".join(f"{name} {version}" for name, version in versions.items())}.

## Targets

{table_of(document)}

{ahead(document)}

Figures are medians of rounds, the peers in turn; ratios are medians of the ratios within a round, in which Detour and
Envoy follow one another. *Spread* is the largest round less the smallest, by the median.

{sections}
{stores and stores + chr(10)}## Do it again

`make bench-full` (an hour and a half, on a quiet machine), or `make bench` (ten minutes, prints the tables and writes
no page). What the peers are told is in `bench/configs/`, the load programs are in `bench/load/`, the raw numbers of
every round in `bench/results/`.
"""


def _sections(document: Document) -> Iterator[str]:
    for name, section in SECTIONS.items():
        if name in document:
            filled = words(name, document["plan"])
            title, before = section.title.format(**filled), _wrapped(section.before.format(**filled))
            picture = f"![{title}]({_picture(name).name})" if name in AXES else ""
            later = document.get("again", {}).get(name)
            again = f"Measured again {later['taken_at']}, with detour {later['detour']}." if later else ""
            parts = [f"## {title}", before, picture, TABLES[name](document), _wrapped(section.after(document)), again]
            yield "\n\n".join(part for part in parts if part) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def _picture(name: str) -> Path:
    return PAGE.with_name(f"benchmarks-{name}.svg")


def pictures(document: Document) -> dict[Path, str]:
    """The charts of growth that were measured."""
    return {_picture(name): _chart(document, name) for name in AXES if name in document}


def _chart(document: Document, name: str) -> str:
    curves = {peer: curve(document, name, peer) for peer in document[name]}
    lines = [Line(peer, points, COLOURS[peer], dashed=peer == "direct") for peer, points in curves.items()]
    places = [at for points in curves.values() for at, _ in points]
    heights = [height for points in curves.values() for _, height in points]
    title, label = AXES[name]
    across = Axis(title, min(places), max(places), label)
    up = Axis("requests per second", max(min(heights) / 2, 0.5), max(heights) * 1.5, lambda value: f"{value:,.0f}")
    return draw(f"Requests per second by {title}", across, up, lines)
