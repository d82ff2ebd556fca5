"""Lists of records: by last call, and the ones that fail too often.

Whoever serves requests makes a list step by step, with turns for others in between: of ten thousand targets some steps
take a millisecond each, and rows are made in turns.

`NO_MODEL` is no model and is in no list. `OTHER_MODEL` is: it holds the calls of names that are no longer tracked, and
the sums of a list would not be those of the statistics without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from breaker.outcome import Kind, Status
from healthapi.record import Record, Tally
from healthapi.text import clean
from healthapi.views.record import ModelHealth, shown
from healthapi.views.sources import Sources

RUN: Final = 250
"""Records that are best looked at in one go: some 50 us."""

_LATEST: dict[Kind | None, Callable[[Record], Tally | None]] = {
    None: attrgetter("last"),
    Kind.LIVE: attrgetter("live"),
    Kind.PROBE: attrgetter("probe"),
}


class Wanted(Struct, frozen=True):
    """Which page of which records is wanted. `provider` is a name or alias, `status` the last one.

    With a `kind`, only targets that had such attempts are listed, and the figures are of those attempts.
    """

    provider: str | None = None
    status: Status | None = None
    kind: Kind | None = None
    limit: int = 100
    offset: int = 0


class Filters(Struct, frozen=True):
    """What a list was asked to be limited to; null where it was not."""

    provider: str | None
    status: str | None


class ModelHealthList(Struct, frozen=True):
    """One page of the records that match. `total` counts all that match, not the page.

    `page` (from 1) and `page_size` say the same as `offset` and `limit`, for old clients.
    """

    total: int
    limit: int
    offset: int
    filters: Filters
    models: list[ModelHealth]
    page: int
    page_size: int


class UnhealthyModel(ModelHealth, frozen=True, kw_only=True, gc=False):
    """A record with its share of failed calls (0-1)."""

    error_rate: float


class UnhealthyModels(Struct, frozen=True):
    """The targets whose share of failed calls is at least `threshold`, worst first."""

    threshold: float
    min_calls: int
    total_unhealthy: int
    models: list[UnhealthyModel]


class Page:
    """The records of one page, found by looking at all records, a run of them at a time; `total` are those that match.

    A record that is called while others are looked at keeps the place that it had.
    """

    def __init__(self, sources: Sources, wanted: Wanted) -> None:
        """Begin with none."""
        self.total = 0
        self._wanted = wanted
        self._provider = None if wanted.provider is None else sources.canonical(wanted.provider)
        self._called_at = attrgetter("updated_at" if wanted.kind is None else f"{wanted.kind}.last_called_at")
        self._runs: list[list[Record]] = []

    def look(self, records: list[Record]) -> None:
        """Look at further ones."""
        wanted = self._wanted
        found = _shown(records, self._provider, wanted.kind)
        if wanted.status is not None:
            latest = _LATEST[wanted.kind]
            found = [record for record in found if (tally := latest(record)) and tally.last_status is wanted.status]
        self.total += len(found)
        found.sort(key=self._called_at, reverse=True)
        self._runs.append(found[: wanted.offset + wanted.limit])

    def newest(self) -> Iterator[Record]:
        """Those of this page and of all pages before it, the last called first; of equal ones the first seen first."""
        newest = merge(*self._runs, key=self._called_at, reverse=True)
        return islice(newest, self._wanted.offset + self._wanted.limit)


def rows(sources: Sources, records: Iterable[Record], kind: Kind | None = None) -> Iterator[ModelHealth]:
    """What is shown of each record."""
    return (shown(sources, record, tally, kind) for record in records if (tally := record.together(kind)) is not None)


def model_page(wanted: Wanted, total: int, models: list[ModelHealth]) -> ModelHealthList:
    """The document of a page with its rows already made; `total` is how many match."""
    provider, status = wanted.provider, wanted.status
    return ModelHealthList(
        total=total,
        limit=wanted.limit,
        offset=wanted.offset,
        filters=Filters(None if provider is None else clean(provider), None if status is None else status.value),
        models=models,
        page=wanted.offset // wanted.limit + 1,
        page_size=wanted.limit,
    )


def model_health_list(sources: Sources, wanted: Wanted | None = None) -> ModelHealthList:
    """A page in one go."""
    wanted = wanted or Wanted()
    page = Page(sources, wanted)
    page.look(list(sources.store.records()))
    return model_page(wanted, page.total, list(rows(sources, list(page.newest())[wanted.offset :], wanted.kind)))


class Failing:
    """The targets with at least `min_calls` calls (1 or more) of which at least a share of `error_threshold` failed."""

    def __init__(self, error_threshold: float, min_calls: int) -> None:
        """Begin with none."""
        self._error_threshold = error_threshold
        self._min_calls = min_calls
        self._found: list[tuple[float, Record]] = []

    def look(self, record: Record) -> None:
        """Look at one target."""
        calls, successes = record.outcomes()
        if calls >= self._min_calls and (rate := (calls - successes) / calls) >= self._error_threshold:
            self._found.append((rate, record))

    def worst_first(self) -> list[Record]:
        """Those found by their error rates; of equal ones the first seen first."""
        self._found.sort(key=itemgetter(0), reverse=True)
        return [record for _, record in self._found]


def unhealthy_rows(sources: Sources, records: Iterable[Record]) -> Iterator[UnhealthyModel]:
    """What is shown of each record, with the error rate that goes with what is shown."""
    for row in rows(sources, records):
        yield UnhealthyModel(**asdict(row), error_rate=row.error_count / row.call_count)


def unhealthy(sources: Sources, *, error_threshold: float = 0.2, min_calls: int = 10) -> UnhealthyModels:
    """All of them in one go."""
    failing = Failing(error_threshold, min_calls)
    for record in listed(sources):
        failing.look(record)
    models = list(unhealthy_rows(sources, failing.worst_first()))
    return UnhealthyModels(error_threshold, min_calls, len(models), models)


def listed(sources: Sources, provider: str | None = None, kind: Kind | None = None) -> list[Record]:
    """The records that lists show, of one provider (name or alias) and one kind of traffic where that is asked for."""
    return _shown(sources.store.records(), None if provider is None else sources.canonical(provider), kind)


def _shown(records: Iterable[Record], provider: str | None, kind: Kind | None) -> list[Record]:
    found = [record for record in records if record.listed]
    if provider is not None:
        found = [record for record in found if record.provider == provider]
    if kind is not None:
        latest = _LATEST[kind]
        found = [record for record in found if latest(record) is not None]
    return found
