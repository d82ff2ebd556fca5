from __future__ import annotations

import pytest

from tests.healthapi.samples import sources, store

FROM = sources(
    store(),
    config="""
providers:
  groq: {api_key: k}
  openai: {}
  google-vertex: {api_key: k}
models:
  llama: {tier: critical, targets: [groq/llama]}
tiers: {critical: {interval: 60s}}
""",
)


@pytest.mark.parametrize(
    ("name", "canonical"), [("groq", "groq"), ("google", "google-vertex"), ("nobody", "nobody"), ("", "")]
)
def test_aliases_are_resolved(name: str, canonical: str) -> None:
    assert FROM.canonical(name) == canonical


@pytest.mark.parametrize(("name", "configured"), [("groq", True), ("openai", False), ("nobody", False)])
def test_configured_is_who_has_a_credential(name: str, configured: bool) -> None:
    assert FROM.configured(name) is configured


@pytest.mark.parametrize(("model", "tier", "interval"), [("llama", "critical", 60.0), ("other", "standard", 7200.0)])
def test_tiers_and_their_intervals(model: str, tier: str, interval: float) -> None:
    assert FROM.tier("groq", model) == tier
    assert FROM.interval("groq", model) == interval
