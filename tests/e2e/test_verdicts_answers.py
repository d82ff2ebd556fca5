"""Semantics section 1, the rows that a complete answer decides: successes, error statuses, errors inside a 200."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import Conversation
from tests.e2e.court import Court, Want, open_court
from tests.e2e.kinds import DIALECTS, KINDS, PLAIN, STREAMS
from tests.e2e.road import CALLER_KEY

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "sk-live-4242424242424242424242"
LONG = "word " * 20_000
POOR = "Your credit balance is too low to access the API."
TEXT = {"message": {"content": 'say {"error": "x"}'}, "finish_reason": "stop"}


Act = Callable[[Conversation], None]


def says(
    status: int, document: object, *fields: tuple[bytes, bytes], coding: Callable[[bytes], bytes] | None = None
) -> Act:
    """A script: this JSON with this status."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    body = body if coding is None else coding(body)

    def act(talk: Conversation) -> None:
        talk.send(talk.head(status, [(b"content-type", b"application/json"), *fields], length=len(body)) + body)
        talk.finish()

    return act


GZIP = (b"content-encoding", b"gzip")
OVERLOADED = {"error": {"message": "Overloaded, try later", "type": "overloaded_error", "code": None}}

SCRIPTS: dict[str, Act] = {
    "text-503": says(503, b"<html><title>503 Backend fetch failed</title><body>guru</body></html>"),
    "empty-500": says(500, b""),
    "long-503": says(503, {"error": {"message": LONG, "type": "server_error"}}),
    "no-such-page": says(404, {"detail": "Not Found"}),
    "too-poor": says(400, {"type": "error", "error": {"type": "invalid_request_error", "message": POOR}}),
    "gzip-429": says(429, {"error": {"message": "slow down", "type": "requests"}}, GZIP, coding=gzip.compress),
    "gzip-quota": says(
        429, {"error": {"message": "no money", "code": "insufficient_quota"}}, GZIP, coding=gzip.compress
    ),
    "gzip-error-200": says(200, OVERLOADED, GZIP, coding=gzip.compress),
    "gzip-broken": says(200, OVERLOADED, GZIP),
    "br-error-200": says(200, OVERLOADED, (b"content-encoding", b"br")),
    "br-503": says(503, OVERLOADED, (b"content-encoding", b"br")),
    "error-object": says(200, OVERLOADED),
    "error-null": says(200, {"id": "one", "error": None, "choices": [], "usage": {"total_tokens": 3}}),
    "error-empty": says(200, {"id": "one", "error": {}, "choices": []}),
    "error-in-text": says(200, {"id": "one", "choices": [TEXT]}),
    "error-no-code": says(200, {"error": {"message": "it broke"}}),
    "error-choice": says(
        200, {"id": "g", "choices": [{"error": {"code": 502, "message": "it broke"}, "finish_reason": "error"}]}
    ),
    "echo": says(500, {"error": {"message": f"bad\r\n\tkey {SECRET}\x00 or Bearer {SECRET}", "type": "server_error"}}),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    async with open_court(tmp_path_factory.mktemp("answers")) as found:
        found.fake.scripts.update(SCRIPTS)
        yield found


GOOD = Want(result="success")


@pytest.mark.parametrize("name", KINDS)
async def test_a_complete_answer_is_a_success_and_passes_byte_for_byte(court: Court, name: str) -> None:
    await court.trial(KINDS[name], "ok", GOOD)


@pytest.mark.parametrize(
    ("script", "name", "status"),
    [
        ("redirect", "chat", 307),
        ("no-content", "chat", 204),
        ("ok@size=200000", "chat", 200),
        ("chunk-details", "chat", 200),
        ("close-delimited", "chat", 200),
        ("error-null", "chat", 200),
        ("error-empty", "chat", 200),
        ("error-in-text", "chat", 200),
        ("br-error-200", "chat", 200),  # cannot be read: its status and framing alone count
        ("gzip-broken", "chat", 200),
        ("zstd", "chat", 200),
        ("deflate", "chat", 200),
        ("deflate@kind=raw", "chat", 200),
        *(("gzip", name, 200) for name in PLAIN),
    ],
)
async def test_what_else_is_a_success(court: Court, script: str, name: str, status: int) -> None:
    await court.trial(KINDS[name], script, Want(result="success", status=status))


# -- error statuses --------------------------------------------------------------------------------------------------

STATUSES: dict[str, tuple[str, int]] = {
    "fail-400": ("caller_error", 400),
    "fail-401": ("error", 401),
    "fail-402": ("error", 402),
    "fail-403": ("error", 403),
    "fail-404": ("error", 404),
    "fail-405": ("caller_error", 405),
    "fail-408": ("timeout", 408),
    "fail-409": ("caller_error", 409),
    "fail-413": ("caller_error", 413),
    "fail-422": ("caller_error", 422),
    "fail-500": ("error", 500),
    "fail-502": ("error", 502),
    "fail-503": ("error", 503),
    "fail-504": ("timeout", 504),
    "fail-522": ("timeout", 522),
    "fail-524": ("timeout", 524),
    "fail-529": ("error", 529),
    "rate-limit": ("rate_limited", 429),
    "rate-limit-5": ("rate_limited", 429),
    "policy@status=403": ("policy", 403),
}
"""What a status means in every dialect, with that dialect's usual body."""

OWN_WORDS: dict[str, dict[str, tuple[str, int]]] = {
    "quota": {
        "openai": ("error", 429),
        "anthropic": ("error", 400),
        "gemini": ("rate_limited", 429),
        "fal": ("error", 403),
    },
    "bad-key": {"openai": ("error", 401), "anthropic": ("error", 401), "gemini": ("error", 400), "fal": ("error", 401)},
    "context-length": dict.fromkeys(("openai", "anthropic", "gemini"), ("caller_error", 400))
    | {"fal": ("caller_error", 422)},
    "policy": dict.fromkeys(("openai", "anthropic", "gemini"), ("policy", 400)) | {"fal": ("policy", 422)},
}
"""What each vendor says in its own way."""

SINGLE: dict[str, tuple[str, int]] = {
    "text-503": ("error", 503),
    "empty-500": ("error", 500),
    "long-503": ("error", 503),
    "no-such-page": ("caller_error", 404),
    "too-poor": ("error", 400),
    "gzip-429": ("rate_limited", 429),
    "gzip-quota": ("error", 429),
    "br-503": ("error", 503),
    "rate-limit@retry=2,form=date": ("rate_limited", 429),
    "rate-limit@retry=1.5,form=ms": ("rate_limited", 429),
    "rate-limit@retry=90,form=reset": ("rate_limited", 429),
}

ANSWERS = [
    *((script, name, *STATUSES[script]) for script in STATUSES for name in DIALECTS),
    *((script, name, *each[KINDS[name].dialect]) for script, each in OWN_WORDS.items() for name in DIALECTS),
    *((script, "chat", *found) for script, found in SINGLE.items()),
    # A stream that is refused by status, and each further kind of endpoint, once.
    *(("fail-503", name, "error", 503) for name in KINDS if name not in DIALECTS),
    *(
        ("rate-limit-5", name, "rate_limited", 429)
        for name in ("chat/s", "responses/s", "messages/s", "generate/s", "generate/a", "fal/s")
    ),
    *(("fail-400", name, "caller_error", 400) for name in ("chat/s", "messages/s", "generate/a")),
]


@pytest.mark.parametrize(("script", "name", "result", "status"), ANSWERS)
async def test_an_error_answer_is_judged_by_status_and_words_and_passes_as_it_came(
    court: Court, script: str, name: str, result: str, status: int
) -> None:
    await court.trial(KINDS[name], script, Want(result=result, status=status, message=rf"{status}\b.*"))


# -- errors inside a 200 ---------------------------------------------------------------------------------------------

INSIDE = [
    *(
        (f"error-200@status={status}", name, result)
        for status, result in (
            (400, "caller_error"),
            (401, "error"),
            (429, "rate_limited"),
            (503, "error"),
            (504, "timeout"),
        )
        for name in ("chat", "messages", "generate")
    ),
    *(
        ("error-200", name, "error")
        for name in (*PLAIN, "speech")
        if name not in ("chat", "messages", "generate", "fal")
    ),
    # A stream was asked for, and a document came.
    *(("error-200", name, "error") for name in STREAMS if not name.startswith("fal")),
    *((script, "chat", "error") for script in ("error-object", "error-no-code", "error-choice", "gzip-error-200")),
    ("error-object", "fal", "error"),
]


@pytest.mark.parametrize(("script", "name", "result"), INSIDE)
async def test_an_error_in_place_of_a_result_is_judged_as_if_it_were_the_status(
    court: Court, script: str, name: str, result: str
) -> None:
    where = r"in the stream, after 1 event" if name in ("generate/s", "generate/a") else "in a successful answer"
    await court.trial(KINDS[name], script, Want(result=result, message=rf"\d\d\d .* \({where}\)"))


# -- what is kept ----------------------------------------------------------------------------------------------------


async def test_a_kept_message_is_one_line_without_credentials_and_ends_with_the_next_success(court: Court) -> None:
    kind = KINDS["chat"]
    name = court.provider(kind)
    plan: list[tuple[str, str, int]] = [
        ("echo", "error", 500),
        ("fail-400", "caller_error", 400),
        ("ok", "success", 200),
        ("long-503", "error", 503),
    ]
    records: list[dict[str, Any]] = []
    for script, result, status in plan:
        got = await court.ask(kind, f"Authorization: Bearer {CALLER_KEY}".encode(), provider=name, script=script)
        assert got.status == status
        court.book(name, kind, result, status)
        counted = len(records) + (result != "caller_error")
        records += [await court.record(name, "m", counted)] if result != "caller_error" else []
        if result == "caller_error":
            assert await court.record(name, "m", counted) == records[-1]
    echo, good, long = (record["last_error_message"] for record in records)
    assert SECRET not in echo
    assert "\n" not in echo
    assert echo == "500 server_error: bad key *** or Bearer ***"
    assert good is None
    assert len(long) == 500
    counts = [(record["call_count"], record["success_count"], record["error_count"]) for record in records]
    assert counts == [(1, 0, 1), (2, 1, 1), (3, 1, 2)]
    assert (records[-1]["consecutive_failures"], records[-1]["consecutive_successes"]) == (1, 0)


# -- what others see -------------------------------------------------------------------------------------------------

SHOWN = {
    "fail-503": "unhealthy",
    "fail-504": "unhealthy",
    "close-before": "unhealthy",
    "fail-401": "unknown",
    "fail-402": "unknown",
    "fail-403": "unknown",
    "fail-404": "unknown",
    "quota": "unknown",
    "rate-limit": "unknown",
    "ok": "healthy",
}
"""How a model looks to everybody after five requests: what is blamed on a key says nothing of the model."""


async def test_one_callers_key_makes_no_model_look_ill(court: Court) -> None:
    kind = KINDS["chat"]
    providers = {script: court.provider(kind) for script in SHOWN}
    for script, provider in providers.items():
        for _ in range(5):
            got = await court.ask(kind, provider=provider, script=script)
            named = {
                "fail-504": "timeout",
                "close-before": "network_error",
                "rate-limit": "rate_limited",
                "ok": "success",
            }
            court.book(provider, kind, named.get(script, "error"), got.status)
        await court.record(provider, "m", 5)
    _, page = await court.detour.get("/health/models")
    rows = {row["provider"]: row for row in page["models"] if row["provider"] in providers.values()}
    assert {script: rows[provider]["status"] for script, provider in providers.items()} == SHOWN
