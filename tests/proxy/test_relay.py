"""The way back to the client, byte by byte."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from proxy.batch import Batch
from proxy.framing import Framing
from proxy.relay import COPY_LIMIT, Relay
from proxy.reply import Reply
from tests.proxy.recording import Transport, Turn, upstream

CHUNKED = Reply(200, b"OK", b"A: b\r\n", Framing("chunked"))
SIZED = Reply(200, b"OK", b"", Framing("length", 5))
DELIMITED = Reply(200, b"OK", b"", Framing("close", close=True))
TIMING = b"Server-Timing: detour;dur=500.0, upstream;dur=1500.0\r\n"


class Client:
    """As much of a client's connection as the relay knows."""

    def __init__(self, transport: Transport | None) -> None:
        self.transport = transport
        self.writing_paused = False
        self.flow: Any = None
        self.ending = False


def relay(
    *,
    version10: bool = False,
    close: bool = False,
    head_only: bool = False,
    transport: Transport | None = None,
    batch: Batch | None = None,
) -> tuple[Relay, Transport, Client]:
    transport = transport or Transport()
    client = Client(transport)
    made = Relay(
        client,  # type: ignore[arg-type]
        batch or Batch(Turn()),  # type: ignore[arg-type]
        request_id="i-1",
        version10=version10,
        head_only=head_only,
        close=close,
        began_at=10.0,
    )
    return made, transport, client


def start(made: Relay, reply: Reply, shape: str = "") -> None:
    made.start(reply, now=12.0, upstream=1.5, shape=shape)


def test_head_and_first_bytes_leave_together() -> None:
    made, transport, _ = relay()
    made.label = b"x-detour-provider: p\r\n"
    start(made, CHUNKED)
    assert (made.started, made.ended, made.status, transport.writes) == (True, False, 200, [])
    made.write(b"hello", done=False)
    made.write(b"world!", done=True)
    head = b"HTTP/1.1 200 OK\r\nA: b\r\nx-detour-provider: p\r\n" + TIMING + b"Transfer-Encoding: chunked\r\n\r\n"
    assert transport.writes == [head + b"5\r\nhello\r\n", b"6\r\nworld!\r\n0\r\n\r\n"]
    assert (made.ended, made.bytes_out, made.close) == (True, 11, False)


@pytest.mark.parametrize(
    ("reply", "version10", "close", "fields", "body", "closes"),
    [
        (SIZED, False, False, b"Content-Length: 5\r\n", b"hello", False),
        (SIZED, True, False, b"Connection: keep-alive\r\n|Content-Length: 5\r\n", b"hello", False),
        (SIZED, False, True, b"Connection: close\r\n|Content-Length: 5\r\n", b"hello", True),
        (CHUNKED, False, False, b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", False),
        (CHUNKED, True, False, b"Connection: close\r\n|", b"hello", True),
        (DELIMITED, False, False, b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", False),
        (DELIMITED, True, False, b"Connection: close\r\n|", b"hello", True),
        (Reply(204, b"", b"", Framing("none")), False, False, b"", b"hello", False),
    ],
)
def test_framing_towards_the_client(
    reply: Reply, version10: bool, close: bool, fields: bytes, body: bytes, closes: bool
) -> None:
    made, transport, _ = relay(version10=version10, close=close)
    start(made, reply)
    made.write(b"hello", done=True)
    before, _, after = fields.rpartition(b"|")
    head, _, rest = transport.written.partition(b"\r\n\r\n")
    assert head.endswith((before + TIMING + after).removesuffix(b"\r\n"))
    assert rest == body
    assert made.close is closes


def test_an_empty_end_writes_the_last_chunk_alone() -> None:
    made, transport, _ = relay()
    start(made, CHUNKED)
    made.write(b"", done=False)
    made.write(b"", done=False)
    made.write(b"", done=True)
    assert len(transport.writes) == 2
    assert transport.writes[0].endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    assert transport.writes[1] == b"0\r\n\r\n"


def test_large_parts_are_not_joined() -> None:
    made, transport, _ = relay()
    start(made, CHUNKED)
    made.write(b"", done=False)
    data = b"x" * (COPY_LIMIT + 1)
    made.write(data, done=True)
    assert transport.writes[1:] == [b"4001\r\n", data, b"\r\n0\r\n\r\n"]


def test_early_hints_pass_before_the_head_and_never_to_http_1_0() -> None:
    hint = Reply(103, b"Early Hints", b"Link: </a>\r\n", Framing("none"))
    made, transport, client = relay()
    made.informational(hint)
    assert transport.writes == [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"]
    start(made, SIZED)
    made.informational(hint)
    client.transport = None
    relay(version10=True, transport=transport)[0].informational(hint)
    made.started = False
    made.informational(hint)
    assert len(transport.writes) == 1


@pytest.mark.parametrize(
    ("parts", "tail"),
    [([b"ab"], b"ab"), ([b"abcdef"], b"cdef"), ([b"abcdef", b"g"], b"defg"), ([b"abcd", b"", b"ef"], b"cdef")],
)
def test_the_last_bytes_of_events_are_kept(parts: list[bytes], tail: bytes) -> None:
    made, _, _ = relay()
    start(made, CHUNKED, "sse")
    for part in parts:
        made.write(part, done=False)
    assert made.tail == tail
    other, _, _ = relay()
    start(other, CHUNKED)
    other.write(b"abc", done=False)
    assert other.tail == b""


def flowing(batch: Batch) -> tuple[Relay, Transport, Client]:
    """A stream whose head and first event are out."""
    made, transport, client = relay(batch=batch)
    start(made, CHUNKED, "sse")
    made.write(b"data: 0\n\n", done=False)
    transport.writes.clear()
    return made, transport, client


def test_events_of_one_turn_leave_together_at_its_end() -> None:
    turn = Turn()
    batch = Batch(turn)  # type: ignore[arg-type]
    one, its, _ = flowing(batch)
    other, others, _ = flowing(batch)
    one.write(b"data: 1\n\n", done=False)
    other.write(b"data: 2\n\n", done=False)
    one.write(b"data: 3\n\n", done=False)
    assert (its.writes, others.writes, len(turn.calls)) == ([], [], 1)
    turn.end()
    assert its.writes == [b"9\r\ndata: 1\n\n\r\n9\r\ndata: 3\n\n\r\n"]
    assert others.writes == [b"9\r\ndata: 2\n\n\r\n"]
    one.write(b"data: 4\n\n", done=False)
    turn.end()
    assert its.writes[1:] == [b"9\r\ndata: 4\n\n\r\n"]
    assert (one.bytes_out, turn.calls) == (4 * 9, [])


def test_what_waits_leaves_before_what_does_not_wait() -> None:
    turn = Turn()
    batch = Batch(turn)  # type: ignore[arg-type]
    made, transport, _ = flowing(batch)
    made.write(b"data: 1\n\n", done=False)
    made.write(b"data: [DONE]\n\n", done=True)
    assert transport.writes == [b"9\r\ndata: 1\n\n\r\ne\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"]
    turn.end()
    large, its, _ = flowing(batch)
    large.write(b"data: 1\n\n", done=False)
    large.write(b"x" * (COPY_LIMIT + 1), done=False)
    assert its.written.startswith(b"9\r\ndata: 1\n\n\r\n4001\r\nxx")
    broken, last, _ = flowing(batch)
    broken.write(b"data: 1\n\n", done=False)
    broken.break_off(b"")
    assert (last.writes, last.ending) == ([b"9\r\ndata: 1\n\n\r\n"], "closed")
    before = [transport.writes.copy(), its.writes.copy(), last.writes.copy()]
    turn.end()
    assert [transport.writes, its.writes, last.writes] == before


def test_what_waits_for_a_client_that_left_is_dropped() -> None:
    turn = Turn()
    batch = Batch(turn)  # type: ignore[arg-type]
    made, transport, client = flowing(batch)
    made.write(b"data: 1\n\n", done=False)
    client.transport = None
    turn.end()
    assert transport.writes == []


def test_events_that_came_framed_leave_as_they_came() -> None:
    turn = Turn()
    batch = Batch(turn)  # type: ignore[arg-type]
    made, transport, _ = flowing(batch)
    made.write(b"data: 1\n\n", False, b"009\r\ndata: 1\n\n\r\n")
    turn.end()
    assert transport.writes == [b"009\r\ndata: 1\n\n\r\n"]
    assert (made.tail, made.bytes_out) == (b"\n\n", 18)
    plainly, its, _ = relay(batch=batch, version10=True)
    start(plainly, CHUNKED, "sse")
    plainly.write(b"data: 0\n\n", done=False)
    plainly.write(b"data: 1\n\n", False, b"9\r\ndata: 1\n\n\r\n")
    assert its.written.endswith(b"\r\n\r\ndata: 0\n\ndata: 1\n\n"), "HTTP/1.0 knows no chunks"


def test_nothing_is_written_to_a_client_that_is_gone() -> None:
    made, transport, client = relay()
    start(made, CHUNKED, "sse")
    client.transport = None
    made.write(b"x", done=True)
    made.break_off(b"event")
    made.refuse(b"answer", 502)
    assert (transport.writes, transport.ending) == ([], "")


# -- ends that are not clean ------------------------------------------------------------------------------------------


def test_a_broken_event_stream_ends_with_the_event_and_no_last_chunk() -> None:
    made, transport, _ = relay()
    start(made, CHUNKED, "sse")
    made.write(b"data: x\n\n", done=False)
    made.break_off(b"data: error\n\n")
    assert transport.writes[1:] == [b"d\r\ndata: error\n\n\r\n"]
    assert (transport.ending, made.ended, made.close) == ("closed", False, True)


@pytest.mark.parametrize(
    ("reply", "shape", "event"),
    [
        (CHUNKED, "sse", b""),
        (CHUNKED, "", b"data: error\n\n"),
        (SIZED, "sse", b"data: error\n\n"),
        (Reply(200, b"OK", b"", Framing("chunked"), encoding=b"gzip"), "sse", b"data: error\n\n"),
    ],
)
def test_no_event_where_it_would_be_no_part_of_the_body(reply: Reply, shape: str, event: bytes) -> None:
    made, transport, _ = relay()
    start(made, reply, shape)
    made.break_off(event)
    assert len(transport.writes) == 1, "the head at least"
    assert transport.written.endswith(b"\r\n\r\n")
    assert b"data" not in transport.written
    assert (transport.ending, made.ended) == ("closed", False)
    made.break_off(b"")
    assert len(transport.writes) == 1


def test_an_answer_that_only_closing_would_end_is_reset() -> None:
    with socket.socket() as sock:
        made, transport, _ = relay(version10=True, transport=Transport(socket=sock))
        start(made, CHUNKED, "sse")
        made.break_off(b"data: error\n\n")
        assert transport.ending == "aborted"
        assert b"data" not in transport.written
        linger = sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)
        assert struct.unpack("ii", linger) == (1, 0)


def test_an_answer_of_our_own() -> None:
    made, transport, _ = relay()
    made.refuse(b"HTTP/1.1 502 x\r\n\r\n", 502)
    assert (made.started, made.ended, made.status, made.bytes_out) == (True, True, 502, 18)
    assert transport.writes == [b"HTTP/1.1 502 x\r\n\r\n"]


# -- backpressure -----------------------------------------------------------------------------------------------------


def test_the_clients_pace_governs_the_upstream() -> None:
    made, _, client = relay()
    connection, wire, _ = upstream()
    made.pause()
    made.resume()
    made.attach(connection)
    assert client.flow is made
    assert wire.reading
    made.pause()
    assert not wire.reading
    made.resume()
    assert wire.reading
    made.detach()
    assert (client.flow, made.upstream) == (None, None)


def test_a_client_that_is_behind_already() -> None:
    made, _, client = relay()
    client.writing_paused = True
    connection, wire, _ = upstream()
    made.attach(connection)
    assert not wire.reading
