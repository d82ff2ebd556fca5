"""A batch as the archive's statements want it: JSON texts of plain rows, made in slices on the event loop.

Rows name targets by number. Names come from callers and may hold what JSON and text cannot (lone surrogates, NUL), so
they travel apart, once, as bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from breaker.memo import Memo
from breaker.outcome import Kind
from healthapi.archive_sql import DELTA
from healthapi.cell import ALL_MODELS, STATUSES, Cell, empty, sparse
from healthapi.delta import Delta
from healthapi.history import MINUTE
from healthapi.record import Record

Key = tuple[str, str]
"""Provider and model."""

_json: Final = msgspec.json.Encoder().encode
_NO_RECORD: Final = (None,) * (len(DELTA) - 12)
_NOT_IN_TEXT: Final = str.maketrans({"\0": "\ufffd"})


class Targets:
    """The numbers of targets: those the archive knows, and those that a batch under way gives."""

    __slots__ = ("_fresh", "_known", "_next")

    def __init__(self, known: dict[Key, int] | None = None) -> None:
        """Start with what the archive knows."""
        self._known = known or {}
        self._fresh: dict[Key, int] = {}
        self._next = max(self._known.values(), default=0) + 1

    def __len__(self) -> int:
        """How many the archive knows."""
        return len(self._known)

    def get(self, key: Key) -> int | None:
        """The number of a target that the archive knows."""
        return self._known.get(key)

    def number(self, key: Key) -> int:
        """The number of a target, a new one if it has none."""
        found = self._known.get(key) or self._fresh.get(key)
        if found is None:
            found = self._fresh[key] = self._next
            self._next += 1
        return found

    def fresh(self) -> list[tuple[int, bytes, bytes]]:
        """Number and names of those that the archive has yet to be told of."""
        return [(number, packed(provider), packed(model)) for (provider, model), number in self._fresh.items()]

    def settle(self) -> None:
        """The archive was told."""
        self._known.update(self._fresh)
        self._fresh.clear()

    def give_up(self) -> None:
        """The archive took nothing of the batch under way."""
        self._fresh.clear()

    def forget(self, keys: Iterable[Key]) -> None:
        """The archive keeps nothing of them any more."""
        for key in keys:
            self._known.pop(key, None)


class Rows:
    """What one transaction writes."""

    __slots__ = ("_all", "_gone", "_targets", "deltas", "gone", "memos", "records", "replaced", "tallies", "targets")

    def __init__(self, targets: Targets) -> None:
        """Nothing yet; `targets` gives the numbers."""
        self._targets = targets
        self._all: dict[tuple[str, Kind, int], Cell] = {}
        self._gone: list[int] = []
        self.targets: list[tuple[int, bytes, bytes]] = []
        self.deltas: list[str] = []
        self.gone = "[]"
        self.replaced = "[]"
        self.tallies = "[]"
        self.records = "[]"
        self.memos: list[tuple[Any, ...]] | None = None

    def add(self, deltas: Sequence[Delta]) -> None:
        """Add some deltas, in order."""
        rows = []
        for delta in deltas:
            row = self._cell(delta.provider, delta.model, delta.kind, delta.minute, delta)
            rows.append((*row, *_last(delta)))
            place = (delta.provider, delta.kind, delta.minute)
            together = self._all.get(place)
            if together is None:
                together = self._all[place] = empty()
            together.merge(delta)
        self.deltas.append(_text(rows))

    def leave(self, keys: Iterable[Key]) -> None:
        """Delete the records of these targets too, before anything else."""
        self._gone += [number for key in keys if (number := self._targets.get(key)) is not None]

    def replace(self, records: Sequence[Record]) -> None:
        """Let records be these, whatever the deltas made of them."""
        numbers = [self._targets.number((record.provider, record.model)) for record in records]
        self.replaced = _text(numbers)
        self.records = _text([_record(*pair) for pair in zip(numbers, records, strict=True)])
        self.tallies = _text([row for pair in zip(numbers, records, strict=True) for row in _tallies(*pair)])

    def remember(self, memos: Sequence[Memo]) -> None:
        """Add what is to be remembered of breakers; it takes the place of what was."""
        self.memos = self.memos or []
        self.memos += [_memo(memo) for memo in memos]

    def finish(self) -> None:
        """Add what all models of each provider were called together, and the names of the targets that are new."""
        if self._all:
            rows = [
                (*self._cell(provider, ALL_MODELS, kind, minute, cell), *_NO_RECORD)
                for (provider, kind, minute), cell in self._all.items()
            ]
            self.deltas.append(_text(rows))
        self.targets = self._targets.fresh()
        self.gone = _text(self._gone)

    def _cell(self, provider: str, model: str, kind: Kind, minute: int, cell: Cell) -> tuple[Any, ...]:
        number = self._targets.number((provider, model))
        seconds = _number(cell.seconds)
        return (minute * MINUTE, number, kind, *cell.counts, cell.blamed, seconds, cell.response, cell.first_byte)


def packed(name: str) -> bytes:
    """A name as the archive keeps it."""
    return name.encode("utf-8", "surrogatepass")


def unpacked(name: bytes) -> str:
    """A name as it came."""
    return name.decode("utf-8", "surrogatepass")


def numbers(given: Iterable[int]) -> str:
    """Numbers as the statements take them."""
    return _text(list(given))


def _text(rows: list[Any]) -> str:
    return _json(rows).decode()


def _number(seconds: float) -> float:
    """Seconds that can be added up: one attempt of endless length would spoil all sums for good."""
    return seconds if isfinite(seconds) else 0.0


def _line(text: str | None) -> str | None:
    """A message without what no text can hold."""
    return None if text is None else text.encode("utf-8", "replace").decode().translate(_NOT_IN_TEXT)


def _last(delta: Delta) -> tuple[Any, ...]:
    return (
        STATUSES[delta.last_status],
        _number(delta.last_response_time),
        _line(delta.last_error),
        delta.last_success_at,
        delta.last_failure_at,
        delta.first_at,
        delta.last_at,
        delta.streak,
    )


def _record(number: int, record: Record) -> tuple[Any, ...]:
    return (
        number,
        record.sums().calls,
        record.streak,
        record.created_at,
        record.updated_at,
        Kind.LIVE if record.last is record.live else Kind.PROBE,
        record.last_success_at,
        record.last_failure_at,
    )


def _tallies(number: int, record: Record) -> list[tuple[Any, ...]]:
    return [
        (
            number,
            Kind.LIVE if tally is record.live else Kind.PROBE,
            *tally.counts,
            _number(tally.seconds),
            sparse(tally.response),
            sparse(tally.first_byte),
            tally.last_status,
            _number(tally.last_response_time),
            _line(tally.last_error),
            tally.last_called_at,
        )
        for tally in record.tallies()
    ]


def _memo(memo: Memo) -> tuple[Any, ...]:
    return (
        packed(memo.provider),
        None if memo.model is None else packed(memo.model),
        memo.state.value,
        None if memo.cause is None else memo.cause.value,
        memo.origin.value,
        _line(memo.reason),
        memo.manual,
        memo.openings,
        memo.http_status,
        memo.opened_at,
        memo.retry_at,
    )
