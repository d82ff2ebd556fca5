"""Outcomes and what documents are made from, for the tests of the health arithmetic."""

from __future__ import annotations

from functools import lru_cache

from breaker.outcome import SUCCESS, Blame, Kind, Neutral, Outcome, Status, Verdict
from breaker.registry import Registry
from config.effective import Config
from config.load import load_text
from healthapi.delta import Delta, begin
from healthapi.memory import MemoryStore
from healthapi.record import PLACES, Record
from healthapi.store import Store
from healthapi.views import Sources

NOW = 1_767_225_600.0
"""2026-01-01T00:00:00Z: the edge of a minute, an hour and a day."""

MONOTONIC = 1000.0
"""The same moment on the registry's clock."""

CONFIG = """
providers:
  groq: {api_key: k}
  openai: {}
  google-vertex: {api_key: k}
models:
  llama: {tier: critical, targets: [groq/llama]}
  seldom: {tier: on_demand, targets: [groq/seldom]}
"""


def outcome(
    status: Status | Neutral = Status.SUCCESS,
    *,
    provider: str = "groq",
    model: str = "llama",
    blame: Blame | None = None,
    message: str = "503 overloaded",
    took: float = 0.5,
    first_byte: float | None = 0.1,
    at: float = NOW,
    kind: Kind = Kind.LIVE,
) -> Outcome:
    """An outcome; a failure is blamed on the target unless something else is said."""
    if status is Status.SUCCESS:
        verdict = SUCCESS
    else:
        nobody = isinstance(status, Neutral)
        verdict = Verdict(status, blame or (Blame.NOBODY if nobody else Blame.TARGET), message=message)
    return Outcome(provider, model, verdict, True, took, first_byte, at, kind)


def delta(*outcomes: Outcome) -> Delta:
    """What these outcomes of one target, kind and minute add up to."""
    made = begin(outcomes[0])
    for one in outcomes:
        made.add(one, PLACES[one.verdict.status])
    return made


def record(*outcomes: Outcome) -> Record:
    """The record of one target with these outcomes, none of them neutral."""
    made = store(*outcomes).get(outcomes[0].provider, outcomes[0].model)
    assert made is not None
    return made


def store(*outcomes: Outcome) -> MemoryStore:
    """A store that has these outcomes."""
    made = MemoryStore()
    for one in outcomes:
        made.add(one)
    return made


def sources(kept: Store, now: float = NOW, config: str = CONFIG, registry: Registry | None = None) -> Sources:
    """What documents are made from, with a store and at a moment; with fresh breakers if none are given."""
    return Sources(kept, _loaded(config), registry or Registry(tracked=1000), now, MONOTONIC)


@lru_cache
def _loaded(config: str) -> Config:
    return load_text(config, {"GOOGLE_VERTEX_LOCATION": "us-central1"})


def many(good: int, bad: int, *, at: float = NOW, provider: str = "groq", model: str = "llama") -> list[Outcome]:
    """So many successes and then so many failures of one target."""
    wanted = [Status.SUCCESS] * good + [Status.ERROR] * bad
    return [outcome(status, at=at, provider=provider, model=model) for status in wanted]
