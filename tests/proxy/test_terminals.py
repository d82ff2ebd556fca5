from __future__ import annotations

import pytest

from proxy.terminals import GRAMMARS, PLAIN, expected, grammar


@pytest.mark.parametrize("kind", GRAMMARS)
def test_every_kind_in_the_table_promises_an_end(kind: tuple[str, str]) -> None:
    assert grammar(*kind).ends
    assert expected(*kind, "sse")
    assert not expected(*kind, "opaque")
    assert not expected(*kind, "")


def test_everything_else_is_plain() -> None:
    assert grammar("openai", "embeddings") is PLAIN
    assert grammar("gemini", "chat") is PLAIN
    assert not expected("gemini", "predict", "array")


def test_what_is_said_in_the_design_is_in_the_table() -> None:
    assert set(GRAMMARS) == {
        ("openai", "chat"),
        ("openai", "completions"),
        ("openai", "responses"),
        ("openai", "images"),
        ("openai", "audio"),
        ("anthropic", "messages"),
        ("gemini", "stream_generate"),
    }
    assert grammar("openai", "responses").terminals == {"response.completed", "response.incomplete"}
    assert grammar("anthropic", "messages").terminals == {"message_stop"}
