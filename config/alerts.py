"""The settings of alerts: where they go, and what is worth one."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Struct, field

from config.scalars import Flag, Hidden, Label, Percent, Wait


class ChannelType(enum.StrEnum):
    """The kinds of place an alert can go to."""

    SLACK = "slack"
    WEBHOOK = "webhook"
    EMAIL = "email"
    SENTRY = "sentry"


class Channel(Struct, frozen=True, kw_only=True):
    """One place alerts go to."""

    type: Annotated[ChannelType, "What kind of place it is."]
    url: Annotated[
        Hidden,
        "Its address: a webhook's `https://…`, a Sentry DSN, or `smtp://user:password@host:587/?from=…&to=…`.",
    ]


class Rule(Struct, frozen=True, kw_only=True):
    """When one kind of event is told."""

    enabled: Annotated[Flag, "Whether it is told at all."] = True
    for_: Annotated[Wait, "How long it must last before it is told."] = field(default=0.0, name="for")
    repeat: Annotated[Wait, "How often it is told again while it lasts."] = 1800.0
    channels: Annotated[tuple[Label, ...], "Where it goes; everywhere when none is named."] = ()


class Threshold(Struct, frozen=True, kw_only=True):
    """When a percentage is told."""

    enabled: Annotated[Flag, "Whether it is told at all."] = True
    warning: Annotated[Percent, "Percentage that is worth a warning."] = 90.0
    critical: Annotated[Percent, "Percentage that is worth waking somebody."] = 80.0
    for_: Annotated[Wait, "How long it must last before it is told."] = field(default=120.0, name="for")
    repeat: Annotated[Wait, "How often it is told again while it lasts."] = 1800.0
    channels: Annotated[tuple[Label, ...], "Where it goes; everywhere when none is named."] = ()


class Rules(Struct, frozen=True, kw_only=True):
    """What is worth an alert."""

    health: Annotated[Threshold, "Health percentage of the system falls to this."] = Threshold()
    drop: Annotated[Threshold, "A target's success rate falls by so many points against the day before."] = Threshold(
        warning=10.0, critical=25.0
    )
    critical_model: Annotated[Rule, "A target of the tier `critical` is unhealthy."] = Rule(for_=60.0)
    provider_offline: Annotated[Rule, "A provider is offline."] = Rule(for_=60.0)
    breaker_open: Annotated[Rule, "A circuit breaker opened."] = Rule()
    credential: Annotated[Rule, "A configured credential is refused or spent."] = Rule()
    error_budget: Annotated[Threshold, "So much of the month's error budget is spent."] = Threshold(
        warning=50.0, critical=90.0
    )
    probe_cap: Annotated[Rule, "Probes have spent their daily cap."] = Rule()
    store: Annotated[Rule, "The store cannot be reached."] = Rule(for_=60.0)


class Alerts(Struct, frozen=True, kw_only=True):
    """Who is told when something breaks."""

    channels: Annotated[dict[Label, Channel], "Where alerts go, by name."] = {}
    rules: Annotated[Rules, "What is worth one."] = Rules()
