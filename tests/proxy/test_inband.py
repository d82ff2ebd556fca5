from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.inband import MESSAGE_KEPT, complaint, error_in, error_in_json, error_in_response, filled, parse

ANTHROPIC = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"}
OPENAI = {"error": {"message": "Quota", "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}
RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "13.5s"}
REASON = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
GEMINI = {"error": {"code": 429, "message": "Slow", "status": "RESOURCE_EXHAUSTED", "details": [None, RETRY]}}


@pytest.mark.parametrize(
    ("document", "code", "word", "message"),
    [
        (OPENAI, 429, "insufficient_quota", "Quota"),
        (ANTHROPIC, 529, "overloaded_error", "Overloaded"),
        (GEMINI, 429, "resource_exhausted", "Slow"),
        ([GEMINI], 429, "resource_exhausted", "Slow"),
        ([1, {}, GEMINI], 429, "resource_exhausted", "Slow"),
        (
            {"error": {"code": 400, "message": "Bad key", "status": "INVALID_ARGUMENT", "details": [REASON]}},
            400,
            "api_key_invalid",
            "Bad key",
        ),
        (
            {"error": {"code": 502, "message": "x", "metadata": {"error_type": "provider_error"}}},
            502,
            "provider_error",
            "x",
        ),
        ({"error": {"code": "429", "message": "x"}}, 429, "", "x"),
        ({"error": {"code": 200, "type": "server_error"}}, 500, "server_error", ""),
        ({"error": {"code": True}}, 500, "", ""),
        ({"error": {"code": 1302, "message": "x"}}, 500, "", "x"),
        ({"error": {"status": 503}}, 503, "", ""),
        ({"error": {"status_code": 404, "detail": "x"}}, 404, "", "x"),
        ({"error": {"type": "never_heard_of"}}, 500, "never_heard_of", ""),
        (
            {"error": {"type": "invalid_request_error", "code": "context_length_exceeded"}},
            400,
            "context_length_exceeded",
            "",
        ),
        ({"error": {"type": "invalid_request_error", "message": "x"}}, 400, "invalid_request_error", "x"),
        ({"error": "overloaded"}, 500, "", "overloaded"),
        ({"error": "Model is busy", "status": 503}, 503, "", "Model is busy"),
        ({"error": True, "message": "x", "type": "rate_limit_error"}, 429, "rate_limit_error", "x"),
        ({"error": ["x"]}, 500, "", ""),
        ({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}, 400, "badrequesterror", "x"),
        ({"type": "error", "code": "server_error", "message": "x"}, 500, "server_error", "x"),
        ({"choices": [3, {"error": {"code": 503, "message": "x"}}]}, 503, "", "x"),
        ({"choices": [{"finish_reason": "error"}]}, 500, "error", "finish_reason error"),
        ({"error": {"details": "x", "metadata": "y", "message": 5, "code": None, "type": ""}}, 500, "", ""),
    ],
)
def test_errors_of_all_shapes(document: Any, code: int, word: str, message: str) -> None:
    found = error_in(document)
    assert found is not None
    assert (found.code, found.type, found.message) == (code, word, message)


@pytest.mark.parametrize(
    "document",
    [
        *(None, 5, "error", [], [5], [{}], {}, {"error": None}, {"error": {}}, {"error": ""}, {"error": False}),
        *(
            {"type": "message", "content": []},
            {"choices": None},
            {"choices": [{"finish_reason": "stop", "error": None}]},
        ),
    ],
)
def test_no_error(document: Any) -> None:
    assert error_in(document) is None


def test_gemini_says_how_long_to_wait() -> None:
    found = error_in(GEMINI)
    assert found is not None
    assert found.retry_after == 13.5
    for delay in (None, 3, "soon"):
        found = error_in({"error": {"code": 429, "details": [{**RETRY, "retryDelay": delay}]}})
        assert found is not None
        assert found.retry_after is None


def test_words_and_messages_are_bounded() -> None:
    found = error_in({"error": {"type": "t" * 10_000, "message": "m" * 100_000}})
    assert found is not None
    assert len(found.type) == 64
    assert len(found.message) == MESSAGE_KEPT


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}}, 500),
        ({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}, 429),
        ({"type": "response.failed", "response": {"error": None}}, 500),
        ({"type": "response.failed", "error": {"code": 503}}, 503),
        ({"type": "response.failed"}, 500),
        (None, 500),
    ],
)
def test_a_failed_response_always_has_an_error(document: Any, code: int) -> None:
    assert error_in_response(document).code == code


@pytest.mark.parametrize(
    ("document", "dialect", "code"),
    [
        (OPENAI, "openai", 429),
        (ANTHROPIC, "anthropic", 529),
        ([GEMINI], "gemini", 429),
        ({"id": "x", "choices": [{"message": {"content": "a"}}], "error": None}, "openai", None),
        ({"choices": [{"message": {"content": "the error"}}]}, "openai", None),
        ({"choices": [{"message": {"content": "a"}}], "error": {"code": 502, "message": "cut"}}, "openai", 502),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "error"}]}, "openai", 500),
        ({"error": "Model overloaded", "id": "x", "model": "m"}, "openai", 500),
        ({"error": "none", "choices": [{"message": {"content": "a"}}]}, "openai", None),
        (
            {"id": "resp_1", "status": "failed", "error": {"code": "server_error", "message": "x"}, "output": []},
            "openai",
            500,
        ),
        ({"error": {"message": "x"}, "request_id": "1"}, "fal", 500),
        ({"error": {"mean": "0.1"}, "images": [{"url": "https://x"}]}, "fal", None),
        ({"error": "x", "seed": 4}, "fal", 500),
    ],
)
def test_an_error_instead_of_a_result(document: Any, dialect: str, code: int | None) -> None:
    found = error_in_json(json.dumps(document).encode(), dialect)
    assert (None if found is None else found.code) == code


@pytest.mark.parametrize("body", [b"", b"{}", b'{"error": ', b"error", b"<html>error</html>", b"\xff\xfeerror"])
def test_what_is_no_json_carries_no_error(body: bytes) -> None:
    assert error_in_json(body, "openai") is None


@pytest.mark.parametrize(
    ("body", "word", "message"),
    [
        (json.dumps(OPENAI).encode(), "insufficient_quota", "Quota"),
        (b'{"detail": "Not Found"}', "", "Not Found"),
        (
            b'{"detail": [{"loc": ["body"], "msg": "bad prompt", "type": "content_policy_violation"}]}',
            "content_policy_violation",
            "bad prompt",
        ),
        (b'{"success": false, "errors": [{"code": 7003, "message": "Could not route"}]}', "", "Could not route"),
        (b'{"detail": []}', "", '{"detail": []}'),
        (b'{"message": "no", "type": "forbidden"}', "forbidden", "no"),
        (b'{"code": "quota"}', "quota", ""),
        (b'{"a": 1}', "", '{"a": 1}'),
        (b"[]", "", "[]"),
        (b"upstream connect error", "", "upstream connect error"),
        (b'{"error": {"message": "cut of', "", '{"error": {"message": "cut of'),
        (b"\xff", "", "\ufffd"),
        (b"", "", ""),
    ],
)
def test_what_an_error_answer_says(body: bytes, word: str, message: str) -> None:
    said = complaint(body, 418)
    assert (said.code, said.type, said.message) == (418, word, message)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *(
            (nothing, False)
            for nothing in (None, "", 0, 5, 1.5, True, [], {}, [""], [[None]], {"a": ""}, {"a": {"b": []}})
        ),
        *((said, True) for said in ("a", " ", ["", "a"], {"a": "b"}, {"a": [{"b": {"c": "d"}}]})),
        ({"role": "assistant", "type": "text"}, False),
        ({"a": {"role": "assistant", "b": "c"}}, True),
        ([[[[[[[[[[[0]]]]]]]]]]], True),
        ({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}}, False),
    ],
)
def test_filled(value: object, expected: bool) -> None:
    assert filled(value) is expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "\ufffd"}),
        (b'{"a": "\\ud800"}', {"a": "\ud800"}),
        (b'{"a": "\x01"}', {"a": "\x01"}),
        (b'{"a": "\xff", "b": 12}', {"a": "\ufffd", "b": 12}),
        (b'{"a": "\xff", "b": ' + b"9" * 30 + b"}", {"a": "\ufffd", "b": float("9" * 30)}),
        (b"[" * 100_000, None),
        (b"", None),
        (b"{} {}", None),
    ],
)
def test_parse_is_tolerant(payload: bytes, expected: object) -> None:
    assert parse(payload) == expected


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("error")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "errors",
                    "detail",
                    "details",
                    "code",
                    "status",
                    "type",
                    "message",
                    "choices",
                    "metadata",
                    "a",
                ]
            ),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=15,
)


@given(document=DOCUMENTS, cut=st.integers(0, 400))
@settings(max_examples=300, deadline=None)
def test_no_document_raises(document: Any, cut: int) -> None:
    body = json.dumps(document).encode()
    found = error_in(document)
    assert found is None or 400 <= found.code <= 599
    error_in_json(body[:cut], "openai")
    assert complaint(body[:cut], 500).code == 500
    assert 400 <= error_in_response(document).code <= 599
