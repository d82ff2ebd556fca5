from __future__ import annotations

import pytest

from config.load import load_text
from healthapi.likeness import likeness
from healthapi.offers import NOTHING, Offer
from healthapi.suggestions import Suggestion, Suggestions, joining

GROUPS = {
    "llama-3.3-70b": [("groq", "llama-3.3-70b-versatile"), ("openrouter", "meta-llama/llama-3.3-70b-instruct")],
    "sonnet": [("anthropic", "claude-3-5-sonnet-20241022")],
    "mine": [("lab", "secret-sauce")],
}
OFFERED = {
    "groq": ["llama-3.3-70b-versatile", "llama-3.1-8b-instant"],
    "together": ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Llama-3.3-70B-Instruct"],
    "openrouter": [
        "meta-llama/llama-3.3-70b-instruct",
        "meta-llama/llama-3.3-70b-instruct:free",
        "anthropic/claude-3.5-sonnet:beta",
        "anthropic/claude-3.5-sonnet",
    ],
    "deepinfra": ["Qwen/Qwen2.5-72B-Instruct"],
}


def alike(names: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(likeness(name), []).append(name)
    return found


def joins(group: str, left: set[tuple[str, str]]) -> list[tuple[str, str]]:
    offered = {name: alike(names) for name, names in OFFERED.items()}
    return joining(group, GROUPS[group], offered, lambda provider, model: (provider, model) in left)


@pytest.mark.parametrize(
    ("group", "found"),
    [
        ("llama-3.3-70b", [("together", "meta-llama/Llama-3.3-70B-Instruct")]),
        ("sonnet", [("openrouter", "anthropic/claude-3.5-sonnet")]),
        ("mine", []),
    ],
)
def test_what_could_join_a_group(group: str, found: list[tuple[str, str]]) -> None:
    assert joins(group, set()) == found


def test_what_could_take_the_place_of_a_target_that_went() -> None:
    found = joins("llama-3.3-70b", {("openrouter", "meta-llama/llama-3.3-70b-instruct")})
    assert ("openrouter", "meta-llama/llama-3.3-70b-instruct:free") in found


def test_names_that_say_nothing_are_never_alike() -> None:
    assert joining("группа", [("b", "///")], {"a": alike(["模型"])}, lambda *_: False) == []


CONFIG = """
providers: {groq: {api_key: k}, openrouter: {api_key: k}, fal: {api_key: k}}
models: {llama: {targets: [groq/llama-3.3-70b-versatile]}}
"""


async def test_of_the_lists_of_those_who_could_stand_in() -> None:
    config, made = load_text(CONFIG, {}), Suggestions()
    lists = {"openrouter": frozenset(OFFERED["openrouter"]), "fal": frozenset(OFFERED["openrouter"])}
    names = ["groq", "openrouter", "fal"]

    async def found() -> list[Suggestion]:
        return await made.find(config, names, lambda name: Offer(names=lists[name]) if name in lists else NOTHING)

    assert await found() == [Suggestion("llama", "openrouter", "meta-llama/llama-3.3-70b-instruct")]
    lists["openrouter"] = frozenset({"llama-3.3-70b"})
    assert await found() == [Suggestion("llama", "openrouter", "llama-3.3-70b")], "of the list as it is now"
