from __future__ import annotations

import pytest
import yaml

from config.effective import Provider
from config.load import load_text
from config.problems import Problem
from config.providers import make_provider, resolve
from config.secret import Secret
from config.settings import BreakerOverrides, Breakers, ProviderSettings, Settings, TimeoutOverrides, Timeouts
from config.words import AuthStyle, Dialect


def make(name: str, environ: dict[str, str] | None = None, **settings: object) -> Provider:
    problems: list[Problem] = []
    entry = ProviderSettings(**settings)  # type: ignore[arg-type]
    provider = make_provider(name, entry, Settings(), environ or {}, problems)
    assert provider is not None
    assert problems == []
    return provider


def test_a_catalogued_one_needs_nothing() -> None:
    groq = make("groq", {"GROQ_API_KEY": " sk \n"})
    assert groq.base_url == "https://api.groq.com/openai/v1"
    assert (groq.prefix, groq.prefixes, groq.dialect, groq.auth) == (
        "/openai/v1", {"openai": "/openai/v1"}, "openai", AuthStyle.BEARER
    )  # fmt: skip
    assert groq.credential == Secret("sk")
    assert groq.key_source == "GROQ_API_KEY"
    assert groq.configured
    assert groq.catalogued
    assert not groq.keyless


@pytest.mark.parametrize(
    ("environ", "settings", "key", "source"),
    [
        ({}, {}, None, None),
        ({"FAL_API_KEY": "b"}, {}, "b", "FAL_API_KEY"),
        ({"FAL_KEY": "a", "FAL_API_KEY": "b"}, {}, "a", "FAL_KEY"),
        ({"FAL_KEY": "", "FAL_API_KEY": "b"}, {}, "b", "FAL_API_KEY"),
        ({"FAL_KEY": "a\nb", "FAL_API_KEY": "b"}, {}, "b", "FAL_API_KEY"),
        ({"FAL_KEY": "a"}, {"api_key": Secret("c")}, "c", "api_key"),
        ({"FAL_KEY": "a", "MINE": "d"}, {"api_key_env": ("MINE",)}, "d", "MINE"),
        ({"FAL_KEY": "a"}, {"api_key_env": ("MINE",)}, None, None),
    ],
)
def test_where_the_key_comes_from(
    environ: dict[str, str], settings: dict[str, object], key: str | None, source: str | None
) -> None:
    provider = make("fal", environ, **settings)
    assert provider.credential == (Secret(key) if key else None)
    assert provider.key_source == source
    assert provider.configured is (key is not None)


@pytest.mark.parametrize(
    ("name", "settings", "dialect", "auth"),
    [
        ("openai", {}, "openai", AuthStyle.BEARER),
        ("anthropic", {}, "anthropic", AuthStyle.X_API_KEY),
        ("gemini", {}, "gemini", AuthStyle.X_GOOG_API_KEY),
        ("google-vertex", {}, "gemini", AuthStyle.BEARER),
        ("google-vertex", {"dialect": Dialect.OPENAI}, "openai", AuthStyle.BEARER),
        ("fal", {}, "fal", AuthStyle.KEY),
        ("groq", {"auth": AuthStyle.API_KEY}, "openai", AuthStyle.API_KEY),
        ("groq", {"dialect": Dialect.ANTHROPIC}, "anthropic", AuthStyle.X_API_KEY),
    ],
)
def test_dialect_and_auth(name: str, settings: dict[str, object], dialect: str, auth: AuthStyle) -> None:
    provider = make(name, **settings)
    assert (provider.dialect, provider.auth) == (dialect, auth)


@pytest.mark.parametrize(
    ("name", "settings", "prefixes"),
    [
        ("gemini", {}, {"gemini": "/v1beta", "openai": "/v1beta/openai"}),
        ("anthropic", {}, {"anthropic": "/v1", "openai": "/v1"}),
        ("openrouter", {}, {"openai": "/api/v1", "anthropic": "/api/v1"}),
        ("gemini", {"base_url": "http://127.0.0.1:1/v1beta"}, {"gemini": "/v1beta", "openai": "/v1beta/openai"}),
        ("gemini", {"base_url": "http://127.0.0.1:1/other"}, {"gemini": "/other"}),
        ("gemini", {"dialect": Dialect.OPENAI}, {"openai": "/v1beta"}),
        ("gemini", {"prefixes": {"openai": "/x/"}}, {"gemini": "/v1beta", "openai": "/x"}),
        ("fal", {}, {"fal": ""}),
    ],
)
def test_prefixes(name: str, settings: dict[str, object], prefixes: dict[str, str]) -> None:
    assert make(name, **settings).prefixes == prefixes


def test_headers_of_catalog_environment_and_file() -> None:
    assert make("anthropic").headers == ((b"anthropic-version", b"2023-06-01"),)
    assert make("anthropic", headers={"Anthropic-Version": "2099", "X-A": " b "}).headers == (
        (b"Anthropic-Version", b"2099"),
        (b"X-A", b"b"),
    )
    assert make("aihubmix").headers == ()
    assert make("aihubmix", {"AIHUBMIX_APP_CODE": "c"}).headers == ((b"APP-Code", b"c"),)
    assert make("aihubmix", {"AIHUBMIX_APP_CODE": "a\r\nb"}).headers == ()


def test_one_of_ones_own_without_a_key_needs_none() -> None:
    lab = make("lab", base_url="http://127.0.0.1:8000/v1")
    assert (lab.keyless, lab.configured, lab.credential, lab.catalogued) == (True, True, None, False)
    wants = make("lab", base_url="http://127.0.0.1:8000/v1", api_key_env=("LAB",))
    assert (wants.keyless, wants.configured) == (False, False)


def test_missing_variables_of_the_url_leave_an_origin_that_leads_nowhere() -> None:
    vertex = make("google-vertex")
    assert vertex.missing_variables == ("GOOGLE_VERTEX_LOCATION",)
    assert vertex.origin.host == "unset.invalid"
    assert vertex.prefix == "/v1"
    there = make("google-vertex", {"GOOGLE_VERTEX_LOCATION": "us-east5"})
    assert (there.origin.host, there.missing_variables) == ("us-east5-aiplatform.googleapis.com", ())
    own = make("google-vertex", base_url="http://127.0.0.1:1/v1")
    assert (own.origin.host, own.missing_variables) == ("127.0.0.1", ())


@pytest.mark.parametrize(
    ("name", "url", "problem"),
    [
        ("grok", None, 'providers.grok.base_url: is missing, and "grok" is not in the catalog; did you mean "groq"?'),
        ("lab", "https://u:secret@h", "providers.lab.base_url: holds a user name or password; put the key in api_key"),
    ],
)
def test_mistakes(name: str, url: str | None, problem: str) -> None:
    problems: list[Problem] = []
    assert make_provider(name, ProviderSettings(base_url=url), Settings(), {}, problems) is None
    assert [str(found) for found in problems] == [problem]


def test_time_limits_are_laid_over_one_another() -> None:
    base = Timeouts(idle=1.0, connect=2.0, total=3.0)
    result = resolve(base, TimeoutOverrides(idle=4.0, connect=5.0), TimeoutOverrides(idle=6.0))
    assert (result.idle, result.connect, result.total) == (6, 5, 3)


def test_breaker_knobs_of_a_provider_are_laid_over_the_global_ones() -> None:
    settings = Settings(breakers=Breakers(failure_threshold=7, window=20.0))
    entry = ProviderSettings(breakers=BreakerOverrides(window=30.0, jitter=0.0))
    made = make_provider("groq", entry, settings, {}, [])
    assert made is not None
    assert made.breakers == Breakers(failure_threshold=7, window=30.0, jitter=0.0)
    other = make_provider("xai", ProviderSettings(), settings, {}, [])
    assert other is not None
    assert other.breakers == settings.breakers


@pytest.mark.parametrize(
    ("name", "entry", "path"),
    [
        ("groq", {}, "/openai/v1/models"),
        ("anthropic", {}, "/v1/models"),
        ("gemini", {}, "/v1beta/models"),
        ("cloudflare-workers-ai", {}, "/client/v4/accounts/unset/ai/models/search?per_page=100"),
        ("openrouter", {}, "/api/v1/models?output_modalities=all"),
        ("featherless", {}, "/v1/models?per_page=1000"),
        ("fal", {}, "/v1/models?limit=100"),
        ("fal-queue", {}, "/v1/models?limit=100"),
        ("fal", {"base_url": "http://127.0.0.1:1"}, None),
        ("google-vertex", {}, None),
        ("modelz", {}, None),
        ("lab", {"base_url": "http://127.0.0.1:1/v1"}, "/v1/models"),
        ("lab", {"base_url": "http://127.0.0.1:1"}, "/models"),
        ("lab", {"base_url": "http://127.0.0.1:1", "dialect": "fal"}, None),
        ("groq", {"base_url": "http://127.0.0.1:1/x"}, "/x/models"),
        ("cloudflare-workers-ai", {"base_url": "http://127.0.0.1:1/v1"}, "/models/search?per_page=100"),
        ("fal", {"base_url": "http://127.0.0.1:1/v1", "dialect": "openai"}, "/v1/models"),
    ],
)
def test_where_its_list_of_models_is(name: str, entry: dict[str, str], path: str | None) -> None:
    text = yaml.safe_dump({"providers": {name: entry}})
    assert load_text(text, {}).providers[name].list_path == path


def test_a_list_at_another_origin_is_reached_the_same_way() -> None:
    text = "{providers: {fal: {ca_bundle: /ca.pem, proxy: 'http://10.0.0.1:3128'}, groq: {}}}"
    found = load_text(text, {}).providers
    fal = found["fal"]
    assert fal.list_origin is not None
    assert (fal.list_origin.host, fal.origin.host) == ("api.fal.ai", "fal.run")
    assert (fal.list_origin.proxy, fal.list_origin.ca_bundle) == (fal.origin.proxy, fal.origin.ca_bundle)
    assert found["groq"].list_origin is None
