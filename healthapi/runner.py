"""The admin port's server: what is no request at all is answered like every other mistake.

aiohttp answers what it cannot parse, and what it does not expect, by itself, before anybody is asked: in plain text,
with a piece of what was sent, which may hold a token, and with its own name and version.
"""

from __future__ import annotations

import logging
from typing import Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from healthapi.app import common_headers, new_request_id
from healthapi.errors import Problem, document
from healthapi.replies import JSON, reply

_LOG: Final = logging.getLogger("detour.admin")


class Runner(web.AppRunner):
    """Runs the admin application on the sockets it is given."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        handler = made.request_handler

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException:  # none of ours: an Expect field that means nothing
                return _refused(new_request_id())

        return _Server(answer, request_factory=made.request_factory, **self._kwargs)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or a bug of the server itself, and close the connection."""
        if request.writer.output_size:
            raise ConnectionError("too late for an answer")
        request_id = new_request_id()
        if status < 500:
            return _refused(request_id)
        _LOG.error("admin request failed", exc_info=exc, extra={"request_id": request_id})
        message = f"this is a bug of Detour; its log has the details under {request_id}"
        return _answer(Problem(500, "internal_error", message), request_id)


def _refused(request_id: str) -> web.Response:
    return _answer(Problem(400, "bad_request", "this is no HTTP request that can be understood"), request_id)


def _answer(problem: Problem, request_id: str) -> web.Response:
    body = reply(document(problem, request_id)).body
    headers = {**common_headers(request_id), "Content-Type": JSON}
    answer = web.Response(body=body, status=problem.status, headers=headers)
    answer.force_close()
    return answer
