from __future__ import annotations

import pytest

from config.decode import decode
from config.interpolate import Filled
from config.place import Tree
from config.problems import Problem
from config.settings import Settings
from config.tree import parse
from config.words import Rescue, Tier


def read(text: str) -> tuple[Settings, list[str]]:
    tree, problems = parse(text)
    settings = decode(tree, problems)
    return settings, [str(problem) for problem in problems]


def test_nothing_is_the_defaults() -> None:
    assert read("") == (Settings(), [])
    assert read("providers:\nadmin:\nlisten:") == (Settings(), [])


def test_values_of_every_form() -> None:
    settings, problems = read("""
        streams: {rescue: off}
        hosts: [a.example, b.example]
        admin: {open: "metrics, health"}
        alerts: {rules: {health: {for: 5m}}}
        models:
          m: {tier: critical, targets: [groq/a, {target: groq/b, context_window: 10, prefill: true}]}
        providers:
          groq:
          lab: {headers: {X-A: b}, prefixes: {openai: /v1}, api_key_env: LAB_KEY}
    """)
    assert problems == []
    assert settings.streams.rescue is Rescue.OFF
    assert settings.hosts == ("a.example", "b.example")
    assert [str(word) for word in settings.admin.open] == ["metrics", "health"]
    assert settings.alerts.rules.health.for_ == 300
    assert settings.alerts.rules.health.warning == 90
    group = settings.models["m"]
    assert group.tier is Tier.CRITICAL
    assert [(t.target, t.context_window, t.prefill) for t in group.targets] == [
        ("groq/a", None, None),
        ("groq/b", 10, True),
    ]
    assert settings.providers["lab"].headers == {"X-A": "b"}
    assert settings.providers["lab"].api_key_env == ("LAB_KEY",)
    assert settings.providers["lab"].prefixes == {"openai": "/v1"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("admn: {}", 'admn: no such key; did you mean "admin"?'),
        ("breakers: {failure_treshold: 1}",
         'breakers.failure_treshold: no such key; did you mean "failure_threshold"?'),
        ("- a", "must be a mapping of keys to values"),
        ("admin: x", "admin: must be a mapping of keys to values"),
        ("providers: [groq]", "providers: must be a mapping of names to values"),
        ("hosts: {a: b}", "hosts: must be a list"),
        ("hosts: [{a: b}]", "hosts[0]: must be a single value"),
        ("hosts: [a, ~]", "hosts[1]: has no value"),
        ("listen: [a]", "listen: must be a single value"),
        ("models: {m: {}}", "models.m.targets: is missing"),
        ("models: {m: {targets: [{prefill: true}]}}", "models.m.targets[0].target: is missing"),
        ("models: {m: {targets: x}}", None),
        ("models: {m: {targets: 5, tier: 6}}",
         'models.m.tier: "6" is not one of critical, popular, standard, on_demand'),
        ("providers: {'': {}}", 'providers.: "" is not a name of letters, digits, dots and dashes'),
        ("providers: {a/b: {}}", 'providers.a/b: "a/b" is not a name of letters, digits, dots and dashes'),
        ("providers: {g: {prefixes: {opnai: /v1}}}",
         'providers.g.prefixes.opnai: "opnai" is not one of openai, anthropic, gemini, fal; did you mean "openai"?'),
        ("providers: {g: {prefixes: {openai: /v1/../x}}}",
         'providers.g.prefixes.openai: "/v1/../x" is not a path such as /openai/v1'),
        ("alerts: {channels: {x: {type: slack, url: [a]}}}", "alerts.channels.x.url: must be a single value"),
        ("timeouts: {idle: 5}", 'timeouts.idle: "5" has no unit; did you mean "5s"?'),
        ("models: {m: {targets: [{target: 'a/\x7f'}]}}", None),
    ],
)  # fmt: skip
def test_mistakes(text: str, problem: str | None) -> None:
    _, problems = read(text)
    assert problem is None or problem in problems, problems


def test_all_mistakes_are_told_at_once_and_the_rest_is_read() -> None:
    settings, problems = read("listen: x\nadmin: {listen: y}\ntimeouts: {idle: 1, connect: 7s}\nzzz: 1")
    assert [problem.partition(":")[0] for problem in problems] == ["zzz", "listen", "admin.listen", "timeouts.idle"]
    assert settings.timeouts.connect == 7


@pytest.mark.parametrize(
    "tree",
    [{"listen": Filled.of("sk-secret", "${KEY}")}, {"hosts": Filled.of("ok, sk secret", "${KEY}")},
     {"timeouts": {"idle": Filled.of("sk-secret", "${KEY}")}}],
)  # fmt: skip
def test_what_was_filled_in_is_not_repeated(tree: Tree) -> None:
    problems: list[Problem] = []
    decode(tree, problems)
    assert "secret" not in str(problems)
    assert "${KEY}" in problems[0].message


def test_a_section_given_in_part_keeps_its_own_defaults() -> None:
    settings, problems = read(
        "tiers: {critical: {timeout: 9s}}\nalerts: {rules: {drop: {for: 1m}, store: {repeat: 1h}}}"
    )
    assert problems == []
    assert (settings.tiers.critical.interval, settings.tiers.critical.timeout) == (300, 9)
    assert (settings.alerts.rules.drop.warning, settings.alerts.rules.drop.for_) == (10, 60)
    assert (settings.alerts.rules.store.for_, settings.alerts.rules.store.repeat) == (120, 3600)
