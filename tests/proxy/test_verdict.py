"""The verdict table of semantics section 1, row by row."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import MESSAGE_LIMIT, SUCCESS, Blame, Neutral, Retry, Status, Verdict
from proxy.evidence import UNLISTED, UNREADABLE
from proxy.inband import InBandError, error_in
from proxy.inspector import Inspector
from proxy.probe import Asks
from proxy.verdict import ENDINGS, RULES, Ending, Facts, judge
from tests.proxy.recorded_streams import STREAMS

Means = tuple[Status | Neutral, Blame, Retry]

TIMEOUT: Means = (Status.TIMEOUT, Blame.TARGET, Retry.ANY)
LIMITED: Means = (Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, Retry.ANY)
ACCOUNT: Means = (Status.ERROR, Blame.PROVIDER_CREDENTIAL, Retry.OTHER_PROVIDER)
ACCESS: Means = (Status.ERROR, Blame.TARGET_CREDENTIAL, Retry.OTHER_TARGET)
BROKEN: Means = (Status.ERROR, Blame.TARGET, Retry.ANY)
CALLER: Means = (Neutral.CALLER_ERROR, Blame.NOBODY, Retry.NEVER)
TOO_LONG: Means = (Neutral.CALLER_ERROR, Blame.NOBODY, Retry.LARGER_WINDOW)
POLICY: Means = (Neutral.POLICY, Blame.NOBODY, Retry.NEVER)


def means(verdict: Verdict) -> Means:
    return (verdict.status, verdict.blame, verdict.retry)


def openai(message: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


def gemini(code: int, status: str, message: str = "", **fields: Any) -> dict[str, Any]:
    return {"error": {"code": code, "status": status, "message": message, **fields}}


def anthropic(kind: str, message: str = "") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def fal(kind: str, message: str) -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": message, "type": kind}]}


REASON = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
FLAGGED = "m/x requires moderation. Your input was flagged for 'violence'."

ANSWERS: list[tuple[int, Any, Means]] = [
    *((status, None, TIMEOUT) for status in (408, 504, 522, 524)),
    (429, None, LIMITED),
    (429, openai("Rate limit reached for gpt-4o", type="tokens", code="rate_limit_exceeded"), LIMITED),
    (429, anthropic("rate_limit_error", "This request would exceed your rate limit"), LIMITED),
    (429, gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan"), LIMITED),
    (402, None, ACCOUNT),
    (402, openai("This request requires more credits", code=402), ACCOUNT),
    (429, openai("You exceeded your current quota", type="insufficient_quota", code="insufficient_quota"), ACCOUNT),
    (429, openai("x", type="exceeded_current_quota_error"), ACCOUNT),
    (403, openai("x", code="insufficient_quota"), ACCOUNT),
    (500, openai("upstream said insufficient_quota"), ACCOUNT),
    (400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), ACCOUNT),
    (400, openai("Access denied", code="Arrearage"), ACCOUNT),
    (401, None, ACCOUNT),
    (401, anthropic("authentication_error", "invalid x-api-key"), ACCOUNT),
    (400, gemini(400, "INVALID_ARGUMENT", "Please pass a valid API key.", details=[REASON]), ACCOUNT),
    (400, gemini(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."), ACCOUNT),
    (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xx"}, ACCOUNT),
    (403, openai(FLAGGED, code=403, metadata={"reasons": ["violence"]}), POLICY),
    (403, openai("Content violates usage guidelines."), POLICY),
    (403, None, ACCESS),
    (403, anthropic("permission_error", "Your API key does not have permission"), ACCESS),
    (404, openai("The model `m` does not exist or you do not have access to it.", code="model_not_found"), ACCESS),
    (404, openai("nothing here", code="model_not_found"), ACCESS),
    (404, anthropic("not_found_error", "model: claude-9"), ACCESS),
    (404, gemini(404, "NOT_FOUND", "models/x is not found for API version v1beta"), ACCESS),
    (404, openai("No endpoints found for x/y.", code=404), ACCESS),
    (404, {"detail": "Application 'x' not found"}, ACCESS),
    (404, {"detail": "unknown: X/The-Model"}, ACCESS),
    (404, None, CALLER),
    (404, openai("Invalid URL (POST /v1/chat/complete)"), CALLER),
    *((status, None, BROKEN) for status in (500, 501, 502, 503, 520, 529, 599, 600, 999)),
    (503, openai("The engine is currently overloaded", type="engine_overloaded_error"), BROKEN),
    (529, anthropic("overloaded_error", "Overloaded"), BROKEN),
    (400, openai("x", code="context_length_exceeded", type="invalid_request_error"), TOO_LONG),
    (400, openai("This model's maximum context length is 8192 tokens. However, you requested 9000"), TOO_LONG),
    (400, openai("This endpoint's maximum context length is 131072 tokens."), TOO_LONG),
    (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), TOO_LONG),
    (
        400,
        anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 2"),
        TOO_LONG,
    ),
    (
        400,
        gemini(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8)."),
        TOO_LONG,
    ),
    (400, openai("This model's maximum prompt length is 131072 but the request contains 200000 tokens."), TOO_LONG),
    (422, openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."), TOO_LONG),
    (400, openai("Range of input length should be [1, 30720]"), TOO_LONG),
    (400, openai("Invalid request: Your request exceeded model token limit: 8192"), TOO_LONG),
    (400, openai("Please reduce the length of the messages or completion.", code="x"), TOO_LONG),
    (413, openai("Prompt exceeds max length", code="1261"), TOO_LONG),
    (400, openai("x", code="content_policy_violation"), POLICY),
    (400, openai("x", code="moderation_blocked", type="image_generation_user_error"), POLICY),
    (400, openai("The response was filtered due to the prompt triggering a content management policy."), POLICY),
    (400, openai("Your prompt was flagged as potentially violating our usage policy.", code="invalid_prompt"), POLICY),
    (400, openai("Content Exists Risk", type="invalid_request_error"), POLICY),
    (400, openai("x", code="data_inspection_failed"), POLICY),
    (400, anthropic("invalid_request_error", "Output blocked by content filtering policy"), POLICY),
    (422, fal("content_policy_violation", "The content could not be processed"), POLICY),
    (451, openai("Your request violates our safety policies"), POLICY),
    *((status, None, CALLER) for status in (400, 405, 409, 413, 415, 418, 422, 451, 499)),
    (400, openai("Unsupported parameter: 'max_tokens'", code="unsupported_parameter"), CALLER),
    (400, anthropic("invalid_request_error", "max_tokens: Field required"), CALLER),
    (413, openai("Request too large on tokens per minute (TPM)", type="tokens", code="rate_limit_exceeded"), CALLER),
]


@pytest.mark.parametrize(("status", "document", "expected"), ANSWERS)
def test_error_answers(status: int, document: Any, expected: Means) -> None:
    body = b"" if document is None else json.dumps(document).encode()
    verdict = judge(Facts(Ending.COMPLETE, status, body=body, endpoint="chat", model="x/the-model"))
    assert means(verdict) == expected
    assert verdict.http_status == status
    assert verdict.message.startswith(str(status))
    assert verdict.counted is isinstance(expected[0], Status)


@pytest.mark.parametrize(("status", "document", "expected"), [row for row in ANSWERS if error_in(row[1]) is not None])
def test_the_same_said_inside_a_stream_means_the_same(status: int, document: Any, expected: Means) -> None:
    found = error_in(document)
    assert found is not None
    error = InBandError(status, found.type, found.message, found.words)
    facts = Facts(
        Ending.COMPLETE, 200, streamed=True, endpoint="chat", events=1, error=error, has_terminals=True, terminal=True
    )
    verdict = judge(facts)
    assert means(verdict) == expected
    assert verdict.http_status == status
    assert verdict.message.endswith("(in the stream, after 1 event)")


def test_the_status_decides_however_an_error_answer_ended() -> None:
    for ending in Ending:
        verdict = judge(Facts(ending, 503, body=b'{"error": {"message": "busy"', endpoint="chat"))
        if ending is Ending.CLIENT_LEFT:
            assert means(verdict) == (Neutral.CANCELLED, Blame.NOBODY, Retry.NEVER)
        elif ending is Ending.MALFORMED:
            assert means(verdict) == (Status.NETWORK_ERROR, Blame.PROVIDER, Retry.ANY)
        else:
            assert means(verdict) == BROKEN


def test_elsewhere_a_404_names_no_model() -> None:
    body = json.dumps(openai("No such model: x", code="model_not_found")).encode()
    assert means(judge(Facts(Ending.COMPLETE, 404, body=body, endpoint="other"))) == CALLER


# -- success ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 301, 304, 101])
@pytest.mark.parametrize("streamed", [True, False])
def test_a_complete_answer_is_a_success(status: int, streamed: bool) -> None:
    verdict = judge(Facts(Ending.COMPLETE, status, streamed=streamed, endpoint="chat", body=b'{"choices": []}'))
    assert verdict == Verdict(Status.SUCCESS, http_status=status)


def test_the_usual_success_is_one_shared_object() -> None:
    assert judge(Facts(Ending.COMPLETE, 200)) is SUCCESS


@pytest.mark.parametrize("ending", Ending)
def test_a_terminal_beats_how_the_connection_ended(ending: Ending) -> None:
    facts = Facts(ending, 200, streamed=True, endpoint="chat", events=9, terminal=True, has_terminals=True)
    assert judge(facts) is SUCCESS


@pytest.mark.parametrize("ending", Ending)
def test_an_error_event_beats_a_terminal_and_every_ending(ending: Ending) -> None:
    error = InBandError(529, "overloaded_error", "Overloaded", frozenset({"overloaded_error"}))
    facts = Facts(
        ending, 200, streamed=True, endpoint="messages", events=3, error=error, terminal=True, has_terminals=True
    )
    verdict = judge(facts)
    assert means(verdict) == BROKEN
    assert verdict.http_status == 529
    assert verdict.message == "529 overloaded_error: Overloaded (in the stream, after 3 events)"


# -- errors in a 2xx --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected", "code"),
    [
        (openai("Overloaded", code=503), BROKEN, 503),
        (openai("x", type="overloaded_error"), BROKEN, 529),
        (openai("x", type="rate_limit_error"), LIMITED, 429),
        (openai("x", code="insufficient_quota"), ACCOUNT, 429),
        (openai("x", code="context_length_exceeded"), TOO_LONG, 400),
        (openai("x", type="never_heard_of"), BROKEN, 500),
        ({"choices": [{"error": {"code": 502, "message": "x"}, "finish_reason": "error"}]}, BROKEN, 502),
    ],
)
def test_a_2xx_with_an_error_in_it(document: Any, expected: Means, code: int) -> None:
    verdict = judge(Facts(Ending.COMPLETE, 200, endpoint="chat", body=json.dumps(document).encode()))
    assert means(verdict) == expected
    assert verdict.http_status == code
    assert verdict.message.endswith("(in a successful answer)")


def test_a_null_error_is_none() -> None:
    assert judge(Facts(Ending.COMPLETE, 200, endpoint="chat", body=b'{"choices": [], "error": null}')) is SUCCESS


def test_elsewhere_an_error_may_be_what_was_asked_for() -> None:
    """`GET /v1/fine_tuning/jobs/x` of a failed job succeeds."""
    body = json.dumps({"status": "failed", **openai("bad file", code="invalid_file")}).encode()
    assert judge(Facts(Ending.COMPLETE, 200, endpoint="other", body=body)) is SUCCESS


# -- endings ----------------------------------------------------------------------------------------------------------

NETWORK = Status.NETWORK_ERROR


@pytest.mark.parametrize(
    ("facts", "expected", "message"),
    [
        (
            Facts(Ending.COMPLETE, 200, streamed=True, has_terminals=True, events=7),
            BROKEN,
            "stream truncated after 7 events",
        ),
        (
            Facts(Ending.LOST, 200, streamed=True, has_terminals=True, events=1, detail="reset by peer"),
            (NETWORK, Blame.TARGET, Retry.ANY),
            "connection lost after 1 event: reset by peer",
        ),
        (Facts(Ending.LOST, 200), (NETWORK, Blame.TARGET, Retry.ANY), "connection lost after part of the body"),
        (
            Facts(Ending.STALLED, 200, streamed=True, events=3, limit=120.0),
            (Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET),
            "stalled after 3 events: silent for 120 s",
        ),
        (
            Facts(Ending.NO_CONTENT, 200, streamed=True, limit=2.5),
            (Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET),
            "no content within 2.5 s",
        ),
        (
            Facts(Ending.NO_HEAD, limit=600.0),
            (Status.TIMEOUT, Blame.TARGET, Retry.OTHER_TARGET),
            "no answer within 600 s",
        ),
        (
            Facts(Ending.CONNECT_TIMEOUT, limit=5.0),
            (Status.TIMEOUT, Blame.PROVIDER, Retry.ANY),
            "no connection within 5 s",
        ),
        (
            Facts(Ending.UNREACHABLE, detail="Name or service not known"),
            (NETWORK, Blame.PROVIDER, Retry.ANY),
            "cannot connect: Name or service not known",
        ),
        (Facts(Ending.RESET), (NETWORK, Blame.PROVIDER, Retry.ANY), "connection closed before an answer"),
        (
            Facts(Ending.MALFORMED, 200, detail="two lengths"),
            (NETWORK, Blame.PROVIDER, Retry.ANY),
            "answer is not valid HTTP: two lengths",
        ),
        (
            Facts(Ending.TOTAL, 200, limit=900.0),
            (Status.TIMEOUT, Blame.TARGET, Retry.NEVER),
            "not finished within 900 s",
        ),
        (Facts(Ending.CLIENT_LEFT), (Neutral.CANCELLED, Blame.NOBODY, Retry.NEVER), "the client left"),
        (
            Facts(Ending.CLIENT_LEFT, 200, streamed=True, events=3, has_terminals=True),
            (Neutral.CANCELLED, Blame.NOBODY, Retry.NEVER),
            "the client left",
        ),
        (Facts(Ending.COMPLETE), (NETWORK, Blame.PROVIDER, Retry.ANY), "connection closed before an answer"),
    ],
)
def test_endings(facts: Facts, expected: Means, message: str) -> None:
    verdict = judge(facts)
    assert means(verdict) == expected
    assert verdict.message == message
    assert verdict.http_status == facts.status


def test_every_ending_but_two_has_a_row() -> None:
    assert set(Ending) - set(ENDINGS) == {Ending.COMPLETE, Ending.CLIENT_LEFT}


def test_an_answer_that_cannot_be_read_is_never_called_truncated() -> None:
    assert judge(Facts(Ending.COMPLETE, 200, streamed=True, endpoint="chat", has_terminals=False)) is SUCCESS


# -- messages and waits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"", "503 Service Unavailable"),
        (599, b"", "599"),
        (502, b"<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway: 502 Bad Gateway"),
        (500, b"boom\r\nstack", "500 Internal Server Error: boom stack"),
        (401, b'{"detail": "api key: sk-abcdef123456"}', "401 Unauthorized: api key: ***"),
    ],
)
def test_messages(status: int, body: bytes, message: str) -> None:
    assert judge(Facts(Ending.COMPLETE, status, body=body)).message == message


def test_messages_are_bounded() -> None:
    assert len(judge(Facts(Ending.COMPLETE, 500, body=b"word " * 10_000)).message) == MESSAGE_LIMIT
    assert len(judge(Facts(Ending.RESET, detail="word " * 10_000)).message) == MESSAGE_LIMIT


def test_the_wait_comes_from_headers_or_body() -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "13s"}
    body = json.dumps(gemini(429, "RESOURCE_EXHAUSTED", "x", details=[retry])).encode()
    assert judge(Facts(Ending.COMPLETE, 429, body=body)).retry_after == 13.0
    assert judge(Facts(Ending.COMPLETE, 429, {b"retry-after": b"7"}, body)).retry_after == 7.0
    assert judge(Facts(Ending.COMPLETE, 429)).retry_after is None
    assert judge(Facts(Ending.COMPLETE, 503, {b"retry-after": b"7"})).retry_after == 7.0
    assert judge(Facts(Ending.COMPLETE, 422, {b"retry-after": b"7"})).retry_after is None


def test_a_wait_inside_a_stream_is_heard() -> None:
    error = InBandError(429, "resource_exhausted", "x", retry_after=2.0)
    assert judge(Facts(Ending.COMPLETE, 200, streamed=True, error=error)).retry_after == 2.0


def test_a_date_is_counted_from_the_answer_or_from_now() -> None:
    headers = {b"retry-after": b"Thu, 09 Oct 2025 08:53:50 GMT"}
    assert judge(Facts(Ending.COMPLETE, 429, headers)).retry_after is None
    assert judge(Facts(Ending.COMPLETE, 429, headers, now=1_760_000_000.0)).retry_after == 30.0
    dated = {**headers, b"date": b"Thu, 09 Oct 2025 08:53:40 GMT"}
    assert judge(Facts(Ending.COMPLETE, 429, dated)).retry_after == 10.0


# -- the whole --------------------------------------------------------------------------------------------------------


def test_the_last_rule_takes_everything() -> None:
    assert RULES[-1].status is Neutral.CALLER_ERROR


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_recorded_streams_are_judged_by_what_was_in_them(stream: Any) -> None:
    inspector = Inspector(stream.endpoint, stream.dialect, stream.shape)
    inspector.feed(stream.body)
    inspector.close()
    verdict = judge(
        Facts(
            Ending.COMPLETE,
            200,
            streamed=True,
            dialect=stream.dialect,
            endpoint=stream.endpoint,
            events=inspector.events,
            error=inspector.error,
            terminal=inspector.terminal,
            has_terminals=inspector.has_terminals,
        )
    )
    if stream.error is not None:
        assert verdict.http_status == stream.error[0]
        assert verdict.status is not Status.SUCCESS
    elif stream.terminal or not inspector.has_terminals:
        assert verdict is SUCCESS
    else:
        assert verdict.message.startswith("stream truncated after")


FACTS = st.builds(
    Facts,
    ending=st.sampled_from(Ending),
    status=st.one_of(st.none(), st.integers(100, 999)),
    headers=st.dictionaries(st.sampled_from([b"retry-after", b"date", b"x"]), st.binary(max_size=12), max_size=3),
    body=st.one_of(st.binary(max_size=60), st.sampled_from([json.dumps(row[1]).encode() for row in ANSWERS])),
    streamed=st.booleans(),
    dialect=st.sampled_from(["openai", "fal", "anthropic", "gemini"]),
    endpoint=st.sampled_from(["chat", "other", "messages"]),
    events=st.integers(0, 5),
    error=st.one_of(
        st.none(), st.builds(InBandError, st.integers(400, 599), st.text(max_size=9), st.text(max_size=50))
    ),
    terminal=st.booleans(),
    has_terminals=st.booleans(),
    detail=st.text(max_size=20),
    limit=st.one_of(st.none(), st.floats(0, 1000)),
    model=st.text(max_size=9),
)


@given(facts=FACTS)
@settings(max_examples=500, deadline=None)
def test_any_facts_have_a_verdict(facts: Facts) -> None:
    verdict = judge(facts)
    assert len(verdict.message) <= MESSAGE_LIMIT
    assert "\n" not in verdict.message
    assert (verdict.status is Status.SUCCESS) == (verdict.message == "")
    assert (verdict.blame is Blame.NOBODY) == (not verdict.counted or verdict.status is Status.SUCCESS)


# -- probes -----------------------------------------------------------------------------------------------------------

ALIVE: Means = (Status.SUCCESS, Blame.NOBODY, Retry.NEVER)
TOO_FEW = [
    openai("Could not finish the message because max_tokens or model output limit was reached. Please try again."),
    openai("Could not finish the message because max_tokens was reached", code="x"),
    openai(
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 5 instead.",
        param="max_output_tokens",
        code="integer_below_min_value",
    ),
    openai("max_tokens must be at least 16"),
    openai("`max_completion_tokens` is too small for this model"),
    openai("5 is less than the minimum of 16 - 'max_tokens'"),
    openai("Provider returned error", metadata={"raw": '{"error": {"message": "max_output_tokens: minimum is 16"}}'}),
    openai("The response ended: finish_reason: length"),
    anthropic("invalid_request_error", "`max_tokens` must be greater than `thinking.budget_tokens`"),
    gemini(400, "INVALID_ARGUMENT", "maxOutputTokens must be at least 8"),
]


@pytest.mark.parametrize("document", TOO_FEW)
@pytest.mark.parametrize("status", [400, 422])
def test_too_few_tokens_for_a_probe_mean_alive(status: int, document: dict[str, Any]) -> None:
    facts = Facts(Ending.COMPLETE, status, body=json.dumps(document).encode(), endpoint="chat", model="m")
    assert judge(facts).counted is False
    facts.probe = Asks.GENERATION
    assert judge(facts) == Verdict(Status.SUCCESS, http_status=status)
    for question in (Asks.LIST, Asks.MODEL, Asks.QUEUE):
        facts.probe = question
        assert judge(facts).counted is False


@pytest.mark.parametrize(
    ("status", "document", "expected"),
    [
        (400, openai("Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'."), CALLER),
        (400, openai("max_tokens is too large: 5. This model supports at most 4 completion tokens"), CALLER),
        (400, openai("Invalid value for 'temperature'"), CALLER),
        (400, None, CALLER),
        (401, openai("max_tokens must be at least 16"), ACCOUNT),
        (403, None, ACCESS),
        (404, openai("The model `m` does not exist"), ACCESS),
        (404, None, CALLER),
        (429, openai("max_tokens must be at least 16"), LIMITED),
        (500, openai("max_tokens must be at least 16"), BROKEN),
    ],
)
def test_other_answers_mean_to_a_probe_what_they_mean_to_callers(status: int, document: Any, expected: Means) -> None:
    body = b"" if document is None else json.dumps(document).encode()
    facts = Facts(Ending.COMPLETE, status, body=body, endpoint="chat", model="m", probe=Asks.GENERATION)
    assert means(judge(facts)) == expected
    assert judge(facts).http_status == status


@pytest.mark.parametrize("asks", [Asks.QUEUE, Asks.ELSEWHERE])
@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (404, "Request not found", ALIVE),
        (404, "Request 00000000-0000-4000-8000-000000000000 does not exist", ALIVE),
        (404, "No such request", ALIVE),
        (404, "Application 'x' not found", ACCESS),
        (404, "Request not found: no application is called so", ACCESS),
        (404, "Not Found", CALLER),
        (404, "Path /a/requests/0 not found", CALLER),
        (400, "Request not found", CALLER),
        (401, "Request not found", ACCOUNT),
    ],
)
def test_a_queue_that_knows_of_no_such_request_is_alive(status: int, text: str, expected: Means, asks: Asks) -> None:
    facts = Facts(Ending.COMPLETE, status, body=json.dumps({"detail": text}).encode(), endpoint="question", model="a/b")
    facts.probe = asks
    assert means(judge(facts)) == expected


def test_what_a_good_answer_to_a_probe_lacks_counts_as_its_error() -> None:
    facts = Facts(Ending.COMPLETE, 200, body=b"{}", endpoint="question", model="m", probe=Asks.LIST)
    assert judge(facts) is SUCCESS
    facts.lack = UNLISTED
    verdict = judge(facts)
    assert means(verdict) == ACCESS
    assert verdict.http_status == 404
    assert "does not name it" in verdict.message
    facts.lack = UNREADABLE
    assert means(judge(facts)) == CALLER


@given(st.binary(max_size=9000), st.sampled_from(Asks), st.integers(400, 599))
@settings(deadline=2000)
def test_noise_never_takes_long_and_proves_nothing(body: bytes, asks: Asks, status: int) -> None:
    facts = Facts(Ending.COMPLETE, status, body=body, endpoint="chat", model="m", probe=asks)
    assert judge(facts).status is not Status.SUCCESS


@pytest.mark.parametrize(
    "text", ["max" + "a" * 5000, "max_tokens " * 500, "request " * 600, "below " * 900, "reason " * 700]
)
def test_long_texts_are_looked_through_quickly(text: str) -> None:
    began = time.perf_counter()
    for asks in Asks:
        judge(
            Facts(Ending.COMPLETE, 404 if asks is Asks.QUEUE else 400, body=text.encode(), endpoint="chat", probe=asks)
        )
    assert time.perf_counter() - began < 2
