"""Which answer the scripted provider gives on which path: one table from paths to dialect bodies.

This is written apart from the proxy's own table of paths on purpose: a mistake there must not repeat itself here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

from msgspec import Struct

from proxy import fake_openai, fake_vendors
from proxy.fake_asked import Answer, Asked, fields_of, flag, json_answer, model_in_path
from proxy.fake_script import Script
from proxy.fake_seen import Seen

Make = Callable[[Asked], Answer]


class Rule(Struct, frozen=True):
    """What one kind of path is: endpoint name, dialect, answer, and where its model and stream flag stand."""

    method: str
    path: re.Pattern[str]
    endpoint: str
    dialect: str
    make: Make
    in_path: bool = False
    streamed: bool | None = None
    """None: the body's `stream` member decides."""


def _generic(_asked: Asked) -> Answer:
    return json_answer({"object": "list", "data": []})


def _rule(line: str, endpoint: str, make: Make, dialect: str = "openai", **more: Any) -> Rule:
    method, _, path = line.partition(" ")
    return Rule(method, re.compile(path), endpoint, dialect, make, **more)


_GOOGLE: Final[dict[str, Any]] = {"dialect": "gemini", "in_path": True, "streamed": False}

RULES: Final = (
    _rule("POST /chat/completions$", "chat", fake_openai.chat),
    _rule("POST /completions$", "completions", fake_openai.completions),
    _rule("POST /responses$", "responses", fake_openai.responses),
    _rule("POST /embeddings$", "embeddings", fake_openai.embeddings, streamed=False),
    _rule("POST /images/(generations|edits|variations)$", "images", fake_openai.images),
    _rule("POST /audio/(transcriptions|translations)$", "audio", fake_openai.transcription),
    _rule("POST /audio/speech$", "audio", fake_openai.speech),
    _rule("POST /messages$", "messages", fake_vendors.messages, "anthropic"),
    _rule("POST /messages/count_tokens$", "other", fake_vendors.count_tokens, "anthropic", streamed=False),
    _rule("POST /messages/batches$", "other", fake_vendors.batches, "anthropic", streamed=False),
    _rule("POST :generateContent$", "generate", fake_vendors.generate, **_GOOGLE),
    _rule("POST :streamGenerateContent$", "stream_generate", fake_vendors.generate, **_GOOGLE | {"streamed": True}),
    _rule("POST :predict$", "predict", fake_vendors.predict, **_GOOGLE),
    _rule("POST :countTokens$", "other", fake_vendors.gemini_count, **_GOOGLE),
    _rule("POST :embedContent$", "other", fake_vendors.gemini_embed, **_GOOGLE),
    _rule("GET ^/v1beta/models", "other", fake_vendors.gemini_models, "gemini", streamed=False),
    _rule("GET /models(/.+)?$", "other", fake_openai.models, streamed=False),
    _rule("GET /requests/[^/]+(/status)?$", "other", fake_vendors.fal_poll, "fal", streamed=False),
    _rule("POST ^/queue/", "fal", fake_vendors.fal_submit, "fal", streamed=False),
    _rule("POST ^/fal-ai/.+/stream$", "fal", fake_vendors.fal_run, "fal", streamed=True),
    _rule("POST ^/fal-ai/", "fal", fake_vendors.fal_run, "fal", streamed=False),
)
"""First match wins. Paths that begin with `/queue/` are fal's queue host's, with `/fal-ai/` its run host's."""

OTHER: Final = Rule("*", re.compile(""), "other", "openai", _generic, streamed=False)
"""Every other path."""

_ANTHROPIC_MODELS: Final = Rule(
    "GET", re.compile("/models"), "other", "anthropic", fake_vendors.anthropic_models, streamed=False
)


def recognise(seen: Seen) -> tuple[Asked, Make]:
    """Return what a request asks for and what makes its answer; the script is still to be chosen."""
    path, _, query = seen.target.decode("latin-1").partition("?")
    rule = _rule_for(seen.method, path)
    if seen.method == "GET" and path.endswith("/models") and seen.header(b"anthropic-version") is not None:
        rule = _ANTHROPIC_MODELS
    fields = fields_of(seen.header(b"content-type") or b"", seen.received) if seen.received else {}
    asked = Asked(
        endpoint=rule.endpoint,
        dialect=rule.dialect,
        model=_model(rule, path, fields),
        streamed=flag(fields.get("stream")) if rule.streamed is None else rule.streamed,
        fields=fields,
        path=path,
        query=query,
        number=seen.number,
        size=seen.size,
        script=_PLAIN,
    )
    return asked, rule.make


_PLAIN: Final = Script("ok")


@functools.lru_cache(1024)
def _rule_for(method: str, path: str) -> Rule:
    return next((rule for rule in RULES if rule.method == method and rule.path.search(path)), OTHER)


def _model(rule: Rule, path: str, fields: dict[str, Any]) -> str:
    if rule.in_path:
        return model_in_path(path)
    if rule.dialect == "fal":
        return unquote(path.partition("/requests/")[0].removeprefix("/queue").removesuffix("/stream").strip("/"))
    model = fields.get("model")
    return model if isinstance(model, str) else ""
