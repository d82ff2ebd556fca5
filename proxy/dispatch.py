"""One step of the plan: from a permit to a verdict and what the client is still owed."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Final

from breaker.outcome import NO_MODEL, SUCCESS, Blame, Kind, Outcome, Status, Verdict
from breaker.permit import Permit
from config.bases import Frozen
from proxy import answers, errors, headers
from proxy.answers import RefusedError
from proxy.attempt import Attempt, Guide
from proxy.connect import ConnectTimeoutError, UnreachableError
from proxy.credentials import used
from proxy.errors import Refusal
from proxy.plan import Step
from proxy.pool import IDLE_EXPIRY, PoolWaitError
from proxy.probing import Probing
from proxy.tunnel import tunnel
from proxy.verdict import Ending, judge
from proxy.wishes import NONE

if TYPE_CHECKING:
    from config.effective import Provider
    from proxy.asked import Asked
    from proxy.credentials import Placement
    from proxy.plane import DataPlane
    from proxy.relay import Relay
    from proxy.request import Request
    from proxy.upstream import Upstream

_LIVE: Final = Kind.LIVE  # reading a member off its class costs a call
_RESET: Final = Ending.RESET
_SUCCESS: Final = Status.SUCCESS

SURE: Final = 60.0
"""Seconds for which a key that was accepted is not told of again."""

SURE_IDLE: Final = 1.0
"""Seconds a connection may have rested to be used for a request that must not be sent twice."""

SMALL_BODY: Final = 64 * 1024
"""Bytes of a request body up to which head and body are joined into one write."""


class Failure(Frozen):
    """An attempt that came to nothing, while the client has seen nothing of it."""

    step: Step
    attempt: Attempt
    verdict: Verdict


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

    def __init__(
        self,
        plane: DataPlane,
        request: Request,
        relay: Relay,
        asked: Asked,
    ) -> None:
        self._plane = plane
        self._request = request
        self._relay = relay
        self._asked = asked
        self.attempts = 0
        self.result: str = "rejected"
        self.upstream_time = 0.0
        self._attempt: Attempt | None = None
        self._upload: asyncio.Task[None] | None = None

    async def to(self, step: Step, permit: Permit, guide: Guide) -> Failure | None:
        """Make one attempt at one target; None when the client has what there is for it, good or bad.

        `guide` is asked what could follow while the attempt is under way, and not kept.

        Raises:
            RefusedError: the client is to get this answer.
            BadBodyError, BodyTimeoutError, BodyTooLargeError: the caller's body failed while it was sent on.
        """
        self.attempts += 1
        self._relay.label = self._label(step)
        self._relay.spent = self.upstream_time
        attempt = self._begin(step, permit, guide)
        failed: BaseException | None = None
        try:
            connection = self._idle(step) or await self._connect(step, attempt)
            if connection is not None:
                self._write(step, attempt, connection)
                await attempt.finished
                if attempt.ending is _RESET and connection.stale and self._asked.replayable():
                    attempt = await self._again(step, permit, guide)
            if attempt.failure is not None:
                raise attempt.failure
            verdict = self._settle(step, attempt, permit)
        except RefusedError as refused:
            self.attempts -= 1
            self._relay.label = self._label(step)
            failed = refused
        except BaseException as error:
            last = self._attempt or attempt
            last.cancel()
            if permit.out:
                self._settle(step, last, permit)
            failed = error
        finally:
            if permit.out:
                permit.cancel()
        # Not in the `finally`: compiled, what is awaited there loses the error.
        if self._upload is not None:
            await self._stop_upload(self._upload)
        if failed is not None:
            try:
                raise failed
            finally:
                failed = None  # the frame is in its traceback
        if self._relay.ended and attempt.upgrade_rest is None:
            return None
        return await self._give(step, attempt, verdict)

    def conclude(self, failure: Failure) -> None:
        """Give the client what is left to give when no other attempt follows: the last provider's own answer, or ours.

        Raises:
            RefusedError: ours.
        """
        attempt = failure.attempt
        self._relay.label = self._label(failure.step)
        if attempt.ending is Ending.COMPLETE and attempt.passes:
            attempt.pass_on()
        else:
            raise RefusedError(answers.nowhere_else(failure.step.provider.name, failure.step.model, failure.verdict))

    # -- sending ---------------------------------------------------------------------------------------------------

    def _begin(self, step: Step, permit: Permit, guide: Guide) -> Attempt:
        asked, relay, watch, limits = self._asked, self._relay, self._plane.watch, step.timeouts
        peek, wishes = asked.peek, asked.wishes
        due = relay.began_at + (limits.stream_total if peek.stream else limits.total)
        now, model = watch.now(), step.model
        if wishes.errand is None:
            attempt = Attempt(asked.endpoint, peek, limits, relay, watch, now, due, model)
        else:
            attempt = probing = Probing(asked.endpoint, peek, limits, relay, watch, now, due, model)
            probing.serve(wishes.errand)
        self._attempt = attempt
        attempt.guide = guide
        if permit.trials:
            attempt.trial = permit
        if wishes is not NONE:
            attempt.hurry(wishes)
        return attempt

    async def _again(self, step: Step, permit: Permit, guide: Guide) -> Attempt:
        """Send the request once more, on a fresh connection, because the idle one turned out to be dead.

        The provider never saw the request, so that was no attempt (semantics section 1).
        """
        attempt = self._begin(step, permit, guide)
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
        limits = self._asked.config.settings.limits
        pool = self._plane.pools.of(step.provider.origin)
        try:
            limit = attempt.time_to_connect(self._plane.watch.now())
            return await pool.connect(limit, limits.connections, limits.pool_wait)
        except ConnectTimeoutError as late:
            attempt.not_connected(self._plane.watch.now(), late.way)
        except UnreachableError as error:
            attempt.end(Ending.UNREACHABLE, str(error))
        except PoolWaitError as full:
            refusal = Refusal(503, "overloaded_error", f"{step.provider.name}: {full}", (("Retry-After", "1"),))
            raise RefusedError(refusal) from full
        return None

    def _write(self, step: Step, attempt: Attempt, connection: Upstream) -> None:
        asked, rewritten = self._asked, step.rewritten
        streamed = asked.peek.stream
        body = asked.body
        data, length = body.data, asked.length
        if rewritten is not None:
            head = self._head(step, rewritten.placed, streamed)
            data = rewritten.body
            length = len(data) if length >= 0 else length
        else:
            known = asked.heads.get(streamed)
            head = asked.heads[streamed] = known or self._head(step, asked.placed, streamed)
        if asked.scan.chunked:
            head += b"Transfer-Encoding: chunked\r\n\r\n"
            data = b"%x\r\n" % len(data) + data + b"\r\n" if data else b""
            if body.complete:
                data += b"0\r\n\r\n"
        elif length >= 0:
            head += b"Content-Length: %d\r\n\r\n" % length
        else:
            head += b"\r\n"
        attempt.begin(connection, asked.method, self._upgrade())
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

    def _upgrade(self) -> bytes | None:
        """The protocols the caller asks for, where they can be tunnelled."""
        return self._asked.scan.upgrade

    def _head(self, step: Step, placed: Placement, streamed: bool) -> bytes:
        """The request's head up to its framing; the same for all requests that go the same way."""
        asked, scan = self._asked, self._asked.scan
        return headers.request_head(
            asked.method.encode(),
            placed.target,
            scan,
            host=step.provider.origin.authority,
            via=headers.via(scan, self._plane.name),
            accept_encoding=headers.accept_encoding(scan, streamed) if asked.endpoint.generation else None,
            extra=placed.extra,
            drop=placed.drop,
            upgrade=self._upgrade(),
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
        placed = self._asked.placed if step.rewritten is None else step.rewritten.placed
        verdict = SUCCESS
        if not attempt.good():
            facts = attempt.facts(at)
            facts.secrets = used(self._asked.scan, placed)
            verdict = judge(facts)
        began = attempt.request_sent_at or attempt.started_at
        took = now - began
        self.upstream_time += took
        self.result = verdict.status
        first_byte = attempt.first_at
        if first_byte is not None:
            first_byte = first_byte - began if first_byte > began else 0.0
        kind, errand = _LIVE, self._asked.wishes.errand
        if errand is not None:
            kind = Kind.PROBE
            verdict = errand.settled(verdict, sent=attempt.request_sent_at is not None)
        outcome = Outcome(
            step.provider.name,
            step.model,
            verdict,
            attempt.streamed,
            took,
            first_byte,
            at,
            kind,
            attempt.peek.reasoning,
        )
        plane.recorder.attempt(permit.settle(outcome, now))
        if placed.configured and (verdict.status is not _SUCCESS or plane.sure.get(step.provider.name, 0.0) <= now):
            self._judge_key(step.provider, verdict, now, at)
        return verdict

    def _judge_key(self, provider: Provider, verdict: Verdict, now: float, at: float) -> None:
        """Tell what the provider thinks of its configured key, which went along; only a generation proves it good.

        That of a key which has been replaced meanwhile says nothing of the one in its place.
        """
        plane, name = self._plane, provider.name
        if not plane.has_key(provider):
            return
        if verdict.blame is Blame.PROVIDER_CREDENTIAL:
            plane.sure.pop(name, None)
            plane.recorder.key(name, False, verdict.http_status, at)
        elif verdict.status is _SUCCESS and self._asked.endpoint.generation:
            plane.sure[name] = now + SURE
            plane.recorder.key(name, True, verdict.http_status, at)

    async def _give(self, step: Step, attempt: Attempt, verdict: Verdict) -> Failure | None:
        """See to it that what the client has begun to get ends as it should: by itself, or visibly broken off.

        A stream that broke after content had reached the client is known here, and would be rescued here.
        """
        relay = self._relay
        if attempt.upgrade_rest is not None:
            await tunnel(self._request, attempt)
            relay.close = True
        elif relay.started:
            if not relay.ended:
                relay.break_off(self._last_event(step, attempt, verdict))
        else:
            return Failure(step, attempt, verdict)
        return None

    def last_words(self, refusal: Refusal) -> bytes:
        """The error event for a stream that is ended from here; none where the provider said one already."""
        if self._attempt is not None and self._attempt.said_error:
            return b""
        return self._event(refusal)

    def _last_event(self, step: Step, attempt: Attempt, verdict: Verdict) -> bytes:
        """The error event for a stream that broke after content reached the client; none where one passed already."""
        if verdict.status is Status.SUCCESS or attempt.said_error:
            return b""
        return self._event(answers.nowhere_else(step.provider.name, step.model, verdict))

    def _event(self, refusal: Refusal) -> bytes:
        array = self._relay.shape == "array"
        return errors.event(
            self._asked.endpoint, refusal.message, refusal.type, refusal.status, array=array, tail=self._relay.tail
        )

    def _label(self, step: Step) -> bytes:
        """Field lines that say where the answer comes from (semantics section 3)."""
        named = _named(step.provider.name, step.model)
        if step.rewritten is not None:
            asked = self._asked
            meant = answers.field_text(f"{asked.route.provider.name}/{asked.peek.model}")
            named += b"x-detour-rerouted-from: %b\r\n" % meant.encode()
        number, request_id = self.attempts, self._relay.request_id.encode()
        return b"%bx-detour-attempts: %d\r\nx-detour-request-id: %b\r\n" % (named, number, request_id)


@functools.lru_cache(maxsize=1024)
def _named(provider: str, model: str) -> bytes:
    line = "" if model == NO_MODEL else f"x-detour-model: {answers.field_text(model)}\r\n"
    return f"x-detour-provider: {provider}\r\n{line}".encode()
