"""The picture is well-formed, and everything in it lies within its frame."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from bench import chart
from bench.chart import Axis, Line, draw

NAMESPACE = "{http://www.w3.org/2000/svg}"
ACROSS = Axis("a & b", 1, 10_000, lambda value: f"{value:,.0f}")
UP = Axis("<cores>", 0.001, 100, lambda value: f"{value:g}")


def test_lines_lie_within_the_frame() -> None:
    lines = [Line("one\ntwo", [(1, 0.001), (100, 1), (10_000, 100)], 0), Line("three", [(1, 0.0), (1e9, 1e9)], 1, True)]
    root = ET.fromstring(draw("a title", ACROSS, UP, lines, [(1.0, "one core")]))
    drawn = [one.attrib["points"].split() for one in root.iter(f"{NAMESPACE}polyline")]
    right, bottom = chart.WIDTH - chart.RIGHT, chart.HEIGHT - chart.BOTTOM
    middle = f"{(chart.LEFT + right) / 2:.1f},{bottom - 0.6 * (bottom - chart.TOP):.1f}"
    corners = [f"{chart.LEFT:.1f},{bottom:.1f}", f"{right:.1f},{chart.TOP:.1f}"]
    assert drawn == [[corners[0], middle, corners[1]], corners]


def test_text_is_all_there() -> None:
    root = ET.fromstring(draw("a title", ACROSS, UP, [Line("one\ntwo", [(1, 1)], 0)], [(1.0, "one core")]))
    texts = [one.text for one in root.iter(f"{NAMESPACE}text")]
    assert {"a & b", "<cores>", "one", "two", "one core", "10,000", "0.001"} <= set(texts)
    assert root.findtext(f"{NAMESPACE}title") == "a title"
