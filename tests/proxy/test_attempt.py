"""The gate and the limits of one attempt, on a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, cast

import pytest

from breaker.outcome import Status
from config.settings import Timeouts
from proxy import paths
from proxy.attempt import Attempt
from proxy.gate import HOLD_BODY, HOLD_STREAM, HOLD_TIME
from proxy.peek import Peek
from proxy.reply import Reply, read
from proxy.verdict import Ending, judge
from proxy.watch import Limited, Watch

LIMITS = Timeouts(connect=5, first_byte=60, idle=30, answer=100, total=300, stream_total=1000)
COMMENT = b": keep-alive\n\n"
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ERROR = b'data: {"error":{"message":"gone","type":"overloaded_error"}}\n\n'


class Clock:
    """The watch of an attempt, and the time."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.item: Limited | None = None

    def now(self) -> float:
        return self.time

    def future(self) -> asyncio.Future[None]:
        return asyncio.get_running_loop().create_future()

    def add(self, item: Limited) -> None:
        self.item = item

    def discard(self, item: Limited) -> None:
        assert self.item in (item, None)
        self.item = None

    def move(self, seconds: float) -> None:
        """Let time pass as the ticker of the data plane does, a quarter of a second at a time."""
        end = self.time + seconds
        while self.time < end:
            self.time = min(self.time + 0.25, end)
            if self.item is not None and self.item.due <= self.time:
                self.item.overdue(self.time)


class Client:
    """Stands where the relay stands: what a client would have got."""

    def __init__(self) -> None:
        self.began_at = 0.0
        self.reply: Reply | None = None
        self.shape = ""
        self.got = b""
        self.ended = False
        self.close = False
        self.hints: list[int] = []

    def attach(self, upstream: object) -> None: ...

    def detach(self) -> None: ...

    def informational(self, reply: Reply) -> None:
        self.hints.append(reply.status)

    def start(self, reply: Reply, now: float, upstream: float, shape: str) -> None:
        assert self.reply is None
        self.reply, self.shape = reply, shape

    def write(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        assert self.reply is not None
        assert not self.ended
        self.got += data
        self.ended = done


class Provider:
    """Stands where the upstream connection stands."""

    paused = False
    fate = ""

    def begin(self, sink: object, method: str, upgrade: bytes | None = None) -> None: ...

    def detach(self) -> None:
        self.fate = "detached"

    def abort(self) -> None:
        self.fate = "aborted"


class Stage:
    """One attempt with its surroundings."""

    def __init__(self, endpoint: paths.Endpoint = paths.CHAT, *, stream: bool = True, reasoning: bool = False) -> None:
        self.clock, self.client, self.provider = Clock(), Client(), Provider()
        peek = Peek("m", stream, reasoning)
        total = LIMITS.stream_total if stream else LIMITS.total
        surroundings: Any = (self.client, cast(Watch, self.clock))
        self.attempt = Attempt(
            endpoint, peek, LIMITS, *surroundings, now=self.clock.time, total_due=self.clock.time + total, model="m"
        )

    def sent(self) -> Stage:
        self.attempt.begin(cast(Any, self.provider), "POST")
        self.attempt.sent(self.clock.time)
        return self

    def head(self, status: int = 200, kind: bytes = b"text/event-stream", *fields: tuple[bytes, bytes]) -> Stage:
        raw = [(b"Content-Type", kind), *(fields or ((b"Transfer-Encoding", b"chunked"),))]
        reply = read("POST", status, b"OK", False, [name for name, _ in raw], [value for _, value in raw])
        assert isinstance(reply, Reply)
        self.attempt.head(reply)
        return self

    def body(self, data: bytes, *, done: bool = False) -> Stage:
        self.attempt.body(data, done)
        return self

    @property
    def verdict(self) -> tuple[str, str]:
        found = judge(self.attempt.facts())
        return found.status.value, found.message


# -- head and comments pass after a while ----------------------------------------------------------------------------


async def test_a_held_streams_head_and_comments_pass_after_25_seconds() -> None:
    stage = Stage().sent().head()
    for _ in range(4):
        stage.clock.move(6)
        stage.body(COMMENT)
    assert stage.client.reply is None
    stage.clock.move(HOLD_TIME - 24)
    assert stage.client.reply is not None
    assert stage.client.got == COMMENT * 4
    # From here on everything passes at once, and the limits go on: nothing said yet is content.
    stage.body(COMMENT)
    assert stage.client.got == COMMENT * 5
    stage.clock.move(60 - HOLD_TIME - 1)
    assert stage.attempt.ending is None
    stage.clock.move(1)
    assert stage.attempt.ending is Ending.NO_CONTENT
    assert stage.provider.fate == "detached"
    assert stage.verdict == ("timeout", "no content within 60 s")


async def test_a_stream_that_passed_before_its_content_is_judged_as_any_other() -> None:
    stage = Stage().sent().head().body(ROLE)
    stage.clock.move(HOLD_TIME)
    assert stage.client.got == ROLE
    stage.body(TEXT).body(STOP, done=True)
    assert (stage.client.got, stage.client.ended) == (ROLE + TEXT + STOP, True)
    assert stage.attempt.good()
    assert stage.attempt.first_at == stage.clock.time


async def test_the_25_seconds_run_from_the_head() -> None:
    stage = Stage().sent()
    stage.clock.move(50)
    stage.head().body(COMMENT)
    stage.clock.move(9)
    assert stage.client.reply is None
    stage.clock.move(1)
    assert stage.attempt.ending is Ending.NO_CONTENT
    assert stage.client.reply is None


async def test_an_error_that_comes_after_the_comments_passed_is_the_providers_own_and_passes_to_its_end() -> None:
    stage = Stage().sent().head().body(COMMENT)
    stage.clock.move(HOLD_TIME)
    stage.body(ERROR)
    assert stage.attempt.ending is None
    stage.body(b"data: [DONE]\n\n", done=True)
    assert (stage.client.got, stage.client.ended) == (COMMENT + ERROR + b"data: [DONE]\n\n", True)
    assert stage.attempt.said_error
    assert stage.verdict[0] == "error"


async def test_what_can_be_held_no_longer_passes() -> None:
    stage = Stage().sent().head()
    for _ in range(HOLD_STREAM // len(COMMENT)):
        stage.body(COMMENT)
    assert stage.client.reply is None
    stage.body(COMMENT)
    assert len(stage.client.got) > HOLD_STREAM
    large = Stage(stream=False).sent().head(200, b"application/json").body(b" " * HOLD_BODY)
    assert large.client.reply is None
    large.body(b" ")
    assert len(large.client.got) == HOLD_BODY + 1


# -- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "reasoning", "seconds", "ending"),
    [
        (True, False, LIMITS.first_byte, Ending.NO_CONTENT),
        (True, True, LIMITS.answer, Ending.NO_CONTENT),
        (False, False, LIMITS.answer, Ending.NO_HEAD),
        (False, True, LIMITS.answer, Ending.NO_HEAD),
    ],
)
async def test_nothing_comes(stream: bool, reasoning: bool, seconds: float, ending: Ending) -> None:
    stage = Stage(stream=stream, reasoning=reasoning).sent()
    stage.clock.move(seconds - 1)
    assert stage.attempt.ending is None
    stage.clock.move(1)
    assert stage.attempt.ending is ending
    assert stage.attempt.limit == seconds
    assert stage.clock.item is None


@pytest.mark.parametrize(("reasoning", "seconds"), [(False, LIMITS.idle), (True, LIMITS.answer)])
async def test_comments_move_no_limit_and_content_does(reasoning: bool, seconds: float) -> None:
    stage = Stage(reasoning=reasoning).sent().head().body(ROLE + TEXT)
    for _ in range(3):
        stage.clock.move(seconds - 1)
        stage.body(TEXT)
    for _ in range(int(seconds) - 1):
        stage.clock.move(1)
        stage.body(COMMENT)
    assert stage.attempt.ending is None
    stage.clock.move(1)
    assert stage.attempt.ending is Ending.STALLED
    assert stage.verdict == ("timeout", f"stalled after 5 events: silent for {seconds:g} s")


async def test_reads_of_a_body_that_is_no_stream_move_the_idle_limit() -> None:
    stage = Stage(stream=False).sent().head(200, b"application/json")
    for _ in range(5):
        stage.clock.move(LIMITS.idle - 1)
        stage.body(b" ")
    stage.clock.move(LIMITS.idle)
    assert stage.attempt.ending is Ending.STALLED
    assert stage.verdict == ("timeout", "stalled after part of the body: silent for 30 s")


async def test_a_client_that_does_not_read_stops_the_idle_clock_but_not_the_total() -> None:
    stage = Stage().sent().head().body(TEXT)
    stage.provider.paused = True
    stage.clock.move(LIMITS.stream_total - 1)
    assert stage.attempt.ending is None
    stage.clock.move(1)
    assert stage.attempt.ending is Ending.TOTAL
    assert stage.verdict == ("timeout", "not finished within 1000 s")


@pytest.mark.parametrize(("stream", "seconds"), [(False, LIMITS.total), (True, LIMITS.stream_total)])
async def test_the_total_ends_what_other_limits_do_not(stream: bool, seconds: float) -> None:
    stage = Stage(stream=stream)
    stage.clock.move(2)  # another attempt before this one
    stage.sent().head(200, b"text/event-stream" if stream else b"application/json")
    while stage.attempt.ending is None:
        stage.clock.move(10)
        if stage.attempt.ending is None:
            stage.body(TEXT)
    assert stage.clock.time - 1000 == pytest.approx(seconds, abs=10)
    assert stage.verdict == ("timeout", f"not finished within {seconds:g} s")


async def test_connecting_has_what_is_left_of_the_total() -> None:
    stage = Stage()
    assert stage.attempt.time_to_connect(stage.clock.time) == LIMITS.connect
    stage.attempt.not_connected(stage.clock.time)
    assert (stage.attempt.ending, stage.attempt.limit) == (Ending.CONNECT_TIMEOUT, LIMITS.connect)
    late = Stage(stream=False)
    late.clock.move(LIMITS.total - 2)
    assert late.attempt.time_to_connect(late.clock.time) == 2
    late.clock.move(2)
    late.attempt.not_connected(late.clock.time)
    assert (late.attempt.ending, late.attempt.limit) == (Ending.TOTAL, LIMITS.total)


async def test_a_stream_nobody_asked_for_has_limits_too() -> None:
    stage = Stage(stream=False).sent().head()
    assert stage.attempt.streamed
    stage.clock.move(LIMITS.answer)
    assert stage.attempt.ending is Ending.NO_CONTENT


async def test_an_answer_that_begins_before_the_request_is_out() -> None:
    stage = Stage()
    stage.attempt.begin(cast(Any, stage.provider), "POST")
    stage.head()
    stage.clock.move(LIMITS.first_byte - 1)
    stage.attempt.sent(stage.clock.time)
    assert stage.attempt.ending is None
    stage.clock.move(1)
    assert stage.attempt.ending is Ending.NO_CONTENT


# -- what cannot be read ---------------------------------------------------------------------------------------------


def coded(coding: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (b"Content-Encoding", coding), (b"Transfer-Encoding", b"chunked")


async def test_a_stream_in_an_unknown_coding_is_opaque() -> None:
    stage = Stage().sent().head(200, b"text/event-stream", *coded(b"zstd"))
    assert stage.client.reply is not None
    for _ in range(5):
        stage.clock.move(LIMITS.idle - 1)
        stage.body(b"\x00")
    stage.body(b"", done=True)
    assert stage.client.ended
    assert stage.verdict == ("success", "")


async def test_a_stream_that_becomes_unreadable_is_opaque_from_there_on() -> None:
    packer = zlib.compressobj(wbits=31)
    stage = Stage().sent().head(200, b"text/event-stream", *coded(b"gzip"))
    stage.body(packer.compress(ROLE) + packer.flush(zlib.Z_SYNC_FLUSH))
    assert stage.client.reply is None
    stage.body(b"\xff" * 8)
    assert stage.client.reply is not None
    stage.clock.move(LIMITS.idle - 1)
    stage.body(b"\xff" * 8)
    stage.clock.move(LIMITS.idle - 1)
    stage.body(b"", done=True)
    assert stage.client.ended
    assert stage.verdict == ("success", "")


# -- the rest of the gate --------------------------------------------------------------------------------------------


async def test_an_error_behind_content_passes_once_and_is_the_end() -> None:
    stage = Stage().sent().head().body(TEXT).body(ERROR)
    assert (stage.client.got, stage.client.ended) == (TEXT + ERROR, False)
    assert stage.attempt.ending is Ending.COMPLETE
    assert stage.attempt.said_error
    assert not stage.attempt.good()


async def test_a_clean_end_without_terminal_is_not_passed_on_as_one() -> None:
    stage = Stage().sent().head().body(TEXT).body(b"", done=True)
    assert (stage.client.got, stage.client.ended) == (TEXT, False)
    assert stage.verdict == ("error", "stream truncated after 1 event")


async def test_a_json_error_in_a_200_is_held_until_it_is_judged() -> None:
    stage = (
        Stage(stream=False)
        .sent()
        .head(200, b"application/json")
        .body(b'{"error": {"message": "x", "code": 503}}', done=True)
    )
    assert stage.client.reply is None
    assert not stage.attempt.good()
    assert judge(stage.attempt.facts()).status is Status.ERROR
    stage.attempt.pass_on()
    assert stage.client.ended


async def test_the_first_end_counts_and_leaving_ends_what_has_not_ended() -> None:
    stage = Stage().sent()
    stage.attempt.lost("connection closed by the provider")
    stage.attempt.cancel()
    stage.attempt.malformed("never")
    assert stage.attempt.ending is Ending.RESET
    left = Stage().sent()
    left.attempt.cancel()
    assert left.attempt.ending is Ending.CLIENT_LEFT
    assert left.provider.fate == "detached"
    assert left.verdict == ("cancelled", "the client left")


async def test_early_hints_pass_and_other_interim_answers_do_not() -> None:
    stage = Stage().sent()
    for status in (100, 102, 103):
        reply = read("POST", status, b"", False, [], [])
        assert isinstance(reply, Reply)
        stage.attempt.informational(reply)
    assert stage.client.hints == [103]
