"""What a provider offers, against what is tracked there. Pure: a list comes in, what follows from it comes out.

A list is evidence, not proof. One that cannot be read, is empty or was cut says nothing against any model; one that
has shrunk to less than half is believed the second time; and a model that answers is offered, whatever a list says:
providers leave out aliases, variants and models that are kept for those who know them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from healthapi.likeness import VARIANTS, likeness

DAY: Final = 86400.0
"""Seconds for which a success speaks for a model that has proved a list to be incomplete."""

SHRUNK: Final = 0.5
"""A list with a smaller share than this of the names before it is suspicious."""


class Offer(Struct, frozen=True, kw_only=True):
    """One provider's list of models as it was read last. Times are Unix times.

    `read_at` is when it was read, `tried_at` when it was last asked for; `problem` says why that came to nothing.
    `missing` are tracked models that a suspicious list lacked, `delisted` those that are not offered any more, both
    with the time of the first list without them.
    """

    names: frozenset[str] = frozenset()
    read_at: float | None = None
    tried_at: float | None = None
    problem: str | None = None
    suspicious: bool = False
    missing: Mapping[str, float] = {}
    delisted: Mapping[str, float] = {}
    new: frozenset[str] = frozenset()
    """Names that the last list had and the one before it had not."""


NOTHING: Final = Offer()


def failed(before: Offer, problem: str, now: float) -> Offer:
    """What is known after a list could not be read: what was known before."""
    return replace(before, tried_at=now, problem=problem)


def read(
    before: Offer, names: Collection[str], tracked: Mapping[str, float | None], now: float, *, whole: bool = True
) -> Offer:
    """What is known after a list was read.

    `tracked` are the models with a record or in a model group, with the time of their last success. `whole` says that
    nothing was cut off the list.
    """
    if not names:
        return failed(before, "the list is empty", now)
    offered = frozenset(names)
    new = offered - before.names if before.names else frozenset()
    spelt = spellings(offered)
    if not whole:
        left = {model: at for model, at in before.delisted.items() if not stands(spelt, model)}
        cut = replace(before, names=offered, read_at=now, tried_at=now, new=new, delisted=left)
        return replace(cut, problem="the list is too long, so that only a part of it was read")
    suspicious = len(offered) < SHRUNK * len(before.names)
    absent = (model for model in tracked if not stands(spelt, model))
    since = {model: _since(before, model, tracked[model], now) for model in absent}
    delisted = {model: at for model, at in since.items() if not suspicious or _missed(before, model)}
    return Offer(
        names=offered,
        read_at=now,
        tried_at=now,
        suspicious=suspicious,
        missing={model: at for model, at in since.items() if model not in delisted},
        delisted=delisted,
        new=new,
    )


def gone(offer: Offer, model: str, last_success: float | None) -> bool:
    """Whether a model is not offered any more, and has not shown the contrary since."""
    since = offer.delisted.get(model)
    return since is not None and (last_success is None or last_success <= since)


def spellings(names: Collection[str]) -> frozenset[str]:
    """The names of a list in lower case, and what dated ones are also called."""
    folded = {name.casefold() for name in names}
    return frozenset(folded | {_undated(name) for name in folded})


def stands(spelt: frozenset[str], model: str) -> bool:
    """Whether a list, by its spellings, has a model: in any case, without a router's variant, or under its date."""
    name = model.casefold()
    plain, colon, variant = name.rpartition(":")
    if colon and variant in VARIANTS:
        name = plain
    return model.casefold() in spelt or name in spelt or name.removesuffix("-latest") in spelt


def alike(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by what all names of one model have in common."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(likeness(name), []).append(name)
    return found


def suggestions(
    offered: Mapping[str, Mapping[str, Collection[str]]],
    groups: Mapping[str, Collection[tuple[str, str]]],
    left: Callable[[str, str], bool],
) -> list[tuple[str, str, str]]:
    """Group, provider and model of what could join a group: offered under a name like those of its targets.

    `offered` are the names of each provider as `alike` puts them, `groups` the targets, (provider, model), of each
    group, and `left` says of a target whether it is not offered any more. A provider with another target in a group
    needs no second one there; of several names the plainest is taken.
    """
    found = []
    for group, targets in groups.items():
        wanted = {likeness(name) for name in (group, *(model for _, model in targets))} - {""}
        served = {provider for provider, model in targets if not left(provider, model)}
        for provider in sorted(offered.keys() - served):
            names = {name for like in wanted for name in offered[provider].get(like, ())}
            names -= {model for name, model in targets if name == provider}
            if names:
                found.append((group, provider, min(names, key=_plainness)))
    return found


def _since(before: Offer, model: str, last_success: float | None, now: float) -> float:
    """From when on a model counts as missing: the first list without it.

    Where a success has proved that list wrong, the next one counts once there was none for a day.
    """
    first = before.delisted.get(model, before.missing.get(model, now))
    answered = last_success is not None and last_success > first
    return now if answered and last_success is not None and now - last_success > DAY else first


def _missed(before: Offer, model: str) -> bool:
    return model in before.missing or model in before.delisted


def _undated(name: str) -> str:
    """A name without a date at its end: `claude-3-5-sonnet-20241022` is what `claude-3-5-sonnet-latest` means."""
    head, dash, tail = name.rpartition("-")
    return head if dash and len(tail) == 8 and tail.isdigit() and tail.startswith("20") else name


def _plainness(name: str) -> tuple[bool, int, str]:
    return ":" in name, len(name), name
