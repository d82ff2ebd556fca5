"""One try at one target: what came back, when, and whether the client has seen any of it.

Until an answer has proved good (a first content event, a JSON body without an error in it) its bytes are held by the
gate, so that a bad one can still be replaced by another attempt or by a clear error; after that everything goes
straight to the relay. The attempt collects facts; what they mean is said by `proxy.verdict`, at the end.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from breaker.outcome import NO_MODEL
from proxy import terminals
from proxy.decode import Decoder
from proxy.framing import Framing
from proxy.gate import HOLD_BODY, HOLD_TIME, Gate
from proxy.inspector import Inspector
from proxy.reply import Reply
from proxy.verdict import Ending, Facts

if TYPE_CHECKING:
    from breaker.permit import Permit
    from config.settings import Timeouts
    from proxy.paths import Endpoint
    from proxy.peek import Peek
    from proxy.relay import Relay
    from proxy.upstream import Upstream
    from proxy.watch import Watch
    from proxy.wishes import Wishes

LOOK_AGAIN: Final = 1.0
"""Seconds between two looks for another target while a stream is held for longer than usual."""

_NO_REPLY: Final = Reply(502, b"", b"", Framing("none"))
_INF: Final = float("inf")
_COMPLETE: Final = Ending.COMPLETE  # reading a member off its class costs a call


class Guide(Protocol):
    """Who knows what could follow an attempt."""

    def would_move(self, attempt: Attempt) -> bool:
        """Whether another attempt would follow if this one ended with what it holds. Changes nothing."""

    def others_admit(self) -> bool:
        """Whether another target would take the request."""


class Attempt:
    """One try; the sink of one upstream answer."""

    __slots__ = (
        "_content",
        "_deadline_due",
        "_decoder",
        "_first_due",
        "_gate",
        "_idle",
        "_inspector",
        "_marked",
        "_running",
        "_shape",
        "_silent_until",
        "_total_due",
        "_watch",
        "connection",
        "detail",
        "drained",
        "due",
        "ending",
        "endpoint",
        "failure",
        "finished",
        "first_at",
        "guide",
        "head_at",
        "limit",
        "model",
        "passes",
        "patience",
        "peek",
        "relay",
        "reply",
        "request_sent_at",
        "started_at",
        "streamed",
        "timeouts",
        "trial",
        "upgrade_rest",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        peek: Peek,
        timeouts: Timeouts,
        relay: Relay,
        watch: Watch,
        now: float,
        total_due: float,
        model: str = NO_MODEL,
    ) -> None:
        """Begin a try for `model`, which has to be over at `total_due`."""
        # What every event needs comes first: compiled, an object lies in memory in this order.
        self._inspector: Inspector | None = None
        self._watch = watch
        self.relay = relay
        self._running = False
        """Whether the gate is open and content flows, readable as it comes."""
        self._content = 0
        self._idle = timeouts.answer if peek.reasoning else timeouts.idle
        self.due = self._total_due = total_due
        self.endpoint = endpoint
        self.peek = peek
        self.timeouts = timeouts
        self.started_at = now
        self.streamed = peek.stream
        self.model = model
        self.patience = _INF
        """Seconds that the caller waits for the head, from the exchange's beginning, and between two reads."""
        self.trial: Permit | None = None
        """The permit, where a breaker waits for this attempt to prove itself."""
        self.guide: Guide | None = None
        self.finished = watch.future()
        self._gate = Gate()
        self._marked = -1
        self._silent_until = _INF
        self._deadline_due = _INF
        self.connection: Upstream | None = None
        self.drained: asyncio.Event | None = None
        """Set whenever the connection takes more of a streamed request body, and at the end."""
        self.reply: Reply | None = None
        self.head_at: float | None = None
        self.first_at: float | None = None
        self.request_sent_at: float | None = None
        self.ending: Ending | None = None
        self.detail = ""
        self.failure: Exception | None = None
        self.limit: float | None = None
        """The limit, in seconds, that ended the attempt."""
        self.passes = True
        """Whether the answer may be passed on to its clean end (it broke no promise of its kind)."""
        self.upgrade_rest: bytes | None = None
        self._decoder: Decoder | None = None
        self._shape = ""
        self._first_due = _INF

    def hurry(self, wishes: Wishes) -> None:
        """Keep within what the caller itself will wait."""
        if wishes.patience is not None:
            self.patience = wishes.patience
            self._idle = min(self._idle, wishes.patience)
        if wishes.deadline is not None:
            self._deadline_due = self.relay.began_at + wishes.deadline
            self._total_due = self.due = min(self._total_due, self._deadline_due)

    # -- the request's side ----------------------------------------------------------------------------------------

    def begin(self, connection: Upstream, method: str, upgrade: bytes | None = None) -> None:
        """Use `connection`, on which a request with `method`, and perhaps `upgrade`, is about to be written."""
        self.connection = connection
        connection.begin(self, method, upgrade)
        self.relay.attach(connection)
        self._watch.add(self)

    def sent(self, now: float) -> None:
        """The request is out to its last byte: the waiting begins."""
        self.request_sent_at = now
        if self.head_at is not None or self.ending is not None:
            return
        limits = self.timeouts
        limit = limits.first_byte if self.streamed and not self.peek.reasoning else limits.answer
        self.limit = limit
        due = now + limit
        if self.patience != _INF:
            due = min(due, self.relay.began_at + self.patience)
        self._first_due = due
        self.due = due if due < self._total_due else self._total_due

    def time_to_connect(self, now: float) -> float:
        """Seconds that making a connection may take from `now` on."""
        return min(self.timeouts.connect, min(self._total_due, self.relay.began_at + self.patience) - now)

    def writable(self) -> None:
        """The connection takes more of the request."""
        if self.drained is not None:
            self.drained.set()

    # -- the answer's side (upstream.Sink) -------------------------------------------------------------------------

    def informational(self, reply: Reply) -> None:
        """Early hints pass; 100 and the rest are swallowed (proxy-rules 13)."""
        if reply.status == 103:
            self.relay.informational(reply)

    def head(self, reply: Reply) -> None:
        """The answer's head: decide how its body is looked at, and whether it is held."""
        now = self._watch.now()
        self.reply = reply
        self.head_at = now
        status, framing = reply.status, reply.framing
        if reply.encoding and reply.encoding != b"identity":
            self._decoder = Decoder(reply.encoding)
        if framing.kind == "none" or status == 101:
            self._open(now)
        elif status >= 400:
            pass
        elif not self.endpoint.generation:
            self._open(now)
        elif shape := _shape(reply.content_type, self.endpoint.name):
            self.streamed = True
            if self._decoder is None or not self._decoder.failed:
                self._shape = shape
                self._inspector = Inspector(self.endpoint.name, self.endpoint.dialect, shape)
                if self._first_due == _INF:
                    self._first_due = min(now + self.timeouts.first_byte, self.relay.began_at + self.patience)
                self.due = min(self._first_due, self._total_due, now + HOLD_TIME)
                return
            self._open(now)  # what cannot be read is not worth holding
        elif reply.content_type.find(b"json") < 0 or (framing.length is not None and framing.length > HOLD_BODY):
            self._open(now)
        self.first_at = now
        self._let_idle(now)

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Body bytes: look, then hold or pass. `framed` is as in `Sink.body`."""
        now = self._watch.now()
        inspector = self._inspector
        if inspector is None:
            if not done:
                self._let_idle(now)
        elif self._running and not done:
            inspector.feed(data)
            if inspector.content != self._content and inspector.error is None:
                # The next event of a running stream: nothing else to think about.
                self._content = inspector.content
                due = now + self._idle
                self.due = due if due < self._total_due else self._total_due
                self.relay.write(data, False, framed)
                return
            self._note(inspector, done, now)
        else:
            self._inspect(inspector, data, done, now)
        gate = self._gate
        if gate.shut:
            if done and inspector is None and self._decoder is None and self._is_good() and gate.whole(data):
                self._start(now)
            else:
                gate.hold(data)
                if not self._ready(gate, inspector, done):
                    if done or (inspector is not None and inspector.error is not None):
                        self.end(_COMPLETE)
                    return
                data = self._open(now)
        if done:
            self.relay.write(data, self.passes)
            self.end(_COMPLETE)
        elif self.passes:
            self._running = self._content > 0 and self._decoder is None
            self.relay.write(data, False)
        else:
            # The provider's own error event, in the middle of content: it passes once, and nothing comes after it.
            self.relay.write(data, False)
            self.end(_COMPLETE)

    def upgraded(self, rest: bytes) -> None:
        """The provider switched protocols; the exchange tunnels from here."""
        self.upgrade_rest = rest
        self._conclude(_COMPLETE)

    def raw(self, data: bytes) -> None:
        """Bytes behind a 101, before the tunnel took over."""
        self.upgrade_rest = (self.upgrade_rest or b"") + data

    def malformed(self, detail: str) -> None:
        """The answer is not HTTP."""
        self.end(Ending.MALFORMED, detail)

    def lost(self, detail: str) -> None:
        """The connection ended first."""
        self.end(Ending.RESET if self.head_at is None else Ending.LOST, detail)

    # -- time ------------------------------------------------------------------------------------------------------

    def overdue(self, now: float) -> None:
        """A limit passed: which one, and was it the provider's?"""
        if now >= self._deadline_due:
            self.limit = self._deadline_due - self.relay.began_at
            self.end(Ending.OUT_OF_PATIENCE)
        elif now >= self._total_due:
            self.limit = self.timeouts.stream_total if self.peek.stream else self.timeouts.total
            self.end(Ending.TOTAL)
        elif self.connection is not None and self.connection.paused:
            # The client reads slowly; the provider is not to blame for what we do not take.
            self._let_idle(now)
        elif self.head_at is None:
            self._give_up(now, Ending.NO_CONTENT if self.streamed else Ending.NO_HEAD)
        elif self._inspector is not None and self.first_at is None:
            if now >= self._first_due:
                self.limit = self._first_due - (self.request_sent_at or self.started_at)
                self._give_up(now, Ending.NO_CONTENT)
            elif self._gate.shut and self.guide is not None and self.guide.others_admit():
                self.due = min(self._first_due, self._total_due, now + LOOK_AGAIN)
            else:
                self.due = min(self._first_due, self._total_due)
                if self._gate.shut:
                    self.relay.write(self._open(now), done=False)
        else:
            self.limit = self._idle
            self._give_up(now, Ending.STALLED)

    def _give_up(self, now: float, ending: Ending) -> None:
        """End in silence: the provider's, or as far as its caller would have waited for it."""
        if self.first_at is None:
            impatient = now >= self.relay.began_at + self.patience
        else:
            impatient = self._idle == self.patience and (self._marked != self._content or now < self._silent_until)
        if impatient:
            self.limit = self.patience
            ending = Ending.OUT_OF_PATIENCE
        self.end(ending)

    # -- ends ------------------------------------------------------------------------------------------------------

    def not_connected(self, now: float, way: str = "") -> None:
        """No connection came by that way in time: in that of `connect`, or in what was left of another limit."""
        if now >= min(self._total_due, self.relay.began_at + self.patience):
            self.overdue(now)
        else:
            self.limit = self.timeouts.connect
            self.end(Ending.CONNECT_TIMEOUT, way)

    def cancel(self, failure: Exception | None = None) -> None:
        """Stop the upstream at once: the client left, the process ends, or the caller's body failed as `failure` says.

        Does nothing to an attempt that has ended.
        """
        if self.ending is None:
            self.failure = failure
            self.end(Ending.CLIENT_LEFT)

    @property
    def said_error(self) -> bool:
        """Whether an error event of the provider's own went by."""
        return self._inspector is not None and self._inspector.error is not None

    def pass_on(self) -> None:
        """Give the client a complete answer that was held, as it came."""
        self.relay.write(self._open(self._watch.now()), done=True)

    def facts(self, at: float | None = None) -> Facts:
        """Everything the verdict needs; `at` is the Unix time of the attempt's end."""
        inspector = self._inspector
        reply = self.reply
        body = self._look_at() if inspector is None and reply is not None else b""
        return Facts(
            ending=self.ending or Ending.CLIENT_LEFT,
            status=reply.status if reply is not None else None,
            headers=reply.fields() if reply is not None else {},
            body=body,
            streamed=self.streamed,
            dialect=self.endpoint.dialect,
            endpoint=self.endpoint.name,
            events=inspector.events if inspector is not None else 0,
            error=inspector.error if inspector is not None else None,
            terminal=inspector.terminal if inspector is not None else False,
            has_terminals=inspector is not None and self._expects_terminal(),
            detail=self.detail,
            limit=self.limit,
            model="" if self.model == NO_MODEL else self.model,
            now=at,
        )

    def good(self) -> bool:
        """Whether the facts can only mean success, so that nobody need look closer."""
        return (
            self.ending is _COMPLETE
            and self.passes
            and not self._gate.shut
            and self.reply is not None
            and self.reply.status < 400
            and (self._inspector is None or self._inspector.error is None)
        )

    def _conclude(self, ending: Ending, detail: str = "") -> None:
        if self.ending is not None:
            return
        self.ending = ending
        self.detail = detail
        self.guide = None  # which leads back here: a circle would have to wait for the collector
        self.due = _INF
        self._watch.discard(self)
        self.relay.detach()
        if self.drained is not None:
            self.drained.set()
        if not self.finished.done():
            self.finished.set_result(None)

    def end(self, ending: Ending, detail: str = "") -> None:
        """It is over, for the reason given; the first one counts."""
        self._conclude(ending, detail)
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.request_sent_at is None:
            # What is missing of this request would be taken from the next one's bytes.
            connection.abort()
        else:
            connection.detach()

    # -- the gate --------------------------------------------------------------------------------------------------

    def _ready(self, gate: Gate, inspector: Inspector | None, done: bool) -> bool:
        """Whether what is held has proved good, can be held no longer, or would be replaced by nothing."""
        if inspector is None:
            status = self.reply.status if self.reply is not None else 502
            return gate.body_ready(status, done=done, readable=self._decoder is None)
        last = inspector.error is None or self.guide is None or not self.guide.would_move(self)
        return gate.stream_ready(inspector, done=done, passes=self.passes, last=last)

    def _open(self, now: float) -> bytes:
        """Open the gate: begin the client's answer, and return what was held."""
        held = self._gate.open()
        if self._is_good():
            self._gate.forget()
        self._start(now)
        return held

    def _is_good(self) -> bool:
        """Whether the head is that of a good answer."""
        return self.reply is not None and self.reply.status < 400

    def _start(self, now: float) -> None:
        """Begin the client's answer."""
        if self.request_sent_at is None:
            # An early answer: what the client still sends of its body cannot be told from a next request's bytes.
            self.relay.close = True
        reply = self.reply or _NO_REPLY
        self.relay.start(reply, now, now - (self.request_sent_at or self.started_at), self._shape)

    def _inspect(self, inspector: Inspector, data: bytes, done: bool, now: float) -> None:
        decoder = self._decoder
        if decoder is None:
            inspector.feed(data)
        else:
            inspector.feed(decoder.feed(data))
            if decoder.failed:
                inspector.content += len(data)  # what cannot be read counts as it comes
        self._note(inspector, done, now)

    def _note(self, inspector: Inspector, done: bool, now: float) -> None:
        """Draw what follows from what the inspector has seen."""
        if done:
            inspector.close()
        if inspector.content != self._content:
            self._content = inspector.content
            if self.first_at is None:
                self.first_at = now
                if self.trial is not None and inspector.error is None:
                    self.trial.proved(now, now - (self.request_sent_at or self.started_at))
            self._let_idle(now)
        elif self._idle == self.patience and self.first_at is not None:
            self._hear(now)
        if inspector.error is not None:
            # Before content nothing is promised yet: the provider's own answer passes to its own end.
            self.passes = not self._content
        elif done:
            self.passes = inspector.terminal or not self._expects_terminal()

    def _expects_terminal(self) -> bool:
        if self._decoder is not None and self._decoder.failed:
            return False
        return terminals.expected(self.endpoint.dialect, self.endpoint.name, self._shape)

    def _look_at(self) -> bytes:
        data = b"".join(self._gate.held)[:HOLD_BODY]
        if self._decoder is None:
            return data
        plain = self._decoder.feed(data)
        return b"" if self._decoder.failed else plain[:HOLD_BODY]

    def _hear(self, now: float) -> None:
        """Go on for a caller less patient than we are: to it any byte counts, to us content alone."""
        if self._marked != self._content:
            self._marked = self._content
            quiet_from = self.due - self._idle
            self._silent_until = quiet_from + (self.timeouts.answer if self.peek.reasoning else self.timeouts.idle)
        self.due = min(now + self.patience, self._silent_until, self._total_due)

    def _let_idle(self, now: float) -> None:
        self.limit = self._idle
        due = now + self._idle
        self.due = due if due < self._total_due else self._total_due


def _shape(content_type: bytes, endpoint: str) -> str:
    """How a generation's 2xx body is divided into events, empty when it is not."""
    if content_type.startswith(b"text/event-stream"):
        return "sse"
    if endpoint == "stream_generate" and content_type.startswith(b"application/json"):
        return "array"
    return ""
