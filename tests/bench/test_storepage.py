"""The sections on stores and the page on scaling say what the figures say; those in docs/ are the newest ones'."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from bench import costs, pages, scalingpage, storepage, storerun
from tests.bench.store_document import store_document


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("requests", "| memory | 2,000 |  | 1,800 |  | 0.50 | 2.00 |"),
        ("requests", "| redis | 1,980 | 0.990 | 1,782 | 0.990 | 0.49 | 1.98 |"),
        ("troubles", "| frozen | 1.00 | 1.50 | +0.50 | 4.00 | 6.00 | +2.00 |"),
        ("flushes", "| sqlite, 1,000 | 116.1 | 90.0 | 10.0 | 176 |  |  |"),
        ("flushes", "| redis, 1,000 | 116.1 | 90.0 | 10.0 | 176 | 55.5 | 71 |"),
    ],
)
def test_tables(name: str, row: str) -> None:
    lines = storepage.TABLES[name](store_document()).splitlines()
    assert row in lines
    assert len({line.count("|") for line in lines}) == 1


def test_noise_is_the_most_that_undisturbed_halves_were_apart() -> None:
    assert "up to 3.00 ms apart" in storepage.noise(store_document())


def test_sections_hold_every_table() -> None:
    document = store_document()
    text = storepage.render(document)
    assert all(made(document) in text for made in storepage.TABLES.values())
    assert len(storepage.told(document)) == len(storepage.TABLES)


def test_page_on_scaling_has_whole_tables_and_no_figure_that_is_none() -> None:
    page = scalingpage.render(store_document())
    assert not re.search(r"\b(nan|inf|None)\b", page)
    tables = re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE)
    assert len(tables) == 9
    for found in tables:
        assert len({line.count("|") for line in found.splitlines()}) == 1
    assert "| 10,000 | 100 | several fleets, a Redis each |" in page
    assert "| 1,000 targets | 55.5 | 55.5 |" in page


def test_picture_shows_what_flushing_less_often_is_worth() -> None:
    root = ET.fromstring(scalingpage.picture(costs.costs(store_document())))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2 * len(scalingpage.DRAWN)
    ends = [float(line.attrib["points"].rpartition(",")[2]) for line in lines]
    for with_it, without in zip(ends[::2], ends[1::2], strict=True):
        assert with_it > without, "lower in the picture"


def test_published_pages_are_what_the_newest_results_make() -> None:
    newest = storerun.newest()
    if newest is None:
        assert not scalingpage.PAGE.exists()
    else:
        assert scalingpage.PAGE.read_text(encoding="utf-8") == scalingpage.render(newest)
        assert scalingpage.PICTURE.read_text(encoding="utf-8") == scalingpage.picture(costs.costs(newest))
    assert pages.benchmarks().startswith("<!-- Written by `make bench-full`")
