"""A port on which every route has something to tell, and requests to each."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import ClientResponse
from msgspec import Struct
from yarl import URL

from healthapi.alerts.opening import desk
from healthapi.keys import KeyLog
from healthapi.offerings import Offerings
from healthapi.routes import Route
from tests.healthapi.admin_world import World
from tests.healthapi.health_api_examples import world
from tests.healthapi.serving import BEARER, Client, serving

MODEL: Final = "meta-llama/llama-3.3-70b-instruct"
BODIES: Final = {"/v1/alerts/silences": {"for": "1h", "rule": "provider_offline", "comment": "known"}}
"""What has to be sent along, by path."""


class Told:
    """A client of the port, and the world behind it."""

    def __init__(self, made: World, client: Client, silence: str) -> None:
        self.world = made
        self.client = client
        self._silence = silence

    def path(self, route: Route) -> str:
        """A route's path with names that are there."""
        path = route.path.replace("{provider}", "openrouter").replace("{model...}", MODEL)
        return path.replace("{id}", self._silence)

    async def ask(self, route: Route, query: str = "", method: str | None = None, **headers: str) -> ClientResponse:
        """Ask for a route, with the token where it changes something."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if route.method != "GET":
            sent |= BEARER
        url = URL(str(self.client.make_url("/")).rstrip("/") + self.path(route) + query, encoded=True)
        more = {"json": BODIES[route.path]} if route.path in BODIES else {}
        return await self.client.session.request(method or route.method, url, headers=sent, **more)


class _Listing(Struct, frozen=True):
    names: tuple[str, ...] = ("a-model", MODEL)
    whole: bool = True
    problem: str | None = None


async def _listing(provider: str) -> _Listing:
    return _Listing()


@contextlib.asynccontextmanager
async def telling(**changes: Any) -> AsyncIterator[Told]:
    """Serve it."""
    made = world()
    await made.archive.open(made.now)
    alerts = desk(made.config, made.keeper, "abc", lambda: made.now)
    silence = await alerts.silences.add(made.now, 3600.0, rule="provider_offline", subject=None, comment="")
    offers = Offerings(made.config)
    parts = {"alerts": alerts, "keys": KeyLog(made.config), "offers": offers, "read_list": _listing}
    client = await serving(made, **{**parts, **changes})
    try:
        yield Told(made, client, silence.id)
    finally:
        made.events.end()
        await client.close()
