"""The words that tell the scripted provider what to do: `stall@after=3`, `ok@events=500,gap=0.02,size=190`."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

WHOLE: Final = {"after": 10_000_000, "events": 10_000_000, "size": 64 << 20, "every": 1_000_000, "status": 999}
"""Options that are whole numbers, with the largest value taken."""

SECONDS: Final = {
    **dict.fromkeys(("delay", "first", "gap"), 3600.0),
    **dict.fromkeys(("window", "start", "period"), 86_400.0),
    "retry": 1e9,
}
"""Options that are seconds, with the largest value taken."""

WORDS: Final = frozenset({"form", "kind", "shape", "finish", "fault"})
"""Options that are words."""


class ScriptError(ValueError):
    """An option of a known script is unknown or its value makes no sense."""


class Script(Struct, frozen=True):
    """A script's name with the options given to it."""

    name: str
    options: dict[str, str] = {}

    def whole(self, name: str, default: int) -> int:
        """Return a whole-number option."""
        given = self.options.get(name)
        return default if given is None else int(given)

    def seconds(self, name: str, default: float) -> float:
        """Return an option that is a number of seconds."""
        given = self.options.get(name)
        return default if given is None else float(given)

    def word(self, name: str, default: str) -> str:
        """Return an option that is a word."""
        return self.options.get(name, default)

    def over(self, defaults: dict[str, str]) -> Script:
        """Return this script with `defaults` for the options it does not give."""
        return Script(self.name, {**defaults, **self.options}) if defaults else self


def parse(text: str) -> Script:
    """Read `name` or `name@key=value,key=value`.

    The name is what follows the last slash, so that `acme/fail-503` fails too.

    Raises:
        ScriptError: an option is unknown, or its value is not of its kind or out of bounds.
    """
    name, _, rest = text.rpartition("/")[2].partition("@")
    options = {}
    for item in rest.split(",") if rest else ():
        key, _, value = item.partition("=")
        if not _fits(key, value):
            raise ScriptError(f"script {name!r}: cannot use option {item!r}")
        options[key] = value
    return Script(name, options)


def _fits(key: str, value: str) -> bool:
    if key in WORDS:
        return value != ""
    try:
        if key in WHOLE:
            return 0 <= int(value) <= WHOLE[key]
        return key in SECONDS and 0 <= float(value) <= SECONDS[key]
    except ValueError:
        return False
