"""What an endpoint takes and what it answers with, as data.

The OpenAPI document, CSV and entity tags are made from it alone. Handlers read their parameters themselves; a test
compares what they read with what is said here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from msgspec import Struct, field

from config.units import show_duration
from healthapi.replies import JSON

DURATION: Final = (
    r"^([0-9]+(\.[0-9]+)?d)?([0-9]+(\.[0-9]+)?h)?([0-9]+(\.[0-9]+)?m)?([0-9]+(\.[0-9]+)?s)?([0-9]+(\.[0-9]+)?ms)?$"
)
"""How a duration is written, as JSON Schema says it; what it may come to is said in words."""


class Parameter(Struct, frozen=True):
    """One query parameter; `schema` is JSON Schema of its value, `empty` that it may be given without one."""

    name: str
    schema: dict[str, Any]
    description: str
    empty: bool = False


class Rows(Struct, frozen=True):
    """Where the rows of a document's CSV are: a field that holds a list of Structs, or a dict of them.

    `key` is the column in which a dict's keys go, before all others. `first` are the columns that come before the
    others, which follow in the order of the Struct's fields: columns are only ever appended, whatever a Struct that
    others inherit from is given.
    """

    field: str
    key: str = ""
    first: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """What one endpoint takes and answers.

    `document` is what a 200 holds, None for text. `problems` are the statuses it may answer with that not every
    endpoint has (404, 503), told in the common shape, `others` statuses that hold another document. `body` is what
    has to be sent along. `moving` are fields that tell when a document was made, such as `metadata.timestamp`: its
    entity tag leaves them out and is weak for that. What is not `tagged` has none.
    """

    document: type[Struct] | None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    rows: Rows | None = None
    moving: tuple[str, ...] = ()
    tagged: bool = True
    media: tuple[str, ...] = (JSON,)
    others: Mapping[int, type[Struct]] = field(default_factory=dict)
    body: type[Struct] | None = None
    events: Mapping[str, type[Struct]] = field(default_factory=dict)
    """What the data of server-sent events is, by the name of the event."""


def text(name: str, description: str) -> Parameter:
    """Any text; empty is the same as missing."""
    return Parameter(name, {"type": "string"}, description, empty=True)


def choice(name: str, words: Collection[str], description: str) -> Parameter:
    """One of some words; empty is the same as missing."""
    return Parameter(name, {"type": "string", "enum": list(words)}, description, empty=True)


def integer(name: str, default: int, low: int, high: int | None = None, description: str = "") -> Parameter:
    """A whole number with its bounds, both included."""
    return Parameter(name, _bounded("integer", default, low, 10**18 - 1 if high is None else high), description)


def number(name: str, default: float, low: float, high: float, description: str = "") -> Parameter:
    """A number with its bounds, both included."""
    return Parameter(name, _bounded("number", default, low, high), description)


def duration(name: str, most: float, description: str) -> Parameter:
    """A duration of at most so many seconds."""
    schema = {"type": "string", "pattern": DURATION, "minLength": 2}
    return Parameter(
        name, schema, f"{description} A duration such as `90s` or `1h30m`, at most `{show_duration(most)}`."
    )


def flag(name: str, description: str) -> Parameter:
    """There or not: `0`, `false` and `no` are the same as missing."""
    return Parameter(name, {"type": "string"}, description, empty=True)


def _bounded(kind: str, default: float, low: float, high: float) -> dict[str, Any]:
    return {"type": kind, "default": default, "minimum": low, "maximum": high}


KIND: Final = choice("kind", ("live", "probe"), "Which traffic is meant; both when it is missing.")
SCOPE: Final = choice("scope", ("fleet", "instance"), "Whose records are meant; the fleet's when it is missing.")
FORMAT: Final = choice("format", ("json", "csv"), "How the list is written; before what `Accept` says.")

STORED: Final = (503,)
"""Problems of what is made from records."""
FOUND: Final = (404, 503)
"""The same, of things with names."""
