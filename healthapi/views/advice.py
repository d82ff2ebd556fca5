"""What to do about it: the recommendations of `/health/dashboard`, as a function of what was found.

Each names what it is about, as far as a document has room for, and the step that comes next.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from config.problems import shortened
from healthapi.text import clean

SICK: Final = 80.0
"""Percentage of healthy models below which nothing else matters."""

POORLY: Final = 90.0
"""Percentage of healthy models below which something has to be done today."""

PROBLEMATIC: Final = 0.3
"""Share of a provider's known models that may be unhealthy before the provider is told of."""

NAMES: Final = 10
"""Most names in one recommendation."""


class Priority(enum.StrEnum):
    """How soon something has to be done, the soonest first."""

    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class Recommendation(Struct, frozen=True):
    """One thing to do. `names` are the models, providers or records it is about; `more` is how many were left out."""

    priority: str
    action: str
    details: str
    names: list[str]
    more: int
    next_steps: list[str]


class Lacking(Struct, frozen=True):
    """A provider that cannot be used: `missing` are the settings to be set, none where its key was refused.

    `targets` is how many targets of model groups depend on it.
    """

    provider: str
    missing: tuple[str, ...]
    targets: int


class Findings(Struct, frozen=True, kw_only=True):
    """What was found. `health` is 0-100, None where no model is known; `healthy` of `known` models are well.

    `unhealthy`, `degraded` and `stale` are targets by provider and model, `problematic` are providers with more than
    `PROBLEMATIC` of their models unhealthy.
    """

    health: float | None
    healthy: int
    known: int
    unhealthy: Sequence[tuple[str, str]] = ()
    degraded: Sequence[tuple[str, str]] = ()
    lacking: Sequence[Lacking] = ()
    problematic: Sequence[str] = ()
    stale: Sequence[tuple[str, str]] = ()


def problematic(unhealthy: int, known: int) -> bool:
    """Whether so many unhealthy ones among the known models of a provider are too many."""
    return unhealthy > PROBLEMATIC * known


def recommendations(found: Findings) -> list[Recommendation]:
    """What to do, the most urgent first."""
    needed = [one for one in found.lacking if one.targets]
    missing = [one for one in needed if one.missing]
    refused = [one for one in needed if not one.missing]
    made = [
        _health(found),
        _missing(missing) if missing else None,
        _refused(refused) if refused else None,
        _problematic(found.problematic) if found.problematic else None,
        _stale(found.stale) if found.stale else None,
    ]
    return [one for one in made if one is not None]


def _health(found: Findings) -> Recommendation | None:
    if found.health is None or found.health >= POORLY:
        return None
    sick = found.health < SICK
    return _made(
        Priority.CRITICAL if sick else Priority.HIGH,
        f"Bring models back to health: it is below {SICK if sick else POORLY:g} %",
        f"{found.healthy} of {found.known} known models are healthy, {len(found.unhealthy)} unhealthy, "
        f"{len(found.degraded)} degraded",
        _targets([*found.unhealthy[:NAMES], *found.degraded[:NAMES]]),
        len(found.unhealthy) + len(found.degraded),
        "GET /health/models has their last errors, GET /circuit-breakers says what is kept away and why",
        "look at the status pages of their providers",
        "give their model groups further targets (`models.<name>.targets`), so that requests go there meanwhile",
    )


def _missing(lacking: Sequence[Lacking]) -> Recommendation:
    targets = sum(one.targets for one in lacking)
    return _made(
        Priority.HIGH,
        "Set the missing keys that targets depend on",
        f"{targets} {_noun('target', targets)} of model groups cannot be used without",
        [one.provider for one in lacking],
        len(lacking),
        *(f"{one.provider}: set {' and '.join(one.missing)}" for one in lacking[:NAMES]),
        "then restart, and see `detour audit-keys`",
    )


def _refused(lacking: Sequence[Lacking]) -> Recommendation:
    targets = sum(one.targets for one in lacking)
    return _made(
        Priority.HIGH,
        "Replace the keys that their providers refuse",
        f"{targets} {_noun('target', targets)} of model groups cannot be used with them",
        [one.provider for one in lacking],
        len(lacking),
        "`detour audit-keys` and GET /v1/providers say when and how they were refused",
        "look at the providers' consoles: is the key revoked, the credit spent, the account closed?",
    )


def _problematic(providers: Sequence[str]) -> Recommendation:
    count = len(providers)
    return _made(
        Priority.MEDIUM,
        "Look into failing providers",
        f"{count} {_noun('provider', count)} with more than {PROBLEMATIC:.0%} of the known models unhealthy",
        providers,
        count,
        "GET /health/providers has their last errors, GET /circuit-breakers/{provider} what is kept away and why",
        "look at their status pages; POST /circuit-breakers/{provider}/open keeps traffic away meanwhile",
    )


def _stale(targets: Sequence[tuple[str, str]]) -> Recommendation:
    count = len(targets)
    return _made(
        Priority.LOW,
        "Remove records that nobody needs",
        f"{count} {_noun('record', count)} never called, unused for long or never successful",
        _targets(targets),
        count,
        "`detour cleanup` lists them with the reasons, `detour cleanup --live` removes them",
        "`cleanup.every` has it done regularly",
    )


def _made(
    priority: Priority, action: str, details: str, names: Sequence[str], count: int, *steps: str
) -> Recommendation:
    shown = [shortened(clean(name)) for name in names[:NAMES]]
    return Recommendation(priority, action, details, shown, count - len(shown), list(steps))


def _targets(targets: Sequence[tuple[str, str]]) -> list[str]:
    """As many names of targets as are shown."""
    return [f"{provider}/{model}" for provider, model in targets[:NAMES]]


def _noun(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
