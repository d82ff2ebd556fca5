"""One step of the plan: from a permit to a verdict and what the client is still owed."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final

from breaker.outcome import NO_MODEL, SUCCESS, Outcome, Status, Verdict
from breaker.permit import Permit, Rejection
from proxy import answers, errors, headers
from proxy.answers import RefusedError
from proxy.attempt import Attempt
from proxy.connect import ConnectTimeoutError, UnreachableError
from proxy.errors import Refusal
from proxy.pool import IDLE_EXPIRY, PoolWaitError
from proxy.tunnel import tunnel
from proxy.verdict import Ending, judge

if TYPE_CHECKING:
    from proxy.asked import Asked
    from proxy.plan import Step
    from proxy.plane import DataPlane
    from proxy.relay import Relay
    from proxy.request import Request
    from proxy.upstream import Upstream

SURE_IDLE: Final = 1.0
"""Seconds a connection may have rested to be used for a request that must not be sent twice."""

SMALL_BODY: Final = 64 * 1024
"""Bytes of a request body up to which head and body are joined into one write."""


class Dispatch:
    """Makes the attempts of one exchange, and remembers what they came to.

    `attempts` counts them, `upstream_time` is the time spent in them in seconds, `result` is how the last one was
    judged.
    """

    __slots__ = (
        "_asked",
        "_attempt",
        "_plane",
        "_relay",
        "_request",
        "_upload",
        "attempts",
        "result",
        "upstream_time",
    )

    def __init__(self, plane: DataPlane, request: Request, relay: Relay, asked: Asked) -> None:
        self._plane = plane
        self._request = request
        self._relay = relay
        self._asked = asked
        self.attempts = 0
        self.result: str = "rejected"
        self.upstream_time = 0.0
        self._attempt: Attempt | None = None
        self._upload: asyncio.Task[None] | None = None

    async def to(self, step: Step) -> None:
        """Make one attempt at one target and see it through.

        Raises:
            RefusedError: the client is to get this answer.
            BadBodyError, BodyTimeoutError, BodyTooLargeError: the caller's body failed while it was sent on.
        """
        plane = self._plane
        permit = plane.registry.admit(step.provider.name, step.model, plane.watch.now())
        if isinstance(permit, Rejection):
            raise RefusedError(Refusal(permit.status, "unavailable", permit.reason))
        self.attempts += 1
        self._relay.label = _label(step, self.attempts, self._relay.request_id)
        attempt = self._begin(step)
        try:
            connection = self._idle(step) or await self._connect(step, attempt)
            if connection is not None:
                self._write(step, attempt, connection)
                await attempt.finished
                if attempt.ending is Ending.RESET and connection.stale and self._asked.replayable():
                    attempt = await self._again(step)
            if attempt.failure is not None:
                raise attempt.failure
            verdict = self._settle(step, attempt, permit)
        except RefusedError:
            self.attempts -= 1
            self._relay.label = _label(step, self.attempts, self._relay.request_id)
            raise
        except BaseException:
            last = self._attempt or attempt
            last.cancel()
            if permit.out:
                self._settle(step, last, permit)
            raise
        finally:
            if self._upload is not None:
                await self._stop_upload(self._upload)
            if permit.out:
                permit.cancel()
        await self._conclude(step, attempt, verdict)

    # -- sending ---------------------------------------------------------------------------------------------------

    def _begin(self, step: Step) -> Attempt:
        relay, peek = self._relay, self._asked.peek
        limit = step.timeouts.stream_total if peek.stream else step.timeouts.total
        self._attempt = Attempt(
            self._asked.endpoint,
            peek,
            step.timeouts,
            relay,
            self._plane.watch,
            now=self._plane.watch.now(),
            total_due=relay.began_at + limit,
        )
        return self._attempt

    async def _again(self, step: Step) -> Attempt:
        """Send the request once more, on a fresh connection, because the idle one turned out to be dead.

        The provider never saw the request, so that was no attempt (semantics section 1).
        """
        attempt = self._begin(step)
        fresh = await self._connect(step, attempt)
        if fresh is not None:
            self._write(step, attempt, fresh)
            await attempt.finished
        return attempt

    def _idle(self, step: Step) -> Upstream | None:
        rest = IDLE_EXPIRY if self._asked.replayable() else SURE_IDLE
        return self._plane.pools.of(step.provider.origin).take(self._plane.loop.time(), rest)

    async def _connect(self, step: Step, attempt: Attempt) -> Upstream | None:
        """A new connection to the step's origin, or None with the attempt ended."""
        limits = self._plane.config.settings.limits
        pool = self._plane.pools.of(step.provider.origin)
        try:
            limit = attempt.time_to_connect(self._plane.watch.now())
            return await pool.connect(limit, limits.connections, limits.pool_wait)
        except ConnectTimeoutError:
            attempt.not_connected(self._plane.watch.now())
        except UnreachableError as error:
            attempt.end(Ending.UNREACHABLE, str(error))
        except PoolWaitError as error:
            refusal = Refusal(503, "overloaded_error", f"{step.provider.name}: {error}", (("Retry-After", "1"),))
            raise RefusedError(refusal) from error
        return None

    def _write(self, step: Step, attempt: Attempt, connection: Upstream) -> None:
        asked = self._asked
        streamed = asked.peek.stream
        head = asked.heads.get(streamed)
        if head is None:
            head = asked.heads[streamed] = self._head(step, streamed)
        if asked.scan.chunked:
            head += b"Transfer-Encoding: chunked\r\n\r\n"
        elif asked.length >= 0:
            head += b"Content-Length: %d\r\n\r\n" % asked.length
        else:
            head += b"\r\n"
        attempt.begin(connection, asked.method, self._upgrade)
        body = asked.body
        data = body.data
        if asked.scan.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if body.complete:
                data += b"0\r\n\r\n"
        if len(data) <= SMALL_BODY:
            connection.write(head + data)
        else:
            connection.write(head)
            connection.write(data)
        if body.complete:
            attempt.sent(self._plane.watch.now())
        else:
            attempt.drained = asyncio.Event()
            self._upload = self._plane.loop.create_task(self._send_rest(attempt, attempt.drained, connection))

    @property
    def _upgrade(self) -> bytes | None:
        """The protocols the caller asks for, where they can be tunnelled."""
        return self._asked.scan.upgrade if self._request.message.upgrade else None

    def _head(self, step: Step, streamed: bool) -> bytes:
        """The request's head up to its framing; the same for all requests that go the same way."""
        asked, scan = self._asked, self._asked.scan
        return headers.request_head(
            asked.method.encode(),
            asked.placed.target,
            scan,
            host=step.provider.origin.authority,
            via=headers.via(scan, self._plane.name),
            accept_encoding=headers.accept_encoding(scan, streamed) if asked.endpoint.generation else None,
            extra=asked.placed.extra,
            drop=asked.placed.drop,
            upgrade=self._upgrade,
        )

    async def _send_rest(self, attempt: Attempt, drained: asyncio.Event, connection: Upstream) -> None:
        """Stream what of the body is not in memory; the one task an exchange may have, for large bodies alone."""
        try:
            await self._asked.body.stream(connection, chunked=self._asked.scan.chunked, drained=drained)
            attempt.sent(self._plane.watch.now())
        except Exception as error:
            attempt.cancel(error)

    async def _stop_upload(self, upload: asyncio.Task[None]) -> None:
        self._upload = None
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _settle(self, step: Step, attempt: Attempt, permit: Permit) -> Verdict:
        """Judge, give the permit back, and tell the recorder."""
        plane = self._plane
        now = plane.watch.now()
        at = plane.wall()
        verdict = SUCCESS if attempt.good() else judge(attempt.facts(at))
        began = attempt.request_sent_at or attempt.started_at
        took = now - began
        self.upstream_time += took
        self.result = verdict.status
        first_byte = None if attempt.first_at is None else max(attempt.first_at - began, 0.0)
        outcome = Outcome(step.provider.name, step.model, verdict, attempt.streamed, took, first_byte, at)
        plane.recorder.attempt(permit.settle(outcome, now))
        return verdict

    async def _conclude(self, step: Step, attempt: Attempt, verdict: Verdict) -> None:
        """Give the client what is still owed: a held answer, an error of ours, or a visible end of a broken stream."""
        relay = self._relay
        if attempt.upgrade_rest is not None:
            await tunnel(self._request, attempt)
            relay.close = True
        elif relay.ended:
            return
        elif relay.started:
            relay.break_off(self._last_event(step, attempt, verdict))
        elif attempt.ending is Ending.COMPLETE and attempt.passes:
            attempt.pass_on()
        else:
            raise RefusedError(answers.nowhere_else(step.provider.name, step.model, verdict))

    def _last_event(self, step: Step, attempt: Attempt, verdict: Verdict) -> bytes:
        """The error event for a stream that broke after content reached the client; none where one passed already."""
        if verdict.status is Status.SUCCESS or attempt.said_error:
            return b""
        refusal = answers.nowhere_else(step.provider.name, step.model, verdict)
        array = self._relay.shape == "array"
        return errors.event(
            self._asked.endpoint, refusal.message, refusal.type, refusal.status, array=array, tail=self._relay.tail
        )


def _label(step: Step, attempts: int, request_id: str) -> bytes:
    """Field lines that say where the answer comes from (semantics section 3)."""
    named = _named(step.provider.name, step.model)
    return b"%bx-detour-attempts: %d\r\nx-detour-request-id: %b\r\n" % (named, attempts, request_id.encode())


@functools.lru_cache(maxsize=1024)
def _named(provider: str, model: str) -> bytes:
    line = "" if model == NO_MODEL else f"x-detour-model: {answers.field_text(model)}\r\n"
    return f"x-detour-provider: {provider}\r\n{line}".encode()
