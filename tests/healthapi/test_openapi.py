"""The OpenAPI document is valid, complete, and true of what is answered."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from healthapi.auth import Access
from healthapi.openapi import document
from healthapi.routes import Route
from healthapi.table import TABLE
from tests.healthapi.admin_world import LOOPBACK, NO_TOKEN, REMOTE, World
from tests.healthapi.serving import BEARER, ask, serving
from tests.healthapi.told import Told, telling

CLOSED = frozenset({Access.READ, Access.WRITE})
SPEC = document(TABLE, "1.2.3", CLOSED)
ROUTES = [pytest.param(route, id=f"{route.method} {route.path}") for route in TABLE]


def operation(route: Route, spec: dict[str, Any] = SPEC) -> dict[str, Any]:
    found: dict[str, Any] = spec["paths"][route.path.replace("...", "")][route.method.lower()]
    return found


def content(route: Route, status: int) -> dict[str, Any]:
    response = operation(route)["responses"][str(status)]
    if "$ref" in response:
        response = SPEC["components"]["responses"][response["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = response.get("content", {})
    return found


def check(schema: dict[str, Any], found: Any) -> None:
    Draft202012Validator({**schema, "components": SPEC["components"]}).validate(found)


@pytest.fixture
async def port() -> AsyncIterator[Told]:
    async with telling() as made:
        yield made


def test_it_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(SPEC).validate()
    assert SPEC["openapi"].startswith("3.1.")


def test_it_has_every_endpoint_and_no_other() -> None:
    told = {(method.upper(), where) for where, item in SPEC["paths"].items() for method in item}
    assert told == {(route.method, route.path.replace("...", "")) for route in TABLE}
    names = [operation(route)["operationId"] for route in TABLE]
    assert len(set(names)) == len(names)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_reference_leads_somewhere_and_every_schema_is_needed() -> None:
    found = set(references(SPEC))
    for reference in found:
        part: Any = SPEC
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]
    assert {f"#/components/schemas/{name}" for name in SPEC["components"]["schemas"]} <= found


@pytest.mark.parametrize("route", ROUTES)
def test_an_operation_is_described(route: Route) -> None:
    made = operation(route)
    assert made["description"]
    assert len(made["summary"]) <= 120
    assert "\n" not in made["summary"]
    assert made["tags"]
    variables = set(re.findall(r"{(\w+)", route.path))
    assert {one["name"] for one in made["parameters"] if one["in"] == "path"} == variables
    for one in made["parameters"]:
        assert one["description"], one["name"]
    assert {"200", "400", "403", "500"} <= made["responses"].keys()
    assert ("405" in made["responses"]) == bool(variables)
    assert ("304" in made["responses"]) == bool(route.method == "GET" and route.answer and route.answer.tagged)
    assert ("401" in made["responses"]) == (made["security"] != []) == (route.access in CLOSED)


@pytest.mark.parametrize(
    ("config", "closed"),
    [
        (LOOPBACK, {Access.WRITE}),
        (NO_TOKEN, {Access.WRITE}),
        (REMOTE, set(Access) - {Access.OPEN}),
        (REMOTE.replace("admin: {", "admin: {open: [health], "), {Access.METRICS, Access.READ, Access.WRITE}),
    ],
)
async def test_what_needs_the_token_is_told_as_it_is(config: str, closed: set[Access]) -> None:
    client = await serving(World(config))
    try:
        answer = await ask(client, "/openapi.json", **BEARER)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        found = await answer.json()
    finally:
        await client.close()
    assert found == json.loads(json.dumps(document(TABLE, "1.2.3", closed)))
    for route in TABLE:
        assert operation(route, found)["security"] == ([{"token": []}] if route.access in closed else [])


@pytest.mark.parametrize("route", ROUTES)
async def test_what_is_answered_is_what_is_described(port: Told, route: Route) -> None:
    if route.path == "/v1/events":
        pytest.skip("told below")
    answer = await port.ask(route)
    assert answer.status == 200
    kinds = content(route, answer.status)
    assert answer.content_type in kinds
    if answer.content_type == "application/json":
        found = await answer.json()
        schema = kinds["application/json"]["schema"]
        check(schema, found)
        check({"unevaluatedProperties": False, **schema} if "$ref" in schema else schema, found)
    responses = operation(route)["responses"]
    for name in responses["200"]["headers"]:
        assert name in answer.headers or name == "X-Detour-Stale"


@pytest.mark.parametrize("route", ROUTES)
async def test_nothing_can_be_left_out_unless_it_says_so(route: Route) -> None:
    """What has a default in its Struct is there all the same."""
    if route.answer is None or route.answer.document is None:
        return
    name = content(route, 200)["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = SPEC["components"]["schemas"][name]
    free = schema["properties"].keys() - set(schema["required"])
    assert free == ({"checks", "detail", "error"} if route.path == "/readyz" else set())
    assert not any("default" in told for told in schema["properties"].values())


@pytest.mark.parametrize(
    ("method", "asked", "route", "status"),
    [
        ("GET", "/v1/model-health?limit=0", "/v1/model-health", 400),
        ("GET", "/v1/model-health/groq/absent", "/v1/model-health/{provider}/{model...}", 404),
        ("GET", "/circuit-breakers/reset-all", "/circuit-breakers/{provider}", 405),
        ("GET", "/readyz?verbose", "/readyz", 200),
    ],
)
async def test_problems_are_described(port: Told, method: str, asked: str, route: str, status: int) -> None:
    answer = await ask(port.client, asked, method)
    assert answer.status == status
    told = next(one for one in TABLE if (one.method, one.path) == (method, route))
    check(content(told, status)["application/json"]["schema"], await answer.json())


TEXTS = {"/metrics", "/v1/events", "/openapi.json"}
"""What is answered with no document of ours."""


@pytest.mark.parametrize("route", ROUTES)
def test_every_endpoint_says_what_it_answers(route: Route) -> None:
    assert route.answer is not None
    assert (route.answer.document is None) == (route.path in TEXTS)


def test_every_problem_is_somebody_s() -> None:
    told = {f"#/components/responses/{name}" for name in SPEC["components"]["responses"]}
    assert told <= set(references(SPEC["paths"]))


ABSENT = {
    "/v1/model-health/history": "?provider=absent",
    "/v1/providers/refresh": "?provider=absent",
    "/v1/alerts/test": "?channel=absent",
}
"""What has to be asked for something that is not there, where no name stands in the path."""


def mistaken(port: Told, route: Route, status: int) -> tuple[str, dict[str, str]]:
    """A path and headers to which a route answers with this status."""
    path = port.path(route)
    if status == 400:
        return f"{path}?{'&'.join(f'a{n}=1' for n in range(51))}", BEARER
    if status == 404:
        return re.sub(r"{.*?}", "absent", route.path) + ABSENT.get(route.path, ""), BEARER
    if status == 304:
        return path, BEARER | {"If_None_Match": "*"}
    return path, BEARER | {"Host": "evil.example"} if status == 403 else {}


@pytest.mark.parametrize(
    ("route", "status"),
    [
        pytest.param(route, status, id=f"{route.method} {route.path} {status}")
        for route in TABLE
        for status in map(int, operation(route)["responses"])
        if status in (304, 400, 403, 404) or (status == 401 and route.access is Access.WRITE)
    ],
)
async def test_every_status_that_is_described_happens_and_looks_so(port: Told, route: Route, status: int) -> None:
    path, headers = mistaken(port, route, status)
    answer = await ask(port.client, path, route.method, **headers)
    assert answer.status == status
    if status == 304:
        assert content(route, status) == {}
        assert await answer.read() == b""
    else:
        check(content(route, status)["application/json"]["schema"], await answer.json())
    assert "X-Detour-Request-Id" in answer.headers


async def test_events_are_described(port: Told) -> None:
    route = next(route for route in TABLE if route.path == "/v1/events")
    kinds = content(route, 200)
    answer = await ask(port.client, "/v1/events?last_event_id=0")
    data = kinds[answer.content_type]["x-event-data"]
    seen: set[str] = set()
    while seen != data.keys():
        block = (await answer.content.readuntil(b"\n\n")).decode()
        if (found := re.search(r"^event: (\w+)$.*^data: (.*)$", block, re.M | re.S)) is not None:
            check(data[found[1]], json.loads(found[2]))
            seen.add(found[1])
    answer.close()
