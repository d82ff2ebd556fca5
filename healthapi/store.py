"""What a health store must do, whatever it keeps its records in.

Adding is on the way of every request, so a store takes outcomes into memory and returns; a disk or a server is written
to behind it. What cannot be written waits and shows as `trouble`; it never reaches traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from breaker.outcome import Outcome
from healthapi.record import Record


class StoreError(Exception):
    """A question about health that cannot be answered now, as distinct from "nothing was seen".

    The admin port answers 503: an empty document would pass for good news.
    """


class Store(Protocol):
    """Records by target. Used from one event loop: an `add` is never interleaved with another call.

    Every read may raise `StoreError`. Records are lent for reading until the next `add`; nobody but the store changes
    them.
    """

    @property
    def trouble(self) -> str | None:
        """What is wrong with the store in one line, None while nothing is."""

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; neutral ones are left out. Never waits, never raises."""

    def get(self, provider: str, model: str) -> Record | None:
        """The record of one target, None where there is none. Creates nothing."""

    def records(self) -> Iterable[Record]:
        """All records, the pseudo models among them, in an order that stays while nothing is added."""

    def forget(self, provider: str, model: str) -> None:
        """Move a target's counts to the `OTHER_MODEL` of its provider, so that sums stay what they were."""
