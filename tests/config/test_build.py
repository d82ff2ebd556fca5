from __future__ import annotations

import pytest

from config.effective import Config
from config.load import ConfigError, load_text
from config.words import Mode, Tier

GROUPS = """
timeouts: {connect: 1s, idle: 1s, answer: 1s, total: 1s}
providers: {groq: {timeouts: {idle: 2s, answer: 2s, total: 2s}}, xai: {}}
models:
  one:
    tier: popular
    timeouts: {answer: 3s, total: 3s}
    targets: [{target: groq/m, timeouts: {total: 4s}}, google/a/b]
  two:
    tier: critical
    timeouts: {answer: 9s, first_byte: 9s}
    targets: [groq/m, xai/m]
"""


def problems_of(text: str | None, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, environ or {})
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def config() -> Config:
    return load_text(GROUPS, {})


def test_the_nearest_limit_wins(config: Config) -> None:
    limits = config.timeouts("groq", "m")
    assert (limits.connect, limits.idle, limits.answer, limits.total) == (1, 2, 3, 4)
    assert limits.first_byte == 9, "what the first group leaves out, the second says"
    assert config.groups["one"].targets[0].timeouts == limits
    assert config.timeouts("xai", "m").answer == 9
    assert config.timeouts("groq", "other").answer == 2
    assert config.groups["one"].timeouts.answer == 3


def test_targets_stand_under_canonical_names(config: Config) -> None:
    assert [(t.provider, t.model) for t in config.groups["one"].targets] == [("groq", "m"), ("google-vertex", "a/b")]
    assert config.targets == {("groq", "m"), ("google-vertex", "a/b"), ("xai", "m")}


def test_a_providers_breaker_knobs_lie_over_the_global_ones() -> None:
    text = "breakers: {window: 9s, jitter: 0.2}\nproviders: {groq: {breakers: {jitter: 0, mode: observe}}, xai: {}}"
    config = load_text(text, {})
    groq, xai = config.providers["groq"].breakers, config.providers["xai"].breakers
    assert xai == config.settings.breakers
    assert (groq.window, groq.jitter, groq.mode, groq.open_for) == (9, 0, Mode.OBSERVE, xai.open_for)


SHARED = """
models:
  one: {targets: [groq/a, {target: xai/b, context_window: 8}, google/c]}
  two: {targets: [{target: openai/d, context_window: 5}, xai/b, groq/a]}
  three: {targets: [{target: groq/a, context_window: 9}, {target: xai/b, context_window: 7}]}
  alone: {targets: [openai/e]}
"""


KEYS = dict.fromkeys(("GROQ_API_KEY", "XAI_API_KEY", "OPENAI_API_KEY"), "sk-of-a-usual-length")


def test_what_could_stand_in_for_a_target() -> None:
    """Vertex, without a credential, stands in for nobody; what it is asked for can go elsewhere."""
    config = load_text(SHARED, KEYS)
    found = {key: [(t.provider, t.model) for t in targets] for key, targets in config.stand_ins.items()}
    a, b, c, d = ("groq", "a"), ("xai", "b"), ("google-vertex", "c"), ("openai", "d")
    assert found == {a: [b, d], b: [a, d], c: [a, b], d: [b, a]}
    for key, targets in config.stand_ins.items():
        for target in targets:
            assert target.timeouts == config.timeouts(target.provider, target.model), key


def test_a_stand_in_is_what_the_first_group_says_of_it() -> None:
    text = """
models:
  one: {targets: [groq/a, {target: xai/b, prefill: true}]}
  two: {targets: [groq/a, {target: xai/b, prefill: false}]}
"""
    assert [target.prefill for target in load_text(text, KEYS).stand_ins["groq", "a"]] == [True]


def test_another_model_of_the_same_provider_stands_in_without_a_credential_of_ours() -> None:
    config = load_text("models: {one: {targets: [groq/a, groq/b, xai/c]}}", {})
    assert [target.model for target in config.stand_ins["groq", "a"]] == ["b"]
    assert ("xai", "c") not in config.stand_ins


def test_the_first_context_window_that_is_said_holds_in_every_group() -> None:
    config = load_text(SHARED, KEYS)
    assert config.windows == {("xai", "b"): 8, ("openai", "d"): 5, ("groq", "a"): 9}
    every = [t for group in config.groups.values() for t in group.targets]
    every += [t for targets in config.stand_ins.values() for t in targets]
    for target in every:
        assert target.context_window == config.windows.get((target.provider, target.model))


def test_without_groups_nothing_stands_in() -> None:
    config = load_text(None, {})
    assert (config.stand_ins, config.windows) == ({}, {})


def test_the_most_demanding_tier_wins(config: Config) -> None:
    assert config.tier("groq", "m") is Tier.CRITICAL
    assert config.tier("google-vertex", "a/b") is Tier.POPULAR


@pytest.mark.parametrize(
    ("text", "served"),
    [
        (None, 39),
        ("listen: 127.0.0.1:1", 39),
        ("providers: {}", 0),
        ("providers: {groq: {}}", 1),
        ("providers: {google: {}}", 1),
        ("models: {m: {targets: [groq/a, google/b]}}", 2),
        ("providers: {groq: {}, lab: {base_url: 'http://127.0.0.1'}}\nmodels: {m: {targets: [xai/a]}}", 3),
    ],
)
def test_which_providers_are_served(text: str | None, served: int) -> None:
    assert len(load_text(text, {}).providers) == served


def test_the_environment_restricts_nothing() -> None:
    config = load_text(
        None, {"DETOUR_PROVIDERS_GROQ_API_KEY": "k", "DETOUR_PROVIDERS_LAB_BASE_URL": "http://127.0.0.1:1"}
    )
    assert len(config.providers) == 40
    assert config.providers["groq"].key_source == "api_key"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: {m: {targets: []}}", "models.m.targets: must name at least one target"),
        ("models: {m: {targets: [groq]}}", 'models.m.targets[0]: "groq" is not provider/model'),
        ("models: {m: {targets: [/x]}}", 'models.m.targets[0]: "/x" is not provider/model'),
        ("models: {m: {targets: [groq/]}}", 'models.m.targets[0]: "groq/" is not provider/model'),
        ("models: {llama-3.3-70b: {targets: [groq/a, grok/a]}}",
         'models.llama-3.3-70b.targets[1]: provider "grok" is not configured; did you mean "groq"?'),
        ("models: {m: {targets: [google/a, google-vertex/a]}}",
         'models.m.targets[1]: "google-vertex/a" stands in this group twice'),
        ("providers: {google: {}, google-vertex: {}}",
         "providers.google-vertex: is the same provider as google-vertex, which stands here too"),
        ("providers: {lab: {base_url: 'https://h/?x'}}", "providers.lab.base_url: must not have a query or a fragment"),
    ],
)  # fmt: skip
def test_mistakes(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


RELAY = (
    "listen: 0.0.0.0:80 can be reached from elsewhere, and anybody who does could spend the credentials of openai. "
    "Add the line `client_token: ${DETOUR_CLIENT_TOKEN}` so that callers prove themselves, or `open: true` if "
    "everybody may, or listen on 127.0.0.1"
)


def test_no_open_relay() -> None:
    assert problems_of("listen: 0.0.0.0:80", {"OPENAI_API_KEY": "k"}) == [RELAY]
    assert problems_of(None, {"DETOUR_LISTEN": "0.0.0.0:80", "OPENAI_API_KEY": "k"}) == [
        RELAY.replace("listen:", "listen (DETOUR_LISTEN):", 1)
    ]
    many = problems_of(
        "listen: :80\nopen: false", dict.fromkeys(("GROQ_API_KEY", "XAI_API_KEY", "FAL_KEY", "ZAI_API_KEY"), "k")
    )
    assert "groq, xai, fal and 2 more" in many[0]


@pytest.mark.parametrize(
    ("text", "environ", "adds"),
    [
        ("", {"OPENAI_API_KEY": "k"}, True),
        ("listen: '[::1]:80'", {"OPENAI_API_KEY": "k"}, True),
        ("listen: :80", {}, False),
        ("listen: :80\nproviders: {groq: {}}", {"OPENAI_API_KEY": "k"}, False),
        ("listen: :80\nopen: true", {"OPENAI_API_KEY": "k"}, True),
        ("listen: :80\nclient_token: t0ken", {"OPENAI_API_KEY": "k"}, True),
        ("listen: :80", {"OPENAI_API_KEY": "k", "DETOUR_CLIENT_TOKEN": "t0ken"}, True),
    ],
)
def test_when_credentials_are_added(text: str, environ: dict[str, str], adds: bool) -> None:
    config = load_text(text, environ)
    assert config.adds_credentials is adds
    assert (config.client_token is not None) is ("token" in text + str(environ).lower())


def test_a_mistaken_token_is_told_and_not_that_there_is_none() -> None:
    problems = problems_of("listen: :80\nclient_token: ${NOPE}", {"OPENAI_API_KEY": "k"})
    assert problems == ["client_token: environment variable NOPE is not set"]


def test_a_mistake_leads_to_no_second_one() -> None:
    assert problems_of("providers: {lab: {base_url: nope}}") == [
        'providers.lab.base_url: "nope" is not a URL such as https://host/v1'
    ]


@pytest.mark.parametrize(
    ("text", "environ", "warning"),
    [
        ("admin: {listen: ':9090'}", {}, "admin.listen: :9090 can be reached from elsewhere and no admin.token is set"),
        ("providers: {google-vertex: {}}", {}, "providers.google-vertex: its address needs GOOGLE_VERTEX_LOCATION"),
        ("providers: {groq: {}}", {"GROQ_API_KEY": "a b"}, "providers.groq: GROQ_API_KEY holds what cannot be a key"),
        ("", {"DETOUR_LISTN": "x"}, "environment variable DETOUR_LISTN names no setting"),
    ],
)
def test_warnings(text: str, environ: dict[str, str], warning: str) -> None:
    warnings = load_text(text, environ).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith(warning)


def test_no_file_and_nothing_set_warns_of_nothing() -> None:
    assert load_text(None, {}).warnings == ()


def test_hosts_are_lower_case() -> None:
    assert load_text("hosts: [Detour.Svc, x]", {}).hosts == {"detour.svc", "x"}
