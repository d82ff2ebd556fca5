"""Semantics section 1 and 6 `off`: how streams end, and what is made of it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from proxy.fake import Conversation
from proxy.fake_errors import in_band, problem
from proxy.fake_faults import answers
from tests.e2e.caller import request
from tests.e2e.court import Court, Want, open_court
from tests.e2e.kinds import DIALECT_STREAMS, ENDING, KINDS, PLAIN, STREAMS

pytestmark = pytest.mark.asyncio(loop_scope="module")

Act = Callable[[Conversation], Awaitable[None] | None]

BROKEN = "connection (closed|reset) by the provider"


# -- scripts of our own ----------------------------------------------------------------------------------------------


def head(talk: Conversation, *fields: tuple[bytes, bytes]) -> bytes:
    return talk.head(200, [(b"content-type", talk.answer.content_type), *fields])


async def lost_at_the_end(talk: Conversation) -> None:
    """Everything but the last chunk, then the end of the connection."""
    answer = talk.answer
    talk.send(answers(talk, chunked=True))
    await talk.pieces([*answer.opening, *answer.content, *answer.closing, answer.body])
    await talk.delivered()
    if talk.script.name == "reset-at-the-end":
        return talk.reset()
    talk.close()


async def no_done(talk: Conversation) -> None:
    """The terminal, but no `[DONE]`."""
    answer = talk.answer
    talk.send(answers(talk))
    await talk.pieces([*answer.opening, *answer.content, *answer.closing[:-1]])
    talk.finish()


async def only_done(talk: Conversation) -> None:
    """`[DONE]`, but no finish reason."""
    answer = talk.answer
    talk.send(answers(talk))
    await talk.pieces([*answer.opening, *answer.content, answer.closing[-1]])
    talk.finish()


def events(*data: bytes, name: bytes = b"") -> Act:
    """A stream of these events."""

    def act(talk: Conversation) -> None:
        stream = b"".join(name + b"data: %b\n\n" % one for one in data)
        talk.send(talk.head(200, [(b"content-type", b"text/event-stream")]) + talk.chunk(stream))
        talk.finish()

    return act


def blocked(talk: Conversation) -> None:
    """Gemini refuses the prompt in a successful answer."""
    document = b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}'
    if talk.answer.streamed:
        sse = talk.answer.content_type != b"application/json"
        talk.send(head(talk) + talk.chunk(b"data: %b\r\n\r\n" % document if sse else b"[%b]" % document))
    else:
        talk.send(head(talk) + talk.chunk(document))
    talk.finish()


def coded(kind: str) -> Act:
    """A gzip stream, flushed after each piece, that ends as `kind` says."""

    async def act(talk: Conversation) -> None:
        answer = talk.answer
        packer = zlib.compressobj(wbits=31)

        def pack(data: bytes, *, last: bool = False) -> bytes:
            return talk.chunk(packer.compress(data) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH))

        talk.send(head(talk, (b"content-encoding", b"gzip")))
        if kind == "error-first":
            talk.send(pack(b"".join(in_band(talk.asked, problem(529))), last=True))
            return talk.finish()
        talk.send(pack(b"".join([*answer.opening, *answer.content])))
        if kind == "corrupt":
            talk.send(talk.chunk(b"\xff" * 40))
        elif kind == "error-late":
            talk.send(pack(b"".join(in_band(talk.asked, problem(529))), last=True))
        elif kind != "cut":
            talk.send(pack(b"".join(answer.closing if kind == "whole" else ()), last=True))
        if kind == "cut":
            await talk.delivered()
            return talk.close()
        talk.finish()

    return act


async def unreadable_cut(talk: Conversation) -> None:
    """A coding nobody here can read, broken off."""
    talk.send(head(talk, (b"content-encoding", b"zstd")) + talk.chunk(b"\x28\xb5\x2f\xfd half of something"))
    await talk.delivered()
    talk.close()


def one_read(talk: Conversation) -> None:
    """Content and an error event behind it, which arrive together."""
    answer = talk.answer
    whole = [*answer.opening, *answer.content, *in_band(talk.asked, problem(529))]
    talk.send(head(talk) + talk.chunk(b"".join(whole)))
    talk.finish()


SCRIPTS: dict[str, Act] = {
    "lost-at-the-end": lost_at_the_end,
    "reset-at-the-end": lost_at_the_end,
    "no-done": no_done,
    "only-done": only_done,
    "blocked": blocked,
    "one-read": one_read,
    "unreadable-cut": unreadable_cut,
    "fal-error": events(b'{"progress": 1}', b'{"error": {"message": "it broke", "code": 503}}'),
    "fal-error-first": events(b'{"error": {"message": "it broke", "code": 503}}'),
    "error-choice": events(
        b'{"choices": [{"index": 0, "delta": {"content": "a"}}]}',
        b'{"choices": [{"delta": {}, "finish_reason": "error"}]}',
        b"[DONE]",
    ),
    "error-beats-terminal": events(
        b'{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}',
        b'{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}',
        b'{"error": {"message": "gone", "type": "overloaded_error"}}',
        b"[DONE]",
    ),
    "named-error": events(b"it broke", name=b"event: error\n"),
    "no-events": events(),
    **{f"gzip-{kind}": coded(kind) for kind in ("whole", "truncated", "cut", "corrupt", "error-first", "error-late")},
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    async with open_court(tmp_path_factory.mktemp("streams")) as found:
        found.fake.scripts.update(SCRIPTS)
        yield found


# -- the table -------------------------------------------------------------------------------------------------------

GOOD = Want(result="success")
SAID_FIRST = Want(result="error", message=r"\d\d\d.* \(in the stream, after \d+ events?\)")
SAID_LATE = Want(result="error", message=SAID_FIRST.message, end="fin", aborted=None)
TRUNCATED = Want(result="error", message=r"stream truncated after [1-9]\d* events?", body="event", end="fin")
NEVER_BEGUN = Want(result="error", message=r"stream truncated after \d events?", body="own", status=502)
LOST = Want(
    result="network_error", message=rf"connection lost after [1-9]\d* events?: {BROKEN}", body="event", end="fin"
)
LOST_FIRST = Want(
    result="network_error", message=rf"connection lost after \d events?: {BROKEN}", body="own", status=502
)
LOST_BODY = Want(
    result="network_error", message=rf"connection lost after part of the body: {BROKEN}", body="own", status=502
)
PASSED_AS_LOST = Want(result="success", end="fin")


def but(want: Want, **changes: object) -> Want:
    return msgspec.structs.replace(want, **changes)


VENDORS = [name for name in STREAMS if name != "fal/s"]
"""Streams whose vendors have an error event."""

TABLE: list[tuple[str, list[str], Want]] = [
    # Success: a terminal was seen, or none is promised.
    ("no-done", ["chat/s", "completions/s"], GOOD),
    ("only-done", ["chat/s", "completions/s"], GOOD),
    ("truncate", ["fal/s", "speech"], GOOD),
    ("close-delimited", STREAMS, GOOD),
    ("lost-at-the-end", ENDING, PASSED_AS_LOST),
    ("reset-at-the-end", ENDING, PASSED_AS_LOST),
    # Error events: before content the provider's answer passes to its end, after it the event is the end.
    ("error-first", VENDORS, SAID_FIRST),
    ("error-late", VENDORS, SAID_LATE),
    ("one-read", VENDORS, SAID_LATE),
    ("fal-error", ["fal/s"], SAID_LATE),
    ("fal-error-first", ["fal/s"], SAID_FIRST),
    ("named-error", ["chat/s", "messages/s", "fal/s"], SAID_FIRST),
    ("error-first@shape=finish", ["chat/s"], SAID_FIRST),
    ("error-late@shape=finish", ["chat/s"], SAID_LATE),
    ("error-first@shape=failed", ["responses/s"], SAID_FIRST),
    ("error-late@shape=failed", ["responses/s"], SAID_LATE),
    ("ok@finish=failed", ["responses/s"], SAID_LATE),
    ("error-choice", ["chat/s"], SAID_LATE),
    ("error-beats-terminal", ["chat/s"], SAID_FIRST),
    *(
        (
            f"error-{when}@status={status}",
            ["chat/s", "messages/s", "generate/s", "generate/a"],
            but(want, result=result),
        )
        for when, want in (("first", SAID_FIRST), ("late", SAID_LATE))
        for status, result in ((400, "caller_error"), (429, "rate_limited"))
    ),
    ("error-late@status=504", ["messages/s", "generate/s", "generate/a"], but(SAID_LATE, result="timeout")),
    # A clean end without the terminal.
    ("truncate", ENDING, TRUNCATED),
    ("truncate@after=1", ENDING, TRUNCATED),
    ("truncate@after=0", ENDING, NEVER_BEGUN),
    ("no-events", ["chat/s", "messages/s", "generate/s"], NEVER_BEGUN),
    # The connection is lost, or the body short.
    ("cut", STREAMS, LOST),
    ("reset", STREAMS, but(LOST, body="begun")),
    ("cut@after=0", ENDING, LOST_FIRST),
    ("cut@after=0", ["fal/s"], LOST_BODY),
    ("short", STREAMS, but(LOST, body="same")),
    ("cut", ["speech"], but(LOST_BODY, body="same", status=200, end="fin")),
    ("lost-at-the-end", ["fal/s"], LOST),
    ("lost-at-the-end", ["speech"], but(LOST_BODY, body="same", status=200, end="fin")),
    ("bad-chunk", STREAMS, but(LOST, message="answer is not valid HTTP: .*")),
    *((script, PLAIN, LOST_BODY) for script in ("cut", "reset", "short")),
    ("short@size=200000", ["chat"], but(LOST_BODY, body="same", status=200, end="fin")),
    # Compressed although nobody asked for it: read all the same, but nothing of ours can be added.
    ("gzip", STREAMS, GOOD),
    ("gzip-whole", ENDING, GOOD),
    ("gzip-truncated", ENDING, but(TRUNCATED, body="same")),
    ("gzip-cut", ["chat/s", "messages/s", "generate/a"], but(LOST, body="same")),
    ("gzip-error-first", ["chat/s", "messages/s", "generate/s"], SAID_FIRST),
    ("gzip-error-late", ["chat/s", "messages/s", "generate/s"], SAID_LATE),
    # What cannot be read is judged by status and framing alone.
    ("gzip-corrupt", ["chat/s", "messages/s", "generate/a"], GOOD),
    ("zstd", STREAMS, GOOD),
    ("unreadable-cut", ["chat/s", "generate/a"], but(LOST_BODY, body="same", status=200, end="fin")),
]


def rows(table: list[tuple[str, list[str], Want]]) -> list[Any]:
    """The cases of a table, one for each kind of request."""
    return [pytest.param(script, name, want, id=f"{script} {name}") for script, names, want in table for name in names]


@pytest.mark.parametrize(("script", "name", "want"), rows(TABLE))
async def test_how_a_stream_ended_decides(court: Court, script: str, name: str, want: Want) -> None:
    await court.trial(KINDS[name], script, want)


# -- finish reasons --------------------------------------------------------------------------------------------------

FINISHES = {
    "chat": "stop length tool_calls function_call content_filter",
    "completions": "stop length content_filter",
    "responses": "completed incomplete",
    "messages": "end_turn max_tokens stop_sequence tool_use pause_turn refusal model_context_window_exceeded",
    "generate": "STOP MAX_TOKENS SAFETY RECITATION PROHIBITED_CONTENT MALFORMED_FUNCTION_CALL OTHER",
}


@pytest.mark.parametrize(
    ("name", "finish"),
    [
        *((name + end, word) for name, words in FINISHES.items() for word in words.split() for end in ("", "/s")),
        *(("generate/a", word) for word in FINISHES["generate"].split()),
    ],
)
async def test_every_reason_to_finish_is_a_success(court: Court, name: str, finish: str) -> None:
    got = await court.trial(KINDS[name], f"ok@finish={finish}", GOOD)
    assert finish.encode() in got.body


@pytest.mark.parametrize("name", ["generate", "generate/s", "generate/a"])
async def test_a_prompt_that_gemini_blocked_is_a_success(court: Court, name: str) -> None:
    await court.trial(KINDS[name], "blocked", GOOD)


# -- what must not be touched ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chat/s", "completions/s"])
@pytest.mark.parametrize("wanted", [b"true", b"false"])
async def test_usage_is_neither_asked_for_nor_left_out(court: Court, name: str, wanted: bytes) -> None:
    body = KINDS[name].body[:-1] + b', "stream_options": {"include_usage": %b}}' % wanted
    kind = msgspec.structs.replace(KINDS[name], body=body)
    got = await court.trial(kind, "ok", GOOD)
    assert (b'"usage":{' in got.body) == (wanted == b"true")
    assert [seen.body for seen in court.fake.log[-1:]] == [body]


@pytest.mark.parametrize("name", DIALECT_STREAMS)
async def test_identity_is_asked_for_and_the_request_is_as_it_was(court: Court, name: str) -> None:
    kind = KINDS[name]
    provider = court.provider(kind)
    got = await court.ask(kind, b"Accept-Encoding: gzip, br, zstd", provider=provider)
    assert got.end == "clean"
    court.book(provider, kind, "success", 200)
    (seen,) = court.seen(provider)
    assert seen.body == kind.body
    assert seen.target == kind.path.encode()
    assert seen.all(b"accept-encoding") == [b"identity"]


# -- clients of HTTP/1.0, for whom the end of the connection is the end of the answer --------------------------------


OLD: list[tuple[str, list[str], Want]] = [
    ("ok", DIALECT_STREAMS, but(GOOD, end="fin")),
    ("cut", DIALECT_STREAMS, but(LOST, body="cut", end="rst")),
    ("error-late", [name for name in DIALECT_STREAMS if name in VENDORS], but(SAID_LATE, body="cut", end="rst")),
    ("lost-at-the-end", [name for name in DIALECT_STREAMS if name in ENDING], but(GOOD, body="cut", end="rst")),
    ("fail-503", DIALECT_STREAMS, but(GOOD, result="error", status=503, message="503 .*")),
]


@pytest.mark.parametrize(("script", "name", "want"), rows(OLD))
async def test_a_close_delimited_answer_that_breaks_ends_in_a_reset(
    court: Court, script: str, name: str, want: Want
) -> None:
    await court.trial(KINDS[name], script, want, version=b"1.0")


# -- kept connections ------------------------------------------------------------------------------------------------


async def test_a_dead_kept_connection_is_no_attempt(court: Court) -> None:
    """`stale` answers a connection's first request and resets it at the second."""
    for name in ("chat", "chat/s", "messages/s", "generate/a", "embeddings"):
        kind = KINDS[name]
        provider = court.provider(kind)
        for _ in range(3):
            got = await court.ask(kind, provider=provider, script="stale")
            assert (got.status, got.end, got.header("x-detour-attempts")) == (200, "clean", "1")
            court.book(provider, kind, "success", 200)
        record = await court.record(provider, kind.model, 3)
        assert (record["success_count"], record["error_count"]) == (3, 0)
        seen = court.seen(provider)
        assert [one.ended for one in seen if not one.reused] == ["answered"] * 3
        assert any(one.reused for one in seen)


async def test_what_must_not_be_sent_twice_is_not(court: Court) -> None:
    kind = KINDS["images"]
    provider = court.provider(kind)
    for script, result, status in (("ok", "success", 200), ("stale", "network_error", 502)):
        got = await court.ask(kind, provider=provider, script=script)
        assert got.status == status
        court.book(provider, kind, result, status)
    assert [seen.reused for seen in court.seen(provider)][1:] == [True]
    assert (await court.record(provider, kind.model, 2))["last_status"] == "network_error"


async def test_a_client_connection_outlives_bad_answers_but_not_broken_streams(court: Court) -> None:
    kind = KINDS["chat/s"]
    provider = court.provider(kind)
    reader, writer = await asyncio.open_connection("127.0.0.1", court.detour.port)
    for script, status, result in (
        ("fail-503", 503, "error"),
        ("close-before", 502, "network_error"),
        ("error-first", 200, "error"),
        ("ok", 200, "success"),
    ):
        writer.write(request(kind, provider=provider, script=script))
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nconnection: close" not in answer.lower()
        end = b"0\r\n\r\n" if status == 200 else b"}"
        await asyncio.wait_for(reader.readuntil(b"}}" if status != 200 else end), 5)
        court.book(provider, kind, result, status)
    writer.write(request(kind, provider=provider, script="cut"))
    last = await asyncio.wait_for(reader.read(-1), 5)
    assert last.startswith(b"HTTP/1.1 200 ")
    assert not last.endswith(b"0\r\n\r\n")
    court.book(provider, kind, "network_error", 200)
    writer.close()
