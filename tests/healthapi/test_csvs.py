from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType, field

from healthapi import csvs
from healthapi.answer import Rows

# What a spreadsheet looks at: the first character, after blanks and quotes, of a cell or of what it takes for one.
ALPHABET = st.sampled_from("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n;,|'\" \u00a0ax1%\x00é😀")
TEXTS = st.text(ALPHABET, max_size=12) | st.text(max_size=20)
RISKY = "=+-@\uff1d\uff0b\uff0d\uff20"


class Part(Struct):
    a: int
    b: str


class Row(Struct, kw_only=True):
    name: str
    calls: int
    rate: float | None
    open: bool
    from_: str = field(name="from")
    parts: list[Part] = field(default_factory=list)
    detail: str | UnsetType = UNSET


class Later(Row, kw_only=True):
    first_of_all: str


class Listed(Struct):
    """A document."""

    rows: list[Row]
    named: dict[str, Row]
    later: list[Later]


def row(**more: Any) -> Row:
    return Row(**{"name": "n", "calls": 1, "rate": 0.5, "open": False, "from_": "f", **more})


def written(document: Struct, rows: Rows) -> list[list[str]]:
    text = "".join(csvs.lines(document, rows))
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def listed(*rows: Row) -> list[list[str]]:
    return written(Listed(list(rows), {}, []), Rows("rows"))


HEADER = ["name", "calls", "rate", "open", "from", "parts", "detail"]


def test_the_header_is_always_there() -> None:
    assert listed() == [HEADER]


def test_values_look_as_in_json() -> None:
    made = row(rate=None, open=True, parts=[Part(1, "=x,\n")], calls=-5)
    assert listed(made, row(rate=1e-7, detail="d"))[1:] == [
        ["n", "-5", "", "true", "f", '[{"a":1,"b":"=x,\\n"}]', ""],
        ["n", "1", "1e-7", "false", "f", "[]", "d"],
    ]


def test_the_keys_of_a_dict_are_a_column() -> None:
    document = Listed([], {"=k": row()}, [])
    assert written(document, Rows("named", key="key")) == [
        ["key", *HEADER],
        ["'=k", "n", "1", "0.5", "false", "f", "[]", ""],
    ]


def test_columns_can_be_put_first_so_that_others_are_only_ever_appended() -> None:
    document = Listed([], {}, [Later(name="n", calls=1, rate=0.0, open=False, from_="f", first_of_all="1st")])
    first, second = written(document, Rows("later", first=("name", "first_of_all", "from")))
    assert first == ["name", "first_of_all", "from", "calls", "rate", "open", "parts", "detail"]
    assert second[:3] == ["n", "1st", "f"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("", ""),
        ("gpt-4o", "gpt-4o"),
        ("a=b", "a=b"),
        ("503: overloaded", "503: overloaded"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t'=1"),
        ("\rx", "'\rx"),
        ("\nx", "'\nx"),
        (" =1", "' =1"),
        ('"=1', "'\"=1"),
        ("'=1", "''=1"),
        ("'plain", "'plain"),
        ("\uff1d1", "'\uff1d1"),
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("m;=1", "m;'=1"),
        ('m;"=1', "m;'\"=1"),
        ("m\n-1", "m\n'-1"),
        ("m;n", "m;n"),
    ],
)
def test_what_a_spreadsheet_would_take_for_a_formula(text: str, cell: str) -> None:
    assert csvs.safe(text) == cell
    assert csvs.plain(cell) == text


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
@example([("\r", '"'), ("\r\n", '""'), (",", "\x00")])
def test_a_reader_finds_the_same_cells(texts: list[tuple[str, str]]) -> None:
    found = listed(*(row(name=name, from_=other) for name, other in texts))
    assert [(csvs.plain(cells[0]), csvs.plain(cells[4])) for cells in found[1:]] == texts
    assert all(len(cells) == len(HEADER) for cells in found)


@given(TEXTS)
def test_no_cell_begins_like_a_formula_whatever_separates_cells(text: str) -> None:
    for separator in (",", ";", "\t"):
        line = "".join(csvs.lines(Listed([row(name=text)], {}, []), Rows("rows"))).partition("\r\n")[2]
        for cells in csv.reader(io.StringIO(line, newline=""), delimiter=separator):
            for cell in cells:
                assert not cell.lstrip(' "').startswith(tuple(RISKY)), (separator, cells)


@given(TEXTS)
def test_guarding_is_undone(text: str) -> None:
    assert csvs.plain(csvs.safe(text)) == text


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans())
def test_numbers_are_those_of_json(value: float | bool) -> None:
    assert json.loads(csvs.cell(value)) == value
