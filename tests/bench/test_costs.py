"""Whole flushes are put down to single scripts and entries."""

from __future__ import annotations

import pytest

from bench import costs
from tests.bench.store_document import CALL, ENTRY, store_document


def test_costs_of_single_things() -> None:
    found = costs.costs(store_document())
    assert found.call == pytest.approx(CALL)
    assert found.entry == pytest.approx(ENTRY)
    assert (found.call_in, found.call_out) == (140, 50)
    assert (found.entry_in, found.entry_out) == pytest.approx((170, 60))
    assert found.entry_aside == pytest.approx(60e-6)
    assert (found.poll, found.poll_in, found.poll_out) == pytest.approx((15e-6, 100, 30))
    assert (found.heard, found.heard_out) == pytest.approx((4e-6, 236))
    assert (found.record_bytes, found.minute_bytes, found.hour_bytes, found.mark_bytes) == (2_300, 80, 200, 100)
    assert (found.connection_bytes, found.connections) == (22_000, 3)


def test_flushes_that_were_held_up_are_left_out_where_there_are_others() -> None:
    document = store_document()
    assert len(costs.again(document, "redis", 1_000)) == 2
    runs = document["flushes"]["redis"]["1000"]["again"]
    for run in runs:
        run["clean"] = False
    assert costs.again(document, "redis", 1_000) == runs
