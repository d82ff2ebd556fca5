"""Figures and pages are made from raw rounds, and the page in docs/ is what the newest rounds make."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from bench import benchmarkpage, pages, report
from bench.load import wire
from bench.measurements import MEASUREMENTS
from bench.sections import SECTIONS
from bench.tables import TABLES
from bench.targets import table_of
from tests.bench.peer_document import peer_document


@pytest.fixture
def document() -> report.Document:
    return peer_document()


def test_figures_are_medians_of_rounds_and_ratios_of_pairs(document: report.Document) -> None:
    assert report.middle(document, "requests", "detour", "per_second") == 40_000
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == 0.5
    document["requests"]["envoy"].reverse()
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == 0.5
    document["requests"]["envoy"][0]["per_second"] = 1
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == pytest.approx(1.0)


def test_a_peer_of_fewer_rounds_is_compared_in_those_it_had(document: report.Document) -> None:
    del document["requests"]["litellm"][1:]
    document["requests"]["detour"][0]["per_second"] = 5000
    assert report.ratio(document, "requests", "detour", "litellm", "per_second") == 50


def test_added_latency_is_that_above_the_same_round_without_a_proxy(document: report.Document) -> None:
    assert report.added(document, "detour", "p50_ms") == [0.25, 0.75, 0.5]


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("requests", "| detour | 40,000 | 100% | 0.50 | 400% | 200% | 40,000 | 8.00 | 16.00 |"),
        ("requests", "| direct | 20,000 | 100% |  |  | 100% |  | 4.00 | 8.00 |"),
        ("events", "| detour | 60.0 | 100% | 0.50 | 160% | 400.0% | 4.00 | 20.0 |"),
        ("crowd", "| direct |  |  |  |  | 200.0% | 2.00 | 10.0 |"),
        ("latency", "| detour | 1.00 | +0.50 | 4.00 | +2.00 |"),
        ("memory", "| detour | 120.0 | 240.0 | 0.50 | 122.9 | 0.50 |"),
        ("upload", "| detour | 2,048 | 100% | 0.50 | 400% | 200% | 2,048 |"),
        ("start", "| detour | 400 | 100% | 0.50 |"),
        ("settle", "| detour | 6.00 | 8.00 | 4.00 |"),
        ("list", "| detour | 20,000 | 8.0 | 12.0 | 10.0 | 16.0 | 4.00 | 3.00 | +1.00 |"),
        ("connections", "| detour | 4,000 | 400 |"),
        ("soak", "| memory, MiB | +0.50 |"),
    ],
)
def test_tables(document: report.Document, name: str, row: str) -> None:
    lines = TABLES[name](document).splitlines()
    assert row in lines
    assert len({line.count("|") for line in lines}) == 1


def test_ceiling_tells_what_was_not_limited_by_the_proxy(document: report.Document) -> None:
    for peer in ("portkey", "litellm"):
        for run in document["requests"][peer]:
            run["core"] = 1.0
    assert "not: that figure" not in report.ceiling(document)
    for run in document["requests"]["envoy"]:
        run["core"] = 0.5
    assert "For envoy it was not" in report.ceiling(document)
    assert "For envoy it was not" not in report.limited(document, "upload")
    document["upload"]["envoy"] = document["requests"]["envoy"]
    assert "For envoy it was not" in report.limited(document, "upload")


def test_disturbed_runs_are_told(document: report.Document) -> None:
    assert report.unclean(document) == ""
    document["events"]["envoy"][1]["clean"] = False
    assert report.unclean(document).startswith("Some runs of envoy were disturbed")
    assert report.unclean(document, "crowd") == ""


def test_page_has_targets_first_and_every_measurement(document: report.Document) -> None:
    page = benchmarkpage.render(document)
    headings = re.findall("^## (.*)$", page, flags=re.MULTILINE)
    assert headings[0] == "Targets"
    assert headings[-1] == "Do it again"
    assert len(headings) == len(TABLES) + 2 == len(SECTIONS) + 2
    assert list(TABLES) == list(SECTIONS) == [*MEASUREMENTS, "soak"]
    assert all(made(document) in page for made in TABLES.values())
    assert table_of(document) in page
    assert not re.search(r"[{}]", page), "something was not filled in"
    assert "\n\n\n" not in page


def test_what_was_not_measured_has_no_section(document: report.Document) -> None:
    for name in ("crowd", "soak", "connections"):
        del document[name]
    page = benchmarkpage.render(document)
    assert "Soak" not in page
    assert "connections.svg" not in page
    assert "| not measured |" in page


def test_sections_on_stores_come_before_the_end(document: report.Document) -> None:
    page = benchmarkpage.render(document, "## Stores\n")
    assert "\n\n## Stores\n\n## Do it again\n" in page
    assert "\n\n\n" not in page


def test_what_is_measured_again_takes_the_place_of_the_same_and_says_so(document: report.Document) -> None:
    later = {**peer_document(), "taken_at": "2026-01-02 00:00 UTC", "versions": {"detour": "1"}}
    wanted = {name: later[name] for name in ("taken_at", "machine", "versions", "plan", "list")}
    wanted["list"] = {"detour": [{**run, "page_ms": 1.5} for run in wanted["list"]["detour"]]}
    made = report.again(document, wanted)
    assert made["versions"] == document["versions"]
    assert made["plan"] == document["plan"]
    assert made["taken_at"] == document["taken_at"]
    page = benchmarkpage.render(made)
    assert page.count("Measured again") == 1
    assert "\n\nMeasured again 2026-01-02 00:00 UTC, with detour 1.\n" in page
    assert "| detour | 20,000 | 1.5 | " in page
    assert "Measured again" not in benchmarkpage.render(document)
    assert report.again(made, {**wanted, "taken_at": "later"})["again"] == {
        "list": {"taken_at": "later", "detour": "1"}
    }


def test_what_could_not_be_measured_can_be_measured_again(document: report.Document) -> None:
    found = document.pop("list")
    document["failed"] = {"list": "busy", "soak": "too long"}
    later = {"taken_at": "2026-01-02 00:00 UTC", "versions": {"detour": "1"}, "list": found}
    made = report.again(document, later)
    assert made["list"] == found
    assert made["failed"] == {"soak": "too long"}
    assert "Measured again" in benchmarkpage.render(made)


def test_growth_is_drawn(document: report.Document) -> None:
    document["bodies"]["nginx"] = [{"points": [{"at": 1, "per_second": 5.0}, {"at": 10, "per_second": 0.0}]}]
    drawn = benchmarkpage.pictures(document)
    assert [path.name for path in drawn] == [f"benchmarks-{name}.svg" for name in ("connections", "targets", "bodies")]
    page = benchmarkpage.render(document)
    for path, picture in drawn.items():
        assert f"]({path.name})" in page
        root = ET.fromstring(picture)
        assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) >= 2


def test_published_page_is_what_the_newest_result_makes() -> None:
    if any(report.RESULTS.glob("*.json")):
        assert report.PAGE.read_text(encoding="utf-8") == pages.benchmarks()
        for path, picture in benchmarkpage.pictures(report.newest()).items():
            assert path.read_text(encoding="utf-8") == picture
    else:
        assert not report.PAGE.exists()


def test_load_has_the_sizes_the_page_names() -> None:
    assert len(wire.EVENT) == 190
    assert len(wire.ANSWER) == 383
    assert [len(wire.answer(size)) for size in (383, 4096, 1 << 20)] == [383, 4096, 1 << 20]
    bodies = {wire.post("/v1/chat/completions", stream=on).partition(b"\r\n\r\n")[2] for on in (True, False)}
    assert [len(body) for body in bodies] == [480, 480]


def test_a_header_of_a_peer_takes_the_place_of_the_usual_one() -> None:
    head = wire.post("/x", stream=False, headers=("Authorization: Bearer own", "x-more: 1")).partition(b"\r\n\r\n")[0]
    assert head.count(b"Authorization") == 1
    assert {b"Authorization: Bearer own", b"x-more: 1", b"Content-Length: 480"} <= set(head.split(b"\r\n"))
