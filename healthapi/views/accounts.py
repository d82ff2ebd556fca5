"""The documents of `/v1/providers`: each configured provider with its key, as it was judged, and its list of models."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from config.audit import KeyRow, audit
from config.effective import Config
from healthapi.keys import KeyLog, KeyState
from healthapi.offerings import Offerings, Result
from healthapi.offers import Offer
from healthapi.suggestions import Suggestion
from healthapi.text import clean, iso


class AccountKey(Struct, frozen=True):
    """A key: `accepted`, `refused`, `never_tried`, `missing` or `none_needed`; when and by which status that was told.

    `at` and `http_status` are null where it never was.
    """

    state: str
    at: str | None
    http_status: int | None


class AccountModels(Struct, frozen=True, kw_only=True):
    """What is known of a provider's own list of models.

    `offered` is how many models the last list had that could be read, at `read_at`; `problem` says why it could not be
    read at `tried_at`. Of a list that is not `whole` a part was read, which says nothing against any model.
    `suspicious`: it suddenly was less than half as long, and is believed when the next one says the same. `delisted`
    counts tracked models that are not on the list any more. What was never read is null.
    """

    offered: int | None
    delisted: int
    read_at: str | None
    tried_at: str | None
    problem: str | None
    suspicious: bool
    whole: bool = True


class Account(Struct, frozen=True, kw_only=True):
    """One provider. `configured`: it has the key and the address it needs, and the key was not refused.

    `variables` are those that may hold the key, `found` is where it was found, `missing` names what has to be set.
    `targets` counts the targets of model groups that depend on it. `base_url` has no secrets in it.
    """

    name: str
    dialect: str
    base_url: str
    configured: bool
    key: AccountKey
    variables: tuple[str, ...]
    found: str | None
    missing: tuple[str, ...]
    targets: int
    models: AccountModels


class Candidate(Struct, frozen=True):
    """A target that could join a model group: the provider offers it under a name like those of the group."""

    group: str
    target: str


class Accounts(Struct, frozen=True, kw_only=True):
    """The configured providers in the order of the configuration, and what could join their model groups."""

    total_providers: int
    configured: int
    refused: int
    providers: list[Account]
    suggestions: list[Candidate]


class OfferedModel(Struct, frozen=True, kw_only=True):
    """One model of a provider: whether its last list has it, and whether it is tracked.

    `tracked`: it stands in a model group or has a record. `delisted_since` is when a list first lacked it, null unless
    it is tracked and not offered any more.
    """

    model: str
    offered: bool
    tracked: bool
    groups: list[str]
    delisted_since: str | None
    new: bool


class OfferedModels(Struct, frozen=True, kw_only=True):
    """A provider's models by name: those it offers, and those that are tracked and not offered any more."""

    provider: str
    total: int
    listing: AccountModels
    models: list[OfferedModel]
    suggestions: list[Candidate]


class Refreshed(Struct, frozen=True, kw_only=True):
    """What came of reading one provider's list: `read` or `failed`, with the names that the one before it had not."""

    provider: str
    result: str
    models: AccountModels
    new: list[str]
    delisted: list[str]
    missing: list[str]


class Refresh(Struct, frozen=True):
    """What came of reading lists, and what could join the model groups by what is known now."""

    providers: list[Refreshed]
    suggestions: list[Candidate]


def accounts(config: Config, keys: KeyLog | None, offers: Offerings | None, found: list[Suggestion]) -> Accounts:
    """The document."""
    rows = [_account(row, keys, offers) for row in audit(config)]
    return Accounts(
        total_providers=len(rows),
        configured=sum(row.configured for row in rows),
        refused=sum(row.key.state == KeyState.REFUSED for row in rows),
        providers=rows,
        suggestions=candidates(found),
    )


def candidates(found: Iterable[Suggestion]) -> list[Candidate]:
    """Suggestions as documents have them."""
    return [Candidate(clean(one.group), clean(f"{one.provider}/{one.model}")) for one in found]


def model_list(offer: Offer) -> AccountModels:
    """What is known of a list."""
    return AccountModels(
        offered=None if offer.read_at is None else len(offer.names),
        delisted=len(offer.delisted),
        read_at=iso(offer.read_at),
        tried_at=iso(offer.tried_at),
        problem=offer.problem,
        suspicious=offer.suspicious,
        whole=offer.whole,
    )


def refreshed(result: Result) -> Refreshed:
    """What came of one provider's."""
    offer = result.offer
    return Refreshed(
        provider=result.provider,
        result="read" if offer.problem is None else "failed",
        models=model_list(offer),
        new=sorted(offer.new) if offer.problem is None else [],
        delisted=sorted(offer.delisted),
        missing=sorted(offer.missing),
    )


def _account(row: KeyRow, keys: KeyLog | None, offers: Offerings | None) -> Account:
    key = _key(row, keys)
    return Account(
        name=row.provider,
        dialect=row.dialect,
        base_url=row.base_url,
        configured=row.configured and key.state != KeyState.REFUSED,
        key=key,
        variables=row.variables,
        found=row.found,
        missing=row.missing,
        targets=row.targets,
        models=model_list(Offer() if offers is None else offers.of(row.provider)),
    )


def _key(row: KeyRow, keys: KeyLog | None) -> AccountKey:
    if keys is None:
        return AccountKey(row.key.state, None, None)
    judged = keys.judged(row.provider)
    if judged is None:
        return AccountKey(keys.state(row.provider), None, None)
    return AccountKey(keys.state(row.provider), iso(judged.at), judged.http_status)
