"""The records of this process, in memory. What outlives it is told to others by what `take` gives.

An outcome is counted in the delta of its target and minute and nowhere else; records hear of deltas when somebody asks
or takes. So a request pays for one count, however many places want to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from breaker.outcome import OTHER_MODEL, Outcome
from config.bases import Frozen
from healthapi.cell import PLACES
from healthapi.delta import Delta
from healthapi.delta import begin as begin_delta
from healthapi.history import MINUTE
from healthapi.outbox import Outbox
from healthapi.record import Record
from healthapi.record import begin as begin_record

_Key = tuple[str, str]

_MINUTE: Final = float(MINUTE)


class Gone(Frozen):
    """A record that left: its counts are those of the model `to` of its provider now, or nobody's."""

    provider: str
    model: str
    to: str | None


class MemoryStore:
    """Records in a dict. What bounds it is the registry, which names each outcome's target and says what to forget."""

    __slots__ = ("_fresh", "_gone", "_records", "_told")

    trouble: None = None

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._records: dict[_Key, Record] = {}
        self._fresh: dict[_Key, Delta] = {}  # not yet in the records
        self._told = Outbox()  # in the records, not yet taken
        self._gone: list[Gone] = []

    def add(self, outcome: Outcome) -> None:
        """Count one outcome (see `Store.add`)."""
        place = PLACES.get(outcome.verdict.status)
        if place is None:
            return
        key = (outcome.provider, outcome.model)
        delta = self._fresh.get(key)
        if delta is None or delta.minute != outcome.at // _MINUTE or delta.kind is not outcome.kind:
            delta = self._begin(key, outcome)
        delta.add(outcome, place)

    def get(self, provider: str, model: str) -> Record | None:
        """The record of one target (see `Store.get`)."""
        self._fold((provider, model))
        return self._records.get((provider, model))

    def records(self) -> Iterable[Record]:
        """All records, the target first seen coming first."""
        self._fold_all()
        return self._records.values()

    def forget(self, provider: str, model: str) -> None:
        """Move a target's counts to its provider's `OTHER_MODEL` (see `Store.forget`)."""
        if model == OTHER_MODEL:
            return
        gone = self._take_out(provider, model, OTHER_MODEL)
        if gone is None:
            return
        other = self.get(provider, OTHER_MODEL)
        if other is None:
            gone.rename(OTHER_MODEL)
            self._records[provider, OTHER_MODEL] = gone
        else:
            other.absorb(gone)

    def remove(self, provider: str, model: str) -> bool:
        """Drop a target's record with its counts; whether there was one."""
        return self._take_out(provider, model, None) is not None

    def restore(self, records: Iterable[Record]) -> None:
        """Add what was kept elsewhere to what there is; the records must not be used afterwards."""
        for kept in records:
            mine = self.get(kept.provider, kept.model)
            if mine is None:
                self._records[kept.provider, kept.model] = kept
            else:
                mine.absorb(kept)

    @property
    def waiting(self) -> int:
        """How many deltas there are to take; more than there will be where some of them add up."""
        return len(self._fresh) + len(self._told)

    def take(self, most: int | None = None) -> list[Delta]:
        """What happened since the last time, one delta for each target, kind and minute, in order for each target.

        Or at most so many of them.
        """
        for key in list(islice(self._fresh, most)):
            self._fold(key)
        return self._told.take(most)

    def take_gone(self, most: int | None = None) -> list[Gone]:
        """The records that left since the last time, or at most so many; targets of their names may have come again."""
        gone, self._gone = self._gone[:most], [] if most is None else self._gone[most:]
        return gone

    def _begin(self, key: _Key, outcome: Outcome) -> Delta:
        self._fold(key)
        delta = self._fresh[key] = begin_delta(outcome)
        return delta

    def _take_out(self, provider: str, model: str, to: str | None) -> Record | None:
        self._fold((provider, model))
        gone = self._records.pop((provider, model), None)
        if gone is not None:
            self._told.move(provider, model, to)
            self._gone.append(Gone(provider, model, to))
        return gone

    def _fold_all(self) -> None:
        fresh, self._fresh = self._fresh, {}
        for key, delta in fresh.items():
            self._tell(key, delta)

    def _fold(self, key: _Key) -> None:
        delta = self._fresh.pop(key, None)
        if delta is not None:
            self._tell(key, delta)

    def _tell(self, key: _Key, delta: Delta) -> None:
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = begin_record(delta)
        record.take(delta)
        self._told.add(delta)
