"""Lists as CSV (RFC 4180): for spreadsheets, and safe in them.

A name or an error message comes from whoever calls, and a spreadsheet takes a cell that begins like a formula for one.
Such a cell gets an apostrophe in front; so does one that already has apostrophes there, so that nothing is lost:
`plain` takes exactly one away again. Where `;` separates cells a spreadsheet reads past our quotes, and a tab or line
break may begin a cell too; what follows them inside a text is treated like the beginning.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final, get_args

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import fields

from healthapi.answer import Rows

MEDIA: Final = "text/csv; charset=utf-8; header=present"

# The wide ones are what some spreadsheets take for the same characters.
_BEGINS: Final = "(?=[ \"']*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])"
_RISKY: Final = re.compile(rf"(\A|[;\t\r\n]){_BEGINS}")
_GUARDED: Final = re.compile(rf"(\A|[;\t\r\n])'{_BEGINS}")


class Columns(Struct, frozen=True):
    """The columns of a list: `names` as the header has them, `attributes` of a row's Struct in the same order.

    `names` has one more where the rows are a dict.
    """

    names: tuple[str, ...]
    attributes: tuple[str, ...]


@lru_cache(maxsize=64)
def columns(document: type[Struct], rows: Rows) -> Columns:
    """The columns of a kind of document."""
    named = {one.encode_name: one.name for one in fields(row_type(document, rows))}
    order = [*rows.first, *(name for name in named if name not in rows.first)]
    key = (rows.key,) if rows.key else ()
    return Columns((*key, *order), tuple(named[name] for name in order))


def row_type(document: type[Struct], rows: Rows) -> type[Struct]:
    """The Struct of a document's rows."""
    kind = next(one.type for one in fields(document) if one.name == rows.field)
    found: type[Struct] = get_args(kind)[-1]
    return found


def lines(document: Struct, rows: Rows) -> Iterator[str]:
    """The header, and a line for each row."""
    told = columns(type(document), rows)
    yield _line(told.names)
    found = getattr(document, rows.field)
    for key, row in found.items() if rows.key else ((None, row) for row in found):
        cells = [cell(getattr(row, attribute)) for attribute in told.attributes]
        yield _line([cell(key), *cells] if rows.key else cells)


def cell(value: Any) -> str:
    """A value as the text of a cell: nothing for null, numbers as in JSON, what has parts as JSON."""
    if value is None or value is UNSET:
        return ""
    if isinstance(value, str):
        return safe(value)
    told = msgspec.json.encode(value).decode()
    return told if isinstance(value, bool | int | float) else safe(told)


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return _RISKY.sub(r"\1'", text)


def plain(text: str) -> str:
    """What `safe` was given."""
    return _GUARDED.sub(r"\1", text)


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()
