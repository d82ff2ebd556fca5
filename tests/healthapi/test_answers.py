"""Every route says what it takes and answers, and that is what its handler does."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args, get_origin

import pytest
from msgspec import Struct
from msgspec.structs import fields

from config.units import show_duration
from healthapi import answer, app, csvs
from healthapi.answer import FORMAT, Answer, Parameter
from healthapi.auth import Access
from healthapi.parameters import Parameters
from healthapi.replies import JSON
from healthapi.routes import Route
from healthapi.table import TABLE
from tests.healthapi.listed import COLUMNS, NO_LISTS
from tests.healthapi.told import telling

ROUTES = [pytest.param(route, id=f"{route.method} {route.path}") for route in TABLE]
LISTS = [route for route in TABLE if route.answer is not None and route.answer.rows is not None]


def told(route: Route) -> Answer:
    assert route.answer is not None, f"{route.method} {route.path} does not say what it takes and answers"
    return route.answer


class Read(Parameters):
    """Parameters that keep what is read of them."""

    def __init__(self, query: str) -> None:
        super().__init__(query)
        SEEN.append(self)
        self.read: dict[str, Parameter] = {}
        self._within = False

    def _note(self, made: Parameter) -> None:
        self.read.setdefault(made.name, made)

    def text(self, name: str) -> str | None:
        self._note(answer.text(name, ""))
        return super().text(name)

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        self._note(answer.choice(name, allowed, ""))
        return super().choice(name, allowed)

    def integer(self, name: str, default: int, low: int, high: int | None = None) -> int:
        self._note(answer.integer(name, default, low, high))
        return super().integer(name, default, low, high)

    def number(self, name: str, default: float, low: float, high: float) -> float:
        self._note(answer.number(name, default, low, high))
        return super().number(name, default, low, high)

    def duration(self, name: str, default: float, most: float) -> float:
        self._note(answer.duration(name, most, ""))
        return super().duration(name, default, most)

    def flag(self, name: str) -> bool:
        self._note(answer.flag(name, ""))
        return super().flag(name)


SEEN: list[Read] = []


@pytest.mark.parametrize("route", ROUTES)
async def test_what_is_read_is_what_is_said(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "Parameters", Read)
    SEEN.clear()
    async with telling() as port:
        (await port.ask(route)).close()
    said = {one.name: one for one in told(route).parameters}
    if told(route).rows is not None:
        said["format"] = FORMAT
    read = SEEN[0].read
    assert said.keys() == read.keys()
    for name, one in said.items():
        assert (one.schema, one.empty) == (read[name].schema, read[name].empty)
        assert one.description.endswith(".")
        assert one.description.endswith(read[name].description)


def test_a_duration_says_how_long_it_may_be() -> None:
    assert answer.duration("for", 600.0, "How long.").description.endswith(f"`{show_duration(600.0)}`.")


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_says_what_it_answers(route: Route) -> None:
    made = told(route)
    assert made.document is not None or made.media != (JSON,) or route.path == "/openapi.json"
    assert route.handler.__doc__
    if made.document is not None:
        assert made.document.__doc__
        assert made.media == (JSON,)
    if route.path.startswith(("/v1/model-health", "/health/")) and route.path != "/health/quick":
        assert 503 in made.problems, "it is made from records, which may not be there to be had"
    if route.access is Access.OPEN or made.media != (JSON,):
        assert not made.tagged


@pytest.mark.parametrize("route", ROUTES)
def test_what_moves_is_there(route: Route) -> None:
    made = told(route)
    for moving in made.moving:
        kind: Any = made.document
        for name in moving.split("."):
            kind = {one.encode_name: one.type for one in fields(kind)}[name]
        assert kind is str


def lists_in(document: type[Struct]) -> list[str]:
    """The fields of a document that hold rows."""
    found = []
    for one in fields(document):
        last = get_args(one.type)[-1:]
        if get_origin(one.type) in (list, dict) and isinstance(last[0], type) and issubclass(last[0], Struct):
            found.append(one.name)
    return found


@pytest.mark.parametrize("route", ROUTES)
def test_every_list_can_be_had_as_csv(route: Route) -> None:
    made = told(route)
    if made.document is None or route.method != "GET":
        assert made.rows is None
        return
    found = lists_in(made.document)
    if route.path in NO_LISTS:
        assert made.rows is None
    else:
        assert (made.rows is not None) == bool(found), f"{route.path} has the lists {found}"
    if made.rows is not None:
        assert made.rows.field in found


def test_columns_are_only_ever_appended() -> None:
    """To move or lose one breaks whoever reads them by place; `Rows.first` keeps them where they are."""
    assert COLUMNS.keys() == {route.path for route in LISTS}
    for route in LISTS:
        made = told(route)
        assert made.document is not None
        assert made.rows is not None
        names = csvs.columns(made.document, made.rows).names
        before = tuple(COLUMNS[route.path].split())
        assert names[: len(before)] == before, route.path
        assert len(set(names)) == len(names)
        assert names == before, f"new columns of {route.path}: write them into listed.py"
