"""The page of numbers is made from raw rounds, and the one in docs/ is what the newest rounds make."""

from __future__ import annotations

import re

import pytest

from bench import measure, pages, report
from bench.load import wire


def rounds(measurement: str, scale: float) -> list[dict[str, float]]:
    runs = {
        "requests": {"per_second": 10_000, "core": 1.0, "per_cpu_second": 10_000, "p50_ms": 2.0, "p99_ms": 4.0},
        "events": {"cpu_us": 15.0, "delivered": 1.0, "per_read": 1.0, "clean": 1.0},
        "latency": {"p50_ms": 0.25, "p99_ms": 1.0},
        "memory": {"one": 30 * 2**20, "all": 60 * 2**20, "per_stream": 31457.28},
    }
    return [{figure: value * scale * factor for figure, value in runs[measurement].items()} for factor in (1, 3, 2)]


@pytest.fixture
def document() -> report.Document:
    return {
        "taken_at": "2026-01-01 00:00 UTC",
        "machine": {
            "processor": "P", "cores": 2, "memory_gib": 4.0, "kernel": "6", "distribution": "D", "load_before": 0.1,
        },
        "versions": {"detour": "0", "envoy": "1"},
        "plan": {
            "rounds": {"requests": 3, "events": 3, "latency": 3, "memory": 1},
            "connections": 32, "streams": 500, "gap": 0.02, "rate": 1000, "idle_streams": 1000,
        },
        **{
            name: {peer: rounds(name, scale) for peer, scale in (("direct", 1), ("detour", 2), ("envoy", 4))}
            for name in measure.MEASUREMENTS
        },
    }  # fmt: skip


def test_figures_are_medians_of_rounds_and_ratios_of_pairs(document: report.Document) -> None:
    assert report.middle(document, "requests", "detour", "per_second") == 40_000
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == 0.5
    document["requests"]["envoy"].reverse()
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == 0.5
    document["requests"]["envoy"][0]["per_second"] = 1
    assert report.ratio(document, "requests", "detour", "envoy", "per_second") == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("requests", "| detour | 40,000 | 0.50 | 400% | 40,000 | 8.00 | 16.00 |"),
        ("events", "| detour | 60.0 | 0.50 | 400.0% | 4.00 |"),
        ("latency", "| detour | 1.00 | +0.50 | 4.00 | +2.00 |"),
        ("memory", "| detour | 120.0 | 240.0 | 122.9 |"),
    ],
)
def test_tables(document: report.Document, name: str, row: str) -> None:
    lines = report.TABLES[name](document).splitlines()
    assert row in lines
    assert len({line.count("|") for line in lines}) == 1


def test_ceiling_tells_what_was_not_limited_by_the_proxy(document: report.Document) -> None:
    assert "not: that figure" not in report.ceiling(document)
    for run in document["requests"]["envoy"]:
        run["core"] = 0.5
    assert "For envoy it was not" in report.ceiling(document)


def test_disturbed_runs_are_told(document: report.Document) -> None:
    assert report.unclean(document) == ""
    document["events"]["envoy"][1]["clean"] = False
    assert report.unclean(document).startswith("Some runs of envoy were disturbed")


def test_page_names_every_measurement(document: report.Document) -> None:
    page = report.render(document)
    assert re.findall("^## .*$", page, flags=re.MULTILINE) == [
        "## Requests per second on one core",
        "## CPU time per relayed event",
        "## Added latency at 1,000 requests/s",
        "## Memory for 1,000 open streams",
        "## Do it again",
    ]
    assert all(report.TABLES[name](document) in page for name in report.TABLES)


def test_sections_on_stores_come_before_the_end(document: report.Document) -> None:
    page = report.render(document, "## Stores\n")
    assert "\n\n## Stores\n\n## Do it again\n" in page
    assert "\n\n\n" not in page


def test_published_page_is_what_the_newest_result_makes() -> None:
    if any(report.RESULTS.glob("*.json")):
        assert report.PAGE.read_text(encoding="utf-8") == pages.benchmarks()
    else:
        assert not report.PAGE.exists()


def test_load_has_the_sizes_the_page_names() -> None:
    assert len(wire.EVENT) == 190
    assert len(wire.ANSWER) == 383
    bodies = {wire.post("/v1/chat/completions", stream=on).partition(b"\r\n\r\n")[2] for on in (True, False)}
    assert [len(body) for body in bodies] == [480, 480]
