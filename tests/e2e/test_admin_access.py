"""Who may ask what, asked of real processes: every endpoint, every method, with and without the token.

What each endpoint needs is read from the table in `docs/health-api.md`, not from the code: an endpoint that was added
without deciding it there fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct

from healthapi.table import TABLE
from tests.e2e.world import ROOT, Detour, client, detour, lab

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

TOKEN = "canary-token-of-the-tests"
KEY = "sk-canary-of-a-provider"
PAGE = "https://board.example"

_ROW = re.compile(r"^\| `([A-Z]+) (\S+)` \| (\w+) \|", re.M)
DECIDED: dict[tuple[str, str], str] = {
    (method, path): access
    for method, path, access in _ROW.findall((ROOT / "docs" / "health-api.md").read_text("utf-8"))
}
"""Method and path as the docs write it, to the access that was decided on."""


class House(Struct, frozen=True):
    """One way to serve the admin port, and what can be read there without the token."""

    listen: str
    token: bool
    open: tuple[str, ...]
    free: frozenset[str]


FREE = frozenset({"open"})
HOUSES = {
    "loopback": House("127.0.0.1:0", True, (), FREE | {"read", "health", "metrics"}),
    "loopback, no token": House("127.0.0.1:0", False, (), FREE | {"read", "health", "metrics"}),
    "everywhere": House("0.0.0.0:0", True, (), FREE),
    "everywhere, no token": House("0.0.0.0:0", False, (), FREE),
    "metrics open": House("0.0.0.0:0", True, ("metrics",), FREE | {"metrics"}),
    "health open": House("0.0.0.0:0", True, ("health",), FREE | {"health"}),
    "both open": House("0.0.0.0:0", True, ("metrics", "health"), FREE | {"metrics", "health"}),
}


class Served(Struct, frozen=True):
    """A house, and the process that it is."""

    house: House
    running: Detour


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=HOUSES, ids=lambda name: name.replace(" ", "-"))
async def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    house = HOUSES[request.param]
    admin: dict[str, Any] = {"open": list(house.open), "origins": [PAGE]}
    if house.token:
        admin["token"] = TOKEN
    config = lab("http://127.0.0.1:9", admin=admin)  # nobody is there, and no list of models can be read
    config["providers"]["openai"]["api_key"] = KEY
    path = tmp_path_factory.mktemp("access") / "detour.yaml"
    async with detour(config, path=path, more=("--admin-listen", house.listen)) as running:
        yield Served(house, running)


class Got(Struct, frozen=True):
    """The head of an answer, and its body where it ends."""

    status: int
    head: dict[bytes, bytes]
    body: bytes


async def ask(running: Detour, method: str, path: str, *fields: bytes) -> Got:
    """One request; of an answer that goes on the head alone is read."""
    lines = (f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", b"Content-Length: 0", *fields)
    async with client(running.admin_port) as peer:
        await peer.send(b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n")
        first, *found = (await peer.until(b"\r\n\r\n")).rstrip(b"\r\n").split(b"\r\n")
        head = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in found)}
        body = b"" if b"event-stream" in head.get(b"content-type", b"") else await peer.rest()
    return Got(int(first.split(b" ", 2)[1]), head, body)


def bearer(token: str | bytes) -> bytes:
    return b"Authorization: Bearer " + (token if isinstance(token, bytes) else token.encode())


def real(path: str) -> str:
    return path.replace("{provider}", "openai").replace("{model}", "a/b").replace("{id}", "s-1")


WRONG = [
    (),
    (bearer("other"),),
    (bearer(""),),
    (bearer(TOKEN[:-1]),),
    (bearer(TOKEN + "x"),),
    (bearer(TOKEN.upper()),),
    (bearer(TOKEN.replace("a", "\u0430")),),
    (bearer(b"\xff\xfe"),),
    (bearer("***"),),
    (bearer(TOKEN), bearer("other")),
    (b"Authorization: Basic " + TOKEN.encode(),),
]


async def test_each_endpoint_was_decided_on() -> None:
    assert {(route.method, route.path.replace("...", "")): route.access.value for route in TABLE} == DECIDED
    for (method, _), access in DECIDED.items():
        assert (access == "write") == (method != "GET")


@pytest.mark.parametrize(("method", "path"), DECIDED)
async def test_who_may_ask(served: Served, method: str, path: str) -> None:
    free = DECIDED[method, path] in served.house.free
    for way in (method, "HEAD") if method == "GET" else (method,):
        for fields in WRONG:
            got = await ask(served.running, way, real(path), *fields)
            if free:
                assert got.status in (200, 404)  # there is nothing of that name here
                continue
            assert got.status == (401 if served.house.token else 403), (way, fields)
            assert (b"www-authenticate" in got.head) == served.house.token
            assert (got.body == b"") == (way == "HEAD")
            assert b"openai" not in got.body
        got = await ask(served.running, way, real(path), bearer(TOKEN))
        if served.house.token or free:
            assert got.status not in (401, 403, 405, 500)
        else:
            assert got.status == 403


@pytest.mark.parametrize(("method", "path"), DECIDED)
async def test_which_pages_may_ask(served: Served, method: str, path: str) -> None:
    """A foreign page is refused before anything is looked at, a listed one needs the token like anybody."""
    for origin in (b"http://evil.example", b"null", b"https://board.example.evil.example"):
        for way in (method, "OPTIONS"):
            got = await ask(served.running, way, real(path), b"Origin: " + origin, bearer(TOKEN))
            assert got.status == 403
            assert b"access-control-allow-origin" not in got.head
    asked = (b"Origin: " + PAGE.encode(), b"Access-Control-Request-Method: " + method.encode())
    got = await ask(served.running, "OPTIONS", real(path), *asked, b"Access-Control-Request-Headers: authorization")
    assert (got.status, got.body) == (204, b"")
    assert got.head[b"access-control-allow-origin"] == PAGE.encode()
    assert method.encode() in got.head[b"access-control-allow-methods"].split(b", ")
    assert b"access-control-allow-credentials" not in got.head
    free = DECIDED[method, path] in served.house.free
    got = await ask(served.running, method, real(path), b"Origin: " + PAGE.encode())
    assert got.head[b"access-control-allow-origin"] == PAGE.encode()
    assert got.status in ((200, 404) if free else (401, 403))


async def test_a_strange_host_is_refused_everywhere(served: Served) -> None:
    for method, path in DECIDED:
        async with client(served.running.admin_port) as peer:
            head = f"{method} {real(path)} HTTP/1.1\r\nHost: rebound.evil.example\r\nContent-Length: 0\r\n"
            await peer.send(head.encode() + bearer(TOKEN) + b"\r\nConnection: close\r\n\r\n")
            assert (await peer.rest()).startswith(b"HTTP/1.1 403 ")


async def test_what_anybody_may_read_tells_no_secret(served: Served) -> None:
    for path in ("/livez", "/readyz", "/readyz?verbose", "/nope", "/v1/alerts/nope"):
        got = await ask(served.running, "GET", path)
        assert got.status in (200, 404)
        assert not any(secret.encode() in got.body for secret in (TOKEN, KEY, "canary", "/detour.yaml"))


async def test_many_at_once_are_told_apart(served: Served) -> None:
    """Each answer goes to whoever asked: those with the token among those without it."""
    right, wrong = (bearer(TOKEN),), (bearer("other"),)
    sent = [right if number % 2 else wrong for number in range(60)]
    got = await asyncio.gather(*(ask(served.running, "POST", "/circuit-breakers/reset-all", *one) for one in sent))
    refused = 401 if served.house.token else 403
    done = 200 if served.house.token else 403
    assert [one.status for one in got] == [done if fields is right else refused for fields in sent]
