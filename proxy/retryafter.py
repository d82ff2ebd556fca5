"""How long a provider asks to be left alone (semantics 2.3). Pure.

Sources, in order: `retry-after-ms`, `Retry-After` (seconds with fractions or an HTTP date, RFC 9110 section 10.2.3),
Gemini's `RetryInfo` in the body, and `x-ratelimit-reset-*` of each dimension whose remaining is 0 (OpenAI's `6m0s` and
`20ms`, plain seconds, or a Unix time in seconds or milliseconds).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 366 * 86400.0
"""More seconds than this no provider means."""

_NUMBER: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}")
_PARTS: Final = re.compile(r"(?:(?:[0-9]{1,9}(?:\.[0-9]{1,12})?)(?:ms|us|µs|ns|d|h|m|s)){1,7}")
_PART: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,12})?)(ms|us|µs|ns|d|h|m|s)")
_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

_REMAINING: Final = b"x-ratelimit-remaining"
_RESET: Final = b"x-ratelimit-reset"
_EPOCH_SECONDS: Final = 1e9
_EPOCH_MILLISECONDS: Final = 1e11
_VALUE_KEPT: Final = 64


def retry_after(headers: Mapping[bytes, bytes], asked: float | None, now: float | None) -> float | None:
    """Seconds until the provider may be asked again; None when it does not say.

    `headers` have names in lower case; `asked` is what the body asked for, in seconds. A moment is counted from the
    answer's own Date, so that clocks need not agree, else from `now` (Unix time); without either it says nothing.
    The result is never negative and never endless.
    """
    now = _date(headers.get(b"date"), now)
    wait = _milliseconds(headers.get(b"retry-after-ms"))
    if wait is None:
        wait = _value(headers.get(b"retry-after"), now)
    if wait is None:
        wait = asked
    if wait is None:
        wait = _exhausted(headers, now)
    return None if wait is None else min(wait, LONGEST)


def seconds_of(text: str) -> float | None:
    """Seconds of a duration like `1m30s`, `20ms`, `13.5s`, or of a plain number of seconds; None for anything else."""
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _PARTS.fullmatch(text):
        return None
    return math.fsum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def _milliseconds(value: bytes | None) -> float | None:
    text = _text(value)
    return float(text) / 1000.0 if _NUMBER.fullmatch(text) else None


def _value(value: bytes | None, now: float | None) -> float | None:
    """A duration or an HTTP date, as seconds from `now`."""
    wait = seconds_of(_text(value))
    if wait is not None or now is None:
        return wait
    at = _date(value, None)
    return None if at is None else max(0.0, at - now)


def _date(value: bytes | None, otherwise: float | None) -> float | None:
    """An HTTP date as Unix time."""
    try:
        return parsedate_to_datetime(_text(value)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return otherwise


def _exhausted(headers: Mapping[bytes, bytes], now: float | None) -> float | None:
    """The longest reset among the dimensions of which nothing remains."""
    waits = [
        wait
        for name, value in headers.items()
        if name.startswith(_REMAINING) and _is_zero(value)
        if (wait := _reset(headers.get(_RESET + name[len(_REMAINING) :]), now)) is not None
    ]
    return max(waits, default=None)


def _reset(value: bytes | None, now: float | None) -> float | None:
    wait = seconds_of(_text(value))
    if wait is None or wait < _EPOCH_SECONDS:
        return wait
    at = wait / 1000.0 if wait >= _EPOCH_MILLISECONDS else wait
    return None if now is None else max(0.0, at - now)


def _is_zero(value: bytes) -> bool:
    text = _text(value)
    return bool(_NUMBER.fullmatch(text)) and float(text) == 0.0


def _text(value: bytes | None) -> str:
    return value[:_VALUE_KEPT].decode("latin-1").strip() if value else ""
