from __future__ import annotations

import pytest

from config.effective import Origin
from config.load import load, load_text


@pytest.mark.parametrize(
    ("origin", "authority", "tls", "shown"),
    [
        (Origin("https", "api.x.ai", 443), b"api.x.ai", True, "https://api.x.ai"),
        (Origin("https", "api.x.ai", 8443), b"api.x.ai:8443", True, "https://api.x.ai:8443"),
        (Origin("http", "127.0.0.1", 80), b"127.0.0.1", False, "http://127.0.0.1"),
        (Origin("http", "::1", 443), b"[::1]:443", False, "http://[::1]:443"),
    ],
)
def test_origins(origin: Origin, authority: bytes, tls: bool, shown: str) -> None:
    assert (origin.authority, origin.tls, str(origin)) == (authority, tls, shown)
    same = Origin(origin.scheme, origin.host, origin.port)
    assert (origin, hash(origin)) == (same, hash(same))
    with pytest.raises(AttributeError):
        origin.port = 1  # type: ignore[misc]


def test_providers_are_found_by_name_and_alias() -> None:
    config = load(None, {})
    vertex = config.provider("google")
    assert vertex is not None
    assert vertex.name == "google-vertex"
    assert config.provider("google-vertex") is vertex
    assert config.provider("nope") is None
    assert config.aliases["alibaba-cloud"] == "alibaba"
    assert "google" not in config.providers


def test_similar_names() -> None:
    config = load(None, {})
    assert config.similar("grok")[0] == "groq"
    assert config.similar("\x00" * 100_000) == []
    assert len(config.similar("open")) <= 3


def test_limits_and_tiers_of_what_is_in_no_group() -> None:
    config = load_text("providers: {groq: {timeouts: {idle: 7s}}}\ntimeouts: {idle: 9s}", {})
    assert config.timeouts("groq", "any").idle == 7
    assert config.timeouts("nowhere", "any").idle == 9
    assert config.tier("groq", "any") is None
