"""What the file says of probes: of all, of a tier, of a provider, of a target; the nearest holds."""

from __future__ import annotations

import pytest

from config.effective import Config, Tier
from config.load import load_text
from config.settings import Cap, TierSettings

TEXT = """
providers:
  groq: {api_key: k}
  openai: {api_key: k, probes: {enabled: false, daily_cap: {requests: 7}, models_per_minute: 2, failing: 1m}}
  openrouter: {api_key: k}
  gemini: {}
  google: {api_key: k}
  cloudflare-workers-ai: {api_key: k}
tiers: {popular: {interval: 1h}, standard: {max_tokens: 1}}
probes: {daily_cap: {tokens: 500}, pause: 1s}
models:
  one:
    tier: popular
    targets:
      - groq/a
      - {target: groq/b, probe: {interval: 90s, max_tokens: 3}}
      - {target: openai/on, probe: {enabled: true}}
      - {target: google/x, probe: {enabled: false}}
      - {target: gemini/keyless, probe: {enabled: true}}
      - {target: cloudflare-workers-ai/nowhere, probe: {enabled: true}}
  two:
    targets: [groq/b, {target: groq/a, probe: {timeout: 9s}}, {target: google-vertex/x, probe: {enabled: true}}]
"""


@pytest.fixture
def config() -> Config:
    return load_text(TEXT, {})


def test_the_defaults_of_every_tier() -> None:
    config = load_text("providers: {groq: {api_key: k}}", {})
    assert {tier: config.probing("groq", "m", tier) for tier in Tier} == {
        Tier.CRITICAL: TierSettings(interval=300, timeout=30, max_tokens=10),
        Tier.POPULAR: TierSettings(interval=1800, timeout=45, max_tokens=10),
        Tier.STANDARD: TierSettings(interval=7200, timeout=60, max_tokens=5),
        Tier.ON_DEMAND: TierSettings(interval=14400, timeout=60, max_tokens=5),
    }
    probes = config.providers["groq"].probes
    assert (probes.enabled, probes.max_in_flight, probes.pause, probes.failing) == (True, 10, 30, 300)
    assert (probes.models_per_minute, probes.daily_cap) == (0, Cap(requests=2000, tokens=20000))


def test_a_target_beats_its_tier(config: Config) -> None:
    assert config.probing("groq", "b", Tier.POPULAR) == TierSettings(interval=90, timeout=45, max_tokens=3)
    assert config.probing("groq", "a", Tier.POPULAR) == TierSettings(interval=3600, timeout=9, max_tokens=10)
    assert config.probing("groq", "other", Tier.STANDARD) == TierSettings(interval=7200, timeout=60, max_tokens=1)


@pytest.mark.parametrize(
    ("provider", "model", "probed"),
    [
        ("groq", "a", True),
        ("groq", "anything", True),
        ("openai", "anything", False),
        ("openai", "on", True),
        ("google-vertex", "x", False),
        ("gemini", "keyless", False),
        ("cloudflare-workers-ai", "nowhere", False),
        ("nobody", "m", False),
    ],
)
def test_who_is_probed(config: Config, provider: str, model: str, probed: bool) -> None:
    assert config.probed(provider, model) is probed


@pytest.mark.parametrize(
    ("provider", "pause", "again"),
    [
        ("groq", "1s", 300 - 1 - 60),
        ("groq", "30s", 300 - 30 - 60),
        ("groq", "2m", 150),
        ("openai", "1s", 30),
        ("slow", "1s", 600 - 90 - 60),
        ("gone", "1s", 300 - 1 - 60),
    ],
)
def test_what_fails_is_due_again_as_much_sooner_as_a_round_and_its_pause_last(
    provider: str, pause: str, again: float
) -> None:
    """In no case sooner than after half of the time."""
    slow = '  slow: {base_url: "http://127.0.0.1", probes: {failing: 10m, pause: 90s}}\ntiers:'
    text = TEXT.replace("pause: 1s}", f"pause: {pause}}}").replace("tiers:", slow, 1)
    assert load_text(text, {}).again(provider) == again


def test_a_provider_beats_the_catalog_and_the_catalog_all(config: Config) -> None:
    openai, openrouter = config.providers["openai"].probes, config.providers["openrouter"].probes
    assert (openai.models_per_minute, openai.failing, openai.pause) == (2, 60, 1)
    assert openai.daily_cap == Cap(requests=7, tokens=500)
    assert openrouter.models_per_minute == 4
    assert openrouter.daily_cap == Cap(requests=2000, tokens=500)
    none = load_text("providers: {openrouter: {probes: {models_per_minute: 0}}}", {})
    assert none.providers["openrouter"].probes.models_per_minute == 0


def test_a_group_without_a_tier_leaves_it_to_traffic(config: Config) -> None:
    assert config.groups["two"].tier is None
    assert config.tier("groq", "b") is Tier.POPULAR
    alone = load_text("providers: {groq: {}}\nmodels: {m: {targets: [groq/a]}}", {})
    assert alone.tier("groq", "a") is None
