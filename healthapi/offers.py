"""What a provider offers, against what is tracked there. Pure: a list comes in, what follows from it comes out.

A list is evidence, not proof. One that cannot be read, is empty or was read in part says nothing against any model;
one that has shrunk to less than half is believed the second time; and a model that answers is offered, whatever a list
says: providers leave out aliases, variants and models that are kept for those who know them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from healthapi.likeness import VARIANTS

DAY: Final = 86400.0
"""Seconds for which a success speaks for a model that has proved a list to be incomplete."""

SHRUNK: Final = 0.5
"""A list with a smaller share than this of the names before it is suspicious."""

UNLISTED: Final = VARIANTS - {"free", "extended"}
"""What a router takes behind any model's name and lists nowhere; others are offers of their own, and listed."""

FOLDER: Final = "models/"
"""What may stand before a name in a request and is left away in lists."""


class Offer(Struct, frozen=True, kw_only=True):
    """One provider's list of models as it was read last. Times are Unix times.

    `read_at` is when it was read, `tried_at` when it was last asked for; `problem` says why that came to nothing. Of
    one that is not `whole` a part was read: it has more than is read of a list, or does not say how to ask for it.
    `missing` are tracked models that a suspicious list lacked, `delisted` those that are not offered any more, both
    with the time of the first list without them.
    """

    names: frozenset[str] = frozenset()
    read_at: float | None = None
    tried_at: float | None = None
    problem: str | None = None
    whole: bool = True
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
    before: Offer, names: Collection[str], absent: Mapping[str, float | None], now: float, *, whole: bool = True
) -> Offer:
    """What is known after a list was read.

    `absent` are the models with a record or in a model group that it lacks (`stands`), with the time of their last
    success. `whole` says that nothing was cut off the list.
    """
    if not names:
        return failed(before, "the list is empty", now)
    offered = frozenset(names)
    new = offered - before.names if before.names else frozenset()
    if not whole:
        left = {model: at for model, at in before.delisted.items() if model in absent}
        return Offer(names=offered, read_at=now, tried_at=now, whole=False, delisted=left, new=new)
    suspicious = len(offered) < SHRUNK * len(before.names)
    since = {model: _since(before, model, success, now) for model, success in absent.items()}
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


class Spelt(Struct, frozen=True):
    """The names of a list in lower case, and what dated ones are also called. `variants`: some have a colon in them."""

    names: frozenset[str]
    undated: frozenset[str]
    variants: bool


def spellings(names: Collection[str]) -> Spelt:
    """How the names of a list can be spelt."""
    folded = frozenset(name.casefold() for name in names)
    return Spelt(folded, frozenset(filter(None, map(_undated, folded))), any(":" in name for name in folded))


def stands(spelt: Spelt, model: str) -> bool:
    """Whether a list has a model: in any case, without a router's variant, or under its date.

    In a list without variants whatever stands behind a colon is a router's: `…:groq` at Hugging Face.
    """
    name = model.casefold().removeprefix(FOLDER)
    plain, colon, variant = name.rpartition(":")
    if colon and (variant in UNLISTED or not spelt.variants):
        name = plain
    return any(
        spelling in spelt.names or spelling in spelt.undated
        for spelling in (name, name.removesuffix("-latest"), model.casefold())
    )


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
    """A name without the date at its end: `claude-3-5-sonnet-20241022` is what `…-latest` means. Empty without one."""
    head, dash, tail = name.rpartition("-")
    return head if dash and len(tail) == 8 and tail.isdigit() and tail.startswith("20") else ""
