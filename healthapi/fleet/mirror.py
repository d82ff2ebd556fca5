"""The fleet's records, as far as somebody asked for them: a copy that is brought up to date by what changed.

A sidecar whose admin port nobody asks pays nothing for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from breaker.outcome import OTHER_MODEL, Kind
from healthapi.cell import STATUSES, dense
from healthapi.fleet import scripts
from healthapi.fleet.keys import SHARDS, identity, names, prefix, shard
from healthapi.fleet.link import Call, Link, LinkError
from healthapi.history import History
from healthapi.record import Record, Tally

PAGE: Final = 100
"""Most records that a shard is asked for at a time."""

PAGES: Final = 400
"""Most times that one shard is asked in one go."""

PATIENCE: Final = 2.0
"""Seconds that one answer may take: nobody's traffic waits for it, and it can be megabytes long."""

_KINDS: Final = (Kind.LIVE, Kind.PROBE)
_DECODE: Final = msgspec.msgpack.Decoder().decode

Row = Sequence[Any]


class Mirror:
    """A copy of the fleet's records; read like a store."""

    def __init__(self, link: Link, fleet: str, now: Callable[[], float]) -> None:
        """Copy over `link`; `now` is in monotonic seconds."""
        self._link = link
        self._prefixes = [prefix(fleet, number) for number in range(SHARDS)]
        self._now = now
        self._since = [0] * SHARDS
        self._records: dict[tuple[str, str], Record] = {}
        self._others: dict[tuple[int, str], Row] = {}  # each shard may have one of the same name
        self._asking = asyncio.Lock()
        self.at: float | None = None
        """When it was last brought up to date, None while it never was."""

    def get(self, provider: str, model: str) -> Record | None:
        """The fleet's record of one target."""
        if model != OTHER_MODEL:
            return self._records.get((provider, model))
        return next((record for record in self._joined() if record.provider == provider), None)

    def records(self) -> Iterable[Record]:
        """All records of the fleet."""
        return [*self._records.values(), *self._joined()]

    async def refresh(self, patience: float | None = PATIENCE) -> LinkError | None:
        """Bring it up to date; returns what went wrong, if anything did.

        `patience` is how many seconds one answer may take, None for no more than any other of the link's.
        """
        async with self._asking:
            shards = list(range(SHARDS))
            for _ in range(PAGES):
                calls = [
                    Call(scripts.READ, self._prefixes[number], (self._since[number], PAGE), readonly=True)
                    for number in shards
                ]
                answers = await self._link.run(calls, timeout=patience)
                error = next((answer for answer in answers if isinstance(answer, LinkError)), None)
                if error is not None:
                    return error
                shards = [number for number, answer in zip(shards, answers, strict=True) if self._take(number, answer)]
                if not shards:
                    break
                await asyncio.sleep(0)
            self.at = self._now()
            return None

    # -- inside ----------------------------------------------------------------------------------------------------

    def _take(self, number: int, answer: Any) -> bool:
        """Take in what a shard says; whether it has more to say."""
        if answer[0] == b"lost":
            self._drop(number)
            self._since[number] = 0
            return True
        _, more, rows, upto = answer
        for row in rows:
            self._put(number, row)
        self._since[number] = upto
        return bool(more)

    def _drop(self, number: int) -> None:
        for key in [key for key in self._records if shard(identity(*key)) == number]:
            del self._records[key]
        for other in [other for other in self._others if other[0] == number]:
            del self._others[other]

    def _put(self, number: int, row: Row) -> None:
        provider, model = names(row[0])
        if model is None:
            return
        if model == OTHER_MODEL:
            self._others[number, provider] = row
            return
        record = record_of(provider, model, row)
        if record is None:
            self._records.pop((provider, model), None)
        else:
            self._records[provider, model] = record

    def _joined(self) -> list[Record]:
        """What is kept under `OTHER_MODEL`, one record for each provider."""
        joined: dict[str, Record] = {}
        for (_, provider), row in self._others.items():
            record = record_of(provider, OTHER_MODEL, row)
            if record is not None and provider in joined:
                joined[provider].absorb(record)
            elif record is not None:
                joined[provider] = record
        return list(joined.values())


def record_of(provider: str, model: str, row: Row) -> Record | None:
    """A record from what the store has of it; None where it was removed."""
    _, *docs = row
    tallies: dict[Kind, tuple[Tally, Row]] = {}
    for kind, doc, ring in zip(_KINDS, docs[:2], docs[2:4], strict=True):
        if doc:
            document = _DECODE(doc)
            tallies[kind] = (_tally(document, ring or b""), document)
    if not tallies:
        return None
    last, newest = max(tallies.values(), key=lambda one: one[1][2])
    streak = newest[8]
    documents = [document for _, document in tallies.values()]
    live, probe = tallies.get(Kind.LIVE), tallies.get(Kind.PROBE)
    return Record(
        provider,
        model,
        created_at=min(document[1] for document in documents) / 1000,
        updated_at=newest[2] / 1000,
        last=last,
        live=None if live is None else live[0],
        probe=None if probe is None else probe[0],
        consecutive_failures=max(-streak, 0),
        consecutive_successes=max(streak, 0),
        last_success_at=max(document[6] for document in documents) / 1000 or None,
        last_failure_at=max(document[7] for document in documents) / 1000 or None,
    )


def _tally(document: Row, ring: bytes) -> Tally:
    counted = document[0]
    return Tally(
        counts=list(counted[:5]),
        seconds=counted[6] / 1e6,
        response=dense(histogram(counted[7])),
        first_byte=dense(histogram(counted[8])),
        history=History.read(ring),
        last_status=STATUSES[document[3]],
        last_response_time=document[4] / 1e6,
        last_error=document[5] or None,
        last_called_at=document[2] / 1000,
    )


def histogram(flat: Sequence[int]) -> dict[int, int]:
    """A histogram that travelled flat."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
