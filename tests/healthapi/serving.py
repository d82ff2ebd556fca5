"""The admin port on a real socket, and requests to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from healthapi.app import build
from healthapi.routes import Route
from healthapi.table import TABLE
from tests.healthapi.admin_world import TOKEN, World

Client = TestClient[Any, Any]
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def serving(world: World, table: Sequence[Route] = TABLE, **changes: Any) -> Client:
    """A client of a world's admin port; whoever asks for it closes it, and the world's archive with it."""
    app = build(world.admin(**changes), table)

    async def close(app: web.Application) -> None:
        await world.close()

    app.on_cleanup.append(close)
    client: Client = TestClient(TestServer(app))
    await client.start_server()
    return client


async def ask(client: Client, path: str, method: str = "GET", **headers: str) -> ClientResponse:
    """A request whose path goes over the wire as it is written here."""
    url = URL(str(client.make_url("/")).rstrip("/") + path, encoded=True)
    return await client.session.request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def document(client: Client, path: str, status: int = 200) -> dict[str, Any]:
    """What is answered to a GET with this status."""
    response = await ask(client, path)
    found: dict[str, Any] = await response.json()
    assert response.status == status, found
    return found
