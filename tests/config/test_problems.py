from __future__ import annotations

import pytest

from config.problems import ConfigError, Problem, did_you_mean, nearest


def test_an_error_says_everything_at_once() -> None:
    error = ConfigError([Problem("listen", "is wrong"), Problem("", "not YAML")])
    assert str(error) == "listen: is wrong\nnot YAML"
    assert [problem.path for problem in error.problems] == ["listen", ""]


@pytest.mark.parametrize(
    ("word", "choices", "near"),
    [
        ("grok", ["groq", "openai"], ["groq"]),
        ("OPEN_ROUTER", ["open-router", "x"], ["open-router"]),
        ("zzz", ["groq"], []),
        ("g" * 100_000, ["groq"], []),
        ("", ["groq"], []),
    ],
)
def test_nearest(word: str, choices: list[str], near: list[str]) -> None:
    assert nearest(word, choices, 3) == near


def test_the_hint_is_empty_when_nothing_is_near() -> None:
    assert did_you_mean("grok", ["groq"]) == '; did you mean "groq"?'
    assert did_you_mean("zzz", ["groq"]) == ""
