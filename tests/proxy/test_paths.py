"""What a path asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.effective import Provider
from config.load import load_text
from proxy import paths
from proxy.paths import (
    AUDIO,
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    FAL,
    GENERATE,
    IMAGE_EDITS,
    IMAGES,
    MESSAGES,
    PREDICT,
    RESPONSES,
    SPEECH,
    STREAM_GENERATE,
    Endpoint,
    find,
    guess,
)

VARIABLES = {"CLOUDFLARE_ACCOUNT_ID": "acc", "GOOGLE_VERTEX_LOCATION": "eu"}
CONFIG = load_text(None, VARIABLES)


def provider(name: str) -> Provider:
    found = CONFIG.provider(name)
    assert found is not None
    return found


def other(dialect: str, repeatable: bool) -> Endpoint:
    return Endpoint("other", dialect, False, repeatable, "none")


GENERATIONS = [
    ("openai", "/v1/chat/completions", CHAT),
    ("openai", "/v1/completions", COMPLETIONS),
    ("openai", "/v1/responses", RESPONSES),
    ("openai", "/v1/embeddings", EMBEDDINGS),
    ("openai", "/v1/images/generations", IMAGES),
    ("openai", "/v1/images/edits", IMAGE_EDITS),
    ("openai", "/v1/audio/speech", SPEECH),
    ("openai", "/v1/audio/transcriptions", AUDIO),
    ("openai", "/v1/audio/translations", AUDIO),
    ("openai", "/v1/messages", MESSAGES),
    ("groq", "/openai/v1/chat/completions", CHAT),
    ("groq", "/openai/v1/audio/transcriptions", AUDIO),
    ("groq", "/chat/completions", CHAT),
    ("groq", "//openai//v1/chat/completions/", CHAT),
    ("deepinfra", "/v1/openai/images/generations", IMAGES),
    ("novita", "/v3/openai/chat/completions", CHAT),
    ("novita", "/openai/v1/chat/completions", CHAT),
    ("cloudflare-workers-ai", "/client/v4/accounts/acc/ai/v1/chat/completions", CHAT),
    ("cloudflare-workers-ai", "/client/v4/accounts/else/ai/v1/embeddings", EMBEDDINGS),
    ("zai", "/api/paas/v4/chat/completions", CHAT),
    ("deepseek", "/beta/completions", COMPLETIONS),
    ("deepseek", "/anthropic/v1/messages", MESSAGES),
    ("moonshot", "/anthropic/messages", MESSAGES),
    ("openrouter", "/api/v1/messages", MESSAGES),
    ("openrouter", "/api/v1/responses", RESPONSES),
    ("anthropic", "/v1/messages", MESSAGES),
    ("anthropic", "/v1/chat/completions", CHAT),
    ("simplismart", "/chat/completions", CHAT),
    ("simplismart", "/v1/chat/completions", CHAT),
    ("modelz", "/messages", MESSAGES),
    ("gemini", "/v1beta/openai/chat/completions", CHAT),
    ("gemini", "/v1/openai/embeddings", EMBEDDINGS),
    ("gemini", "/v1beta/models/gemini-2.5-flash:generateContent", GENERATE),
    ("gemini", "/v1alpha/models/gemini-2.5-flash:streamGenerateContent", STREAM_GENERATE),
    ("gemini", "/v1beta/models/gemini-2.5-flash%3AgenerateContent", GENERATE),
    ("gemini", "/v1beta/tunedModels/mine:generateContent", GENERATE),
    ("google-vertex", "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict", PREDICT),
    ("google", "/v1beta1/projects/p/locations/l/publishers/google/models/g:streamGenerateContent", STREAM_GENERATE),
    ("google", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", CHAT),
    ("fal", "/fal-ai/flux/dev", FAL),
    ("fal-queue", "/fal-ai/flux", FAL),
    ("fal", "/openrouter/router/openai/v1/chat/completions", FAL),
]

OTHERS = [
    ("POST", "openai", "/v1/responses/resp_1/cancel", other("openai", False)),
    ("POST", "openai", "/v1/chat/completions/chatcmpl_1", other("openai", False)),
    ("GET", "openai", "/v1/responses/resp_1", other("openai", True)),
    ("DELETE", "openai", "/v1/responses/resp_1", other("openai", True)),
    ("POST", "openai", "/v1/threads/thread_1/messages", other("openai", False)),
    ("POST", "openai", "/v1/threads/v1/messages", other("openai", False)),
    ("POST", "openai", "/v1/images/variations", other("openai", False)),
    ("POST", "openai", "/v1/audio", other("openai", False)),
    ("POST", "openai", "/v1/audio/a/b", other("openai", False)),
    ("POST", "openai", "/v1/files", other("openai", False)),
    ("POST", "openai", "/v1x/chat/completions", other("openai", False)),
    ("POST", "openai", "/x/chat/completions", other("openai", False)),
    ("POST", "openai", "/v1/Chat/Completions", other("openai", False)),
    ("POST", "openai", "/", other("openai", False)),
    ("GET", "openai", "/v1/models", other("openai", True)),
    ("GET", "openai", "/v1/chat/completions", other("openai", True)),
    ("BREW", "openai", "/v1/chat/completions", other("openai", False)),
    ("POST", "anthropic", "/v1/messages/count_tokens", other("anthropic", False)),
    ("POST", "anthropic", "/v1/messages/batches", other("anthropic", False)),
    ("POST", "openrouter", "/api/v1/messages/count_tokens", other("anthropic", False)),
    ("GET", "anthropic", "/v1/models", other("anthropic", True)),
    ("GET", "anthropic", "/v1/responses/x", other("openai", True)),
    ("POST", "moonshot", "/anthropic/v1/files", other("anthropic", False)),
    ("POST", "gemini", "/v1beta/models/g:countTokens", other("gemini", False)),
    ("POST", "gemini", "/v1beta/models/g:", other("gemini", False)),
    ("POST", "gemini", "/v1beta/files", other("gemini", False)),
    ("GET", "gemini", "/v1beta/models/g:generateContent", other("gemini", True)),
    ("GET", "gemini", "/v1beta/openai/models", other("openai", True)),
    ("GET", "fal-queue", "/fal-ai/flux/requests/1/status", other("fal", True)),
    ("PUT", "fal-queue", "/fal-ai/flux/requests/1/cancel", other("fal", True)),
    ("POST", "fal-queue", "/fal-ai/flux/requests/1", other("fal", False)),
    ("POST", "fal", "/", other("fal", False)),
]


@pytest.mark.parametrize(("name", "path", "endpoint"), GENERATIONS)
def test_generations(name: str, path: str, endpoint: Endpoint) -> None:
    assert find("POST", path, provider(name)) is endpoint


@pytest.mark.parametrize(("method", "name", "path", "endpoint"), OTHERS)
def test_what_is_no_generation(method: str, name: str, path: str, endpoint: Endpoint) -> None:
    assert find(method, path, provider(name)) == endpoint


def test_every_catalogued_provider_is_asked_under_its_own_prefix() -> None:
    for found in CONFIG.providers.values():
        if found.dialect in ("openai", "anthropic"):
            assert find("POST", found.prefix + "/chat/completions", found) is CHAT


def test_what_may_be_repeated() -> None:
    """proxy-rules 17."""
    every = (CHAT, COMPLETIONS, RESPONSES, EMBEDDINGS, MESSAGES, GENERATE, STREAM_GENERATE)
    assert all(endpoint.repeatable for endpoint in every)
    assert not any(endpoint.repeatable for endpoint in (IMAGES, IMAGE_EDITS, SPEECH, AUDIO, PREDICT, FAL))


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/grok/v1/chat/completions", "openai"),
        ("/x/v1/messages", "anthropic"),
        ("/x/v1beta/models/g:generateContent", "gemini"),
        ("/x/v1/messages/batches", "anthropic"),
        ("/x/openai/files", "openai"),
        ("/x/y", None),
        ("/", None),
        ("", None),
    ],
)
def test_guess(path: str, dialect: str | None) -> None:
    assert guess(path) == dialect


@pytest.mark.parametrize(
    ("endpoint", "path", "prefix", "model"),
    [
        (GENERATE, "/v1beta/models/gemini-2.5-flash:generateContent", "", "gemini-2.5-flash"),
        (GENERATE, "/v1beta/models/gemini%202%3AgenerateContent", "", "gemini 2"),
        (GENERATE, "/v1beta/models/a:b:generateContent/", "", "a:b"),
        (PREDICT, "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict", "/v1", "imagen-4"),
        (GENERATE, "/v1beta/models/:generateContent", "", ""),
        (FAL, "/fal-ai/flux/dev", "", "fal-ai/flux/dev"),
        (FAL, "/fal-ai/flux/requests/1", "", "fal-ai/flux"),
        (FAL, "/local/fal-ai/flux%2Fdev/", "/local", "fal-ai/flux/dev"),
    ],
)
def test_model(endpoint: Endpoint, path: str, prefix: str, model: str) -> None:
    assert paths.model(endpoint, path, prefix) == model


HOMES = load_text(
    """
providers:
  vertex-lab: {base_url: "https://e.test/v1/projects/p/locations/l/publishers/google", dialect: gemini}
  gateway: {base_url: "https://g.test/gw/one", dialect: gemini, prefixes: {openai: /gw/two}}
  runs: {base_url: "https://f.test/run", dialect: fal}
""",
    {},
)


@pytest.mark.parametrize(
    ("name", "path", "carried"),
    [
        ("openai", "/v1/chat/completions", "chat/completions"),
        ("openai", "/v1/completions", "completions"),
        ("openai", "/v1/audio/transcriptions", "audio/transcriptions"),
        ("openai", "/v1/audio/speech", "audio/speech"),
        ("openai", "/v1/images/edits", "images/edits"),
        ("openai", "/v1/messages", "messages"),
        ("groq", "/openai/v1/embeddings", "embeddings"),
        ("groq", "/responses", "responses"),
        ("groq", "//openai//v1/chat/completions/", "chat/completions"),
        ("novita", "/openai/v1/chat/completions", "chat/completions"),
        ("simplismart", "/v1/chat/completions", "chat/completions"),
        ("cloudflare-workers-ai", "/client/v4/accounts/else/ai/v1/embeddings", "embeddings"),
        ("moonshot", "/anthropic/v1/messages", "messages"),
        ("openrouter", "/api/v1/messages", "messages"),
        ("gemini", "/v1beta/openai/chat/completions", "chat/completions"),
        ("gemini", "/v1beta/models/g:generateContent", "models/g:generateContent"),
        ("gemini", "/v1alpha/models/g%3AstreamGenerateContent/", "models/g%3AstreamGenerateContent"),
        ("gemini", "/models/g:generateContent", "models/g:generateContent"),
        ("gemini", "/x/models/g:generateContent", None),
        ("gemini", "/g:generateContent", None),
        ("gemini", "/v1beta/tunedModels/mine:generateContent", None),
        ("google-vertex", "/v1/projects/p/locations/l/publishers/google/models/g:predict", None),
        ("google-vertex", "/v1/projects/p/locations/l/endpoints/openapi/chat/completions", "chat/completions"),
        ("vertex-lab", "/v1/projects/p/locations/l/publishers/google/models/g:predict", "models/g:predict"),
        ("vertex-lab", "/v1/projects/q/locations/l/publishers/google/models/g:predict", None),
        ("gateway", "/gw/one/models/g:predict", "models/g:predict"),
        ("gateway", "/gw/two/chat/completions", "chat/completions"),
        ("fal", "/fal-ai/flux/dev", "fal-ai/flux/dev"),
        ("runs", "/run/fal-ai/flux/", "fal-ai/flux"),
        ("runs", "/else/fal-ai/flux", "else/fal-ai/flux"),
        ("runs", "/run/", None),
        ("openai", "/v1/files", None),
        ("openai", "/v1/responses/resp_1/cancel", None),
    ],
)
def test_what_can_be_carried_to_another_prefix(name: str, path: str, carried: str | None) -> None:
    served = HOMES.provider(name) or provider(name)
    assert paths.rest(path, served, find("POST", path, served)) == carried


def test_what_is_carried_is_found_again_behind_every_prefix() -> None:
    for name, path, endpoint in GENERATIONS:
        carried = paths.rest(path, provider(name), endpoint)
        for served in CONFIG.providers.values():
            prefix = served.prefixes.get(endpoint.dialect)
            if carried is not None and prefix is not None:
                assert find("POST", f"{prefix}/{carried}", served) is endpoint


@pytest.mark.parametrize(
    ("endpoint", "path", "prefix", "name", "made"),
    [
        (GENERATE, "/v1beta/models/a:generateContent", "", "b", "/v1beta/models/b:generateContent"),
        (GENERATE, "/v1beta/models/a%3AgenerateContent/", "", "b", "/v1beta/models/b:generateContent"),
        (PREDICT, "/v1/projects/%20p/models/a:b:predict", "/v1", "c@1", "/v1/projects/%20p/models/c@1:predict"),
        (
            GENERATE,
            "/models/a:generateContent",
            "",
            "x/y z?#%:é",
            "/models/x%2Fy%20z%3F%23%25%3A%C3%A9:generateContent",
        ),
        (GENERATE, "/models/a:generateContent", "", "\ud800", "/models/%3F:generateContent"),
        (GENERATE, "/v1beta/tunedModels/a:generateContent", "", "b", None),
        (GENERATE, "/a:generateContent", "", "b", None),
        (FAL, "/fal-ai/flux/dev", "", "fal-ai/qwen image", "/fal-ai/qwen%20image"),
        (FAL, "/run/fal-ai/flux/dev/", "/run", "a/b", "/run/a/b"),
        (FAL, "/running/flux", "/run", "a/b", "/a/b"),
        (CHAT, "/v1/chat/completions", "/v1", "b", "/v1/chat/completions"),
    ],
)
def test_with_model(endpoint: Endpoint, path: str, prefix: str, name: str, made: str | None) -> None:
    assert paths.with_model(endpoint, path, name, prefix) == made
    if made is not None and endpoint.model_in == "path" and name.isprintable():
        assert paths.model(endpoint, made, prefix) == name


@given(
    st.sampled_from(["GET", "POST", "PUT", "X"]),
    st.text("/:%v1betaopenichtmlsg.", max_size=40).map(lambda text: "/" + text),
    st.sampled_from(sorted(CONFIG.providers)),
)
def test_hostile_paths(method: str, path: str, name: str) -> None:
    endpoint = find(method, path, provider(name))
    assert endpoint.dialect in paths.DIALECTS
    assert not endpoint.generation or method == "POST"
    guess(path)
    paths.model(endpoint, path)
    carried = paths.rest(path, provider(name), endpoint)
    assert carried is None or endpoint.generation
    paths.with_model(endpoint, path, "m", provider(name).prefix)
