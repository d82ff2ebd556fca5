"""The admin port on a real socket, and requests to it."""

from __future__ import annotations

from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from healthapi.app import build
from tests.healthapi.admin_world import TOKEN, World

Client = TestClient[Any, Any]
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def serving(world: World, **changes: Any) -> Client:
    """A client of a world's admin port; whoever asks for it closes it."""
    client: Client = TestClient(TestServer(build(world.admin(**changes))))
    await client.start_server()
    return client


async def ask(client: Client, path: str, method: str = "GET", **headers: str) -> ClientResponse:
    """A request whose path goes over the wire as it is written here."""
    url = URL(str(client.make_url("/")).rstrip("/") + path, encoded=True)
    return await client.session.request(method, url, headers={k.replace("_", "-"): v for k, v in headers.items()})
