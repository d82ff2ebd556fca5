"""The state diagram of the breakers in docs/breakers.md and docs/breakers.svg, drawn from the transition table.

`python -m breaker.diagram` draws both anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from breaker.transitions import TABLE, Event, State

DOCS: Final = Path(__file__).parents[1] / "docs"
BEGIN: Final = "<!-- Drawn by `python -m breaker.diagram` from breaker/transitions.py. Do not edit. -->\n"
END: Final = "<!-- Drawn until here. -->\n"

CAUSES: Final = {
    Event.TRIP: "too many failures or slow answers",
    Event.WAITED: "open time is over, a request comes",
    Event.RECOVERED: "enough trials succeeded",
    Event.RELAPSED: "a trial failed",
    Event.FORCE_OPEN: "POST …/open",
    Event.FORCE_CLOSE: "POST …/close",
    Event.RESET: "POST …/reset",
    Event.TOLD_OPEN: "store or sidecar says so",
    Event.TOLD_CLOSED: "store or sidecar says so",
}
"""What brings each event about. No colons and no semicolons: Mermaid takes them for its own."""

NAMES: Final = {State.CLOSED: "closed", State.OPEN: "open", State.HALF_OPEN: "half-open"}
LETS_PASS: Final = {State.CLOSED: "everything passes", State.OPEN: "nothing passes", State.HALF_OPEN: "trials pass"}

Edge = tuple[State, State]


def edges() -> dict[Edge, list[Event]]:
    """The arrows: states from and to, and the events that lead along each, in the order of the table."""
    found: dict[Edge, list[Event]] = {}
    for (state, event), following in TABLE.items():
        found.setdefault((state, following), []).append(event)
    return found


def labels(events: Sequence[Event]) -> list[str]:
    """What stands at an arrow, a line for each event."""
    return [f"{event} ({CAUSES[event]})" for event in events]


def mermaid() -> str:
    """The diagram as hosting sites draw it inside a page."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{NAMES[state]}" as {state}' for state in State]
    lines += [f"    [*] --> {State.CLOSED}"]
    lines += [f"    {was} --> {state} : {'<br/>'.join(labels(events))}" for (was, state), events in edges().items()]
    return "\n".join([*lines, "```", ""])


def page(text: str) -> str:
    """Return a page with the diagram between its two markers drawn anew.

    Raises:
        ValueError: a marker is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError("the page has no place for the diagram: a marker is missing")
    return before + begin + mermaid() + end + after


# The picture is small and has three states, so their places are chosen by hand; what connects them is not.

_WIDTH, _HEIGHT = 900, 460
_BOX: Final = (150, 56)
_AT: Final = {State.CLOSED: (150, 170), State.OPEN: (750, 170), State.HALF_OPEN: (450, 400)}
"""Middle of each state's box."""

_ARROWS: Final[dict[Edge, tuple[str, tuple[int, int, str]]]] = {
    (State.CLOSED, State.OPEN): ("M225 158 C375 128 525 128 673 156", (450, 87, "middle")),
    (State.OPEN, State.CLOSED): ("M675 184 C525 212 375 212 227 185", (450, 226, "middle")),
    (State.OPEN, State.HALF_OPEN): ("M776 198 C766 310 660 390 527 408", (878, 420, "end")),
    (State.HALF_OPEN, State.OPEN): ("M496 372 C560 322 640 270 716 200", (524, 304, "end")),
    (State.HALF_OPEN, State.CLOSED): ("M375 408 C240 392 134 310 126 200", (22, 392, "start")),
    (State.CLOSED, State.CLOSED): ("M120 142 C96 84 204 84 181 140", (150, 45, "middle")),
    (State.OPEN, State.OPEN): ("M720 142 C696 84 804 84 781 140", (750, 61, "middle")),
}
"""Path of each arrow, and where its label stands: x, y of the first line, and which end of the text is there."""

_STYLE: Final = """\
    .ground { fill: #ffffff; stroke: #d0d7de }
    .box { fill: #f6f8fa; stroke-width: 2 }
    .closed { stroke: #1a7f37 } .open { stroke: #cf222e } .half_open { stroke: #9a6700 }
    .arrow { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#tip) }
    .tip { fill: #57606a }
    text { fill: #1f2328; font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
    .name { font-weight: bold; font-size: 16px }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #0d1117; stroke: #30363d }
      .box { fill: #161b22 }
      .closed { stroke: #3fb950 } .open { stroke: #f85149 } .half_open { stroke: #d29922 }
      .arrow { stroke: #9198a1 }
      .tip { fill: #9198a1 }
      text { fill: #f0f6fc }
    }"""


def svg() -> str:
    """The diagram as a picture with a ground of its own, readable on light pages and dark ones."""
    drawn = edges()
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="title">',
        '  <title id="title">States of a circuit breaker and what moves it from one to the other</title>',
        f"  <style>\n{_STYLE}\n  </style>",
        '  <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '    <path class="tip" d="M0 0 L8 4 L0 8 z"/>',
        "  </marker>",
        f'  <rect class="ground" x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="8"/>',
        *(f'  <path class="arrow" d="{_ARROWS[edge][0]}"/>' for edge in drawn),
        *(line for edge, events in drawn.items() for line in _label(labels(events), *_ARROWS[edge][1])),
        *(line for state in State for line in _state(state)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _state(state: State) -> list[str]:
    (x, y), (width, height) = _AT[state], _BOX
    box = f'x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}" rx="10"'
    return [
        f'  <rect class="box {state}" {box}/>',
        f'  <text class="name" x="{x}" y="{y - 4}" text-anchor="middle">{NAMES[state]}</text>',
        f'  <text x="{x}" y="{y + 16}" text-anchor="middle">{LETS_PASS[state]}</text>',
    ]


def _label(lines: Sequence[str], x: int, y: int, anchor: str) -> list[str]:
    return [
        f'  <text x="{x}" y="{y + 17 * number}" text-anchor="{anchor}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]


def main(docs: Path = DOCS) -> None:
    """Draw the page's diagram and the picture in a folder anew. Raises OSError or ValueError when it has no page."""
    path = docs / "breakers.md"
    path.write_text(page(path.read_text(encoding="utf-8")), encoding="utf-8")
    (docs / "breakers.svg").write_text(svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
