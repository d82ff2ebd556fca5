"""One try between a real upstream connection and a real relay: what of the provider's bytes reaches the client.

The limits and the gate as such are in test_attempt.py.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import replace
from typing import Any

import pytest

from config.settings import Timeouts
from proxy import paths
from proxy.attempt import Attempt
from proxy.batch import Batch
from proxy.gate import HOLD_BODY
from proxy.paths import CHAT, STREAM_GENERATE, Endpoint
from proxy.peek import peek
from proxy.relay import Relay
from proxy.verdict import Ending, Facts
from proxy.watch import Watch
from tests.proxy.recording import Transport, Turn, feed, upstream

TIMEOUTS = Timeouts(connect=1.0, first_byte=20.0, idle=10.0, answer=60.0, total=100.0, stream_total=400.0)
OTHER = paths.Endpoint("other", "openai", False, True, "none")
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
COMMENT = b": ping\n\n"
CONTENT = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"message":"overloaded","type":"overloaded_error","code":529}}\n\n'
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def sized(body: bytes, status: int = 200, *fields: bytes, kind: bytes = b"application/json") -> bytes:
    lines = [b"HTTP/1.1 %d X" % status, b"Content-Type: " + kind, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join([*lines, b"", body])


class Clock:
    """As much of a loop as the watch needs, its time moved by hand."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def create_future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()


class Client:
    def __init__(self) -> None:
        self.transport = Transport()
        self.writing_paused = False
        self.flow: Any = None
        self.ending = False


class Try:
    """An attempt between a recording client and a provider whose bytes the test feeds."""

    def __init__(self, endpoint: Endpoint = CHAT, *, stream: bool = False) -> None:
        self.clock = Clock()
        self.watch = Watch(self.clock)  # type: ignore[arg-type]
        self.client = Client()
        self.turn = Turn()
        now = self.clock.now
        self.relay = Relay(
            self.client,  # type: ignore[arg-type]
            Batch(self.turn),  # type: ignore[arg-type]
            request_id="i-1",
            version10=False,
            head_only=False,
            close=False,
            began_at=now,
        )
        seen = peek(endpoint, "/v1/x", b"application/json", json.dumps({"model": "m"}).encode())
        seen = replace(seen, stream=stream)
        self.attempt = Attempt(
            endpoint, seen, TIMEOUTS, self.relay, self.watch, now=now, total_due=now + 100.0, model="m"
        )
        self.connection, self.wire, self.pool = upstream()
        self.attempt.begin(self.connection, "POST")

    def sent(self) -> Try:
        self.attempt.sent(self.clock.now)
        return self

    def read(self, *parts: bytes) -> Try:
        for part in parts:
            feed(self.connection, part)
        return self

    def after(self, seconds: float) -> Try:
        """Move the clock and let the watch look."""
        self.clock.now += seconds
        self.watch.look(self.clock.now)
        return self

    @property
    def got(self) -> bytes:
        """The body the client got so far, framing included."""
        self.turn.end()
        return self.client.transport.written.partition(b"\r\n\r\n")[2]

    @property
    def ending(self) -> Ending | None:
        assert self.attempt.finished.done() is (self.attempt.ending is not None)
        return self.attempt.ending

    def facts(self) -> Facts:
        return self.attempt.facts()


# -- whole answers ----------------------------------------------------------------------------------------------------


async def test_a_json_answer_passes_when_it_is_whole() -> None:
    answer = sized(b'{"id":1}')
    made = Try().sent().read(answer[:-3])
    assert (made.relay.started, made.ending) == (False, None)
    made.read(answer[-3:])
    assert made.ending is Ending.COMPLETE
    assert not made.attempt.good(), "it came in two parts, so that it must be looked at as a whole"
    made.attempt.pass_on()
    assert made.got == b'{"id":1}'
    assert made.relay.ended
    assert made.pool.released == [made.connection]


async def test_a_json_answer_in_one_read_is_good_at_once() -> None:
    made = Try().sent().read(sized(b'{"id":1}'))
    assert made.attempt.good()
    assert made.got == b'{"id":1}'
    assert made.facts().status == 200


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_an_error_is_held_to_its_end(status: int) -> None:
    made = Try().sent().read(sized(b'{"error":1}', status, b"Retry-After: 7"))
    assert (made.ending, made.relay.started, made.attempt.good()) == (Ending.COMPLETE, False, False)
    facts = made.facts()
    assert (facts.status, facts.body, facts.headers[b"retry-after"]) == (status, b'{"error":1}', b"7")
    made.attempt.pass_on()
    assert made.got == b'{"error":1}'


async def test_an_error_too_long_to_hold_passes_and_its_beginning_is_kept() -> None:
    made = Try().sent().read(sized(b"", 500).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    made.read(chunk(b"e" * HOLD_BODY))
    assert not made.relay.started
    made.read(chunk(b"e"))
    assert made.relay.started
    made.read(chunk(b"f" * 40_000), END)
    assert made.relay.ended
    assert made.facts().body == b"e" * HOLD_BODY
    assert not made.attempt.good()


@pytest.mark.parametrize(
    ("endpoint", "answer"),
    [
        (OTHER, sized(b"x" * 10)[:-1]),
        (CHAT, sized(b"\xff" * 10, kind=b"audio/mpeg")[:-1]),
        (CHAT, sized(b"x" * (HOLD_BODY + 1))[:-1]),
    ],
)
async def test_what_cannot_be_judged_by_its_body_passes_as_it_comes(endpoint: Endpoint, answer: bytes) -> None:
    made = Try(endpoint).sent().read(answer)
    assert made.relay.started
    assert made.got == answer.partition(b"\r\n\r\n")[2]
    made.read(b"!")
    assert made.attempt.good()


async def test_an_answer_without_a_body() -> None:
    made = Try(OTHER).sent().read(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert made.attempt.good()
    assert made.client.transport.written.startswith(b"HTTP/1.1 204 No Content\r\n")


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"identity"])
async def test_encoded_answers_are_read_where_they_can_be(coding: bytes) -> None:
    plain = b'{"id":1}'
    body = gzip.compress(plain) if coding == b"gzip" else plain
    made = Try().sent().read(sized(body, 200, b"Content-Encoding: " + coding))
    assert made.ending is Ending.COMPLETE
    assert made.facts().body == (b"" if made.relay.started or coding == b"br" else plain)
    if not made.relay.started:
        made.attempt.pass_on()
    assert made.got == body


# -- streams ----------------------------------------------------------------------------------------------------------


async def test_a_stream_is_held_until_its_first_content() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(COMMENT))
    assert not made.relay.started
    made.clock.now += 1.5
    made.read(chunk(CONTENT))
    assert made.attempt.first_at == made.clock.now
    assert made.got == chunk(COMMENT + CONTENT)
    made.read(chunk(FINISH), chunk(DONE) + END)
    assert made.got == chunk(COMMENT + CONTENT) + chunk(FINISH) + chunk(DONE) + END
    assert made.attempt.good()
    facts = made.facts()
    assert (facts.streamed, facts.terminal, facts.has_terminals, facts.model) == (True, True, True, "m")
    assert facts.events == 3


async def test_a_stream_without_its_end_is_cut_visibly() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(CONTENT), END)
    assert made.ending is Ending.COMPLETE
    assert (made.attempt.passes, made.relay.ended, made.attempt.good()) == (False, False, False)
    assert made.got == chunk(CONTENT)
    assert (made.facts().terminal, made.facts().has_terminals) == (False, True)


async def test_an_empty_stream_is_held() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(COMMENT), END)
    assert (made.ending, made.relay.started, made.attempt.passes) == (Ending.COMPLETE, False, False)


async def test_an_error_first_is_held_whole() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(ERROR) + END)
    assert (made.ending, made.relay.started, made.attempt.said_error, made.attempt.passes) == (
        Ending.COMPLETE,
        False,
        True,
        True,
    )
    error = made.facts().error
    assert error is not None
    assert error.code == 529
    made.attempt.pass_on()
    assert made.got == chunk(ERROR) + END


async def test_an_error_first_whose_end_is_still_to_come_passes_to_its_end() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(ERROR))
    assert made.relay.started
    made.read(chunk(COMMENT), END)
    assert made.got == chunk(ERROR) + chunk(COMMENT) + END
    assert (made.ending, made.relay.ended, made.attempt.good()) == (Ending.COMPLETE, True, False)


async def test_an_error_in_the_middle_passes_once_and_ends_it() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(CONTENT), chunk(ERROR))
    assert made.ending is Ending.COMPLETE
    assert made.got == chunk(CONTENT) + chunk(ERROR)
    assert (made.relay.ended, made.wire.ending) == (False, "aborted")
    made.read(chunk(CONTENT))
    assert made.got == chunk(CONTENT) + chunk(ERROR)


async def test_an_array_stream() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    first = b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}'
    last = b',{"candidates":[{"finishReason":"STOP"}]}]'
    made = Try(STREAM_GENERATE, stream=True).sent().read(head, chunk(first))
    assert made.relay.shape == "array"
    made.read(chunk(last) + END)
    assert made.attempt.good()
    assert made.got == chunk(first) + chunk(last) + END


async def test_an_encoded_stream_is_read_where_it_can_be() -> None:
    head = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    made = Try(stream=True).sent().read(head, chunk(gzip.compress(CONTENT)) + END)
    facts = made.facts()
    assert (facts.events, facts.has_terminals, made.attempt.passes) == (1, True, False)


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "ending"),
    [((), Ending.RESET), ((b"HTTP/1.1 20",), Ending.RESET), ((sized(b"{}")[:-1],), Ending.LOST)],
)
async def test_a_lost_connection(parts: tuple[bytes, ...], ending: Ending) -> None:
    made = Try().sent().read(*parts)
    made.connection.connection_lost(None)
    assert made.ending is ending
    facts = made.facts()
    assert facts.detail == "connection closed by the provider"
    assert facts.status == (200 if ending is Ending.LOST else None)
    assert made.client.flow is None


async def test_what_is_not_http() -> None:
    made = Try().sent().read(b"SSH-2.0\r\n")
    assert made.ending is Ending.MALFORMED
    assert "HTTP" in made.facts().detail
    assert made.facts().headers == {}


@pytest.mark.parametrize("failure", [None, ValueError("body")])
async def test_cancelling_stops_the_upstream(failure: Exception | None) -> None:
    made = Try(stream=True).sent().read(SSE, chunk(CONTENT))
    made.attempt.cancel(failure)
    assert (made.ending, made.wire.ending, made.attempt.failure) == (Ending.CLIENT_LEFT, "aborted", failure)
    made.attempt.cancel(KeyError())
    made.connection.connection_lost(None)
    assert (made.ending, made.attempt.failure) == (Ending.CLIENT_LEFT, failure)


async def test_nobody_need_wait_for_the_end() -> None:
    made = Try().sent()
    made.attempt.finished.cancel()
    made.read(sized(b"{}"))
    assert made.attempt.ending is Ending.COMPLETE


async def test_before_any_end_there_are_facts_all_the_same() -> None:
    made = Try(OTHER)
    assert (made.facts().ending, made.facts().model) == (Ending.CLIENT_LEFT, "m")


async def test_an_answer_before_the_request_is_out_costs_both_connections() -> None:
    made = Try().read(sized(b"{}", 413))
    assert made.ending is Ending.COMPLETE
    made.attempt.pass_on()
    assert made.relay.close
    assert (made.wire.ending, made.pool.released) == ("aborted", [])
    made.sent()
    assert made.attempt.due == float("inf")


async def test_room_for_more_of_the_request() -> None:
    made = Try()
    made.connection.resume_writing()
    made.attempt.drained = asyncio.Event()
    made.connection.resume_writing()
    assert made.attempt.drained.is_set()
    made.attempt.drained.clear()
    made.attempt.end(Ending.RESET)
    assert made.attempt.drained.is_set(), "nobody waits for a connection that is gone"


async def test_a_switch_of_protocols_is_handed_over() -> None:
    made = Try(OTHER)
    made.attempt.begin(made.connection, "GET", b"websocket")
    made.sent()
    made.read(b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nab", b"cd")
    assert made.ending is Ending.COMPLETE
    assert made.attempt.upgrade_rest == b"abcd"
    assert made.attempt.connection is made.connection
    assert (made.wire.ending, made.attempt.due) == ("", float("inf"))


async def test_a_client_that_reads_slowly_is_not_the_providers_fault() -> None:
    made = Try(stream=True).sent().read(SSE, chunk(CONTENT))
    made.relay.pause()
    made.after(10.1).after(10.1).after(10.1)
    assert made.ending is None
    made.relay.resume()
    made.after(10.1)
    assert made.ending is Ending.STALLED
