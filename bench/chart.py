"""A chart of lines over two logarithmic axes, drawn as SVG that needs nothing else to be read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH: Final = 760
HEIGHT: Final = 440
LEFT, RIGHT, TOP, BOTTOM = 84, 206, 22, 58
COLOURS: Final = ("#0b6bcb", "#c2410c", "#15803d", "#7c3aed")
"""Told apart by people who see few colours, and dark enough on white."""


class Line(Struct, frozen=True):
    """One line: its points, the colour's place in `COLOURS`, whether it is dashed."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    dashed: bool = False


class Axis(Struct, frozen=True):
    """One axis: what it tells, from where to where, and how its powers of ten are written."""

    title: str
    low: float
    high: float
    label: Callable[[float], str]

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        inside = min(max(value, self.low), self.high)
        return math.log(inside / self.low) / math.log(self.high / self.low)

    def ticks(self) -> Iterator[float]:
        """The powers of ten it reaches."""
        for power in range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1):
            yield 10.0**power


def draw(title: str, across: Axis, up: Axis, lines: Sequence[Line], marks: Sequence[tuple[float, str]] = ()) -> str:
    """The whole picture. `marks` are heights at which a line is drawn across, each with what it means."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#1f2937">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *_grid(across, up),
        *(part for mark in marks for part in _mark(up, *mark)),
        *(_path(across, up, line) for line in lines),
        *_legend(lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _x(across: Axis, value: float) -> float:
    return LEFT + across.place(value) * (WIDTH - LEFT - RIGHT)


def _y(up: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - up.place(value) * (HEIGHT - TOP - BOTTOM)


def _grid(across: Axis, up: Axis) -> Iterator[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in up.ticks():
        y = _y(up, tick)
        yield f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#e5e7eb"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{escape(up.label(tick))}</text>'
    for tick in across.ticks():
        x = _x(across, tick)
        yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#e5e7eb"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(across.label(tick))}</text>'
    middle, half = (LEFT + right) / 2, (TOP + bottom) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(across.title)}</text>'
    yield f'<text transform="translate(16 {half}) rotate(-90)" text-anchor="middle">{escape(up.title)}</text>'


def _mark(up: Axis, height: float, meaning: str) -> Iterator[str]:
    y = _y(up, height)
    yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#6b7280"/>'
    yield f'<text x="{LEFT + 6}" y="{y - 5:.1f}" fill="#4b5563">{escape(meaning)}</text>'


def _path(across: Axis, up: Axis, line: Line) -> str:
    points = " ".join(f"{_x(across, x):.1f},{_y(up, y):.1f}" for x, y in line.points)
    return f'<polyline points="{points}" fill="none" {_stroke(line)}/>'


def _stroke(line: Line) -> str:
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    return f'stroke="{COLOURS[line.colour]}" stroke-width="2.2"{dashes}'


def _legend(lines: Sequence[Line]) -> Iterator[str]:
    x = WIDTH - RIGHT + 14
    for place, line in enumerate(lines):
        y = TOP + 16 + 38 * place
        yield f'<path d="M{x} {y}h26" {_stroke(line)}/>'
        for row, words in enumerate(line.name.split("\n")):
            yield f'<text x="{x + 34}" y="{y + 4 + 15 * row}">{escape(words)}</text>'
