"""The kinds of value a setting can have: how each is read from text, shown, and described to editors.

Every scalar of a configuration is text until its setting's kind reads it, whether it comes from the file, the
environment or the command line: so `rescue: off` is the word and not a boolean, and one reader serves all three.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from msgspec import Struct

from config.address import Listen
from config.egress import EgressProxy, parse_exception
from config.problems import did_you_mean, looks_like_key, shortened
from config.secret import Secret
from config.storeurl import StoreUrl
from config.units import parse_duration, parse_size, show_duration, show_size

_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})
_FRAMING: Final = frozenset({
    "connection", "content-length", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via",
})  # fmt: skip


class Kind(Struct, frozen=True, eq=False):
    """One kind of value.

    `name` is the word for it in the docs. `parse` reads it from text and raises ValueError with the end of a
    sentence; `show` writes it back. `schema` is its JSON Schema.
    """

    name: str
    parse: Callable[[str], Any]
    show: Callable[[Any], str]
    schema: Mapping[str, Any]


def number(name: str, *, whole: bool = False, above: float | None = None, least: float | None = None,
           most: float | None = None) -> Kind:  # fmt: skip
    """A number that is greater than `above`, at least `least` and at most `most`."""
    pattern = re.compile(r"[+-]?[0-9]{1,18}" if whole else r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)

    def parse(text: str) -> float:
        if not pattern.fullmatch(text):
            raise ValueError(f'"{shortened(text)}" is not a {"whole " if whole else ""}number')
        value = int(text) if whole else float(text)
        _check_bounds(value, above, least, most)
        return value

    bounds = {"exclusiveMinimum": above, "minimum": least, "maximum": most}
    schema = {"type": "integer" if whole else "number"} | {k: v for k, v in bounds.items() if v is not None}
    return Kind(name, parse, lambda value: f"{value:g}" if isinstance(value, float) else str(value), schema)


def duration(*, zero: bool = False) -> Kind:
    """A length of time in seconds, written with its unit; greater than nothing unless `zero` is allowed."""

    def parse(text: str) -> float:
        value = parse_duration(text)
        if not value and not zero:
            raise ValueError("must be longer than nothing")
        return value

    return Kind("duration", parse, show_duration, {"type": "string", "examples": ["250ms", "30s", "1h30m"]})


def size(*, least: int = 0) -> Kind:
    """A number of bytes, at least `least`."""

    def parse(text: str) -> int:
        value = parse_size(text)
        if value < least:
            raise ValueError(f"must be at least {show_size(least)}")
        return value

    return Kind("size", parse, show_size, {"type": ["string", "integer"], "examples": ["64KiB", "8MiB"]})


def text(name: str, pattern: str, what: str) -> Kind:
    """Text that matches `pattern` in full; `what` says in words how it should look."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f'"{shortened(value)}" is not {what}')
        return value

    return Kind(name, parse, str, {"type": "string"})


def model_name() -> Kind:
    """A model's name as requests may have it: printable, so that no log and no terminal obeys it."""

    def parse(value: str) -> str:
        if not 0 < len(value) <= 256 or not value.isprintable():
            raise ValueError(f'"{shortened(value)}" is not a model\'s name')
        return value

    return Kind("model", parse, str, {"type": "string"})


def variable_name() -> Kind:
    """The name of an environment variable; what is none is not repeated, since it may be what the variable holds."""
    name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)

    def parse(value: str) -> str:
        if not name.fullmatch(value):
            raise ValueError("is not the name of an environment variable")
        if looks_like_key(value):
            raise ValueError("is a key and not the name of a variable; put it into one, or into api_key")
        return value

    return Kind("variable", parse, str, {"type": "string"})


def header_name() -> Kind:
    """The name of a header that may be added: not one that frames a message, routes it or is Detour's own."""
    token = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}", re.ASCII)

    def parse(value: str) -> str:
        if not token.fullmatch(value):
            raise ValueError(f'"{shortened(value)}" is not the name of a header')
        if value.lower() in _FRAMING or value.lower().startswith("x-detour-"):
            raise ValueError(f'"{value}" cannot be set: it belongs to the connection or to Detour')
        return value

    return Kind("header", parse, str, {"type": "string"})


@cache
def choice(words: type[enum.StrEnum]) -> Kind:
    """One of the words of an enumeration; `false` reads as `off` where that is one, as YAML's own `off` would."""
    values = [str(word) for word in words]

    def parse(value: str) -> enum.StrEnum:
        if value not in values and "off" in values and value in _FALSE:
            value = "off"
        if value not in values:
            raise ValueError(f'"{shortened(value)}" is not one of {", ".join(values)}{did_you_mean(value, values)}')
        return words(value)

    return Kind(" \\| ".join(f"`{value}`" for value in values), parse, str, {"enum": values})


def _check_bounds(value: float, above: float | None, least: float | None, most: float | None) -> None:
    if above is not None and value <= above:
        raise ValueError(f"must be greater than {above:g}")
    if least is not None and value < least:
        raise ValueError(f"must be at least {least:g}")
    if most is not None and value > most:
        raise ValueError(f"must be at most {most:g}")


def _parse_bool(value: str) -> bool:
    word = value.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError(f'"{shortened(value)}" is not true or false')
    return word in _TRUE


def _parse_secret(value: str) -> Secret:
    if not value.isprintable() or not value.isascii() or value != value.strip():
        raise ValueError("holds characters that cannot be sent: only visible ASCII, no blanks around it")
    return Secret(value)


BOOL: Final = Kind("true or false", _parse_bool, lambda value: str(value).lower(), {"type": "boolean"})
SECRET: Final = Kind("secret", _parse_secret, str, {"type": "string"})
LISTEN: Final = Kind("address", Listen.parse, str, {"type": "string", "examples": ["127.0.0.1:8080", ":8080"]})
PROXY: Final = Kind(
    "address", EgressProxy.parse, str, {"type": "string", "examples": ["http://proxy.example:3128", "env", "none"]}
)
EXCEPTION: Final = Kind("host", parse_exception, str, {"type": "string", "examples": [".corp.example", "10.0.0.0/8"]})
STORE: Final = Kind("address", StoreUrl.parse, str, {"type": "string", "examples": ["sqlite:///detour.db"]})
