"""The access log."""

from __future__ import annotations

import logging

import pytest

from breaker.outcome import SUCCESS, Answer, Outcome
from proxy.access import AccessLog
from tests.proxy.kept import Kept


def test_a_line_for_each_answer_and_everything_handed_on(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept()
    access = AccessLog(kept)
    outcome = Outcome("openai", "m", SUCCESS, True, 1.0, 0.5, 9.0)
    answer = Answer("i-1", "POST", "openai", "m", "chat", 200, "success", True, 1, 1.23456, 1.0, 10, 20, 9.0)
    with caplog.at_level(logging.INFO, logger="detour.access"):
        access.attempt(outcome)
        assert caplog.records == []
        access.answer(answer)
    assert kept.outcomes == [outcome]
    assert kept.answers == [answer]
    (record,) = caplog.records
    assert record.getMessage() == "POST chat"
    fields = {
        "request_id": "i-1",
        "provider": "openai",
        "model": "m",
        "status": 200,
        "result": "success",
        "streamed": True,
        "attempts": 1,
        "duration_ms": 1234.6,
        "upstream_ms": 1000.0,
        "bytes_in": 10,
        "bytes_out": 20,
    }
    assert {name: getattr(record, name) for name in fields} == fields
