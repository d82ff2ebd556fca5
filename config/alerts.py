"""The settings of alerts: where they go, and what is worth one."""

from __future__ import annotations

import enum
from typing import Annotated, Final

from msgspec import Struct, field

from config.scalars import Count, Flag, Hidden, Label, Percent, Seconds, Wait

DROP_WITHIN: Final = 86400.0
"""Most seconds that a drop looks back: what is remembered of health."""


class ChannelType(enum.StrEnum):
    """The kinds of place an alert can go to."""

    SLACK = "slack"
    WEBHOOK = "webhook"
    EMAIL = "email"
    SENTRY = "sentry"


class Severity(enum.StrEnum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


class Channel(Struct, frozen=True, kw_only=True):
    """One place alerts go to."""

    type: Annotated[ChannelType, "What kind of place it is."]
    url: Annotated[
        Hidden,
        "Its address: a webhook's `https://…`, a Sentry DSN, or `smtp://user:password@host:587/?from=…&to=…`.",
    ]
    secret: Annotated[
        Hidden | None,
        "Of a webhook: what its messages are signed with (HMAC-SHA256, in `X-Detour-Signature`).",
    ] = None


class Rule(Struct, frozen=True, kw_only=True):
    """When one kind of event is told."""

    enabled: Annotated[Flag, "Whether it is told at all."] = True
    severity: Annotated[Severity, "How bad it is."] = Severity.CRITICAL
    for_: Annotated[Wait, "How long it must last before it is told."] = field(default=120.0, name="for")
    clear: Annotated[Wait, "How long it must be over before that counts: what comes back sooner is the same."] = 60.0
    repeat: Annotated[Wait, "How often it is told again while it lasts; `0s` is never."] = 1800.0
    channels: Annotated[tuple[Label, ...], "Where it goes; everywhere when none is named."] = ()


class Lasting(Rule, frozen=True, kw_only=True):
    """When something is told that is no trouble before it lasts."""

    longer_than: Annotated[Wait, "How long it lasts before it counts as trouble at all."] = 300.0


class Threshold(Struct, frozen=True, kw_only=True):
    """When a percentage is told."""

    enabled: Annotated[Flag, "Whether it is told at all."] = True
    warning: Annotated[Percent, "Percentage that is worth a warning, once it is passed."] = 90.0
    critical: Annotated[Percent, "Percentage that is worth waking somebody, once it is passed."] = 80.0
    hysteresis: Annotated[Percent, "Points by which it must be better than that again before it counts as over."] = 2.0
    for_: Annotated[Wait, "How long it must last before it is told."] = field(default=120.0, name="for")
    clear: Annotated[Wait, "How long it must be over before that counts: what comes back sooner is the same."] = 60.0
    repeat: Annotated[Wait, "How often it is told again while it lasts; `0s` is never."] = 1800.0
    channels: Annotated[tuple[Label, ...], "Where it goes; everywhere when none is named."] = ()


class Drop(Threshold, frozen=True, kw_only=True):
    """When a percentage that falls is told."""

    within: Annotated[Seconds, "How far back the best is looked for that it has fallen from; at most `24h`."] = 3600.0


class Budget(Threshold, frozen=True, kw_only=True):
    """When a share of failed requests is told."""

    within: Annotated[Seconds, "Over how long requests are counted."] = 900.0
    min_requests: Annotated[Count, "Requests needed for a judgement."] = 20


class Rules(Struct, frozen=True, kw_only=True):
    """What is worth an alert."""

    health: Annotated[Threshold, "The share of known models that are healthy is below this."] = Threshold()
    drop: Annotated[Drop, "That share has fallen by more than so many points."] = Drop(warning=10.0, critical=25.0)
    critical_model: Annotated[Rule, "A target of the tier `critical` is unhealthy."] = Rule()
    provider_offline: Annotated[Rule, "A provider is offline."] = Rule()
    breaker_open: Annotated[Lasting, "A circuit breaker has not closed for long."] = Lasting(severity=Severity.WARNING)
    credential: Annotated[Rule, "A credential is refused or spent (401, 402, 403)."] = Rule()
    error_budget: Annotated[Budget, "More than this share of users' requests failed."] = Budget(
        warning=5.0, critical=20.0, hysteresis=1.0
    )
    probe_cap: Annotated[Rule, "Probes have spent their daily cap."] = Rule(severity=Severity.WARNING)
    store: Annotated[Rule, "The store does not take what it is given."] = Rule(severity=Severity.WARNING)


class Alerts(Struct, frozen=True, kw_only=True):
    """Who is told when something breaks."""

    channels: Annotated[dict[Label, Channel], "Where alerts go, by name."] = {}
    rules: Annotated[Rules, "What is worth one."] = Rules()
