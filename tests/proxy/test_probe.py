"""What a probe asks: each dialect's smallest generation, or a question that costs nothing."""

from __future__ import annotations

import functools
import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import CATALOG
from config.effective import Config, Provider
from config.load import load_text
from proxy import paths
from proxy.probe import NO_REQUEST, Asks, Shape, never_generates, shape

ENVIRON = {"CLOUDFLARE_ACCOUNT_ID": "acc", "GOOGLE_VERTEX_LOCATION": "us-central1"}
CLOUDFLARE = "/client/v4/accounts/acc/ai"
OWN = """
providers:
  lab: {base_url: "http://127.0.0.1:8000/v1", dialect: openai}
  claude: {base_url: "http://127.0.0.1:8000", dialect: anthropic}
  dated: {base_url: "http://127.0.0.1:8000", dialect: anthropic, headers: {Anthropic-Version: "2024-10-22"}}
  images: {base_url: "http://127.0.0.1:8000", dialect: fal}
  fal: {base_url: "http://127.0.0.1:8000"}
  my-queue: {base_url: "https://queue.fal.run", dialect: fal, api_key: k}
  my-openai: {base_url: "https://api.openai.com/v1", api_key: k}
  google-vertex: {base_url: "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1"}
"""


@functools.cache
def config(text: str = "") -> Config:
    return load_text(text, ENVIRON)


def provider(name: str, text: str = "") -> Provider:
    found = config(text).provider(name)
    assert found is not None
    return found


def asked(name: str, model: str, text: str = "", most: int = 5) -> Shape:
    found = shape(provider(name, text), model, most)
    assert found is not None
    return found


HI = [{"role": "user", "content": "hi"}]
GEMINI = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "generationConfig": {"maxOutputTokens": 5}}
GENERATIONS: list[tuple[str, str, str, str, dict[str, Any]]] = [
    ("openai", "gpt-4o", "", "/v1/chat/completions", {"messages": HI, "max_completion_tokens": 5}),
    ("groq", "llama-3.3-70b", "", "/openai/v1/chat/completions", {"messages": HI, "max_tokens": 5}),
    ("openrouter", "z/a:free", "", "/api/v1/chat/completions", {"messages": HI, "max_tokens": 5}),
    ("lab", "mine", OWN, "/v1/chat/completions", {"messages": HI, "max_tokens": 5}),
    ("my-openai", "gpt-5", OWN, "/v1/chat/completions", {"messages": HI, "max_completion_tokens": 5}),
    ("anthropic", "claude-x", "", "/v1/messages", {"messages": HI, "max_tokens": 5}),
    ("gemini", "gemini-2.5-pro", "", "/v1beta/models/gemini-2.5-pro:generateContent", GEMINI),
    (
        "google-vertex",
        "gemini-2.5-pro@1",
        OWN,
        "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro@1:generateContent",
        GEMINI,
    ),
]


@pytest.mark.parametrize(("name", "model", "text", "path", "document"), GENERATIONS)
def test_the_smallest_generation(name: str, model: str, text: str, path: str, document: dict[str, Any]) -> None:
    found = asked(name, model, text)
    assert (found.method, found.path, found.tokens, found.asks) == ("POST", path, 5, Asks.GENERATION)
    assert json.loads(found.body) == (document if document is GEMINI else {"model": model} | document)
    assert found.headers[0] == (b"Content-Type", b"application/json")
    endpoint = paths.find("POST", path, provider(name, text))
    assert endpoint.generation


@pytest.mark.parametrize(
    ("name", "model", "text", "path", "asks"),
    [
        ("openai", "dall-e-3", "", "/v1/models", Asks.LIST),
        ("together", "black-forest-labs/FLUX.1-schnell", "", "/v1/models", Asks.LIST),
        ("lab", "bge-m3", OWN, "/v1/models", Asks.LIST),
        ("cloudflare-workers-ai", "@cf/openai/whisper", "", f"{CLOUDFLARE}/models/search?per_page=100", Asks.LIST),
        ("anthropic", "image-9", "", "/v1/models/image-9", Asks.MODEL),
        ("gemini", "imagen-4.0-generate-001", "", "/v1beta/models/imagen-4.0-generate-001", Asks.MODEL),
        ("gemini", "gemini-embedding-001", "", "/v1beta/models/gemini-embedding-001", Asks.MODEL),
        ("google-vertex", "gemini-2.5-pro", "", "/v1/publishers/google/models/gemini-2.5-pro", Asks.MODEL),
        ("google-vertex", "imagen-3", OWN, "/v1/publishers/google/models/imagen-3", Asks.MODEL),
        ("fal-queue", "fal-ai/flux/dev", "", f"/fal-ai/flux/requests/{NO_REQUEST}/status", Asks.QUEUE),
        ("fal-queue", "fal-ai/flux", "", f"/fal-ai/flux/requests/{NO_REQUEST}/status", Asks.QUEUE),
        ("fal-queue", "workflows/me/mine/x", "", f"/workflows/me/mine/requests/{NO_REQUEST}/status", Asks.QUEUE),
        ("my-queue", "fal-ai/flux/dev", OWN, f"/fal-ai/flux/requests/{NO_REQUEST}/status", Asks.QUEUE),
        ("fal", "fal-ai/flux/dev", "", f"/fal-ai/flux/requests/{NO_REQUEST}/status", Asks.ELSEWHERE),
    ],
)
def test_what_is_never_asked_to_generate(name: str, model: str, text: str, path: str, asks: Asks) -> None:
    assert asked(name, model, text) == Shape("GET", path, asks=asks)


@pytest.mark.parametrize(
    ("name", "model", "text"),
    [("fal", "fal-ai/flux", OWN), ("fal", "..", ""), ("modelz", "m", ""), ("images", "a/b", OWN), ("openai", "", "")]
    + [("fal-queue", name, "") for name in ("..", "a/..", "../a", "/a", "a//b", ".")]
    + [("google-vertex", "..", "")],
)
def test_what_has_no_free_question_is_not_probed(name: str, model: str, text: str) -> None:
    assert shape(provider(name, text), model, 5) is None


def test_a_key_goes_to_no_host_that_the_catalog_does_not_name() -> None:
    """fal's queue is asked with the key of whoever is reached at fal's own address, and of nobody else."""
    own = provider("fal")
    assert own.queue is not None
    assert (own.queue.base_url, own.queue.credential) == (CATALOG["fal-queue"].base_url, own.credential)
    said = load_text("providers: {fal: {base_url: 'https://fal.run', api_key: k}}", {}).providers["fal"]
    assert said.queue is not None
    for name, text in (("fal", OWN), ("images", OWN), ("fal-queue", ""), ("my-queue", OWN), ("openai", "")):
        assert provider(name, text).queue is None, name


def test_a_version_is_sent_where_no_other_is_configured() -> None:
    version = (b"anthropic-version", b"2023-06-01")
    assert version in asked("claude", "m", OWN).headers
    assert [
        pair for name in ("anthropic", "dated") for pair in asked(name, "m", OWN if name == "dated" else "").headers
    ] == [(b"Content-Type", b"application/json")] * 2


def test_at_least_one_token_is_asked_for() -> None:
    assert asked("lab", "m", OWN, most=0).tokens == 1


@pytest.mark.parametrize("name", CATALOG)
def test_every_catalogued_provider_can_be_asked_or_says_that_it_cannot(name: str) -> None:
    unasked = {"modelz"}
    assert (shape(provider(name), "some/model", 5) is None) is (name in unasked)
    image = shape(provider(name), "flux-dev", 5)
    assert image is None or (image.method, image.tokens, image.body) == ("GET", 0, b"")


MODELS = st.text(st.characters(exclude_categories=()), min_size=1, max_size=300)
NAMES = st.sampled_from(["openai", "anthropic", "gemini", "google-vertex", "fal-queue", "cloudflare-workers-ai"])


@given(NAMES, MODELS, st.integers(1, 10_000))
def test_no_name_breaks_out_of_its_place(name: str, model: str, most: int) -> None:
    found = shape(provider(name), model, most)
    if found is None:
        assert {"", ".", ".."} & set(model.split("/"))
        return
    assert found.path.isascii()
    assert found.path.isprintable()
    assert not set(found.path) & set(" ?#\r\n")
    assert found.path.startswith(provider(name).prefix.partition("/ai/v1")[0])
    if name in ("openai", "anthropic") and found.body:
        assert found.body.isascii()
        assert json.loads(found.body)["model"] == model
    if name == "gemini":
        last = found.path.rpartition("/models/")[2].removesuffix(":generateContent")
        assert unquote(last) == model.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    "model",
    [
        "text-embedding-3-small",
        "nomic-embed-text-v1.5",
        "BAAI/bge-m3",
        "intfloat/e5-mistral-7b",
        "voyage-3",
        "cohere/rerank-v3.5",
        "dall-e-3",
        "gpt-image-1",
        "chatgpt-image-latest",
        "imagen-4.0-generate-001",
        "gemini-2.5-flash-image",
        "FLUX.1-dev",
        "flux-schnell",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "stable-diffusion-3.5",
        "sdxl-turbo",
        "sd3-medium",
        "ideogram-v3",
        "recraft-v3",
        "Qwen/Qwen-Image",
        "veo-3.0-generate-preview",
        "sora-2",
        "wan-2.2",
        "kling-v2",
        "tts-1-hd",
        "gpt-4o-mini-tts",
        "whisper-1",
        "whisper-large-v3-turbo",
        "gpt-4o-transcribe",
        "gpt-4o-audio-preview",
        "gpt-realtime",
        "omni-moderation-latest",
        "mistral-ocr-latest",
        "o1-pro",
        "gpt-5-pro",
        "gpt-5.2-pro",
        "gpt-5-codex",
        "o4-mini-deep-research",
        "perplexity/sonar-deep-research",
        "davinci-002",
        "gpt-3.5-turbo-instruct",
    ],
)
def test_names_of_models_that_do_not_chat_or_cost_too_much(model: str) -> None:
    assert never_generates(model)


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4.1-mini",
        "gpt-5",
        "o3-mini",
        "o4-mini",
        "claude-sonnet-4-5",
        "gemini-2.5-pro",
        "gemini-2.5-flash-lite",
        "llama-3.3-70b-versatile",
        "meta-llama/Llama-3.2-90B-Vision-Instruct",
        "mistral-large-latest",
        "qwen/qwen3-coder",
        "deepseek-r1",
        "deepseek-chat",
        "kimi-k2",
        "Qwen2.5-72B-Instruct",
        "gemma-3-27b-it",
        "glm-4.6",
        "grok-4",
        "openai/gpt-oss-120b",
        "nova-pro",
        "phi-4",
        "command-r-plus",
        "sonar-pro",
    ],
)
def test_names_of_models_that_chat(model: str) -> None:
    assert not never_generates(model)
