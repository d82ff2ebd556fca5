"""How things are at one moment, as far as any rule wants to know it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from breaker.outcome import Kind
from breaker.transition import Scope as Part
from config.words import Mode, Tier
from healthapi.alerts.least import Least
from healthapi.alerts.message import SUBJECT, plain
from healthapi.status import Availability, Health
from healthapi.store import Scope, StoreError
from healthapi.text import breaker_name
from healthapi.turns import turns

if TYPE_CHECKING:
    from breaker.breaker import Breaker
    from healthapi.admin import Admin
    from healthapi.spend import ProviderSpend, SpendReport
    from healthapi.surveys import Surveyed
    from healthapi.views.sources import Sources

REFUSED: Final = frozenset({401, 402, 403})
"""HTTP statuses with which a provider refuses a key."""

EVERYTHING: Final = "all providers"
"""What the cap on all probes together is called."""

MANY: Final = 500
"""Findings of one rule that are looked at, by name; of those that are not looked at nothing is said."""

STALE: Final = 60.0
"""Seconds after which what a fleet's records said says nothing any more."""

_USERINFO: Final = re.compile(r"(?<=://)\S*@")


class Opened(Struct, frozen=True):
    """A breaker that is not closed. `at` is the Unix time at which it opened the last time."""

    name: str
    at: float
    reason: str


class Refusal(Struct, frozen=True):
    """A key that is refused: whose, by which HTTP status, and whether it is the configured one."""

    subject: str
    status: int | None
    configured: bool


class Share(Struct, frozen=True):
    """What of the figures of a situation is that of one provider or target."""

    known: int = 0
    healthy: int = 0
    requests: int = 0
    failed: int = 0

    @property
    def ill(self) -> int:
        """Known models that are not healthy."""
        return self.known - self.healthy


class Situation(Struct, frozen=True, kw_only=True):
    """Facts at the Unix time `at`.

    `surveyed` is False where the records cannot be had: then nothing is known of what comes from them, which is
    everything up to `offline`. `known` models have a status, `healthy` of them are; those of providers without a
    credential are left out. `requests` are users' attempts that were judged, `failed` those that failed.
    """

    at: float
    surveyed: bool = True
    known: int = 0
    healthy: int = 0
    requests: int = 0
    failed: int = 0
    shares: Mapping[str, Share] = {}
    """What of these figures is that of each provider, and of each target in `unhealthy`, by name."""
    unhealthy: tuple[str, ...] = ()
    """Unhealthy targets of the tier `critical`."""
    offline: tuple[str, ...] = ()
    open: tuple[Opened, ...] = ()
    unseen: frozenset[str] = frozenset()
    """Rules for which there is more than was looked at."""
    refused: tuple[Refusal, ...] = ()
    capped: tuple[str, ...] = ()
    """Whose probes have spent their daily cap."""
    trouble: str | None = None

    @property
    def health(self) -> float | None:
        """Healthy models of known ones, 0-100; None when none is known."""
        return 100.0 * self.healthy / self.known if self.known else None

    def without(self, subjects: Collection[str]) -> Situation:
        """The same, had nothing been wrong with these providers and targets (no target of one of the providers)."""
        shares = [self.shares[name] for name in subjects if name in self.shares]
        return replace(
            self,
            healthy=min(self.healthy + sum(one.ill for one in shares), self.known),
            failed=max(self.failed - sum(one.failed for one in shares), 0),
            unhealthy=tuple(name for name in self.unhealthy if not belongs(name, subjects)),
            open=tuple(one for one in self.open if not belongs(one.name, subjects)),
        )


def belongs(name: str, subjects: Collection[str]) -> bool:
    """Whether a provider or target is one of these or belongs to one: the names of providers hold no slash."""
    return name in subjects or name.partition("/")[0] in subjects


async def gather(admin: Admin, within: float) -> Situation:
    """Look at everything. `within` is over how many seconds requests are counted.

    Ten thousand targets take some hundred milliseconds; others have their turn in between.
    """
    now, ahead = admin.now(), admin.now() - admin.monotonic()
    trouble = admin.keeper.trouble
    breakers = admin.registry.unwell()
    opened, more = await _open(breakers, ahead)
    here = Situation(
        at=now,
        surveyed=False,
        open=opened,
        unseen=frozenset({"breaker_open"} if more else ()),
        refused=await _refused(admin, breakers),
        capped=tuple(_capped(admin)),
        trouble=None if trouble is None else _USERINFO.sub("***@", trouble),
    )
    try:
        made = await admin.survey(Scope.FLEET)
    except StoreError:
        return here
    if made.stale is not None and made.stale > STALE:
        return here
    return await _judged(made, within, here)


class _Sum(Struct):
    """A share that is being added up."""

    known: int = 0
    healthy: int = 0
    requests: int = 0
    failed: int = 0

    def share(self) -> Share:
        return Share(self.known, self.healthy, self.requests, self.failed)


async def _judged(made: Surveyed, within: float, here: Situation) -> Situation:
    """The situation with what the records say."""
    sources, found = made.sources, made.found
    sums: dict[str, _Sum] = {name: _Sum() for name in found.providers}
    unhealthy: Least[tuple[str, str, str]] = Least(MANY + 1)
    async for target in turns(found.targets):
        if target.status is Health.UNKNOWN or target.delisted:
            continue
        provider, model = target.record.provider, target.record.model
        if found.providers[provider].configured:
            mine = sums[provider]
            mine.known += 1
            mine.healthy += target.status is Health.HEALTHY
        if target.status is Health.UNHEALTHY and sources.tier(provider, model) is Tier.CRITICAL:
            unhealthy.add((_named(provider, model), provider, model))
    await _count(sources, within, sums)
    shares = {name: one.share() for name, one in sums.items()}
    async for name, provider, model in turns(unhealthy.kept):
        counted = _Sum(known=int(found.providers[provider].configured))
        _add(sources, provider, model, within, counted)
        shares[name] = counted.share()
    offline = [name for name, provider in found.providers.items() if provider.status is Availability.OFFLINE]
    return replace(
        here,
        surveyed=True,
        known=sum(one.known for one in sums.values()),
        healthy=sum(one.healthy for one in sums.values()),
        requests=sum(one.requests for one in sums.values()),
        failed=sum(one.failed for one in sums.values()),
        shares=shares,
        unhealthy=tuple(name for name, _, _ in unhealthy.kept),
        offline=tuple(sorted(offline)),
    )


async def _count(sources: Sources, within: float, sums: dict[str, _Sum]) -> None:
    """Add up all users' attempts of the last `within` seconds, without what was the caller's key's fault."""
    async for record in turns(list(sources.store.records())):
        if record.updated_at > sources.now - within:
            seen = record.seen(within, sources.now, Kind.LIVE)
            mine = sums.setdefault(record.provider, _Sum())
            mine.requests += seen.judged
            mine.failed += seen.blamed


def _add(sources: Sources, provider: str, model: str, within: float, into: _Sum) -> None:
    """Add the same of one target."""
    record = sources.store.get(provider, model)
    if record is not None:
        seen = record.seen(within, sources.now, Kind.LIVE)
        into.requests += seen.judged
        into.failed += seen.blamed


async def _open(breakers: list[Breaker], ahead: float) -> tuple[tuple[Opened, ...], bool]:
    """Breakers of providers and targets that keep traffic away, or are being tried out again; whether there are more.

    Those of providers first, then by name: they open anew whenever a trial fails, and which ones are looked at must not
    depend on that.
    """
    first: Least[tuple[bool, str, int]] = Least(MANY)
    async for place, one in turns(enumerate(breakers)):
        if one.scope is not Part.CREDENTIAL and one.mode is Mode.ENFORCE:
            first.add((one.model is not None, _named(one.provider, one.model), place))
    opened = [
        Opened(name, (breakers[place].opened_at or 0.0) + ahead, breakers[place].reason)
        async for _, name, place in turns(first.kept)
    ]
    return tuple(opened), first.more


async def _refused(admin: Admin, breakers: list[Breaker]) -> tuple[Refusal, ...]:
    """Providers whose configured key is refused, and where a key in use is that opened its breaker."""
    found = [
        Refusal(name, judged.http_status, configured=True)
        for name, judged in ({} if admin.keys is None else admin.keys.refusals()).items()
    ]
    in_use: dict[str, int | None] = {}
    async for one in turns(breakers):
        if one.scope is Part.CREDENTIAL and one.http_status in REFUSED:
            in_use.setdefault(_named(one.provider, one.model), one.http_status)
    least: Least[str] = Least(MANY + 1)
    async for name in turns(in_use):
        least.add(name)
    return (*found, *(Refusal(name, in_use[name], configured=False) for name in least.kept))


def _named(provider: str, model: str | None) -> str:
    """What a provider or target is called as the subject of an alert."""
    return plain(breaker_name(provider, model, None), SUBJECT)


def _capped(admin: Admin) -> Iterator[str]:
    report = None if admin.spend is None else admin.spend.report()
    if report is None:
        return
    if _spent(report):
        yield EVERYTHING
    yield from (name for name, spent in report.providers.items() if _spent(spent))


def _spent(one: SpendReport | ProviderSpend) -> bool:
    """Whether a cap is spent; one of nothing is not spent but wanted so."""
    return one.capped and one.cap_requests > 0 and one.cap_tokens > 0
