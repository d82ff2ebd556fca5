"""What a path asks for: which kind of endpoint, in which dialect, and whether it is judged as a generation.

Paths are matched exactly (providers.md): after the provider's own prefix, or after a leading part that ends in a
version segment. `responses/{id}`, `messages/batches` and their like are not generations. The path decides the dialect;
the provider's own counts only where the path does not tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from config.effective import Provider

ModelIn = Literal["json", "multipart", "path", "none"]


@dataclass(frozen=True)
class Endpoint:
    """A kind of endpoint.

    `generation` says that its answers are judged as generations, `repeatable` that a request may be sent again although
    bytes of it were written (proxy-rules 17), `model_in` where the model's name is looked for.
    """

    name: str
    dialect: str
    generation: bool
    repeatable: bool
    model_in: ModelIn


CHAT: Final = Endpoint("chat", "openai", True, True, "json")
COMPLETIONS: Final = Endpoint("completions", "openai", True, True, "json")
RESPONSES: Final = Endpoint("responses", "openai", True, True, "json")
EMBEDDINGS: Final = Endpoint("embeddings", "openai", True, True, "json")
IMAGES: Final = Endpoint("images", "openai", True, False, "json")
IMAGE_EDITS: Final = Endpoint("images", "openai", True, False, "multipart")
SPEECH: Final = Endpoint("audio", "openai", True, False, "json")
AUDIO: Final = Endpoint("audio", "openai", True, False, "multipart")
MESSAGES: Final = Endpoint("messages", "anthropic", True, True, "json")
GENERATE: Final = Endpoint("generate", "gemini", True, True, "path")
STREAM_GENERATE: Final = Endpoint("stream_generate", "gemini", True, True, "path")
PREDICT: Final = Endpoint("predict", "gemini", True, False, "path")
FAL: Final = Endpoint("fal", "fal", True, False, "path")

DIALECTS: Final = ("openai", "anthropic", "gemini", "fal")
IDEMPOTENT: Final = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE"))
"""Methods that may be repeated by their definition (RFC 9110 section 9.2.2)."""

_EXACT: Final = {
    "chat/completions": CHAT,
    "completions": COMPLETIONS,
    "responses": RESPONSES,
    "embeddings": EMBEDDINGS,
    "messages": MESSAGES,
    "images/generations": IMAGES,
    "images/edits": IMAGE_EDITS,
    "audio/speech": SPEECH,
}
_VERBS: Final = {"generateContent": GENERATE, "streamGenerateContent": STREAM_GENERATE, "predict": PREDICT}
_OTHER: Final = {
    (dialect, repeatable): Endpoint("other", dialect, False, repeatable, "none")
    for dialect in DIALECTS
    for repeatable in (False, True)
}
_FAMILIES: Final = {
    "chat": "openai",
    "completions": "openai",
    "responses": "openai",
    "threads": "openai",
    "messages": "anthropic",
}
"""First words after the leading part that tell the dialect of what is not a generation."""

_LEADING: Final = re.compile(r"v\d+(?:\.\d+)?(?:(?:alpha|beta|preview)\d*)?|beta|openai|openapi|anthropic")
"""The last segment of a leading part: `v1`, `v1beta`, and what vendors name a dialect's or a preview's root."""

_OPENAI_ROOT: Final = frozenset(("openai", "openapi"))
_POLL: Final = "/requests/"
_MODELS: Final = "models"


def find(method: str, path: str, provider: Provider) -> Endpoint:
    """The endpoint that a request's path (no query) means at `provider`."""
    if method == "POST":
        exact = _EXACT.get(_rest(path, provider))
        if exact is not None and provider.dialect != "fal":
            return exact
    segments = [segment for segment in path.split("/") if segment]
    if provider.dialect == "fal":
        return FAL if method == "POST" and segments and _POLL not in path else _OTHER["fal", method in IDEMPOTENT]
    return _search(method, segments) or _OTHER[_dialect(segments) or provider.dialect, method in IDEMPOTENT]


def guess(path: str) -> str | None:
    """The dialect that a path shows by itself, for answers where no provider is known."""
    segments = [segment for segment in path.split("/") if segment]
    endpoint = _search("POST", segments)
    return endpoint.dialect if endpoint is not None else _dialect(segments)


def model(endpoint: Endpoint, path: str, prefix: str = "") -> str:
    """The model's name in the path of an endpoint that has it there; `prefix` is the provider's, to be left out."""
    if endpoint.name == "fal":
        return unquote(path.removeprefix(prefix).partition(_POLL)[0].strip("/"))
    return unquote(path.rstrip("/").rpartition("/")[2]).rpartition(":")[0]


def with_model(endpoint: Endpoint, path: str, name: str, prefix: str = "") -> str | None:
    """`path` asking for the model `name`; as it is where the model does not stand in it.

    `prefix` is the provider's, as for `model`. None when what stands there is no model of a provider's own list: a
    tuned one, say.
    """
    if endpoint.model_in != "path":
        return path
    if endpoint.name == "fal":
        return (prefix if path.startswith(prefix + "/") else "") + "/" + quote(name, safe="/@", errors="replace")
    folder, _, last = path.rstrip("/").rpartition("/")
    if folder.rpartition("/")[2] != _MODELS:
        return None
    return f"{folder}/{quote(name, safe='@', errors='replace')}:{unquote(last).rpartition(':')[2]}"


def rest(path: str, provider: Provider, endpoint: Endpoint) -> str | None:
    """What another provider of the same dialect understands behind its own prefix: what follows `provider`'s in `path`.

    Also where the caller's leading part is another version's than the provider's prefix. None when the path cannot be
    carried elsewhere: no generation, or one that names a project or a tuned model, which live at one provider.
    """
    if not endpoint.generation:
        return None
    if endpoint.name == "fal":
        return path.removeprefix(provider.prefix).strip("/") or None
    segments = [segment for segment in path.split("/") if segment]
    if endpoint.model_in == "path":
        leading = segments[:-2]
        at_home = "/" + "/".join(leading) in {provider.prefix, *provider.prefixes.values()}
        if segments[-2:-1] != [_MODELS] or (leading and not at_home and not _LEADING.fullmatch(leading[-1])):
            return None
        return "/".join(segments[-2:])
    two = "/".join(segments[-2:])
    return two if endpoint is AUDIO or _EXACT.get(two) is endpoint else segments[-1]


def _rest(path: str, provider: Provider) -> str:
    """What follows the longest of the provider's prefixes; the path itself when none fits."""
    longest = 0
    if path.startswith(provider.prefix):
        longest = len(provider.prefix)
    for prefix in provider.prefixes.values():
        if len(prefix) > longest and path.startswith(prefix):
            longest = len(prefix)
    return path[longest + 1 :] if path.startswith("/", longest) else ""


def _search(method: str, segments: list[str]) -> Endpoint | None:
    """The generation that a path ends in after some leading part."""
    if method != "POST" or not segments:
        return None
    last = unquote(segments[-1])
    if ":" in last:
        return _VERBS.get(last.rpartition(":")[2])
    if "threads" in segments:
        return None  # a thread's id may look like a version, and its messages are no generation
    for rest, leading in ((segments[-2:], segments[:-2]), (segments[-1:], segments[:-1])):
        if leading and not _LEADING.fullmatch(leading[-1]):
            continue
        exact = _EXACT.get("/".join(rest))
        if exact is not None:
            return exact
        if len(rest) == 2 and rest[0] == "audio":
            return AUDIO
    return None


def _dialect(segments: list[str]) -> str | None:
    """The dialect of a path that is no generation, where it shows."""
    for before, segment in zip(["v1", *segments], segments, strict=False):
        if segment in _OPENAI_ROOT:
            return "openai"
        if segment == "anthropic":
            return "anthropic"
        if segment in _FAMILIES and _LEADING.fullmatch(before):
            return _FAMILIES[segment]
    return None
