"""What a page of a provider's list of models says: the names on it, and where the next page is. Pure; never raises.

Rows have an `id` in `data` (OpenAI and whoever speaks its dialect, Anthropic) or in no object at all (Together), a
`name` in `models` that may begin with `models/` (https://ai.google.dev/api/models), an `endpoint_id` there
(https://docs.fal.ai/platform-apis/v1/models), a `name` in `result` (Cloudflare). Other names that a row says it goes by
(`aliases`) count too.

Pages are told of by a token (Gemini), a cursor (fal), `has_more` (https://docs.anthropic.com/en/api/models-list) or
numbers (Featherless, Cloudflare); most vendors have one page and say nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct, field

LONGEST: Final = 256
"""Characters of a model's name; a longer one is none."""

ALIASES: Final = 16
"""Most further names of one row."""

_FOLDER: Final = "models/"
_FIRST: Final = {"anthropic": b"limit=1000", "gemini": b"pageSize=1000"}
"""How a page as large as can be is asked for, by dialect."""


class Page(Struct, frozen=True):
    """One page.

    `names` is None for what is no list of models. `more`: it says that there is another page; `next` is the query for
    that, empty where it does not say how to ask.
    """

    names: tuple[str, ...] | None = None
    next: bytes = b""
    more: bool = False


NO_LIST: Final = Page()


class _Row(Struct):
    id: Any = None
    name: Any = None
    endpoint_id: Any = None
    aliases: Any = None


class _Numbered(Struct):
    """How pages are numbered; every vendor has some of these."""

    page: int | None = None
    current_page: int | None = None
    per_page: int | None = None
    total_pages: int | None = None
    total_count: int | None = None


class _Document(Struct):
    """Where the rows may be, and what is said of further pages; all else is skipped."""

    data: Raw = Raw()
    models: Raw = Raw()
    result: Raw = Raw()
    pagination: Raw = Raw()
    result_info: Raw = Raw()
    has_more: Any = None
    last_id: Any = None
    next_cursor: Any = None
    next_token: Any = field(default=None, name="nextPageToken")


_decode: Final = msgspec.json.Decoder(_Document | list[_Row]).decode
_rows: Final = msgspec.json.Decoder(list[_Row]).decode
_numbered: Final = msgspec.json.Decoder(_Numbered).decode


def first(path: str, dialect: str) -> bytes:
    """What is asked for first; the path is that of the list, and may have a query."""
    return _with(path.encode(), _FIRST.get(dialect, b""))


def following(path: str, dialect: str, page: Page) -> bytes:
    """What is asked for after a page that has a next one."""
    return _with(first(path, dialect), page.next)


def read(body: bytes, dialect: str) -> Page:
    """A page, from the body of a successful answer."""
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NO_LIST
    if not isinstance(document, _Document):
        return Page(_called(document, (row.id or row.name for row in document)))
    rows = _table(document.data)
    if rows is not None:
        return _page(_called(rows, (row.id or row.name for row in rows)), document, dialect)
    rows = _table(document.models)
    if rows is None:
        rows = _table(document.result)
    if rows is None:
        return NO_LIST
    return _page(_called(rows, (row.endpoint_id or row.name or row.id for row in rows)), document, dialect)


def _table(raw: Raw) -> list[_Row] | None:
    """The rows in one place of a document, None where there are none."""
    try:
        return _rows(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _names(found: Iterable[Any]) -> Iterator[str]:
    """Those of what stands in the place of a name that can be one: names are data, but not any data."""
    for name in found:
        if isinstance(name, str) and len(name) <= LONGEST and name.isprintable():
            fit = name.strip().removeprefix(_FOLDER)
            if fit:
                yield fit


def _called(rows: list[_Row], own: Iterable[Any]) -> tuple[str, ...]:
    """All names of rows, of which `own` are the first ones."""
    others = (alias for row in rows if isinstance(row.aliases, list) for alias in row.aliases[:ALIASES])
    return tuple(_names(chain(own, others)))


def _page(names: tuple[str, ...], document: _Document, dialect: str) -> Page:
    """A page with what is said of the next one."""
    if document.next_token:
        return Page(names, _query("pageToken", document.next_token), more=True)
    if document.next_cursor:
        return Page(names, _query("cursor", document.next_cursor), more=True)
    if document.has_more:
        after = "after_id" if dialect == "anthropic" else "after"
        return Page(names, _query(after, document.last_id), more=True)
    number = _next_number(document.pagination) or _next_number(document.result_info)
    return Page(names, b"page=%d" % number, more=True) if number else Page(names)


def _next_number(raw: Raw) -> int:
    """The number of the next page, 0 where there is none."""
    try:
        said = _numbered(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    page = said.page or said.current_page
    if page is None or page < 1:
        return 0
    left = said.total_pages is not None and page < said.total_pages
    if said.per_page and said.total_count:
        left = left or page * said.per_page < said.total_count
    return page + 1 if left else 0


def _query(name: str, value: Any) -> bytes:
    """A parameter, empty where there is nothing to be said."""
    if not isinstance(value, str) or not value:
        return b""
    return f"{name}={quote(value, safe='', errors='replace')}".encode()


def _with(target: bytes, query: bytes) -> bytes:
    """A target with one more parameter."""
    return target + (b"&" if b"?" in target else b"?") + query if query else target
