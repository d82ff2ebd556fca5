from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.likeness import likeness

SAME = {
    "llama-3-3-70b": [
        "llama-3.3-70b-versatile",
        "meta-llama/llama-3.3-70b-instruct",
        "meta-llama/llama-3.3-70b-instruct:free",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "@cf/meta/llama-3.3-70b-instruct-fp8-fast",
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
        "Llama3.3_70B",
        "hf:meta-llama/Llama-3.3-70B-Instruct",
    ],
    "llama-3-1-8b": ["llama-3.1-8b-instant", "meta-llama/Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3.1-8B-Instruct-FP8"],
    "claude-3-5-sonnet": [
        "claude-3-5-sonnet-20241022",
        "claude-3-5-sonnet-latest",
        "anthropic/claude-3.5-sonnet",
        "anthropic/claude-3.5-sonnet:beta",
        "us.anthropic.claude-3-5-sonnet",
        "claude-3-5-sonnet@20241022",
    ],
    "gpt-4o": ["gpt-4o", "openai/gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o-2024-11-20"],
    "gemma-3-27b": ["google/gemma-3-27b-it:free", "gemma-3-27b-it", "models/gemma-3-27b-it"],
    "qwen-2-5-72b": ["Qwen/Qwen2.5-72B-Instruct", "qwen/qwen-2.5-72b-instruct", "Qwen/Qwen2.5-72B-Instruct-AWQ"],
    "deepseek-3": ["deepseek-ai/DeepSeek-V3", "accounts/fireworks/models/deepseek-v3", "deepseek_v3"],
    "mixtral-8x-7b": ["mistralai/Mixtral-8x7B-Instruct", "mixtral-8x7b-instruct"],
    "kimi-k-2": ["moonshotai/Kimi-K2-Instruct", "moonshotai/kimi-k2", "kimi-k2"],
    "gpt-oss-120b": ["openai/gpt-oss-120b", "gpt-oss-120b", "@cf/openai/gpt-oss-120b"],
}

DIFFERENT = [
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-4", "gpt-4-turbo"),
    ("llama-3.3-70b-versatile", "llama-3.1-70b-versatile"),
    ("llama-3.1-8b-instant", "llama-3.1-70b-versatile"),
    ("gemini-2.0-flash", "gemini-2.0-flash-lite"),
    ("gemini-2.5-pro", "gemini-2.5-pro-preview-05-06"),
    ("anthropic/claude-3.7-sonnet", "anthropic/claude-3.7-sonnet:thinking"),
    ("deepseek-r1", "deepseek-r1-0528"),
    ("deepseek-r1", "deepseek-r1-distill-llama-70b"),
    ("qwen3-32b", "qwen3-coder-32b"),
    ("llama3.3:70b", "llama3.3:8b"),
    ("claude-instant-1", "claude-1"),
    ("meta", "openai"),
]


@pytest.mark.parametrize(("like", "name"), [(like, name) for like, names in SAME.items() for name in names])
def test_names_of_one_model(like: str, name: str) -> None:
    assert likeness(name) == like


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_names_of_two_models(one: str, other: str) -> None:
    assert likeness(one) != likeness(other)


@pytest.mark.parametrize("name", ["", "/", "///", ":free", "-", "…", "модель", "\ud800", "\x00\n"])
def test_names_that_have_nothing_in_common_with_any(name: str) -> None:
    assert likeness(name) == ""


@given(st.text())
def test_any_name_has_one(name: str) -> None:
    like = likeness(name)
    assert like == like.lower()
    assert like.replace("-", "").isalnum() or not like
    assert not like.startswith("-")
    assert not like.endswith("-")
    assert len(like) <= 2 * 256


_PLAIN = st.from_regex(r"[a-z]{2,8}(-[a-z]{2,6})?-[0-9]{1,2}\.[0-9]-[0-9]{1,3}b", fullmatch=True)


@given(_PLAIN, st.sampled_from(["{}", "vendor/{}", "{}-instruct", "{}:free", "a/b/{}", "{}-latest", "{}-20250101"]))
def test_what_providers_add_makes_no_other_model(name: str, written: str) -> None:
    made = written.format(name)
    assert likeness(made) == likeness(made.upper()) == likeness(name)
    assert likeness(made.replace(".", "_").replace("-", " ")) == likeness(name) or "2025" in made or "latest" in made


def test_a_name_of_any_length_is_looked_at_in_part() -> None:
    assert likeness("x" * 10_000) == "x" * 256
