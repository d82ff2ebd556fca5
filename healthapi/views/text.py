"""How values look in the documents: times, milliseconds, names."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload

from healthapi.record import Sums


@overload
def iso(at: float) -> str: ...
@overload
def iso(at: float | None) -> str | None: ...
def iso(at: float | None) -> str | None:
    """A Unix time as ISO 8601 in UTC with milliseconds, None for None."""
    return None if at is None else _written(at)


# A page names the same moments again and again, and naming one costs as much as looking a record up.
@lru_cache(maxsize=1024)
def _written(at: float) -> str:
    second, fraction = divmod(round(at * 1000), 1000)
    return f"{_second(second)}.{fraction:03d}Z"


@lru_cache(maxsize=1024)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@overload
def milliseconds(seconds: float) -> float: ...
@overload
def milliseconds(seconds: float | None) -> float | None: ...
def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds to the microsecond, None for None."""
    return None if seconds is None else round(seconds * 1000, 3)


def mean_milliseconds(sums: Sums) -> float | None:
    """The mean response time in milliseconds; None when nothing was counted."""
    return milliseconds(sums.seconds / sums.calls) if sums.calls else None


def clean(text: str) -> str:
    """Text that JSON can carry: names from outside may hold lone surrogates, which no encoder takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
