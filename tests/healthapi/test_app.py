from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient
from yarl import URL

from breaker.outcome import NO_MODEL, Outcome, Status
from healthapi.admin import Admin, Call
from healthapi.alerts.opening import desk
from healthapi.auth import Access
from healthapi.memory import MemoryStore
from healthapi.record import Record
from healthapi.replies import Reply
from healthapi.routes import Route
from healthapi.store import StoreError
from healthapi.table import TABLE
from tests.healthapi.admin_world import KEY, LOOPBACK, NO_TOKEN, REMOTE, TOKEN, World, answer
from tests.healthapi.serving import serving

Client = TestClient[Any, Any]
Serve = Callable[..., Awaitable[Client]]

BEARER = {"Authorization": f"Bearer {TOKEN}"}
PAGES = [route for route in TABLE if route.method == "GET" and route.path != "/v1/events"]
"""Everything that can be read to its end."""
READ_ONLY = [route for route in PAGES if not any(r.method == "POST" and r.path == route.path for r in TABLE)]
SLASHED = "meta-llama/llama-3.3-70b-instruct:free"


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves a world's admin port on a real socket."""
    clients: list[Client] = []

    async def start(world: World | None = None, table: Iterable[Route] = TABLE, **changes: Any) -> Client:
        made = world or World()
        await made.archive.open(made.now)
        alerts = desk(made.config, made.keeper, "abc", lambda: made.now)
        client = await serving(made, tuple(table), **{"alerts": alerts, **changes})
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()


@pytest.fixture
def world() -> World:
    world = World()
    world.attempt("groq", "llama-3.3-70b-versatile")
    world.now += 1
    for _ in range(10):
        world.attempt("openrouter", SLASHED, Status.ERROR, message="HTTP 503: overloaded")
    world.attempt("openrouter", NO_MODEL)
    world.recorder.answer(answer("openrouter", SLASHED, 503))
    return world


async def ask(client: Client, path: str, *, method: str = "GET", **headers: str) -> ClientResponse:
    """A request whose path goes over the wire as it is written here."""
    url = URL(str(client.make_url("/")).rstrip("/") + path, encoded=True)
    return await client.session.request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def raw(client: Client, request: bytes) -> bytes:
    """Bytes to the socket, and everything that comes back until the other end closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()
        await writer.wait_closed()


async def problem(response: ClientResponse, status: int, code: str) -> dict[str, Any]:
    """The error of an answer that has to be one, in the shape that all have."""
    document: dict[str, Any] = await response.json()
    assert response.status == status
    assert set(document) == {"detail", "error"}
    error: dict[str, Any] = document["error"]
    assert set(error) == {"type", "message", "code", "status", "request_id"}
    assert (error["code"], error["status"], error["message"]) == (code, status, document["detail"])
    assert error["request_id"] == response.headers["X-Detour-Request-Id"]
    return error


# What every answer has


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
async def test_every_page_answers_with_the_headers_all_have(serve: Serve, world: World, route: Route) -> None:
    client = await serve(world)
    path = route.path.replace("{provider}", "openrouter").replace("{model...}", SLASHED)
    response = await ask(client, path)
    assert response.status == 200
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == ("no-cache" if "ETag" in response.headers else "no-store")
    assert response.headers["Server"] == "detour"
    assert "Access-Control-Allow-Origin" not in response.headers
    if route.path != "/metrics":
        assert response.headers["Content-Type"] == "application/json"
        assert isinstance(await response.json(), dict)


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
async def test_head_is_get_without_the_body(serve: Serve, world: World, route: Route) -> None:
    client = await serve(world)
    path = route.path.replace("{provider}", "openrouter").replace("{model...}", SLASHED)
    got = await ask(client, path)
    response = await ask(client, path, method="HEAD")
    assert response.status == 200
    assert await response.read() == b""
    assert response.headers["Content-Type"] == got.headers["Content-Type"]
    if route.path != "/metrics":
        assert int(response.headers["Content-Length"]) == len(await got.read())


@pytest.mark.parametrize("route", READ_ONLY, ids=lambda route: route.path)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"])
async def test_another_method_is_405(serve: Serve, route: Route, method: str) -> None:
    client = await serve()
    path = route.path.replace("{provider}", "groq").replace("{model...}", "m")
    response = await ask(client, path, method=method)
    await problem(response, 405, "wrong_method")
    assert response.headers["Allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/nope",
        "/Livez",
        "/v1",
        "/v1/model-health/groq",
        "//livez",
        "/health/",
        "/health/nope",
        "/%00",
        "/%ff",
        "/%",
        "/livez%20",
        "/.././livez",
        "/v1/../livez",
    ],
)
async def test_what_is_nowhere_is_404(serve: Serve, path: str) -> None:
    client = await serve()
    if path == "/health/":
        assert (await ask(client, path)).status == 200  # the slash at the end of a fixed route is forgiven
    else:
        await problem(await ask(client, path), 404, "unknown_path")


async def test_options_tells_what_works(serve: Serve) -> None:
    client = await serve()
    response = await ask(client, "/health", method="OPTIONS")
    assert (response.status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert await response.read() == b""
    await problem(await ask(client, "/nope", method="OPTIONS"), 404, "unknown_path")


async def test_request_ids_differ(serve: Serve) -> None:
    client = await serve()
    ids = {(await ask(client, "/livez")).headers["X-Detour-Request-Id"] for _ in range(5)}
    assert len(ids) == 5


# A page that raises


class Broken(MemoryStore):
    """A store that cannot answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def records(self) -> Iterable[Record]:
        raise self.error

    def get(self, provider: str, model: str) -> Record | None:
        raise self.error


OTHERS = {"/health/quick", "/v1/alerts", "/v1/providers", "/v1/model-health/provider/{provider}/sla"}
"""Pages that are made from other things than records."""
STORED = [path for path in (r.path for r in PAGES) if path.startswith(("/v1", "/health/")) and path not in OTHERS]


@pytest.mark.parametrize("path", STORED)
async def test_a_bug_is_a_500_without_its_words(serve: Serve, path: str, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve(World(store=Broken(RuntimeError(f"secret {KEY} in /etc/detour"))))
    with caplog.at_level(logging.ERROR, "detour.admin"):
        response = await ask(client, path.replace("{provider}", "groq").replace("{model...}", "m"))
    error = await problem(response, 500, "internal_error")
    text = await response.text()
    assert not any(word in text for word in ("secret", "canary", "/etc", "Traceback", "RuntimeError", ".py"))
    assert error["request_id"] in error["message"]
    assert [record.__dict__["request_id"] for record in caplog.records] == [error["request_id"]]


@pytest.mark.parametrize("path", STORED)
async def test_a_store_that_cannot_answer_is_503_and_never_good_news(
    serve: Serve, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await serve(World(store=Broken(StoreError("disk is gone"))))
    with caplog.at_level(logging.WARNING, "detour.admin"):
        response = await ask(client, path.replace("{provider}", "groq").replace("{model...}", "m"))
    await problem(response, 503, "store_unavailable")
    assert "disk is gone" in caplog.text
    assert (await ask(client, "/livez")).status == 200
    assert (await ask(client, "/readyz")).status == 200


async def test_the_next_request_on_the_connection_works(serve: Serve) -> None:
    client = await serve(World(store=Broken(RuntimeError("x"))))
    for path, status in (("/health/system", 500), ("/livez", 200), ("/nope", 404), ("/livez", 200)):
        assert (await ask(client, path)).status == status


# Who may


async def reset(admin: Admin, call: Call) -> Reply:
    """Changes something, as later pages will."""
    return Reply(call.path["name"].encode(), "text/plain")


WRITING = (*TABLE, Route("POST", "/reset/{name}", reset, Access.WRITE))


@pytest.mark.parametrize("config", [LOOPBACK, REMOTE])
async def test_a_post_always_needs_the_token(serve: Serve, config: str) -> None:
    client = await serve(World(config), table=WRITING)
    response = await ask(client, "/reset/groq", method="POST")
    await problem(response, 401, "token_missing")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    await problem(await ask(client, "/reset/groq", method="POST", Authorization="Bearer no"), 401, "token_wrong")
    response = await ask(client, "/reset/groq", method="POST", **BEARER)
    assert (response.status, await response.text()) == (200, "groq")


async def test_a_post_is_refused_where_no_token_is_configured(serve: Serve) -> None:
    client = await serve(World(NO_TOKEN), table=WRITING)
    await problem(await ask(client, "/reset/groq", method="POST"), 403, "token_not_configured")
    await problem(await ask(client, "/reset/groq", method="POST", **BEARER), 403, "token_not_configured")


def opened(word: str) -> str:
    return REMOTE.replace("admin: {", f"admin: {{open: [{word}], ")


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
@pytest.mark.parametrize(
    ("config", "free"),
    [
        (LOOPBACK, set(Access)),
        (REMOTE, {Access.OPEN}),
        (opened("metrics"), {Access.OPEN, Access.METRICS}),
        (opened("health"), {Access.OPEN, Access.HEALTH}),
        (opened("metrics, health"), {Access.OPEN, Access.METRICS, Access.HEALTH}),
    ],
)
async def test_a_get_needs_the_token_where_others_can_reach_it(
    serve: Serve, config: str, free: set[Access], route: Route
) -> None:
    world = World(config)
    world.attempt("groq", "m")
    client = await serve(world)
    path = route.path.replace("{provider}", "groq").replace("{model...}", "m")
    for method in ("GET", "HEAD"):
        response = await ask(client, path, method=method)
        assert response.status == (200 if route.access in free else 401)
        assert (await ask(client, path, method=method, **BEARER)).status == 200
    response = await ask(client, path, Authorization="Bearer canary")
    assert response.status == (200 if route.access in free else 401)


def test_which_page_needs_what() -> None:
    free = {
        "/livez": Access.OPEN,
        "/readyz": Access.OPEN,
        "/metrics": Access.METRICS,
        "/health": Access.HEALTH,
        "/health/quick": Access.HEALTH,
        "/health/system": Access.HEALTH,
        "/health/providers": Access.HEALTH,
        "/health/models": Access.HEALTH,
        "/health/gateways": Access.HEALTH,
        "/health/dashboard": Access.HEALTH,
    }
    for route in TABLE:
        needed = Access.WRITE if route.method != "GET" else free.get(route.path, Access.READ)
        assert route.access is needed, route.path


async def test_without_the_token_nothing_is_told_about_what_there_is(serve: Serve) -> None:
    world = World(REMOTE)
    world.attempt("groq", "m")
    client = await serve(world)
    for path in ("/v1/model-health/groq/m", "/v1/model-health/groq/absent", "/v1/model-health?limit=0"):
        await problem(await ask(client, path), 401, "token_missing")


async def test_a_token_of_strange_bytes_is_wrong(serve: Serve) -> None:
    client = await serve(World(REMOTE))
    answer = await raw(
        client,
        b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\xfe\x80\r\nConnection: close\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


# Which names and pages


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:9090", "[::1]:9090", "10.0.0.7:9090", "detour.internal", "DETOUR.internal:9090"]
)
async def test_names_that_are_let_in(serve: Serve, host: str) -> None:
    assert (await ask(await serve(), "/livez", Host=host)).status == 200


@pytest.mark.parametrize("route", TABLE, ids=lambda route: route.path)
async def test_a_strange_host_is_refused_everywhere(serve: Serve, route: Route) -> None:
    client = await serve()
    await problem(await ask(client, route.path, Host="rebound.evil.example"), 403, "unknown_host")


@pytest.mark.parametrize("host", [b"evil.example", b"127.0.0.1.evil.example", b"localhost@evil", b"", b"\xff", b"a b"])
async def test_hosts_that_are_refused(serve: Serve, host: bytes) -> None:
    answer = await raw(await serve(), b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


async def test_a_request_has_one_host(serve: Serve) -> None:
    client = await serve()
    answer = await raw(client, b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert b" 400 " in answer.partition(b"\r\n")[0]
    answer = await raw(client, b"GET /livez HTTP/1.0\r\n\r\n")
    assert b" 403 " in answer.partition(b"\r\n")[0]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://status.example.evil", "http://localhost:1"])
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_a_foreign_page_is_refused(serve: Serve, origin: str, method: str) -> None:
    client = await serve()
    response = await ask(client, "/v1/model-health", method=method, Origin=origin, **BEARER)
    await problem(response, 403, "foreign_origin")
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_one_foreign_origin_among_several_is_enough(serve: Serve) -> None:
    answer = await raw(
        await serve(),
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nOrigin: https://status.example\r\nOrigin: http://evil.example\r\n"
        b"Connection: close\r\n\r\n",
    )
    assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


async def test_a_page_of_its_own_is_let_in(serve: Serve) -> None:
    client = await serve()
    own = str(client.make_url("/")).rstrip("/")
    assert (await ask(client, "/health", Origin=own)).status == 200


@pytest.mark.parametrize("path", ["/health", "/nope", "/v1/model-health?limit=0"])
async def test_a_listed_page_may_read_answers_and_errors(serve: Serve, path: str) -> None:
    response = await ask(await serve(), path, Origin="https://status.example")
    assert response.headers["Access-Control-Allow-Origin"] == "https://status.example"
    assert response.headers["Vary"] == "Origin"
    assert "X-Detour-Request-Id" in response.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_preflight(serve: Serve) -> None:
    client = await serve(World(REMOTE), table=WRITING)
    response = await ask(
        client,
        "/reset/x",
        method="OPTIONS",
        Origin="https://status.example",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization",
    )
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://status.example"
    assert response.headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]


# Names in paths


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("gpt-4o", ["gpt-4o", "gpt%2D4o", "%67pt-4o"]),
        (SLASHED, [SLASHED, SLASHED.replace("/", "%2F"), SLASHED.replace("/", "%2f").replace(":", "%3A")]),
        ("a/b/c", ["a/b/c", "a%2Fb/c", "a%2Fb%2Fc"]),
        ("two words", ["two%20words"]),
        ("a+b", ["a+b", "a%2Bb"]),
        ("100%", ["100%25", "100%"]),
        ("a%2Fb", ["a%252Fb"]),
        ("what?", ["what%3F"]),
        ("a#b", ["a%23b"]),
        ("modèle", ["mod%C3%A8le"]),
        ("x/summary", ["x/summary", "x%2Fsummary"]),
        ("stats", ["stats"]),
        ("../../livez", ["../../livez", "..%2F..%2Flivez"]),
        ("a//b", ["a//b"]),
        ("ends/", ["ends/"]),
        ("semi;colon", ["semi;colon"]),
        ("quo\"te'<b>", ["quo%22te%27%3Cb%3E"]),
        ("nul\x00l", ["nul%00l"]),
    ],
)
async def test_a_model_is_reached_however_it_is_written(serve: Serve, model: str, written: list[str]) -> None:
    world = World()
    world.attempt("groq", model)
    client = await serve(world)
    for path in written:
        response = await ask(client, f"/v1/model-health/groq/{path}")
        assert response.status == 200, path
        assert (await response.json())["model"] == model


async def test_names_that_are_no_utf8_take_nothing_else_away(serve: Serve) -> None:
    world = World()
    world.attempt("groq", "fine")
    world.attempt("groq", "bad-\udcff")
    client = await serve(world)
    assert (await ask(client, "/v1/model-health/groq/bad-%ff")).status == 200
    listed = await (await ask(client, "/v1/model-health")).json()
    assert listed["total"] == 2
    await problem(await ask(client, "/v1/model-health/groq/%fe%ff"), 404, "unknown_model")
    for path in ("/health/models", "/metrics", "/v1/model-health?provider=%ff"):
        assert (await ask(client, path)).status == 200


async def test_summary_is_never_taken_for_a_model(serve: Serve, world: World) -> None:
    client = await serve(world)
    for path in ("provider/openrouter/summary", "provider%2Fopenrouter%2Fsummary", "provider/openrouter/summary/"):
        document = await (await ask(client, f"/v1/model-health/{path}")).json()
        assert (document["provider"], document["total_calls"]) == ("openrouter", 10)
    await problem(await ask(client, "/v1/model-health/provider/absent/summary"), 404, "unknown_provider")


async def test_an_absolute_target_is_its_path(serve: Serve) -> None:
    answer = await raw(
        await serve(), b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_options_of_the_server_is_answered(serve: Serve) -> None:
    answer = await raw(await serve(), b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b'"detail"' in answer


async def test_an_alias_is_its_provider(serve: Serve) -> None:
    world = World("providers: {alibaba: {}}")
    world.attempt("alibaba", "qwen")
    client = await serve(world)
    assert (await (await ask(client, "/v1/model-health/alibaba-cloud/qwen")).json())["provider"] == "alibaba"
    assert (await (await ask(client, "/v1/model-health?provider=alibaba-cloud")).json())["total"] == 1


# Parameters


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=1001",
        "?limit=abc",
        "?limit=",
        "?limit=1.5",
        "?limit=-1",
        "?limit=99999999999999999999999999",
        "?offset=-1",
        "?offset=x",
        "?status=sucess",
        "?status=healthy",
        "?kind=dead",
        "?limit=1&limit=2",
        "/unhealthy?error_threshold=1.1",
        "/unhealthy?error_threshold=-0.1",
        "/unhealthy?error_threshold=nan",
        "/unhealthy?error_threshold=x",
        "/unhealthy?min_calls=0",
        "/unhealthy?min_calls=x",
        "/stats?kind=x",
        "/providers?kind=x",
        "/provider/openrouter/summary?kind=x",
        f"/openrouter/{SLASHED}?kind=x",
        "?" + "&".join(f"a{n}=1" for n in range(51)),
    ],
)
async def test_bad_parameters_are_400(serve: Serve, world: World, query: str) -> None:
    await problem(await ask(await serve(world), f"/v1/model-health{query}"), 400, "bad_parameter")


@pytest.mark.parametrize(
    ("query", "models"),
    [
        ("", [SLASHED, "llama-3.3-70b-versatile"]),
        ("?limit=1", [SLASHED]),
        ("?limit=1&offset=1", ["llama-3.3-70b-versatile"]),
        ("?limit=1000&offset=5", []),
        ("?offset=100000000000000000", []),
        ("?provider=groq", ["llama-3.3-70b-versatile"]),
        ("?provider=absent", []),
        ("?provider=&status=", [SLASHED, "llama-3.3-70b-versatile"]),
        ("?status=error", [SLASHED]),
        ("?status=success&provider=openrouter", []),
        ("?kind=probe", []),
        ("?kind=live&unknown=ignored", [SLASHED, "llama-3.3-70b-versatile"]),
    ],
)
async def test_the_list(serve: Serve, world: World, query: str, models: list[str]) -> None:
    document = await (await ask(await serve(world), f"/v1/model-health{query}")).json()
    assert [record["model"] for record in document["models"]] == models


async def test_total_is_of_all_that_match(serve: Serve, world: World) -> None:
    document = await (await ask(await serve(world), "/v1/model-health?limit=1")).json()
    assert (document["total"], document["limit"], document["offset"]) == (2, 1, 0)
    assert document["filters"] == {"provider": None, "status": None}


@pytest.mark.parametrize(
    ("query", "total"),
    [("", 1), ("?min_calls=11", 0), ("?error_threshold=1", 1), ("?error_threshold=0&min_calls=1", 2)],
)
async def test_unhealthy(serve: Serve, world: World, query: str, total: int) -> None:
    document = await (await ask(await serve(world), f"/v1/model-health/unhealthy{query}")).json()
    assert document["total_unhealthy"] == len(document["models"]) == total


# The documents, from end to end


async def test_the_documents_agree(serve: Serve, world: World) -> None:
    client = await serve(world)

    async def get(path: str) -> Any:
        return await (await ask(client, path)).json()

    record = await get(f"/v1/model-health/openrouter/{SLASHED}")
    assert (record["call_count"], record["error_count"], record["success_count"]) == (10, 10, 0)
    assert record["last_error_message"] == "HTTP 503: overloaded"
    stats = await get("/v1/model-health/stats")
    assert (stats["total_models"], stats["total_calls"], stats["total_errors"]) == (2, 11, 10)
    providers = await get("/v1/model-health/providers")
    assert [(p["provider"], p["total_calls"]) for p in providers["providers"]] == [("openrouter", 10), ("groq", 1)]
    system = await get("/health/system")
    assert (system["tracked_models"], system["unhealthy_models"]) == (2, 1)
    rows = await get("/health/models")
    assert {row["model_id"]: row["status"] for row in rows["data"]}[SLASHED] == "unhealthy"
    rows = await get("/health/providers")
    assert {row["provider"]: row["status"] for row in rows["data"]}["openrouter"] == "offline"
    gateways = await get("/health/gateways")
    assert gateways["data"]["openrouter"]["status"] == "unconfigured"
    assert (await get("/health/quick")) == {
        "status": "healthy",
        "timestamp": "2026-01-01T00:00:01.000Z",
        "version": "1.2.3",
    }
    assert (await get("/health"))["status"] == "healthy"


async def test_an_empty_process_claims_nothing(serve: Serve) -> None:
    client = await serve()
    stats = await (await ask(client, "/v1/model-health/stats")).json()
    assert (stats["total_calls"], stats["success_rate"]) == (0, 0)
    assert (await (await ask(client, "/v1/model-health")).json())["total"] == 0
    system = await (await ask(client, "/health/system")).json()
    assert (system["overall_status"], system["system_uptime"]) == ("unknown", None)


async def test_looking_changes_nothing(serve: Serve, world: World) -> None:
    client = await serve(world)
    await ask(client, "/v1/model-health/groq/never-called")
    await ask(client, "/v1/model-health/provider/never-called/summary")
    assert world.store.get("groq", "never-called") is None
    assert world.registry.find("groq", "never-called") is None


async def test_metrics_in_both_formats(serve: Serve, world: World) -> None:
    client = await serve(world)
    plain = await ask(client, "/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert f'detour_requests_total{{model="{SLASHED}",provider="openrouter"' in await plain.text()
    asked = await ask(client, "/metrics", Accept="application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3")
    assert asked.headers["Content-Type"].startswith("application/openmetrics-text")
    assert (await asked.text()).endswith("# EOF\n")


async def test_scrapes_do_not_pile_up(serve: Serve, world: World) -> None:
    client = await serve(world)
    answers = await asyncio.gather(*(ask(client, "/metrics") for _ in range(5)), ask(client, "/livez"))
    assert [answer.status for answer in answers] == [200] * 6


async def test_no_credential_appears_anywhere(serve: Serve, world: World, caplog: pytest.LogCaptureFixture) -> None:
    client = await serve(world)
    paths = [r.path.replace("{provider}", "openrouter").replace("{model...}", SLASHED) for r in PAGES]
    told = ""
    with caplog.at_level(logging.DEBUG):
        for path in (*paths, "/readyz?verbose", "/nope", "/v1/model-health?limit=x", "/v1/model-health/groq/absent"):
            for response in (await ask(client, path, **BEARER), await ask(client, path, method="POST", **BEARER)):
                told += await response.text() + str(response.headers)
    for secret in (KEY, TOKEN, "canary"):
        assert secret not in told
        assert secret not in caplog.text


async def test_errors_are_json_for_browsers_too(serve: Serve) -> None:
    response = await ask(await serve(), "/<script>alert(1)</script>", Accept="text/html")
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert json.loads(await response.text())["error"]["status"] == 404


async def test_counts_are_exact_while_pages_are_read(serve: Serve) -> None:
    world = World()
    client = await serve(world)

    async def call(number: int) -> None:
        for _ in range(20):
            made: Outcome = world.attempt("groq", f"m-{number % 4}")
            await asyncio.sleep(0)
            assert made.model == f"m-{number % 4}"

    await asyncio.gather(*(call(n) for n in range(50)), *(ask(client, "/v1/model-health") for _ in range(10)))
    stats = await (await ask(client, "/v1/model-health/stats")).json()
    assert (stats["total_calls"], stats["total_success"]) == (1000, 1000)
