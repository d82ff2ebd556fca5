"""What one shard of the shared store is to be told, and what it is known to have taken.

A batch that was sent once is frozen: its number and what it counts stay the same until it is acknowledged, so that one
whose answer got lost counts once. What was acknowledged is remembered for a while, because a server can forget: a
replica that takes over after its master died lacks the last moments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from breaker.fleet import Share
from healthapi.fleet import wire
from healthapi.fleet.entries import Entry, of_delta
from healthapi.fleet.keys import identity
from healthapi.outbox import Outbox

REMEMBERED: Final = 60.0
"""Seconds for which an acknowledged batch can be sent again."""

REMEMBERED_BYTES: Final = 256 << 10
"""Most of them that a shard keeps, in bytes: 16 MiB for all of them."""

SHARES: Final = 2
"""Windows that go along for each entry a batch may have: they are less work."""

APART: Final = 2_000
"""Deltas that wait apart for one shard."""


class Frozen(Struct):
    """A batch that was sent, or is about to be: `number` counts up from 1, `entries` is encoded.

    `shares` are the windows that go along with its first sending only: later they would pass for news.
    """

    number: int
    entries: bytes
    size: int
    shares: list[Share]
    at: float = 0.0


class Shard:
    """One shard, as this sidecar sees it."""

    __slots__ = (
        "_backlog",
        "_journal",
        "_journal_bytes",
        "_number",
        "acknowledged",
        "frozen",
        "heard",
        "shares",
        "waiting",
    )

    def __init__(self) -> None:
        """Start with nothing to tell."""
        self.waiting = Outbox(APART)
        self.shares: list[Share] = []
        self.frozen: deque[Frozen] = deque()
        self.acknowledged = 0
        self.heard = 0.0
        """When it last answered, in monotonic seconds."""
        self._number = 0
        self._backlog: deque[Entry] = deque()
        self._journal: deque[Frozen] = deque()
        self._journal_bytes = 0

    def __len__(self) -> int:
        """How many entries it still has to be told."""
        return len(self.waiting) + len(self._backlog) + sum(batch.size for batch in self.frozen)

    @property
    def idle(self) -> bool:
        """Whether it has to be told nothing."""
        return not (self.frozen or self.shares or self._backlog or len(self.waiting))

    def next(self, most: int) -> Frozen | None:
        """The batch to send now, with at most so many entries; None when there is nothing to tell."""
        if self.frozen:
            batch = self.frozen[0]
            batch.shares = []
            return batch
        entries = [of_delta(delta) for delta in self.waiting.take(most)]
        while self._backlog and len(entries) < most:
            entries.append(self._backlog.popleft())
        shares, self.shares = self.shares[: most * SHARES], self.shares[most * SHARES :]
        if not entries and not shares:
            return None
        self._number += 1
        batch = Frozen(self._number, wire.entries(entries), len(entries), shares)
        self.frozen.append(batch)
        return batch

    def took(self, now: float) -> None:
        """Hear that the batch sent last was taken."""
        batch = self.frozen.popleft()
        self.acknowledged = max(self.acknowledged, batch.number)
        self.heard = batch.at = now
        batch.shares = []
        self._journal.append(batch)
        self._journal_bytes += len(batch.entries)
        while self._journal and (self._journal_bytes > REMEMBERED_BYTES or self._journal[0].at < now - REMEMBERED):
            self._journal_bytes -= len(self._journal.popleft().entries)

    def behind(self, stored: int) -> int:
        """Hear that it forgot all batches after number `stored`; returns how many of them are forgotten here too."""
        again = [batch for batch in self._journal if batch.number > stored]
        missing = self.acknowledged - stored - len(again)
        self._journal = deque(batch for batch in self._journal if batch.number <= stored)
        self._journal_bytes = sum(len(batch.entries) for batch in self._journal)
        self.frozen.extendleft(reversed(again))
        self.acknowledged = stored
        return max(missing, 0)

    def begin_again(self, entries: Iterable[Entry]) -> None:
        """Tell it everything anew, because it lost everything: `entries` is all that this sidecar ever counted."""
        self.waiting.clear()
        self.shares = []
        self.frozen.clear()
        self._journal.clear()
        self._journal_bytes = 0
        self.acknowledged = 0
        self._backlog = deque(entries)


def payload(batch: Frozen | None, epoch: Callable[[Share], int]) -> bytes:
    """A batch as the script takes it; `epoch` tells that of a share's breaker."""
    if batch is None:
        return b""
    return wire.payload(batch.entries, wire.windows([_window(share, epoch(share)) for share in batch.shares]))


def _window(share: Share, epoch: int) -> list[Any]:
    last = share.last.encode("utf-8", "replace").decode()
    models = [model.encode("utf-8", "surrogatepass") for model in share.models]
    name = identity(share.provider, share.model)
    return [name, round(share.step * 1000), epoch, list(share.counts), models, last]
