"""The store that lives as long as the process."""

from __future__ import annotations

from collections.abc import Iterable

from breaker.outcome import OTHER_MODEL, Outcome
from healthapi.record import PLACES, Record, begin


class MemoryStore:
    """Records in a dict. What bounds it is the registry, which names each outcome's target and says what to forget."""

    __slots__ = ("_records",)

    trouble: None = None

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._records: dict[tuple[str, str], Record] = {}

    def add(self, outcome: Outcome) -> None:
        """Count one outcome (see `Store.add`)."""
        place = PLACES.get(outcome.verdict.status)
        if place is None:
            return
        key = (outcome.provider, outcome.model)
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = begin(*key, outcome)
        record.add(outcome, place)

    def get(self, provider: str, model: str) -> Record | None:
        """The record of one target (see `Store.get`)."""
        return self._records.get((provider, model))

    def records(self) -> Iterable[Record]:
        """All records, the target first seen coming first."""
        return self._records.values()

    def forget(self, provider: str, model: str) -> None:
        """Move a target's counts to its provider's `OTHER_MODEL` (see `Store.forget`)."""
        if model == OTHER_MODEL:
            return
        gone = self._records.pop((provider, model), None)
        if gone is None:
            return
        other = self._records.get((provider, OTHER_MODEL))
        if other is None:
            gone.model = OTHER_MODEL
            self._records[provider, OTHER_MODEL] = gone
        else:
            other.absorb(gone)
