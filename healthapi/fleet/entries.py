"""What a sidecar counted, in the form in which the shared store takes it in (`lua/flush.lua`).

An entry is a delta and a set of places it is to be added to. In the way of things it is all of them; where a lost store
is filled again, records and history go apart, since each sidecar knows the sums of the one and the cells of the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag
from typing import Any, Final

from breaker.outcome import Kind
from healthapi.cell import ALL_MODELS, PLACES, Cell, Sparse, sparse
from healthapi.delta import Delta
from healthapi.fleet.keys import identity
from healthapi.history import HOUR, MINUTE
from healthapi.record import Record

Entry = list[Any]


class Into(IntFlag):
    """Where an entry is added."""

    RECORD = 1
    MINUTES = 2
    HOURS = 4
    MINUTE_RING = 8
    HOUR_RINGS = 16
    """Those of hours and of days."""


CELLS: Final = Into.MINUTES | Into.HOURS
HISTORY: Final = CELLS | Into.MINUTE_RING | Into.HOUR_RINGS
ALL: Final = HISTORY | Into.RECORD

_KINDS: Final = {Kind.LIVE: "l", Kind.PROBE: "p"}


def of_delta(delta: Delta, into: Into = ALL) -> Entry:
    """What happened within a minute. A provider as a whole has cells and nothing else."""
    return [
        int(into & CELLS if delta.model == ALL_MODELS else into),
        _KINDS[delta.kind],
        identity(delta.provider, delta.model),
        delta.minute,
        cell(delta),
        _milli(delta.first_at),
        _milli(delta.last_at),
        delta.last_status,
        _micro(delta.last_response_time),
        _text(delta.last_error),
        _milli(delta.last_success_at),
        _milli(delta.last_failure_at),
        delta.streak,
    ]


def of_record(record: Record) -> list[Entry]:
    """All that a record holds; how its last attempts went goes with the tally that took the last one in."""
    entries = []
    for kind in Kind:
        for tally in record.tallies(kind):
            last = tally is record.last
            entries.append(
                [
                    int(Into.RECORD),
                    _KINDS[kind],
                    identity(record.provider, record.model),
                    0,
                    _cell(tally.counts, 0, tally.seconds, sparse(tally.response), sparse(tally.first_byte)),
                    _milli(record.created_at),
                    _milli(tally.last_called_at),
                    PLACES[tally.last_status],
                    _micro(tally.last_response_time),
                    _text(tally.last_error),
                    _milli(record.last_success_at) if last else 0,
                    _milli(record.last_failure_at) if last else 0,
                    record.streak if last else 0,
                ]
            )
    return sorted(entries, key=lambda entry: bool(entry[-1]))


def of_cells(width: int, kept: Iterable[tuple[str, str, int, Kind, Cell]]) -> Iterable[Entry]:
    """History in buckets of `width` seconds, each with provider, model, bucket (Unix time // width) and kind."""
    into = Into.MINUTES | Into.MINUTE_RING if width == MINUTE else Into.HOURS | Into.HOUR_RINGS
    for provider, model, bucket, kind, one in kept:
        delta = Delta(
            one.counts, one.blamed, one.seconds, one.response, one.first_byte,
            provider, model, kind, bucket * (1 if width == MINUTE else HOUR // MINUTE), 0.0,
        )  # fmt: skip
        yield of_delta(delta, into)


def cell(counted: Cell) -> list[Any]:
    """A cell as it travels: counts, blamed, microseconds, and both histograms flat, ascending by bucket."""
    return _cell(counted.counts, counted.blamed, counted.seconds, counted.response, counted.first_byte)


def _cell(counts: list[int], blamed: int, seconds: float, response: Sparse, first_byte: Sparse) -> list[Any]:
    return [*counts, blamed, _micro(seconds), _flat(response), _flat(first_byte)]


def _flat(histogram: Sparse) -> list[int]:
    return [number for bucket in sorted(histogram) for number in (bucket, histogram[bucket])]


def _milli(at: float | None) -> int:
    return 0 if at is None else round(at * 1000)


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)


def _text(text: str | None) -> str | bool:
    return False if text is None else text.encode("utf-8", "replace").decode()
