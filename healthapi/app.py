"""The admin port: one table of routes and the way of one request to it.

aiohttp serves it, but does not route it: everything, also what matches nothing, goes through one middleware, so that
every answer has the same headers and every mistake the same shape. See `healthapi.target` for why paths are not left to
aiohttp's router.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Final

from aiohttp import ClientPayloadError, web
from aiohttp.typedefs import Handler, Middleware

from healthapi import origins
from healthapi.admin import Admin, Call
from healthapi.auth import Door
from healthapi.errors import Problem, document
from healthapi.formats import wants_csv
from healthapi.parameters import Parameters
from healthapi.presenting import presented
from healthapi.replies import Reply, Stream, reply
from healthapi.routes import Match, Route, Router
from healthapi.store import StoreError
from healthapi.streaming import PIECE, stream, whole
from healthapi.table import TABLE
from healthapi.target import split

__all__ = ["Admin", "build"]

_LOG: Final = logging.getLogger("detour.admin")

BODY: Final = 64 << 10
"""Longest body of a request, in bytes."""

BODY_TIME: Final = 10.0
"""Seconds within which a body has to come."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "detour",
    "X-Content-Type-Options": "nosniff",
}


def new_request_id() -> str:
    """What names an answer in the log."""
    return f"adm-{secrets.token_hex(8)}"


def common_headers(request_id: str) -> dict[str, str]:
    """The headers that every answer has."""
    return {**_HEADERS, "Vary": "Origin", "X-Detour-Request-Id": request_id}


def build(admin: Admin, table: Sequence[Route] = TABLE) -> web.Application:
    """The admin application, to be served by a runner of the caller's."""
    return web.Application(middlewares=[_Port(admin, table).middleware()])


class _Port:
    """What it takes to answer one request."""

    def __init__(self, admin: Admin, table: Sequence[Route]) -> None:
        self._admin = admin
        self._router = Router(table)

    def middleware(self) -> Middleware:
        """The middleware that answers everything."""

        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._answer(request)

        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        request_id = new_request_id()
        headers = common_headers(request_id)
        try:
            headers.update(self._admit(request))
            made = await self._serve(request, request_id, headers)
            if isinstance(made, Stream):
                return await stream(request, made, headers)
        except Exception as error:  # whatever a page raises is answered, in our shape and without its words
            problem = _problem(error, request_id)
            headers.update(problem.headers)
            made = reply(document(problem, request_id), problem.status)
        if body := made.body:
            headers["Content-Type"] = made.content_type
        if len(body) > PIECE and request.method != "HEAD":
            return await whole(request, body, made.status, headers)
        return web.Response(body=body, status=made.status, headers=headers)

    def _admit(self, request: web.Request) -> dict[str, str]:
        """CORS headers of the answer, when its Host and Origin let the request in at all."""
        sent, config = _fields(request, b"origin"), self._admin.config
        origins.check(_fields(request, b"host"), sent, config.hosts, config.settings.admin.origins)
        return origins.cors(sent[0] if sent else None)

    async def _serve(self, request: web.Request, request_id: str, headers: dict[str, str]) -> Reply | Stream:
        path, query = split(request.raw_path)
        match = self._router.match(path)
        if request.method == "OPTIONS":
            headers.update(_options(request, match))
            return Reply(b"", status=204)
        route, parts = match.route(request.method)
        settings = self._admin.config.settings.admin
        door = Door(settings.token, settings.listen.loopback, frozenset(settings.open))
        door.check(route.access, _fields(request, b"authorization"))
        sent = request.headers
        accept, last_event_id = sent.get("Accept", ""), sent.get("Last-Event-ID", "")
        body = await _body(request) if route.answer is not None and route.answer.body is not None else b""
        call = Call(parts, Parameters(query), accept, request_id, last_event_id, headers, body)
        listed = route.answer is not None and route.answer.rows is not None
        as_csv = listed and wants_csv(call.query, accept)
        made = await route.handler(self._admin, call)
        if isinstance(made, Stream):
            return made
        told, more = await presented(route, made, as_csv, _fields(request, b"if-none-match"))
        headers.update(more)
        return told


def _options(request: web.Request, match: Match) -> dict[str, str]:
    """What works at a path, for a browser that asks before it sends, or for anybody else."""
    asked = "Access-Control-Request-Method" in request.headers
    return origins.preflight(match.methods) if asked else {"Allow": ", ".join(match.methods)}


def _fields(request: web.Request, name: bytes) -> list[bytes]:
    """All values of one header field, as sent."""
    return [value for field, value in request.raw_headers if field.lower() == name]


async def _body(request: web.Request) -> bytes:
    """What was sent along.

    Raises:
        Problem: 400 where it is too long, too slow or broken.
    """
    read = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for piece in request.content.iter_chunked(BODY):
                read += piece
                if len(read) > BODY:
                    raise Problem(400, "body_too_large", f"the body is longer than {BODY} bytes")
    except TimeoutError:
        raise Problem(400, "body_too_slow", f"the body did not come within {BODY_TIME:g} s") from None
    except (web.RequestPayloadError, ClientPayloadError):
        raise Problem(400, "bad_body", "the body is broken") from None
    return bytes(read)


def _problem(error: Exception, request_id: str) -> Problem:
    """The answer to whatever was raised."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, StoreError):
        _LOG.warning("health store cannot answer: %s", error, extra={"request_id": request_id})
        return Problem(503, "store_unavailable", "the health store cannot answer now; /readyz?verbose says why")
    _LOG.error("admin request failed", exc_info=error, extra={"request_id": request_id})
    return Problem(500, "internal_error", f"this is a bug of Detour; its log has the details under {request_id}")
