from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from breaker.latency import SIZE
from breaker.outcome import Kind, Status
from healthapi.cell import Cell, dense, empty
from healthapi.history import DAY, HOUR, MINUTE
from healthapi.views import model_history
from healthapi.views.history import DEFAULT, WINDOWS, Question, Sum, quantile, rows
from tests.healthapi.samples import NOW, delta, many, outcome

MINUTES = int(NOW // MINUTE)
HOURS = int(NOW // HOUR)
COUNTS = ("calls", "success", "error", "timeout", "rate_limited", "network_error")
TIMES = (
    "average_response_time_ms",
    "p50_response_time_ms",
    "p95_response_time_ms",
    "p50_first_byte_ms",
    "p95_first_byte_ms",
)


def document(found: dict[int, Cell], now: float = NOW, **asked: Any) -> dict[str, Any]:
    question = Question(**{"provider": "groq", "model": "llama", "window": "1h", **asked})
    added = Sum()
    for bucket, cell in found.items():
        added.add(bucket, cell)
    buckets = list(rows(question, added, now))
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(model_history(question, added, buckets, now)))
    return made


@pytest.mark.parametrize(
    ("window", "width", "count"), [("1h", MINUTE, 61), ("24h", MINUTE, 1441), ("7d", HOUR, 169), ("30d", HOUR, 721)]
)
@pytest.mark.parametrize("into", [0, 1, 59.999])
def test_a_window_holds_all_of_its_span_and_the_running_bucket(
    window: str, width: int, count: int, into: float
) -> None:
    buckets = WINDOWS[window].buckets(NOW + into)
    assert WINDOWS[window].width == width
    assert len(buckets) == count
    assert buckets.start * width <= NOW + into - WINDOWS[window].span
    assert buckets[-1] * width <= NOW + into < (buckets[-1] + 1) * width


def test_the_default_is_a_day() -> None:
    assert WINDOWS[DEFAULT].span == DAY


def test_nothing_seen_has_every_field_and_no_invented_number() -> None:
    made = document({})
    assert made == {
        "provider": "groq",
        "model": "llama",
        "window": "1h",
        "bucket_seconds": 60,
        "from": "2025-12-31T23:00:00.000Z",
        "to": "2026-01-01T00:00:00.000Z",
        "kind": None,
        "totals": {
            **dict.fromkeys(COUNTS, 0),
            "error_rate": None,
            **dict.fromkeys(TIMES),
            "success_rate": None,
            "uptime_percentage": None,
        },
        "buckets": [],
    }


def test_a_bucket_tells_each_status_apart() -> None:
    statuses = [Status.SUCCESS, Status.ERROR, Status.ERROR, Status.TIMEOUT, Status.RATE_LIMITED, Status.NETWORK_ERROR]
    cell = delta(*(outcome(status, took=1.0, first_byte=None) for status in statuses))
    (bucket,) = document({MINUTES: cell})["buckets"]
    assert list(bucket) == ["at", *COUNTS, "error_rate", *TIMES]
    assert [bucket[name] for name in COUNTS] == [6, 1, 2, 1, 1, 1]
    assert bucket["at"] == "2026-01-01T00:00:00.000Z"
    assert bucket["error_rate"] == pytest.approx(5 / 6)
    assert bucket["average_response_time_ms"] == 1000.0
    assert bucket["p50_response_time_ms"] == pytest.approx(1000, rel=0.05)
    assert bucket["p50_first_byte_ms"] is bucket["p95_first_byte_ms"] is None


def test_totals_are_those_of_the_buckets() -> None:
    slow = delta(*[outcome(took=9.0, first_byte=3.0)] * 10)
    quick = delta(*[outcome(took=1.0, first_byte=0.1)] * 89, outcome(Status.ERROR, took=1.0, first_byte=None))
    made = document({MINUTES - 3: quick, MINUTES: slow})
    totals = made["totals"]
    assert [totals[name] for name in COUNTS] == [100, 99, 1, 0, 0, 0]
    assert (totals["success_rate"], totals["uptime_percentage"], totals["error_rate"]) == (0.99, 99.0, 0.01)
    assert totals["average_response_time_ms"] == 1800.0
    assert totals["p50_response_time_ms"] == pytest.approx(1000, rel=0.05)
    assert totals["p95_response_time_ms"] == pytest.approx(9000, rel=0.05)
    assert [bucket["at"][11:16] for bucket in made["buckets"]] == ["23:57", "00:00"]
    for name in COUNTS:
        assert totals[name] == sum(bucket[name] for bucket in made["buckets"])


def test_every_bucket_when_asked_for() -> None:
    made = document({HOURS - 1: delta(*many(1, 0))}, window="7d", fill=True)
    assert len(made["buckets"]) == 169
    assert [bucket["calls"] for bucket in made["buckets"]] == [0] * 167 + [1, 0]
    assert made["buckets"][0]["at"] == made["from"]
    assert made["buckets"][-1] == {
        "at": "2026-01-01T00:00:00.000Z",
        **dict.fromkeys(COUNTS, 0),
        "error_rate": None,
        **dict.fromkeys(TIMES),
    }


def test_no_names_where_all_are_meant_and_none_that_json_cannot_carry() -> None:
    made = document({}, provider=None, model=None, kind=Kind.PROBE)
    assert (made["provider"], made["model"], made["kind"]) == (None, None, "probe")
    assert document({}, model="bad-\udcff")["model"] == "bad-?"


def test_cells_are_added_and_left_alone() -> None:
    live, probe = delta(*many(2, 1)), delta(outcome(kind=Kind.PROBE))
    before = msgspec.json.encode([live, probe])
    found = Sum()
    for bucket, cell in ((MINUTES, live), (MINUTES, probe), (MINUTES - 1, probe), (MINUTES, live)):
        found.add(bucket, cell)
    assert {bucket: cell.calls for bucket, cell in found.buckets.items()} == {MINUTES: 7, MINUTES - 1: 1}
    assert found.whole.calls == 8
    assert msgspec.json.encode([live, probe]) == before


@given(st.dictionaries(st.integers(0, SIZE - 1), st.integers(1, 50), max_size=12), st.floats(0, 1))
@example({}, 0.5)
@example({0: 1, SIZE - 1: 1}, 0.5)
def test_the_quick_quantile_is_the_one_of_all_others(sparse: dict[int, int], q: float) -> None:
    assert quantile(sparse, q) == dense(sparse).quantile(q)


def test_an_empty_cell_is_as_if_it_were_not_there() -> None:
    assert document({MINUTES: empty()}, fill=True) == document({}, fill=True)
