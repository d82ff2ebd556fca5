"""One exchange: a client's request from its head to the answer on the wire.

Read `run` from top to bottom: it is the way of a request. Whatever refuses it on that way raises `RefusedError` with
the answer the client is to get; the client's leaving arrives as cancellation, wherever the exchange stands.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from breaker.outcome import NO_MODEL, Answer
from proxy import answers, errors
from proxy.answers import RefusedError
from proxy.asked import UNSEEN, Asked
from proxy.body import Body, BodyTimeoutError, BodyTooLargeError
from proxy.errors import Refusal
from proxy.journey import Journey
from proxy.known import remember
from proxy.paths import guess
from proxy.relay import Relay, timing
from proxy.request import CLOSE, KEEP, BadBodyError, Request, Written
from proxy.way import Way, find_way

if TYPE_CHECKING:
    from proxy.dispatch import Dispatch
    from proxy.plane import DataPlane

log = logging.getLogger("detour.proxy")

FAILED: Final = Refusal(500, "internal_error", "Detour failed at this request; its log says more")

OVER: Final = Refusal(
    503, "overloaded_error", "Detour was stopped, and this took longer than its time to end (drain.timeout)",
    (("Retry-After", "1"),),
)  # fmt: skip

CLOSING: Final = frozenset((400, 405, 408, 413, 431))
"""Refusals that end the client's connection: what it sends is not to be trusted (semantics section 8)."""


class Exchange:
    """One request and its one answer."""

    __slots__ = (
        "_asked",
        "_cancelled",
        "_config",
        "_dispatch",
        "_plane",
        "_relay",
        "_request",
        "_way",
    )

    def __init__(self, plane: DataPlane, request: Request) -> None:
        head = request.head
        self._plane = plane
        self._config = plane.config
        self._request = request
        self._relay = Relay(
            request.connection,
            plane.batch,
            plane.request_id(),
            head.version10,
            request.method == "HEAD",
            not head.keep_alive,
            plane.watch.now(),
        )
        self._asked: Asked | None = None
        self._cancelled = False
        self._dispatch: Dispatch | None = None
        self._way: Way | None = None

    async def run(self) -> Written:
        """Serve the request. Raises only `CancelledError`, when the client left."""
        try:
            way, length = self._find_way()
            asked = self._asked = self._ask(way, length)
            most = self._plane.replay.most(self._config.settings.limits.replay)
            if self._request.payload.complete:
                asked.body.take(most)
            elif asked.body.judged:
                await asked.body.collect(most)
            asked.look()
            if asked.wishes.errand is not None:
                asked.wishes.errand.tell(asked)
            journey = Journey(self._plane, self._request, self._relay, asked)
            self._dispatch = journey.dispatch
            step, permit = journey.first() or await journey.wait_or_refuse()
            failure = await journey.dispatch.to(step, permit, journey)
            if failure is not None or step.rewritten is not None:
                await journey.go_on(failure)
        except RefusedError as stop:
            self._refuse(stop.refusal)
        except (BadBodyError, BodyTimeoutError, BodyTooLargeError) as error:
            self._refuse(answers.bad_body(error))
            if not isinstance(error, BodyTooLargeError):
                # Nothing can be read behind it, not even to be thrown away.
                self._request.connection.force_close()
        except (asyncio.CancelledError, ConnectionError) as gone:
            self._cancelled = True
            self._stop_visibly()
            if isinstance(gone, asyncio.CancelledError):
                raise
        except Exception:
            log.exception("exchange failed", extra={"request_id": self._relay.request_id})
            self._relay.close = True
            self._refuse(FAILED)
        finally:
            self._end()
        # An answer that began before the process drains says nothing of it. Its connection ends right behind it, before
        # its client can have sent anything else.
        return CLOSE if self._relay.close or self._request.connection.ending else KEEP

    def _find_way(self) -> tuple[Way, int]:
        """What the head decides, and the body's length (-1 where it is not said)."""
        request, plane, config = self._request, self._plane, self._config
        known, head = request.known, request.head
        if known is not None and known.config is config:
            self._way = known.way
            return known.way, request.length
        way = self._way = find_way(head, config, plane.name, plane.errands)
        if way.refusal is None:
            request.connection.known = remember(way, config, head)
        return way, request.length

    def _ask(self, way: Way, length: int) -> Asked:
        """What is asked for, before its body is looked into; refuses what must not be forwarded."""
        plane, request = self._plane, self._request
        endpoint, route, placed, scan = way.endpoint, way.route, way.placed, way.scan
        if endpoint is None or route is None or placed is None:
            raise RefusedError(way.refusal or FAILED)
        cap = self._config.settings.limits.request_body if endpoint.generation else 0
        if 0 < cap < length:
            raise RefusedError(answers.too_large(cap))
        body = Body(request, plane.replay, plane.watch, expects=scan.expect, limit=cap)
        return Asked(
            request.method,
            route,
            endpoint,
            placed,
            scan,
            way.heads,
            length,
            body,
            self._config,
            UNSEEN,
            way.key,
            way.wishes,
        )

    def _refuse(self, refusal: Refusal) -> None:
        """Give the client an answer of ours, in its dialect."""
        relay, way = self._relay, self._way
        if relay.started:
            relay.break_off(b"")
            return
        relay.close = relay.close or self._request.connection.ending
        if refusal.status in CLOSING or not self._request.payload.complete:
            relay.close = True
        if way is not None and way.endpoint is not None:
            dialect: str | None = way.endpoint.dialect
        else:
            dialect = guess(self._request.head.path)
        spent = self._dispatch.upstream_time if self._dispatch is not None else 0.0
        extra = relay.label or self._unattempted()
        extra += timing(self._plane.watch.now() - relay.began_at, spent)
        answer = errors.answer(dialect, refusal, close=relay.close, head_only=relay.head_only, extra=extra)
        relay.refuse(answer, refusal.status)

    def _unattempted(self) -> bytes:
        """Field lines of an answer before which no attempt was made."""
        named = f"x-detour-provider: {self._way.provider}\r\n" if self._way is not None and self._way.provider else ""
        if self._asked is not None and self._asked.peek.model != NO_MODEL:
            named += f"x-detour-model: {answers.field_text(self._asked.peek.model)}\r\n"
        return f"{named}x-detour-attempts: 0\r\nx-detour-request-id: {self._relay.request_id}\r\n".encode()

    def _stop_visibly(self) -> None:
        """Where the process ends while the client is still there, its answer must not look whole."""
        relay, way, over = self._relay, self._way, self._plane.over
        if not relay.started:
            if over and way is not None and way.wishes.errand is None:
                relay.close = True
                self._refuse(OVER)
        elif not relay.ended:
            relay.break_off(b"" if self._dispatch is None or not over else self._dispatch.last_words(OVER))

    def _end(self) -> None:
        """Give back what the exchange holds, and tell the recorder what the client got."""
        plane, relay, dispatch = self._plane, self._relay, self._dispatch
        way, asked = self._way, self._asked
        if not self._request.payload.complete:
            relay.close = True
        size, peek = 0, UNSEEN
        if asked is not None:
            size, peek = asked.body.size, asked.peek
            asked.body.release()
        result, attempts, upstream = "rejected", 0, 0.0
        if dispatch is not None:
            result, attempts, upstream = dispatch.result, dispatch.attempts, dispatch.upstream_time
        provider = endpoint = ""
        if way is not None:
            if way.wishes.errand is not None:
                plane.ended(None)
                return
            provider, endpoint = way.provider, way.endpoint.name if way.endpoint is not None else ""
        plane.ended(
            Answer(
                relay.request_id,
                self._request.method,
                provider,
                peek.model,
                endpoint,
                relay.status,
                "cancelled" if self._cancelled else result,
                peek.stream,
                attempts,
                plane.watch.now() - relay.began_at,
                upstream,
                size,
                relay.bytes_out,
                plane.wall(),
            )
        )
