"""What is drawn is the table, and what is committed is what is drawn."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml
from pathlib import Path

import pytest

from breaker import diagram
from breaker.transitions import TABLE, Event, State

PAGE = (diagram.DOCS / "breakers.md").read_text(encoding="utf-8")
SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_is_current() -> None:
    assert diagram.page(PAGE) == PAGE, "run: python -m breaker.diagram"


def test_the_picture_is_current() -> None:
    drawn = (diagram.DOCS / "breakers.svg").read_text(encoding="utf-8")
    assert drawn == diagram.svg(), "run: python -m breaker.diagram"


def test_mermaid_holds_the_table_and_nothing_else() -> None:
    found = {}
    for was, state, label in re.findall(r"^ {4}(\w+) --> (\w+) : (.*)$", diagram.mermaid(), flags=re.MULTILINE):
        for event in label.split("<br/>"):
            found[State(was), Event(event.partition(" ")[0])] = State(state)
    assert found == TABLE
    assert "    [*] --> closed\n" in diagram.mermaid()


def test_mermaid_can_read_it() -> None:
    """A colon or a semicolon inside a label ends it."""
    for line in diagram.mermaid().splitlines():
        assert line.count(":") <= 1
        assert ";" not in line


def test_the_picture_holds_every_arrow_and_every_event() -> None:
    root = Xml.fromstring(diagram.svg())
    arrows = [path for path in root.iter(f"{SVG}path") if path.get("class") == "arrow"]
    assert len(arrows) == len(diagram.edges()) == len({(was, state) for (was, _), state in TABLE.items()})
    assert len({path.get("d") for path in arrows}) == len(arrows)
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    for event in Event:
        assert sum(text.startswith(f"{event} (") for text in texts) == sum(known is event for _, known in TABLE)
    assert {"closed", "open", "half-open"} <= set(texts)


def test_the_picture_stays_within_its_frame() -> None:
    root = Xml.fromstring(diagram.svg())
    width, height = map(int, root.attrib["viewBox"].split()[2:])
    for text in root.iter(f"{SVG}text"):
        wide = 7.5 * len(text.text or "")
        left = int(text.attrib["x"]) - {"start": 0, "middle": wide / 2, "end": wide}[text.attrib["text-anchor"]]
        assert left >= 0
        assert left + wide <= width
        assert 12 <= int(text.attrib["y"]) <= height - 4


def test_a_page_without_a_place_for_it_is_refused() -> None:
    for text in ("", diagram.BEGIN, diagram.END, diagram.END + diagram.BEGIN):
        with pytest.raises(ValueError, match="marker"):
            diagram.page(text)


def test_drawing(tmp_path: Path) -> None:
    (tmp_path / "breakers.md").write_text(f"before\n{diagram.BEGIN}old\n{diagram.END}after\n", encoding="utf-8")
    diagram.main(tmp_path)
    page = f"before\n{diagram.BEGIN}{diagram.mermaid()}{diagram.END}after\n"
    assert (tmp_path / "breakers.md").read_text(encoding="utf-8") == page
    assert (tmp_path / "breakers.svg").read_text(encoding="utf-8") == diagram.svg()
