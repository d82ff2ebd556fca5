"""Lists of records: by last call, and the ones that fail too often.

`NO_MODEL` is no model and is in no list. `OTHER_MODEL` is: it holds the calls of names that are no longer tracked, and
the sums of a list would not be those of the statistics without it.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nlargest
from operator import attrgetter

from msgspec import Struct
from msgspec.structs import asdict

from breaker.outcome import NO_MODEL, Kind, Status
from healthapi.record import Record, Tally
from healthapi.views.record import ModelHealth, shown
from healthapi.views.sources import Sources
from healthapi.views.text import clean

_LATEST: dict[Kind | None, Callable[[Record], Tally | None]] = {
    None: attrgetter("last"),
    Kind.LIVE: attrgetter("live"),
    Kind.PROBE: attrgetter("probe"),
}


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


class UnhealthyModel(ModelHealth, frozen=True, kw_only=True):
    """A record with its share of failed calls (0-1)."""

    error_rate: float


class UnhealthyModels(Struct, frozen=True):
    """The targets whose share of failed calls is at least `threshold`, worst first."""

    threshold: float
    min_calls: int
    total_unhealthy: int
    models: list[UnhealthyModel]


def model_health_list(
    sources: Sources,
    *,
    provider: str | None = None,
    status: Status | None = None,
    limit: int = 100,
    offset: int = 0,
    kind: Kind | None = None,
) -> ModelHealthList:
    """Records, the last called first; of equal times the one first seen first.

    `status` is the `last_status` wanted. With a `kind`, only targets that had such attempts are listed, and the
    figures are of those attempts.
    """
    records = listed(sources, provider, kind)
    latest = _LATEST[kind]
    if status is not None:
        records = [record for record in records if (tally := latest(record)) and tally.last_status is status]
    # As sorted(…, reverse=True)[: offset + limit], stable like it, and twice as fast for the first pages of many.
    newest = nlargest(offset + limit, records, key=_called_at(kind))
    page = [
        shown(sources, record, tally, kind)
        for record in newest[offset:]
        if (tally := record.together(kind)) is not None
    ]
    return ModelHealthList(
        total=len(records),
        limit=limit,
        offset=offset,
        filters=Filters(None if provider is None else clean(provider), None if status is None else status.value),
        models=page,
        page=offset // limit + 1,
        page_size=limit,
    )


def unhealthy(sources: Sources, *, error_threshold: float = 0.2, min_calls: int = 10) -> UnhealthyModels:
    """Targets with at least `min_calls` calls (1 or more) of which at least a share of `error_threshold` failed."""
    rated: list[tuple[float, Record]] = []
    for record in listed(sources):
        sums = record.sums()
        if sums.calls >= min_calls and (rate := (sums.calls - sums.successes) / sums.calls) >= error_threshold:
            rated.append((rate, record))
    rated.sort(key=lambda one: one[0], reverse=True)
    models = [
        UnhealthyModel(**asdict(shown(sources, record, tally, None)), error_rate=rate)
        for rate, record in rated
        if (tally := record.together()) is not None
    ]
    return UnhealthyModels(error_threshold, min_calls, len(models), models)


def listed(sources: Sources, provider: str | None = None, kind: Kind | None = None) -> list[Record]:
    """The records that lists show, of one provider (name or alias) and one kind of traffic where that is asked for."""
    records = [record for record in sources.store.records() if record.model != NO_MODEL]
    if provider is not None:
        name = sources.canonical(provider)
        records = [record for record in records if record.provider == name]
    if kind is not None:
        latest = _LATEST[kind]
        records = [record for record in records if latest(record) is not None]
    return records


def _called_at(kind: Kind | None) -> Callable[[Record], float]:
    return attrgetter("updated_at" if kind is None else f"{kind}.last_called_at")
