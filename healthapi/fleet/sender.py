"""The flush: what this sidecar counted goes to the shared store, once a second and in one round trip.

More than one round trip carries at once (the store must not be held up) goes in further ones. What comes back with the
answer are the windows that all sidecars fill together, for the breakers this one used. What fails stays where it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from breaker.fleet import Share
from breaker.registry import Registry
from healthapi.cell import ALL_MODELS
from healthapi.delta import Delta, copied
from healthapi.fleet import scripts
from healthapi.fleet.entries import Entry
from healthapi.fleet.keys import SHARDS, identity, prefix, shard
from healthapi.fleet.link import Call, Link, LinkError
from healthapi.fleet.shard import Frozen, Shard, payload
from healthapi.outbox import Outbox

BATCH: Final = 128
"""Entries of one round trip: some 7 ms of the store's time, in which nobody else is answered."""

SLICE: Final = 100
"""Breakers that are looked at in one go, in which no request gets on."""

ROUNDS: Final = 128
"""Most round trips of one flush; what is left waits for the next one."""

HEARTBEAT: Final = 2.0
"""Seconds after which a shard that has nothing to be told may be asked whether it still has what it was told."""

PULSE: Final = 2
"""Shards that are asked so with one flush. One that lost something is a reason to ask all of them at once."""

IDENTITIES: Final = 512
"""Most targets that a shard keeps a record of: 32 768 in all, for names come from callers."""

LASTS: Final = 3.0
"""Flush intervals for which a fleet's window is of use."""


class Sender:
    """What the shards are to be told, and the telling. Times are monotonic seconds."""

    def __init__(self, link: Link, registry: Registry, fleet: str, instance: str, epochs: Mapping[bytes, int]) -> None:
        """Tell shards over `link` as `instance`; `epochs` tells how often breakers moved, by identity."""
        self._link = link
        self._registry = registry
        self._prefixes = [prefix(fleet, number) for number in range(SHARDS)]
        self._instance = instance.encode()
        self._epochs = epochs
        self._shards = [Shard() for _ in range(SHARDS)]
        self._touched: dict[tuple[str, str | None], None] = {}
        self.lost: set[int] = set()
        """Shards that have lost everything this sidecar told them."""
        self.forgotten = 0
        """Batches that a server forgot and that are forgotten here too."""

    @property
    def waiting(self) -> int:
        """How many entries still have to be told."""
        return sum(map(len, self._shards))

    def add(self, deltas: Iterable[Delta]) -> None:
        """Have these told; they stay the caller's."""
        told = list(deltas)
        for delta in told:
            self._touched[delta.provider, delta.model] = None
            self._touched[delta.provider, None] = None
        for delta in (*map(copied, told), *wholes(told)):
            self._shard(delta).waiting.add(delta)

    def begin_again(self, entries: Iterable[Entry]) -> None:
        """Tell the shards that have lost everything what this sidecar ever counted (entries of others are left out)."""
        sorted_: dict[int, list[Entry]] = {number: [] for number in self.lost}
        for entry in entries:
            mine = sorted_.get(shard(entry[2]))
            if mine is not None:
                mine.append(entry)
        for number, all_ in sorted_.items():
            self._shards[number].begin_again(all_)
        self.lost.clear()

    async def flush(self, now: Callable[[], float], interval: float) -> LinkError | None:
        """Tell what there is to tell; returns what went wrong, if anything did. `interval` is that of flushes."""
        await self._cut(now)
        alarmed = False
        for _ in range(ROUNDS):
            batches = self._batches(now(), everybody=alarmed)
            if not batches:
                break
            answers = await self._link.run([self._call(number, batch) for number, batch in batches.items()])
            error, amiss = None, False
            for (number, batch), answer in zip(batches.items(), answers, strict=True):
                if isinstance(answer, LinkError):
                    error = answer
                else:
                    amiss = not self._answered(number, batch, answer, now(), interval) or amiss
            if error is not None:
                return error
            if alarmed and self.lost:
                break
            alarmed = amiss
        return None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _shard(self, delta: Delta) -> Shard:
        return self._shards[shard(identity(delta.provider, delta.model))]

    async def _cut(self, now: Callable[[], float]) -> None:
        """Have the windows of the breakers that were used told too, where nothing of their shard is on its way."""
        for mine in self._shards:
            for share in mine.shares:  # never sent: it is in the next one
                self._registry.uncut(share)
            mine.shares.clear()
        touched, self._touched = self._touched, {}
        for number, (provider, model) in enumerate(touched):
            if number % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            mine = self._shards[shard(identity(provider, model))]
            if mine.frozen:
                continue
            cut = self._registry.cut(provider, model, now())
            if cut is not None:
                mine.shares.append(cut)

    def _batches(self, now: float, *, everybody: bool) -> dict[int, Frozen | None]:
        """What to send in one round trip, by shard; None stands for the question whether it is all there."""
        busy = [number for number, mine in enumerate(self._shards) if not mine.idle and number not in self.lost]
        most = max(BATCH // max(len(busy), 1), 1)
        batches: dict[int, Frozen | None] = {number: self._shards[number].next(most) for number in busy}
        silent = [
            (mine.heard, number)
            for number, mine in enumerate(self._shards)
            if mine.acknowledged and mine.idle and number not in self.lost
        ]
        if everybody:
            return batches | {number: None for _, number in silent}
        return batches | {number: None for heard, number in sorted(silent)[:PULSE] if now - heard > HEARTBEAT}

    def _call(self, number: int, batch: Frozen | None) -> Call:
        mine = self._shards[number]
        arguments = (
            self._instance,
            0 if batch is None else batch.number,
            mine.acknowledged,
            payload(batch, self._epoch),
            IDENTITIES,
        )
        return Call(scripts.FLUSH, self._prefixes[number], arguments)

    def _epoch(self, share: Share) -> int:
        return self._epochs.get(identity(share.provider, share.model), 0)

    def _answered(self, number: int, batch: Frozen | None, answer: Any, now: float, interval: float) -> bool:
        """Take in what a shard says; whether it has everything that it took before."""
        mine = self._shards[number]
        mine.heard = now
        self._registry.heard(now)
        if answer[0] == b"lost":
            self.lost.add(number)
            return False
        if answer[0] == b"behind":
            self.forgotten += mine.behind(int(answer[1]))
            return False
        if batch is None:
            return True
        shares = batch.shares
        mine.took(now)
        for share, (epoch, counts, models, last) in zip(shares, answer[3], strict=True):
            if epoch == self._epoch(share):
                text = last.decode("utf-8", "replace")
                self._registry.shared(share, counts, models, now, LASTS * interval, text)
        return True


def wholes(deltas: Iterable[Delta]) -> list[Delta]:
    """What deltas come to for each provider as a whole."""
    box = Outbox()
    for delta in deltas:
        whole = copied(delta)
        whole.model = ALL_MODELS
        box.add(whole)
    return box.take()
