"""Answers that go out piece by piece, as HTTP: from the first one to the end, or to a reader that does not read."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from aiohttp import web

from healthapi.replies import Stream
from healthapi.turns import turns

_LOG: Final = logging.getLogger("detour.admin")

PIECE: Final = 1 << 16
"""Bytes of a long body that are written in one go."""

STALLED: Final = 60.0
"""Seconds in which a reader has to take what it was sent: one that stopped would keep another's place."""


async def stream(request: web.Request, made: Stream, headers: Mapping[str, str]) -> web.StreamResponse:
    """Answer with a stream until it ends or its reader is gone.

    Whatever goes wrong after the head was sent ends the connection; before that it is raised, and can be answered.
    """
    response = web.StreamResponse(headers=headers)
    response.headers["Content-Type"] = made.content_type
    response.headers["X-Accel-Buffering"] = "no"  # nginx in between would hold it back
    if request.method == "HEAD":
        return response
    async with aclosing(made.chunks()) as chunks:
        first = await anext(chunks)
        try:
            await response.prepare(request)
            await _write(response, first)
            async for chunk in chunks:
                await _write(response, chunk)
        except (ConnectionError, TimeoutError):
            _cut(request)
        except Exception as error:  # too late for an answer
            _LOG.error("admin stream failed", exc_info=error, extra={"request_id": headers["X-Detour-Request-Id"]})
            _cut(request)
    return response


async def whole(
    request: web.Request, body: bytes | bytearray, status: int, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Answer with a long body. In one piece it would be copied into the connection's buffer while nobody has a turn."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    try:
        await response.prepare(request)
        view = memoryview(body)
        async for start in turns(range(0, len(body), PIECE)):
            await _write(response, view[start : start + PIECE])
    except (ConnectionError, TimeoutError):
        _cut(request)
    return response


async def _write(response: web.StreamResponse, chunk: bytes | memoryview) -> None:
    async with asyncio.timeout(STALLED):
        await response.write(chunk)


def _cut(request: web.Request) -> None:
    """End the connection, so that nobody takes what has come for all there is."""
    if request.transport is not None:
        request.transport.abort()
