"""What a health store must do, whatever it keeps its records in.

Adding is on the way of every request, so a store takes outcomes into memory and returns; a disk or a server is written
to behind it. What cannot be written waits and shows as `trouble`; it never reaches traffic.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from breaker.outcome import Outcome
from healthapi.record import Record


class StoreError(Exception):
    """A question about health that cannot be answered now, as distinct from "nothing was seen".

    The admin port answers 503: an empty document would pass for good news. The message is one line for people, without
    any password.
    """


class Scope(enum.StrEnum):
    """Whose attempts an answer is about."""

    FLEET = "fleet"
    """Those of all sidecars that share a store; where none is shared, this one's."""
    INSTANCE = "instance"
    """Those of this process; where the store is its own, of the processes before it too."""


class Reading(Protocol):
    """Records as documents read them: lent, and changed by nobody but their owner."""

    def get(self, provider: str, model: str) -> Record | None:
        """The record of one target, None where there is none. Creates nothing."""

    def records(self) -> Iterable[Record]:
        """All records, the pseudo models among them, in an order that stays while nothing is added."""


class Store(Reading, Protocol):
    """Records by target. Used from one event loop: an `add` is never interleaved with another call.

    Every read may raise `StoreError`. Records are lent for reading until the next `add`; nobody but the store changes
    them.
    """

    @property
    def trouble(self) -> str | None:
        """What is wrong with the store in one line, None while nothing is."""

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; neutral ones are left out. Never waits, never raises."""

    def forget(self, provider: str, model: str) -> None:
        """Move a target's counts to the `OTHER_MODEL` of its provider, so that sums stay what they were."""


class Picture(Struct, frozen=True):
    """All records at one moment.

    `stale` is how many seconds ago they were true, where the store that a fleet shares does not answer now; None where
    they are true now.
    """

    store: Reading
    stale: float | None = None
