"""How values look in the documents: times, milliseconds, names, breakers."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import overload

from breaker.breaker import Breaker
from breaker.transitions import State
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


def percent(value: float | None) -> str | None:
    """A percentage with one decimal, `92.3%`, None for None. What is less than all never reads `100.0%`."""
    return None if value is None else f"{value if value >= 100 else min(value, 99.9):.1f}%"


def duration(milliseconds: float | None) -> str | None:
    """A duration as `850ms` or, from a second on, `2.5s`; None for None."""
    if milliseconds is None:
        return None
    return f"{milliseconds:.0f}ms" if round(milliseconds) < 1000 else f"{milliseconds / 1000:.1f}s"


def clean(text: str) -> str:
    """Text that JSON can carry: names from outside may hold lone surrogates, which no encoder takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def breaker_name(provider: str, model: str | None, credential: str | None) -> str:
    """What a breaker is called: `groq`, `groq/llama`, and for a key in use `groq#key:1a2b3c4d`, `groq/llama#key:…`.

    `credential` is the beginning of the key's fingerprint.
    """
    name = clean(provider if model is None else f"{provider}/{model}")
    return name if credential is None else f"{name}#key:{credential}"


def state(breaker: Breaker | None) -> str:
    """The state of a breaker; one that is not there yet lets everything pass."""
    return State.CLOSED if breaker is None else breaker.state


def reason(breaker: Breaker | None) -> str | None:
    """Why a breaker is not closed, None when it is."""
    return None if breaker is None or breaker.closed else clean(breaker.reason)
