"""GET /v1/model-health/history."""

from __future__ import annotations

from typing import Final

from healthapi import views
from healthapi.admin import Admin, Call
from healthapi.answer import FOUND, KIND, SCOPE, Answer, Rows, choice, flag, text
from healthapi.cell import ALL_MODELS
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply
from healthapi.turns import turns
from healthapi.views.history import DEFAULT, WINDOWS, ModelHistory, Question, Sum, rows
from healthapi.views.sources import Sources

HISTORY: Final = Answer(
    ModelHistory,
    (
        text("provider", "A provider's name or alias; all of them when it is missing."),
        text("model", "A model's name; needs the provider."),
        choice("window", tuple(WINDOWS), f"How far back; `{DEFAULT}` when it is missing."),
        KIND,
        flag("fill", "List the buckets in which nothing was seen, too."),
        SCOPE,
    ),
    FOUND,
    Rows("buckets", first=("at",)),
    moving=("to",),
)


async def history(admin: Admin, call: Call) -> Reply:
    """What was counted when, by the minute or by the hour: of one model, of one provider, or of everything.

    Parameters: `provider`, `model` (needs the provider), `window` (24h; 1h, 24h, 7d, 30d), `kind` (live, probe),
    `fill` (list the buckets in which nothing was seen, too), `scope` (fleet, instance).
    """
    scope = call.scope()
    sources = await admin.sources(call)
    question = _question(sources, call)
    provider, model = question.provider, question.model
    known = _known(sources, provider, model)
    names = [provider] if provider is not None else sorted({record.provider for record in sources.store.records()})
    window = WINDOWS[question.window]
    wanted = window.buckets(sources.now)
    found = Sum()
    for name in names:
        cells = await admin.keeper.cells(scope, name, model or ALL_MODELS, window.width, wanted.start, wanted.stop - 1)
        known = known or bool(cells)
        async for bucket, kind, cell in turns(cells):
            if question.kind in (None, kind):
                found.add(bucket, cell)
    if not known:
        raise _unknown(provider or "", model)
    buckets = [row async for row in turns(rows(question, found, sources.now))]
    return reply(views.model_history(question, found, buckets, sources.now))


def _question(sources: Sources, call: Call) -> Question:
    """What a request asks for.

    Raises:
        Problem: 400 for parameters that are wrong.
    """
    provider, model = call.query.text("provider"), call.query.text("model")
    if provider is None and model is not None:
        raise Problem(400, "bad_parameter", "model needs a provider beside it: a name alone says not whose model it is")
    return Question(
        provider=None if provider is None else sources.canonical(provider),
        model=None if model == ALL_MODELS else model,
        window=call.query.choice("window", tuple(WINDOWS)) or DEFAULT,
        kind=call.kind(),
        fill=call.query.flag("fill"),
    )


def _known(sources: Sources, provider: str | None, model: str | None) -> bool:
    """Whether there is such a provider or model, be it without history."""
    if provider is None:
        return True
    if model is not None:
        return (provider, model) in sources.config.targets or sources.store.get(provider, model) is not None
    records = sources.store.records()
    return provider in sources.config.providers or any(record.provider == provider for record in records)


def _unknown(provider: str, model: str | None) -> Problem:
    never = "is not configured and was never called"
    if model is None:
        return Problem(404, "unknown_provider", f"{quoted(provider)} {never}")
    return Problem(404, "unknown_model", f"{quoted(model)} at {quoted(provider)} {never}")
