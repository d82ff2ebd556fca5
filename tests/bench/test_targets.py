"""Targets are those that were set, and a figure that misses one is shown as a miss."""

from __future__ import annotations

import re

import pytest

from bench import targets
from bench.targets import TARGETS, Target
from tests.bench.peer_document import peer_document


def rows() -> dict[tuple[str, str], list[str]]:
    lines = targets.table_of(peer_document()).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], row[1]): row[2:] for row in cells}


def test_every_target_has_a_row_and_all_are_judged() -> None:
    assert len(rows()) == len(TARGETS)
    assert {row[2] for row in rows().values()} == {"met", "**missed**"}


@pytest.mark.parametrize(
    ("work", "against", "row"),
    [
        ("requests/s", "Envoy", ["≥ 1.1×", "0.50×", "**missed**"]),
        ("requests/s", "LiteLLM", ["≥ 50×", "200×", "met"]),
        ("requests/s", "Portkey's gateway", ["≥ 10×", "100×", "met"]),
        ("CPU per event, 500 streams", "Envoy", ["≤ 0.75×", "0.50×", "met"]),
        ("added latency, p50", "Envoy", ["≤ 1.5×", "0.33×", "met"]),
        ("admission and settlement of an attempt", "", ["≤ 4 µs", "6.00 µs", "**missed**"]),
        ("health list of 10,000 targets, first page", "", ["≤ 5 ms", "8.00 ms", "**missed**"]),
        ("soak: tasks in ten minutes", "", ["≤ 1", "2.00", "**missed**"]),
        ("soak: attempts counted differently from the provider", "", ["≤ 0", "0.00", "met"]),
    ],
)
def test_rows(work: str, against: str, row: list[str]) -> None:
    assert rows()[work, against] == row


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    document = peer_document()
    del document["requests"]["litellm"], document["soak"]
    told = targets.table_of(document)
    assert "| requests/s | LiteLLM | ≥ 50× |  | not measured |" in told
    assert "| soak: memory in ten minutes |  | ≤ 1 MiB |  | not measured |" in told


def test_a_bound_is_met_at_the_bound() -> None:
    least, most = (Target("w", "", lambda document: 2.0, 2.0, way) for way in (False, True))
    assert least.met({})
    assert most.met({})


def test_rounds_in_which_envoy_adds_nothing_tell_nothing() -> None:
    document = peer_document()
    document["latency"]["envoy"][0]["p50_ms"] = 0.1
    assert targets._added("p50_ms")(document) == pytest.approx(1 / 3)
    for run in document["latency"]["envoy"]:
        run["p50_ms"] = 0.0
    with pytest.raises(KeyError):
        targets._added("p50_ms")(document)


def test_who_is_ahead_is_told_of_every_figure() -> None:
    document = peer_document()
    del document["secure"]
    told = dict(re.findall(r"^\| (.+) \| (.+) \|$", targets.ahead(document), re.MULTILINE))
    assert told.pop("figure") == "ahead of Detour, the first most"
    assert told["requests per second"] == "nginx, haproxy, envoy"
    assert told["CPU time per event, 500 streams"] == told["added latency, p99"] == "none"
    assert "requests per second, TLS to the provider" not in told
    assert len(told) == len(targets.COMPARED) - 1
    for peer, cost in (("envoy", 2.0), ("haproxy", 1.0)):
        for run in document["events"][peer]:
            run["cpu_us"] = cost
        for run, direct in zip(document["latency"][peer], document["latency"]["direct"], strict=True):
            run["p99_ms"] = direct["p99_ms"] + cost / 100
    for what in ("CPU time per event, 500 streams", "added latency, p99"):
        assert f"| {what} | haproxy, envoy |" in targets.ahead(document)
