"""What a page of a provider's list of models says: the names on it, and where the next page is. Pure; never raises.

Vendors differ little: OpenAI and whoever speaks its dialect have rows with an `id` in `data` (Together in no object at
all), Anthropic the same in pages (https://docs.anthropic.com/en/api/models-list), Gemini rows with a `name` that begins
with `models/` in `models`, in pages too (https://ai.google.dev/api/models), Cloudflare rows with a `name` in `result`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

LONGEST: Final = 256
"""Characters of a model's name; a longer one is none."""

_FOLDER: Final = "models/"
_FIRST: Final = {"anthropic": b"limit=1000", "gemini": b"pageSize=1000"}
"""How a page as large as can be is asked for, by dialect."""


class Page(Struct, frozen=True):
    """One page. `names` is None for what is no list of models, `next` the query of the next page, empty at the end."""

    names: tuple[str, ...] | None = None
    next: bytes = b""


NO_LIST: Final = Page()


class _Row(Struct):
    id: Any = None
    name: Any = None


class _Document(Struct):
    """Where the rows may be, and what is said of further pages; all else is skipped."""

    data: list[_Row] | None = None
    models: list[_Row] | None = None
    result: list[_Row] | None = None
    has_more: Any = None
    last_id: Any = None
    next_token: Any = field(default=None, name="nextPageToken")


_decode: Final = msgspec.json.Decoder(_Document | list[_Row]).decode


def first(path: str, dialect: str) -> bytes:
    """What is asked for first; the path is that of the list."""
    query = _FIRST.get(dialect, b"")
    return path.encode() + (b"?" + query if query else b"")


def following(path: str, dialect: str, page: Page) -> bytes:
    """What is asked for after a page that has a next one."""
    return b"%b&%b" % (first(path, dialect), page.next) if dialect in _FIRST else first(path, dialect)


def read(body: bytes, dialect: str) -> Page:
    """A page, from the body of a successful answer."""
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_LIST
    if not isinstance(document, _Document):
        return Page(_names(row.id for row in document))
    if document.data is not None:
        names = _names(row.id for row in document.data)
    else:
        rows = document.result if document.models is None else document.models
        if rows is None:
            return NO_LIST
        names = _names(row.name for row in rows)
    return Page(names, _next(document, dialect))


def _names(found: Iterable[Any]) -> tuple[str, ...]:
    """Those of what stands in the place of a name that can be one: names are data, but not any data."""
    fit = (name.strip() for name in found if isinstance(name, str) and len(name) <= LONGEST and name.isprintable())
    return tuple(name.removeprefix(_FOLDER) for name in fit if name.removeprefix(_FOLDER))


def _next(document: _Document, dialect: str) -> bytes:
    if dialect == "gemini":
        return _query("pageToken", document.next_token)
    if dialect == "anthropic" and document.has_more is True:
        return _query("after_id", document.last_id)
    return b""


def _query(name: str, value: Any) -> bytes:
    """A parameter, empty where there is nothing to be said."""
    if not isinstance(value, str) or not value:
        return b""
    return f"{name}={quote(value, safe='', errors='replace')}".encode()
