"""What a probe asks: the smallest generation of a provider's dialect, or a question that costs nothing. Pure.

A model that does not answer in text (images, speech, video, vectors), or only for a price, is never asked to generate:
the provider's list of models is read instead, where it has one entry per model that entry, and at fal's queue the
status of a request that nobody made. What has no free question is not probed.

fal's synchronous host has none: whatever it is sent reaches the application, which may have to be started for it. Its
models are the queue's, for the same keys, so the queue is asked about them too: it tells of the key and of the
application, and nothing of the host, so what it says proves no open breaker right and its own trouble says nothing.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from msgspec import Struct

from config.catalog import known as known_of

if TYPE_CHECKING:
    from config.effective import Provider
    from proxy.headers import Pair

PROMPT: Final = "hi"
ANTHROPIC_VERSION: Final = (b"anthropic-version", b"2023-06-01")
VERTEX: Final = "google-vertex"
NO_REQUEST: Final = "00000000-0000-4000-8000-000000000000"
"""The id of a request that nobody made."""

LIMIT_FIELD: Final = "max_tokens"
"""What the OpenAI dialect calls the most tokens of an answer, unless the catalog knows better."""

_FOLDERS: Final = frozenset(("workflows", "comfy"))
"""What the names of some of fal's applications begin with, before their owner."""

_NO_NAMES: Final = frozenset(("", ".", ".."))
"""Segments of a path that name nothing: no model is called so."""

FREE_ONLY: Final = re.compile(
    r"(?<![a-z0-9])(?:"
    r"embed|embeddings?|rerank|bge|e5|gte|voyage|moderation|ocr"
    r"|dall-?e|image|imagen|flux|(?:stable-?)?diffusion|sdxl|sd3|recraft|ideogram|seedream|kandinsky|midjourney|hidream"
    r"|veo|sora|video|cogvideo|kling|seedance|hailuo|wan-?2|ltx"
    r"|tts|whisper|transcri|speech|voice|audio|realtime|lyria|music|parakeet|kokoro|orpheus"
    r"|deep-research|codex|computer-use|babbage|davinci|gpt-3\.5-turbo-instruct|o[1-9]-pro|gpt-5[a-z0-9.]*-pro"
    r")"
)
"""Names, in lower case, of models that no chat completion reaches, or none that costs next to nothing."""


class Asks(enum.StrEnum):
    """What a probe's answer shows."""

    GENERATION = "generation"
    LIST = "list"
    """The models there are: alive is what is among them."""
    MODEL = "model"
    """What is known of the model: alive is what is known."""
    QUEUE = "queue"
    """How a request that nobody made is doing: alive is what knows that there is none."""
    ELSEWHERE = "elsewhere"
    """The same, of another host of the vendor's."""


class Shape(Struct, frozen=True):
    """One probe as it is sent to its provider, credential and framing left out.

    `path` is what follows the origin; `tokens` are the most that its answer can cost, 0 for a free question.
    """

    method: str
    path: str
    headers: tuple[Pair, ...] = ()
    body: bytes = b""
    tokens: int = 0
    asks: Asks = Asks.GENERATION


def shape(provider: Provider, model: str, max_tokens: int) -> Shape | None:
    """The probe of `model` at `provider`, None when nothing can be asked of it for next to nothing.

    `max_tokens` is the most that the answer of a generation may hold.
    """
    make = _DIALECTS.get(provider.dialect)
    if make is None or not _NO_NAMES.isdisjoint(model.split("/")):
        return None
    return make(provider, model, max(max_tokens, 1))


def never_generates(model: str) -> bool:
    """Whether a model of that name is asked free questions only."""
    return FREE_ONLY.search(model.lower()) is not None


def _openai(provider: Provider, model: str, most: int) -> Shape | None:
    known = known_of(provider.name, provider.origin.host)
    if known is not None and not known.chat:
        return None
    if never_generates(model):
        here = provider.list_path is not None and provider.list_origin is None
        return Shape("GET", provider.list_path or "", asks=Asks.LIST) if here else None
    limit = known.limit_field if known is not None else LIMIT_FIELD
    document = {"model": model, "messages": _messages(), limit: most}
    return _generation(f"{provider.prefix}/chat/completions", document, most)


def _anthropic(provider: Provider, model: str, most: int) -> Shape:
    version = () if any(name.lower() == ANTHROPIC_VERSION[0] for name, _ in provider.headers) else (ANTHROPIC_VERSION,)
    if never_generates(model):
        return Shape("GET", f"{provider.prefix}/models/{_quoted(model)}", version, asks=Asks.MODEL)
    document = {"model": model, "messages": _messages(), "max_tokens": most}
    return _generation(f"{provider.prefix}/messages", document, most, version)


def _gemini(provider: Provider, model: str, most: int) -> Shape:
    """Gemini's API, and Vertex: there a generation names its project, which only a base URL can tell."""
    name = _quoted(model)
    page = own = f"{provider.prefix}/models/{name}"
    free = never_generates(model)
    if provider.name == VERTEX:
        root = provider.prefix.partition("/publishers/")[0]
        before, in_project, _ = root.partition("/projects/")
        page, own = (f"{one}/publishers/google/models/{name}" for one in (root, before))
        free = free or not in_project
    if free:
        return Shape("GET", own, asks=Asks.MODEL)
    document = {
        "contents": [{"role": "user", "parts": [{"text": PROMPT}]}],
        "generationConfig": {"maxOutputTokens": most},
    }
    return _generation(f"{page}:generateContent", document, most)


def _fal(provider: Provider, model: str, _most: int) -> Shape | None:
    """At the queue a request belongs to the application: the first two parts of a model's name, in a folder three."""
    known = known_of(provider.name, provider.origin.host)
    at, asks = provider.queue, Asks.ELSEWHERE
    if known is not None and known.queue:
        at, asks = provider, Asks.QUEUE
    if at is None:
        return None
    parts = model.strip("/").split("/")
    application = "/".join(_quoted(part) for part in parts[: 3 if parts[0] in _FOLDERS else 2])
    return Shape("GET", f"{at.prefix}/{application}/requests/{NO_REQUEST}/status", asks=asks)


def _quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="@", errors="replace")


def _messages() -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}]


def _generation(path: str, document: dict[str, Any], most: int, headers: tuple[Pair, ...] = ()) -> Shape:
    """A generation; names that are no Unicode leave as JSON escapes, as they came."""
    body = json.dumps(document, separators=(",", ":")).encode()
    return Shape("POST", path, ((b"Content-Type", b"application/json"), *headers), body, most)


_DIALECTS: Final[dict[str, Callable[[Provider, str, int], Shape | None]]] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "fal": _fal,
}
