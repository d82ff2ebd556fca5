from __future__ import annotations

import pytest

from config.problems import LONGEST, ConfigError, Problem, did_you_mean, looks_like_key, nearest


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


def test_a_problem_is_one_line_that_no_terminal_obeys() -> None:
    shown = str(Problem("a.\x1b[31m", "two\nlines \u202e\x9b and " + "x" * 5000))
    assert shown.isprintable()
    assert shown.startswith("a.\ufffd[31m: two\ufffdlines")
    assert len(shown) == LONGEST + 1


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("gsk_Zx81QwLm3Vt9Kp2Hs6Bd4", True),
        ("sk-proj-Zx81QwLm3Vt9Kp2", True),
        ("OPENAI_API_KEY_2_OF_PRODUCTION", False),
        ("my_key_number_2_of_this_house", False),
        ("Key1", False),
    ],
)
def test_what_looks_like_a_key(word: str, key: bool) -> None:
    assert looks_like_key(word) is key
