"""Semantics section 1, the rows in which something does not come: a connection, an answer, content, more of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from proxy.fake import Conversation, FakeProvider
from proxy.fake_faults import answers
from tests.e2e.caller import connect, request, reset
from tests.e2e.court import Court, Want, closed, deaf, open_court, together
from tests.e2e.kinds import DIALECT_STREAMS, DIALECTS, KINDS, PLAIN, STREAMS, Kind
from tests.e2e.said import own_message

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUTS = {"connect": "500ms", "first_byte": "900ms", "idle": "700ms", "answer": "800ms"}
"""First byte, idle and answer differ, so that a message tells which of them it was."""

# -- scripts of our own: what keeps a line alive and says nothing ----------------------------------------------------


def event(data: bytes, *, named: bool = False) -> bytes:
    """An event that says its type, as a name too when it is `named`."""
    kind = data.partition(b'"type":"')[2].partition(b'"')[0]
    return (b"event: %b\n" % kind if named else b"") + b"data: %b\n\n" % data


NOTHING_SAID: dict[str, dict[str, bytes]] = {
    "chat/s": {
        "comment": b": OPENROUTER PROCESSING\n\n",
        "role": event(b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}'),
        "empty-delta": event(b'{"choices":[{"index":0,"delta":{},"finish_reason":null}]}'),
        "null-delta": event(b'{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[]}}]}'),
        "no-choices": event(b'{"choices":[],"usage":null}'),
        "ping": event(b'{"type":"ping"}', named=True),
        "blank": b"\n\n",
    },
    "completions/s": {"empty-text": event(b'{"choices":[{"index":0,"text":"","finish_reason":null}]}')},
    "responses/s": {
        "in-progress": event(b'{"type":"response.in_progress","response":{"status":"in_progress"}}', named=True),
        "keepalive": event(b'{"type":"keepalive","sequence_number":3}', named=True),
        "empty-delta": event(b'{"type":"response.output_text.delta","delta":""}', named=True),
    },
    "messages/s": {
        "ping": event(b'{"type":"ping"}', named=True),
        "empty-block": event(b'{"type":"content_block_start","content_block":{"type":"text","text":""}}', named=True),
        "empty-delta": event(b'{"type":"content_block_delta","delta":{"type":"text_delta","text":""}}', named=True),
    },
    "generate/s": {
        "comment": b": ping\r\n\r\n",
        "empty-part": event(b'{"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"index":0}]}'),
        "usage": event(b'{"usageMetadata":{"promptTokenCount":4}}'),
    },
    "generate/a": {
        "space": b" \n",
        "empty-part": b',{"candidates":[{"content":{"role":"model","parts":[{"text":""}]}}]}',
    },
    "fal/s": {"comment": b": ping\n\n", "ping": b"event: ping\ndata: {}\n\n", "blank": b"data:\n\n"},
}
"""Events that are no content, by the stream they come in."""


def murmurs(data: bytes, after: int) -> Callable[[Conversation], Awaitable[None]]:
    """A script: `data` for ever, behind so many events of content."""

    async def act(talk: Conversation) -> None:
        answer = talk.answer
        talk.send(answers(talk))
        await talk.pieces([*answer.opening, *answer.content[:after]])
        while True:
            talk.send(talk.chunk(data))
            await asyncio.sleep(0.1)

    return act


async def slow_unreadable(talk: Conversation) -> None:
    """A stream that nobody here can read, and that takes longer than any limit between two events."""
    talk.send(talk.head(200, [(b"content-type", talk.answer.content_type), (b"content-encoding", b"zstd")]))
    for _ in range(6):
        talk.send(talk.chunk(b"\x28\xb5\x2f\xfd\x00"))
        await asyncio.sleep(0.25)
    talk.finish()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    with deaf() as full, closed() as nobody:
        async with FakeProvider() as plain:
            places = {
                "connect-timeout": f"http://127.0.0.1:{full}",
                "refused": f"http://127.0.0.1:{nobody}",
                "no-name": "http://nowhere.invalid:1234",
                "no-tls": f"https://127.0.0.1:{plain.port}",
            }
            # Each in every dialect: what the client is told differs.
            providers = {
                f"{place}-{dialect}": {"base_url": url, "dialect": dialect}
                for place, url in places.items()
                for dialect in ("openai", "anthropic", "gemini", "fal")
            }
            async with open_court(tmp_path_factory.mktemp("silence"), timeouts=TIMEOUTS, providers=providers) as found:
                found.fake.scripts["slow-unreadable"] = slow_unreadable
                for name, sorts in NOTHING_SAID.items():
                    for sort, data in sorts.items():
                        for after in (0, 2):
                            found.fake.scripts[f"{name}:{sort}:{after}"] = murmurs(data, after)
                yield found
            plain.mistakes.clear()  # a TLS handshake


# -- no connection ---------------------------------------------------------------------------------------------------

PLACES: dict[str, tuple[str, int, str]] = {
    "connect-timeout": ("timeout", 504, r"no connection within 0\.5 s"),
    "refused": ("network_error", 502, r"cannot connect: connection to 127\.0\.0\.1:\d+ refused"),
    "no-name": ("network_error", 502, r"cannot connect: name nowhere\.invalid not found: .+"),
    "no-tls": ("network_error", 502, r"cannot connect: TLS failure with 127\.0\.0\.1:\d+: .+"),
}


async def unreachable(court: Court, place: str, kind: Kind) -> None:
    result, status, message = PLACES[place]
    provider = f"{place}-{kind.dialect}"
    for calls in (1, 2):
        got = await court.ask(kind, provider=provider)
        assert (got.status, got.end) == (status, "clean"), got
        court.book(provider, kind, result, status)
        said = own_message(kind.dialect, got)
        assert re.match(f"{provider}/{kind.model}: {message}", said), said
        assert got.header("x-detour-provider") == provider
        record = await court.record(provider, kind.model, calls)
        assert (record["last_status"], record["error_count"]) == (result, calls)
        assert re.fullmatch(message, record["last_error_message"])


async def test_who_cannot_be_reached(court: Court) -> None:
    await together(*(unreachable(court, place, KINDS[name]) for place in PLACES for name in DIALECTS))


# -- a connection, and no answer on it -------------------------------------------------------------------------------

NO_ANSWER = [
    ("close-before", r"connection closed before an answer: connection closed by the provider"),
    ("reset-before", r"connection closed before an answer: connection reset by the provider"),
    ("garbage", r"answer is not valid HTTP: .+"),
    *(
        (f"bad-framing@kind={kind}", r"answer is not valid HTTP: .+")
        for kind in ("te-cl", "lengths", "list", "sign", "te", "space")
    ),
]


@pytest.mark.parametrize(("script", "message"), NO_ANSWER)
@pytest.mark.parametrize("name", [*DIALECTS, "chat/s", "messages/s", "generate/a"])
async def test_no_http_answer_is_the_providers_network_error(
    court: Court, name: str, script: str, message: str
) -> None:
    await court.trial(KINDS[name], script, Want(result="network_error", message=message, body="own", status=502))


async def test_a_broken_chunk_in_a_held_answer(court: Court) -> None:
    want = Want(result="network_error", message=r"answer is not valid HTTP: .+", body="own", status=502)
    for name in PLAIN:
        await court.trial(KINDS[name], "bad-framing@kind=chunk", want)


# -- silence ---------------------------------------------------------------------------------------------------------

NO_HEAD = Want(result="timeout", message=r"no answer within 0\.8 s", body="own", status=504, aborted=True)
NO_CONTENT = Want(result="timeout", message=r"no content within 0\.9 s", body="own", status=504, aborted=True)
STALLED = Want(
    result="timeout",
    message=r"stalled after [1-9]\d* events?: silent for 0\.7 s",
    body="event",
    end="fin",
    aborted=True,
)
MURMURED = Want(result="timeout", message=STALLED.message, body="more", end="fin", aborted=True)
STALLED_BODY = Want(
    result="timeout", message=r"stalled after part of the body: silent for 0\.7 s", body="own", status=504, aborted=True
)
STALLED_OPEN = Want(
    result="timeout", message=r"stalled after part of the body: silent for 0\.7 s", body="same", end="fin", aborted=True
)
GOOD = Want(result="success")


async def test_an_answer_that_never_begins(court: Court) -> None:
    await together(*(court.trial(kind, "silent", NO_CONTENT if kind.streamed else NO_HEAD) for kind in KINDS.values()))


async def test_an_answer_that_stops_in_the_middle(court: Court) -> None:
    await together(
        *(court.trial(KINDS[name], "stall", STALLED, like="cut") for name in STREAMS),
        *(court.trial(KINDS[name], "stall@after=1", STALLED, like="cut@after=1") for name in DIALECT_STREAMS),
        *(court.trial(KINDS[name], "stall@after=0", NO_CONTENT) for name in STREAMS),
        *(court.trial(KINDS[name], "stall", STALLED_BODY) for name in PLAIN),
        court.trial(KINDS["speech"], "stall", STALLED_OPEN, like="cut"),
        court.trial(KINDS["chat"], "stall@size=200000", STALLED_OPEN, like="cut@size=200000"),
    )


async def test_comments_and_pings_hide_no_stall(court: Court) -> None:
    await together(
        *(court.trial(KINDS[name], "stall-comments", STALLED, like="cut") for name in STREAMS),
        *(court.trial(KINDS[name], "slow-comments@first=20", NO_CONTENT) for name in STREAMS),
    )


async def test_nothing_that_says_nothing_hides_a_stall(court: Court) -> None:
    sorts = [(name, sort) for name, each in NOTHING_SAID.items() for sort in each]
    await together(
        *(court.trial(KINDS[name], f"{name}:{sort}:0", NO_CONTENT) for name, sort in sorts),
        *(court.trial(KINDS[name], f"{name}:{sort}:2", MURMURED, like="cut@after=2") for name, sort in sorts),
    )


async def test_slow_is_not_silent(court: Court) -> None:
    """Each of these takes longer as a whole than any limit on one of its parts."""
    await together(
        *(court.trial(KINDS[name], "ok@first=0.2,gap=0.25,events=6", GOOD) for name in STREAMS),
        *(court.trial(KINDS[name], "slow-comments@first=0.4", GOOD, like="ok") for name in STREAMS),
        *(court.trial(KINDS[name], "ok@delay=0.3,first=0.3,gap=0.12", GOOD) for name in PLAIN),
        *(court.trial(KINDS[name], "slow-unreadable", GOOD) for name in ("chat/s", "generate/a", "fal/s")),
    )


async def test_what_cannot_be_read_is_not_held(court: Court) -> None:
    kind = KINDS["chat/s"]
    provider = court.provider(kind)
    got = await court.ask(kind, provider=provider, script="slow-unreadable")
    court.book(provider, kind, "success", 200)
    assert got.chunks > 3


# -- the client leaves -----------------------------------------------------------------------------------------------


async def leaves(court: Court, kind: Kind, script: str, after: bytes, how: str) -> None:
    """Go as soon as `after` has come, or as soon as the provider has the request when it is empty."""
    provider = court.provider(kind)
    wire = await connect(court.detour.port)
    wire.transport.write(request(kind, provider=provider, script=script))
    await court.fake.until(lambda: bool(court.seen(provider)) and after in wire.raw)
    now = asyncio.get_running_loop().time()
    if how == "rst":
        reset(wire.transport)
    else:
        wire.transport.close()
    (seen,) = court.seen(provider)
    await court.fake.until(lambda: seen.aborted)
    assert (seen.client_closed_at or 0) - now < 1
    court.book(provider, kind, "cancelled", 200 if after else 0)
    await court.untouched(provider, kind.model)


async def test_a_client_that_leaves_is_neutral_and_stops_the_provider(court: Court) -> None:
    text = {"images/s": b"partial_image", "speech/s": b"speech.audio.delta", "fal/s": b"progress"}
    await together(
        *(
            leaves(court, KINDS[name], "silent", b"", how)
            for name in [*DIALECTS, *DIALECT_STREAMS]
            for how in ("fin", "rst")
        ),
        *(leaves(court, KINDS[name], "slow-comments@first=20", b"", "fin") for name in DIALECT_STREAMS),
        *(
            leaves(court, KINDS[name], "ok@gap=0.3,events=60", text.get(name, b"Detour "), how)
            for name in STREAMS
            for how in ("fin", "rst")
        ),
        leaves(court, KINDS["chat"], "stall@size=200000", b"Detour ", "fin"),
        leaves(court, KINDS["speech"], "stall", b"\xff\xfb", "fin"),
    )
