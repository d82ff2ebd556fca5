"""What clients are told of what became of their requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, Neutral, Status, Verdict
from proxy import answers
from proxy.body import BodyTimeoutError, BodyTooLargeError
from proxy.errors import Refusal
from proxy.request import BadBodyError


@pytest.mark.parametrize(
    ("status", "http", "kind", "advice"),
    [
        (Status.TIMEOUT, 504, "timeout_error", "; try again, or raise the limit under `timeouts` for this target"),
        (
            Status.NETWORK_ERROR,
            502,
            "api_error",
            "; the provider cannot be reached or broke the connection; try again or use another provider",
        ),
        (Status.ERROR, 502, "api_error", ""),
        (Neutral.POLICY, 502, "api_error", ""),
    ],
)
def test_nowhere_else(status: Status | Neutral, http: int, kind: str, advice: str) -> None:
    verdict = Verdict(status, message="seen")
    assert answers.nowhere_else("groq", "m", verdict) == Refusal(http, kind, f"groq/m: seen{advice}")
    assert answers.nowhere_else("groq", NO_MODEL, verdict).message == f"groq: seen{advice}"


def test_a_refusal_as_an_exception() -> None:
    refusal = Refusal(404, "unknown_provider", "no")
    stop = answers.RefusedError(refusal)
    assert stop.refusal is refusal
    assert str(stop) == "no"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (BodyTimeoutError("slow"), 408, "slow"),
        (BodyTooLargeError(3 * 1024 * 1024), 413, "larger than 3 MiB; the bound is `limits.request_body`"),
        (BadBodyError("bad"), 400, "bad"),
    ],
)
def test_bodies_that_did_not_come_as_they_should(
    error: BadBodyError | BodyTimeoutError | BodyTooLargeError, status: int, message: str
) -> None:
    found = answers.bad_body(error)
    assert found.status == status
    assert message in found.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("meta-llama/Llama-3:free", "meta-llama/Llama-3:free"),
        ("", ""),
        ("a b%c", "a b%c"),
        ("modèle", "mod%C3%A8le"),
        ("a\r\nX: y", "a%0D%0AX: y"),
        ("a\x7f", "a%7F"),
        ("\ud800", "%3F"),
    ],
)
def test_names_as_field_values(name: str, text: str) -> None:
    assert answers.field_text(name) == text


@given(st.text())
def test_no_name_breaks_a_field(name: str) -> None:
    text = answers.field_text(name)
    assert text.isascii()
    assert text == "" or text.isprintable()
