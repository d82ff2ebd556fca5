from __future__ import annotations

import pytest

from config.environment import Overlay, overlay, relabel, variable
from config.place import Tree
from config.problems import Problem

NONE: frozenset[str] = frozenset()


def lay(tree: Tree, environ: dict[str, str], overrides: dict[str, str] | None = None) -> tuple[Overlay, list[Problem]]:
    problems: list[Problem] = []
    return overlay(tree, environ, overrides or {}, problems, NONE), problems


@pytest.mark.parametrize(
    ("tree", "name", "value", "expected"),
    [
        (None, "DETOUR_LISTEN", ":1", {"listen": ":1"}),
        ({"listen": ":2", "x": "y"}, "DETOUR_LISTEN", ":1", {"listen": ":1", "x": "y"}),
        ({"admin": {"token": "a"}}, "DETOUR_ADMIN_LISTEN", ":1", {"admin": {"token": "a", "listen": ":1"}}),
        ({"admin": None}, "DETOUR_ADMIN_LISTEN", ":1", {"admin": {"listen": ":1"}}),
        ({"admin": "wrong"}, "DETOUR_ADMIN_LISTEN", ":1", {"admin": "wrong"}),
        ([], "DETOUR_LISTEN", ":1", []),
        (None, "DETOUR_HOSTS", "a,b", {"hosts": "a,b"}),
        (None, "DETOUR_HOSTS", "[a, b]", {"hosts": ["a", "b"]}),
        (None, "DETOUR_STREAMS", "{rescue: off}", {"streams": {"rescue": "off"}}),
        (None, "DETOUR_MODELS", "{m: {targets: [a/b]}}", {"models": {"m": {"targets": ["a/b"]}}}),
        (None, "DETOUR_PROVIDERS_GROQ_TIMEOUTS_FIRST_BYTE", "1s",
         {"providers": {"groq": {"timeouts": {"first_byte": "1s"}}}}),
        (None, "DETOUR_PROVIDERS_CLOUDFLARE_WORKERS_AI_API_KEY", "k",
         {"providers": {"cloudflare-workers-ai": {"api_key": "k"}}}),
        (None, "DETOUR_PROVIDERS_MY_LAB_BASE_URL", "http://x", {"providers": {"my-lab": {"base_url": "http://x"}}}),
        (None, "DETOUR_PROVIDERS_LAB_API_KEY_ENV", "A", {"providers": {"lab": {"api_key_env": "A"}}}),
        ({"models": {"llama-3.3": {"tier": "standard"}}}, "DETOUR_MODELS_LLAMA_3_3_TIER", "popular",
         {"models": {"llama-3.3": {"tier": "popular"}}}),
        (None, "DETOUR_ALERTS_RULES_HEALTH_FOR", "1m", {"alerts": {"rules": {"health": {"for": "1m"}}}}),
        (None, "DETOUR_TIERS_ON_DEMAND_INTERVAL", "1m", {"tiers": {"on_demand": {"interval": "1m"}}}),
        (None, "DETOUR_ADMIN_TOKEN", "${A}$$", {"admin": {"token": "${A}$$"}}),
    ],
)  # fmt: skip
def test_a_variable_sets_its_setting(tree: Tree, name: str, value: str, expected: Tree) -> None:
    result, problems = lay(tree, {name: value})
    assert (result.tree, result.warnings, problems) == (expected, [], [])


def test_the_file_is_left_as_it_was() -> None:
    shared = {"connect": "1s"}
    tree: Tree = {"providers": {"a": {"timeouts": shared}, "b": {"timeouts": shared}}}
    result, _ = lay(tree, {"DETOUR_PROVIDERS_A_TIMEOUTS_CONNECT": "2s"})
    assert result.tree == {"providers": {"a": {"timeouts": {"connect": "2s"}}, "b": {"timeouts": {"connect": "1s"}}}}
    assert shared == {"connect": "1s"}


@pytest.mark.parametrize(
    "name",
    ["DETOUR_CONFIG", "DETOUR_SERVICE_HOST", "DETOUR_SERVICE_PORT", "DETOUR_SERVICE_PORT_HTTP", "DETOUR_PORT",
     "DETOUR_PORT_8080_TCP_ADDR", "DETOUR_ADMIN_SERVICE_HOST", "DETOUR_ADMIN_PORT_9090_TCP", "HOME", "LISTEN"],
)  # fmt: skip
def test_what_is_somebody_elses_is_left_alone(name: str) -> None:
    result, problems = lay(None, {name: "x"})
    assert (result.tree, result.warnings, problems) == (None, [], [])


def test_an_empty_variable_is_not_set() -> None:
    assert lay({"listen": ":1"}, {"DETOUR_LISTEN": ""})[0].tree == {"listen": ":1"}


def test_an_unknown_variable_is_a_warning() -> None:
    result, problems = lay(
        None, {"DETOUR_ADMIN_LISTN": ":1", "DETOUR_PROVIDERS_X_Y": "1", "DETOUR_PROVIDERS__AUTH": "x"}
    )
    assert problems == []
    assert result.tree is None
    assert len(result.warnings) == 3
    assert (
        result.warnings[0]
        == 'environment variable DETOUR_ADMIN_LISTN names no setting; did you mean "DETOUR_ADMIN_LISTEN"?'
    )


def test_a_variable_that_the_file_names_needs_no_setting() -> None:
    result = overlay(None, {"DETOUR_MY_KEY": "k"}, {}, [], frozenset({"DETOUR_MY_KEY"}))
    assert result.warnings == []


def test_the_command_line_beats_the_environment() -> None:
    result, problems = lay({"listen": ":1"}, {"DETOUR_LISTEN": ":2"}, {"listen": ":3", "providers.groq.api_key": "k"})
    assert result.tree == {"listen": ":3", "providers": {"groq": {"api_key": "k"}}}
    assert result.sources == {"listen": "command line", "providers.groq.api_key": "command line"}
    assert problems == []


def test_an_unknown_option_is_a_mistake() -> None:
    _, problems = lay(None, {}, {"admin.listn": ":1"})
    assert str(problems[0]) == 'admin.listn: no such setting; did you mean "admin.listen"? (command line)'


def test_broken_yaml_in_a_variable_is_told_at_its_setting() -> None:
    _, problems = lay(None, {"DETOUR_STREAMS": "{rescue: [}"})
    assert problems[0].path == "streams"


def test_problems_say_where_a_value_came_from_and_are_told_once_for_each_path() -> None:
    problems = [
        Problem("listen", "wrong"),
        Problem("listen", "missing"),
        Problem("listen", "wrong"),
        Problem("hosts[1]", "bad"),
        Problem("hostsx", "bad"),
        Problem("", "one"),
        Problem("", "two"),
    ]
    assert [str(p) for p in relabel(problems, {"listen": "DETOUR_LISTEN", "hosts": "command line"})] == [
        "listen (DETOUR_LISTEN): wrong",
        "hosts[1] (command line): bad",
        "hostsx: bad",
        "one",
        "two",
    ]


def test_the_variable_of_a_path() -> None:
    assert variable(("providers", "vercel-ai-gateway", "api_key")) == "DETOUR_PROVIDERS_VERCEL_AI_GATEWAY_API_KEY"
