"""Query parameters: read strictly, bounded, and refused with a message that says what would have been right."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import parse_qsl

from config.units import parse_duration, show_duration
from healthapi.errors import Problem, quoted

MOST: Final = 50
"""Most parameters of a request."""

# Of ASCII digits alone, and few enough to fit the integers of any store: int() also takes "1_000", " 7 " and "٣".
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})([eE][+-]?[0-9]{1,3})?", re.ASCII)


class Parameters:
    """The parameters of one request. Unknown ones are ignored, as clients of other versions send them."""

    __slots__ = ("_given",)

    def __init__(self, query: str) -> None:
        """Read a raw query string.

        Raises:
            Problem: 400 when there are more than `MOST`.
        """
        self._given: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MOST)
        except ValueError:
            raise _bad(f"there are more than {MOST} parameters") from None
        for name, value in pairs:
            self._given.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """A parameter as it was sent; None when it is missing or empty.

        Raises:
            Problem: 400 when it was given more than once.
        """
        values = self._given.get(name, ())
        if len(values) > 1:
            raise _bad(f"{name} is given {len(values)} times")
        return values[0] or None if values else None

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of some words; None when it is missing.

        Raises:
            Problem: 400 for any other word.
        """
        value = self.text(name)
        if value is not None and value not in allowed:
            raise _bad(f"{name} is one of {', '.join(allowed)}, not {quoted(value)}")
        return value

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """A whole number from `low` to `high`, both included.

        Raises:
            Problem: 400 for anything else.
        """
        value = self.text(name)
        if value is None and name not in self._given:
            return default
        if value is not None and _INTEGER.fullmatch(value):
            number = int(value)
            if low <= number and (high is None or number <= high):
                return number
        raise _bad(f"{name} is a whole number {_range(low, high)}, not {quoted(value or '')}")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A decimal number from `low` to `high`, both included.

        Raises:
            Problem: 400 for anything else.
        """
        value = self.text(name)
        if value is None and name not in self._given:
            return default
        if value is not None and _NUMBER.fullmatch(value) and low <= float(value) <= high:
            return float(value)
        raise _bad(f"{name} is a number {_range(low, high)}, not {quoted(value or '')}")

    def duration(self, name: str, default: float, most: float) -> float:
        """Seconds from a duration such as `90s` or `1h30m`: more than nothing and not more than `most`.

        Raises:
            Problem: 400 for anything else.
        """
        value = self.text(name)
        if value is None and name not in self._given:
            return default
        try:
            seconds = parse_duration(value or "")
        except ValueError:
            seconds = 0.0
        if 0 < seconds <= most:
            return seconds
        longest = show_duration(most)
        raise _bad(f"{name} is a duration such as 90s or 10m, of at most {longest}, not {quoted(value or '')}")

    def flag(self, name: str) -> bool:
        """Whether a parameter is there: `?verbose`, `?verbose=1`, `?verbose=true`, but not `=0` or `=false`."""
        value = self._given.get(name)
        return value is not None and value[-1].lower() not in ("0", "false", "no")


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"


def _bad(message: str) -> Problem:
    return Problem(400, "bad_parameter", message)
