from __future__ import annotations

import msgspec
import pytest

from healthapi.errors import Problem, document, quoted


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (500, "internal_error"),
        (503, "unavailable"),
    ],
)
def test_the_shape(status: int, kind: str) -> None:
    told = msgspec.to_builtins(document(Problem(status, "some_code", "what to do"), "adm-1"))
    assert told == {
        "detail": "what to do",
        "error": {
            "type": kind,
            "message": "what to do",
            "code": "some_code",
            "status": status,
            "request_id": "adm-1",
        },
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("groq", '"groq"'),
        ("", '""'),
        ("a\r\nb\x1b\udcff", '"a??b??"'),
        ("x" * 100, f'"{"x" * 100}"'),
        ("x" * 101, f'"{"x" * 100}…"'),
    ],
)
def test_quoted(text: str, shown: str) -> None:
    assert quoted(text) == shown
