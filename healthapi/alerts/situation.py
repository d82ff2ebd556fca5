"""How things are at one moment, as far as any rule wants to know it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import nsmallest
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from breaker.outcome import Kind
from breaker.transition import Scope as Part
from config.words import Mode, Tier
from healthapi.history import NOTHING, Counts
from healthapi.status import Availability, Health
from healthapi.store import Scope, StoreError
from healthapi.turns import turns
from healthapi.views.text import breaker_name

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

OPEN: Final = 500
"""Breakers that are looked at, those that opened first."""

STALE: Final = 60.0
"""Seconds after which what a fleet's records said says nothing any more."""

_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]*@")


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
    unhealthy: tuple[str, ...] = ()
    """Unhealthy targets of the tier `critical`."""
    offline: tuple[str, ...] = ()
    open: tuple[Opened, ...] = ()
    refused: tuple[Refusal, ...] = ()
    capped: tuple[str, ...] = ()
    """Whose probes have spent their daily cap."""
    trouble: str | None = None

    @property
    def health(self) -> float | None:
        """Healthy models of known ones, 0-100; None when none is known."""
        return 100.0 * self.healthy / self.known if self.known else None


async def gather(admin: Admin, within: float) -> Situation:
    """Look at everything. `within` is over how many seconds requests are counted.

    Ten thousand targets take some hundred milliseconds; others have their turn in between.
    """
    now, ahead = admin.now(), admin.now() - admin.monotonic()
    trouble = admin.keeper.trouble
    breakers = admin.registry.unwell()
    here = Situation(
        at=now,
        surveyed=False,
        open=await _open(breakers, ahead),
        refused=tuple(_refused(admin, breakers)),
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


async def _judged(made: Surveyed, within: float, here: Situation) -> Situation:
    """The situation with what the records say."""
    sources, found = made.sources, made.found
    known = healthy = 0
    unhealthy = []
    async for target in turns(found.targets):
        if target.status is Health.UNKNOWN or target.delisted:
            continue
        provider, model = target.record.provider, target.record.model
        if found.providers[provider].configured:
            known += 1
            healthy += target.status is Health.HEALTHY
        if target.status is Health.UNHEALTHY and sources.tier(provider, model) is Tier.CRITICAL:
            unhealthy.append(breaker_name(provider, model, None))
    counts = await _counted(sources, within)
    offline = [name for name, provider in found.providers.items() if provider.status is Availability.OFFLINE]
    return replace(
        here,
        surveyed=True,
        known=known,
        healthy=healthy,
        requests=counts.judged,
        failed=counts.blamed,
        unhealthy=tuple(sorted(unhealthy)),
        offline=tuple(sorted(offline)),
    )


async def _counted(sources: Sources, within: float) -> Counts:
    """What all users' attempts of the last `within` seconds came to, without what was the caller's key's fault."""
    counts = NOTHING
    async for record in turns(list(sources.store.records())):
        if record.updated_at > sources.now - within:
            counts += record.seen(within, sources.now, Kind.LIVE)
    return counts


async def _open(breakers: list[Breaker], ahead: float) -> tuple[Opened, ...]:
    """Breakers of providers and targets that keep traffic away, or are being tried out again."""
    found = [one async for one in turns(breakers) if one.scope is not Part.CREDENTIAL and one.mode is Mode.ENFORCE]
    first = nsmallest(OPEN, found, key=lambda one: one.opened_at or 0.0)
    return tuple(
        [
            Opened(breaker_name(one.provider, one.model, None), (one.opened_at or 0.0) + ahead, one.reason)
            async for one in turns(first)
        ]
    )


def _refused(admin: Admin, breakers: list[Breaker]) -> Iterator[Refusal]:
    """Providers whose configured key is refused, and where a key in use is that opened its breaker."""
    for name, judged in {} if admin.keys is None else admin.keys.refusals().items():
        yield Refusal(name, judged.http_status, configured=True)
    for one in breakers:
        if one.scope is Part.CREDENTIAL and one.http_status in REFUSED:
            yield Refusal(breaker_name(one.provider, one.model, None), one.http_status, configured=False)


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
