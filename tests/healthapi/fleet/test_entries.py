from __future__ import annotations

import pytest

from breaker.outcome import Kind, Status
from healthapi.cell import ALL_MODELS, Cell
from healthapi.fleet.entries import ALL, CELLS, HISTORY, Into, of_cells, of_delta, of_record
from healthapi.fleet.keys import identity
from healthapi.history import HOUR, MINUTE
from tests.healthapi.samples import NOW, delta, outcome, record

BAD = Status.ERROR
MILLI = round(NOW * 1000)


def test_a_delta_is_told_whole() -> None:
    made = of_delta(delta(outcome(took=0.5), outcome(BAD, at=NOW + 1, took=1.5, message="503 \ud800", first_byte=None)))
    flags, kind, name, minute, cell, first, last, status, micros, error, succeeded, failed, streak = made
    assert (flags, kind, name, minute) == (ALL, "l", identity("groq", "llama"), NOW // 60)
    assert cell[:7] == [1, 1, 0, 0, 0, 1, 2_000_000]
    assert [sum(flat[1::2]) for flat in cell[7:]] == [2, 1]
    assert all(flat[::2] == sorted(flat[::2]) for flat in cell[7:])
    assert (first, last, succeeded, failed) == (MILLI, MILLI + 1000, MILLI, MILLI + 1000)
    assert (status, micros, error, streak) == (1, 1_500_000, "503 ?", -1)


def test_a_success_has_no_error_and_what_never_was_is_nought() -> None:
    made = of_delta(delta(outcome(kind=Kind.PROBE)))
    assert (made[1], made[9], made[11]) == ("p", False, 0)


@pytest.mark.parametrize(("into", "told"), [(ALL, CELLS), (HISTORY, CELLS), (Into.RECORD, 0)])
def test_a_provider_as_a_whole_has_cells_and_no_record(into: Into, told: int) -> None:
    assert of_delta(delta(outcome(model=ALL_MODELS)), into)[0] == told


def test_a_record_is_told_by_its_tallies_the_one_that_ended_last_coming_last() -> None:
    made = record(outcome(at=NOW + 5), outcome(at=NOW + 6), outcome(BAD, kind=Kind.PROBE, at=NOW + 7))
    live, probe = of_record(made)
    assert (live[0], live[1], probe[1]) == (Into.RECORD, "l", "p")
    assert (live[4][:5], probe[4][:5]) == ([2, 0, 0, 0, 0], [0, 1, 0, 0, 0])
    assert live[10:] == [0, 0, 0], "how it went is told once"
    assert probe[10:] == [MILLI + 6000, MILLI + 7000, -1]
    assert live[5] == probe[5] == MILLI + 5000, "when the record began"


def test_history_is_told_by_its_cells() -> None:
    cell = Cell([3, 1, 0, 0, 0], 1, 2.0, {4: 4}, {})
    (minute,) = of_cells(MINUTE, [("groq", "llama", 7, Kind.LIVE, cell)])
    (hour,) = of_cells(HOUR, [("groq", ALL_MODELS, 7, Kind.PROBE, cell)])
    assert (minute[0], minute[1], minute[3]) == (Into.MINUTES | Into.MINUTE_RING, "l", 7)
    assert (hour[0], hour[1], hour[3]) == (Into.HOURS, "p", 7 * 60)
    assert minute[4] == hour[4] == [3, 1, 0, 0, 0, 1, 2_000_000, [4, 4], []]
