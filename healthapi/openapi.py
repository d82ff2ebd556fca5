"""GET /openapi.json: OpenAPI 3.1 of the admin port, made from the route table and the Structs of its documents."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from functools import lru_cache
from inspect import cleandoc
from typing import Any, Final

import msgspec

from healthapi.admin import Admin, Call
from healthapi.answer import Answer
from healthapi.auth import Access, Door
from healthapi.operation import STATUSES, operation, problem
from healthapi.replies import JSON, Reply
from healthapi.routes import Route
from healthapi.schemas import Schemas

_ABOUT: Final = """
    Health of every provider and model that Detour has called, circuit breakers, and what happens.

    Times are ISO 8601 in UTC; what was never measured is `null`. HEAD works wherever GET does. Unknown parameters are
    ignored, known ones that are out of bounds, malformed or given twice are refused with 400. A model's name may hold
    slashes, raw or as `%2F`. Every answer that is not 2xx or 304 has the shape of `ErrorDocument`. Which endpoints need
    the token is told as it is on the port that was asked.
"""

_HEADERS: Final = {
    "RequestId": ("Names this answer in Detour's log.", r"^adm-[0-9a-f]{16}$"),
    "ETag": ("Tells whether the answer is the same as before; a weak one leaves out when it was made.", r'^(W/)?".+"$'),
    "Stale": ("There while the fleet's records cannot be had anew: how many seconds ago they were true.", r"^[0-9]+$"),
}


def route(pages: Sequence[Route]) -> Route:
    """The endpoint that describes a table, and itself."""

    async def openapi(admin: Admin, call: Call) -> Reply:
        """This document: everything that can be asked here, as OpenAPI 3.1."""
        settings = admin.config.settings.admin
        door = Door(settings.token, settings.listen.loopback, frozenset(settings.open))
        closed = frozenset(access for access in Access if door.needs_token(access))
        return Reply(await asyncio.to_thread(written, admin.version, closed))

    own = Route("GET", "/openapi.json", openapi, Access.READ, Answer(None, media=(JSON,)))

    @lru_cache(maxsize=1)
    def written(version: str, closed: frozenset[Access]) -> bytes:
        return msgspec.json.encode(document((*pages, own), version, closed))

    return own


def document(table: Sequence[Route], version: str, closed: Collection[Access]) -> dict[str, Any]:
    """The OpenAPI document of a table; what has one of the `closed` accesses needs the token."""
    schemas = Schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for one in table:
        made = operation(one, schemas, needs_token=one.access in closed)
        paths.setdefault(one.path.replace("...", ""), {})[one.method.lower()] = made
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "info": {
            "title": "Detour admin port",
            "version": version,
            "description": cleandoc(_ABOUT),
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The sidecar that was asked."}],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": {name: problem(text, schemas) for name, text in STATUSES.values()},
            "headers": {
                name: {"description": text, "schema": {"type": "string", "pattern": pattern}}
                for name, (text, pattern) in _HEADERS.items()
            },
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The setting `admin.token`."}
            },
        },
    }
