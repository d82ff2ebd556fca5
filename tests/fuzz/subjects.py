"""What is fuzzed, each as a function of bytes that asserts whatever must hold of all bytes.

Hypothesis feeds them in CI (the tests beside this file), a fuzzer guided by coverage feeds them by hand (`by_hand`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from breaker.outcome import NO_MODEL
from config import audit, report
from config.effective import Config, Provider
from config.held import changes
from config.load import ConfigError, load_text
from proxy import multipart, paths
from proxy.inspector import Inspector
from proxy.paths import AUDIO, CHAT, FAL, GENERATE, IMAGE_EDITS, MESSAGES, PREDICT, RESPONSES, STREAM_GENERATE
from proxy.peek import LONGEST_MODEL, peek
from proxy.splice import splice

# -- the inspector -----------------------------------------------------------------------------------------------------

STREAMS: Final = (
    ("chat", "openai", "sse"),
    ("completions", "openai", "sse"),
    ("responses", "openai", "sse"),
    ("images", "openai", "sse"),
    ("messages", "anthropic", "sse"),
    ("stream_generate", "gemini", "sse"),
    ("stream_generate", "gemini", "array"),
    ("fal", "fal", "sse"),
    ("audio", "openai", "opaque"),
)
"""Endpoint, dialect and shape of what is inspected."""


def told(kind: tuple[str, str, str], pieces: list[bytes]) -> tuple[Any, ...]:
    """All that the inspector says of a body that came in these pieces."""
    seen = Inspector(*kind)
    for piece in pieces:
        before = seen.content
        seen.feed(piece)
        assert seen.content >= before
    seen.close()
    return seen.content, seen.events, seen.terminal, seen.finish, seen.blocked, seen.error


def cut(body: bytes, sizes: bytes) -> list[bytes]:
    """A body in pieces of these sizes, again and again; 0 stands for an empty piece."""
    pieces: list[bytes] = []
    at = turn = 0
    while at < len(body):
        size = sizes[turn % len(sizes)] if any(sizes) else 1
        pieces.append(body[at : at + size])
        at += size
        turn += 1
    return pieces


def inspector(data: bytes) -> None:
    """The first byte says which kind of stream, the next three where it is cut, the rest is the body."""
    if len(data) < 4:
        return
    kind, sizes, body = STREAMS[data[0] % len(STREAMS)], data[1:4], data[4:]
    whole = told(kind, [body])
    assert told(kind, cut(body, sizes)) == whole, "the verdict depends on where the body was cut"
    assert told(kind, cut(body, b"\x01")) == whole, "the verdict depends on where the body was cut"
    content, events, _, finish, blocked, error = whole
    assert kind[2] == "opaque" or 0 <= content <= events
    assert all(word is None or 0 < len(word) <= 128 for word in (finish, blocked))
    assert error is None or (400 <= error.code <= 599 and len(error.message) <= 4096)


# -- the configuration -------------------------------------------------------------------------------------------------

SECRET: Final = "sk-canary/Zx81\x1b[7m\u2028" + "q" * 90 + "\nwV3.last"
"""Stands in every variable of the environment: no mistake in a file may repeat a word of it."""

ENVIRON: Final = dict.fromkeys(("KEY", "A", "OPENAI_API_KEY", "GROQ_API_KEY", "LAB_BASE_URL"), SECRET)
LONGEST_PROBLEM: Final = 1200


def config(data: bytes) -> None:
    """A file's bytes: a configuration that can be used and shown, or problems that can be told, and nothing else."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    configured(text)


def configured(text: str, environ: dict[str, str] = ENVIRON) -> bool:
    """Whether a file can be used; nothing of the environment's is told."""
    try:
        found = load_text(text, environ, {}, Path("/nonexistent"))
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
    else:
        problems = []
        _shown(found)
    for line in problems:
        assert line.isprintable(), repr(line)
        assert len(line) <= LONGEST_PROBLEM
        assert not leaked(line), line
    return not problems


def _shown(found: Config) -> None:
    """What is made of a configuration that can be used."""
    shown = report.render(report.report(found)) + audit.render(audit.audit(found)) + repr(found.settings.admin)
    msgspec.json.encode(report.report(found)), msgspec.json.encode(audit.audit(found))
    assert not list(changes(found.settings, found.settings))
    assert all(line.isprintable() for line in shown.split("\n"))


def leaked(text: str, secret: str = SECRET) -> bool:
    """Whether there are eight characters of the secret in it, but for runs of one letter."""
    pieces = (secret[at : at + 8] for at in range(len(secret) - 7))
    return any(piece in text for piece in pieces if len(set(piece)) > 1)


# -- the model's name --------------------------------------------------------------------------------------------------

OTHER: Final = 'other/model "1"\\'
THIRD: Final = "third"
FORM: Final = b"multipart/form-data; boundary=B"
PROVIDERS: Final = tuple(load_text("providers: {gemini: {}, fal: {}, openai: {}}", {}).providers.values())
_JSON = (CHAT, RESPONSES, MESSAGES)
_FORMS = (AUDIO, IMAGE_EDITS)
_PATHS = (GENERATE, STREAM_GENERATE, PREDICT, FAL)


def finder(data: bytes) -> None:
    """The first byte says which kind of request, the rest is its body (or its path)."""
    if not data:
        return
    endpoints = (*_JSON, *_FORMS, *_PATHS)
    endpoint, body = endpoints[data[0] % len(endpoints)], data[1:]
    if endpoint in _JSON:
        _json(endpoint, body)
    elif endpoint in _FORMS:
        _form(endpoint, body)
    else:
        path = body.decode("utf-8", "surrogateescape")
        _named(peek(endpoint, path, b"", b"{}").model)
        for provider in PROVIDERS:
            _path(paths.find("POST", path, provider), path, provider)


def _path(endpoint: paths.Endpoint, path: str, provider: Provider) -> None:
    if endpoint.model_in != "path":
        return
    _named(peek(endpoint, path, b"", b"{}", provider.prefix).model)
    moved = paths.with_model(endpoint, path, THIRD, provider.prefix)
    if moved is not None:
        assert paths.find("POST", moved, provider) is endpoint, "it asks for something else now"
        assert peek(endpoint, moved, b"", b"", provider.prefix).model == THIRD


def _json(endpoint: paths.Endpoint, body: bytes) -> None:
    found = peek(endpoint, "/v1/x", b"application/json", body)
    _named(found.model)
    peek(endpoint, "/v1/x", b"application/json", bytearray(body[: len(body) // 2]))
    spliced = splice(endpoint, b"application/json", body, OTHER)
    if spliced is not None:
        assert peek(endpoint, "/v1/x", b"", spliced).model == OTHER, "another model is asked for than was written"
        again = splice(endpoint, b"application/json", spliced, THIRD)
        assert again == splice(endpoint, b"application/json", body, THIRD), "not the same place the second time"
    meant = reference(body)
    if not isinstance(meant, dict):
        return
    assert (spliced is not None) == ("model" in meant)
    if spliced is not None:
        assert reference(spliced) == meant | {"model": OTHER}, "more was changed than the model"
    model = meant.get("model")
    usable = isinstance(model, str) and name_is_one(model)
    assert found.model == (model if usable else NO_MODEL)
    assert not isinstance(meant.get("stream"), bool) or found.stream is (
        meant["stream"] or meant.get("stream_format") == "sse"
    )


def _form(endpoint: paths.Endpoint, body: bytes) -> None:
    found = peek(endpoint, "/v1/x", FORM, body)
    _named(found.model)
    spliced = splice(endpoint, FORM, body, THIRD)
    if spliced is None:
        return
    assert peek(endpoint, "/v1/x", FORM, spliced).model == THIRD
    gone = multipart.places(FORM, spliced, "model")
    assert [spliced[start:end] for start, end in gone] == [THIRD.encode()] * len(gone)
    assert splice(endpoint, FORM, spliced, "a") == splice(endpoint, FORM, body, "a")


def reference(body: bytes) -> Any:
    """What the standard library reads in it; None where it or the standard itself refuses (or is not of one mind)."""
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_number, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def name_is_one(model: str) -> bool:
    """Whether this is a model's name."""
    return 0 < len(model) <= LONGEST_MODEL and model[0] != "~" and model.isprintable()


def _named(model: str) -> None:
    assert model == NO_MODEL or name_is_one(model)


def _number(digits: str) -> tuple[str]:
    """A number as it is written: of any size, and no text."""
    return (digits,)


def _refuse(word: str) -> None:
    raise ValueError(word)


SUBJECTS: Final[dict[str, Callable[[bytes], None]]] = {"inspector": inspector, "config": config, "finder": finder}
