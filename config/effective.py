"""What the data plane reads: providers, targets and limits with everything looked up beforehand."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from config.egress import EgressProxy
from config.problems import nearest
from config.secret import Secret
from config.settings import Breakers, Probes, Settings, Sla, TargetProbe, TierSettings, Timeouts
from config.words import AuthStyle, Dialect, Tier

__all__ = [
    "AuthStyle",
    "Breakers",
    "Config",
    "Dialect",
    "Group",
    "Origin",
    "Probes",
    "Provider",
    "Target",
    "Tier",
    "TierSettings",
    "Timeouts",
]

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(Struct, frozen=True, dict=True, cache_hash=True):
    """Where an upstream connection goes, and by what way. `host` is lower-case, an IPv6 address without its brackets.

    `proxy` is what it is reached through. `ca_bundle` is the file of the authorities that may vouch for it, empty for
    the system's. Connections are pooled by all of it.
    """

    scheme: str
    host: str
    port: int
    proxy: EgressProxy | None = None
    ca_bundle: str = ""

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.scheme == "https"

    @cached_property
    def authority(self) -> bytes:
        """The Host header for it: the scheme's own port left out, IPv6 in brackets (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if _DEFAULT_PORTS.get(self.scheme) == self.port else f"{host}:{self.port}").encode("ascii")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority.decode()}"


class Provider(Struct, frozen=True, kw_only=True):
    """One provider as requests see it.

    `prefix` is the path of its base URL without a slash at the end (`""`, `/openai/v1`); `prefixes` holds it per
    dialect, its own dialect included. `headers` are added where the caller did not send them. `key_variables` are the
    environment variables that may hold its key. While `missing_variables` (of its URL) are not set, its origin leads
    nowhere and requests to it must be answered with their names. `keyless`: not in the catalog and no key was
    configured, so none is needed (a model server of one's own).
    """

    name: str
    origin: Origin
    prefix: str
    prefixes: dict[str, str]
    dialect: str
    auth: AuthStyle
    credential: Secret | None = None
    key_variables: tuple[str, ...] = ()
    headers: tuple[tuple[bytes, bytes], ...] = ()
    timeouts: Timeouts = Timeouts()
    breakers: Breakers = Breakers()
    probes: Probes = Probes()
    sla: Sla = Sla()
    missing_variables: tuple[str, ...] = ()
    keyless: bool = False
    catalogued: bool = True
    key_source: str | None = None
    list_path: str | None = None
    """Where its own list of models is, with the query that asks for all of it; None where there is none."""
    list_origin: Origin | None = None
    """At which origin that is, where it is not the provider's own; no credential goes there."""
    queue: Provider | None = None
    """It at its vendor's queue, which takes the same key and can be asked for nothing; None where there is none."""

    @property
    def configured(self) -> bool:
        """Whether it has the credential it needs, if it needs one."""
        return self.credential is not None or self.keyless

    @property
    def base_url(self) -> str:
        """Origin and prefix together, for people."""
        return f"{self.origin}{self.prefix}"


class Target(Struct, frozen=True, kw_only=True):
    """One provider's model in a group. What is None there is not known."""

    provider: str
    model: str
    context_window: int | None = None
    prefill: bool | None = None
    timeouts: Timeouts = Timeouts()


class Group(Struct, frozen=True, kw_only=True):
    """Interchangeable targets, best first. `tier` is None where traffic decides on it."""

    name: str
    tier: Tier | None
    targets: tuple[Target, ...]
    timeouts: Timeouts = Timeouts()


class Config(Struct, frozen=True, kw_only=True):
    """A valid configuration, ready to be asked.

    `routes` are the providers under their names and aliases. By (provider, model): `stand_ins` are the other targets of
    all groups that a target stands in, in file order; a target that nothing could stand in for is not there. `windows`
    are the configured context windows, in tokens. `probes` is what the file says of single targets' probes.
    """

    settings: Settings
    providers: dict[str, Provider]
    aliases: dict[str, str]
    groups: dict[str, Group]
    routes: dict[str, Provider]
    target_timeouts: dict[tuple[str, str], Timeouts]
    tiers: dict[tuple[str, str], Tier]
    targets: frozenset[tuple[str, str]]
    stand_ins: dict[tuple[str, str], tuple[Target, ...]]
    windows: dict[tuple[str, str], int]
    probes: dict[tuple[str, str], TargetProbe]
    adds_credentials: bool
    client_token: Secret | None
    hosts: frozenset[str]
    warnings: tuple[str, ...] = ()

    def provider(self, name: str) -> Provider | None:
        """The provider of that name or alias."""
        return self.routes.get(name)

    def timeouts(self, provider: str, model: str) -> Timeouts:
        """The time limits of a target, in seconds; `provider` is a canonical name."""
        limits = self.target_timeouts.get((provider, model))
        if limits is not None:
            return limits
        known = self.providers.get(provider)
        return known.timeouts if known is not None else self.settings.timeouts

    def tier(self, provider: str, model: str) -> Tier | None:
        """The most demanding tier that the groups of a target give it, None where none gives one."""
        return self.tiers.get((provider, model))

    def probing(self, provider: str, model: str, tier: Tier) -> TierSettings:
        """How a target of a tier is probed, whether it is or not."""
        found: TierSettings = getattr(self.settings.tiers, tier.value)
        own = self.probes.get((provider, model))
        if own is None:
            return found
        return TierSettings(
            interval=found.interval if own.interval is None else own.interval,
            timeout=found.timeout if own.timeout is None else own.timeout,
            max_tokens=found.max_tokens if own.max_tokens is None else own.max_tokens,
        )

    def probed(self, provider: str, model: str) -> bool:
        """Whether a target may be probed: there is a credential to do it with, and nothing says not to.

        The nearest of what is said of the target, of its provider and of all holds.
        """
        known = self.providers.get(provider)
        if known is None or not known.configured or known.missing_variables:
            return False
        own = self.probes.get((provider, model))
        return known.probes.enabled if own is None or own.enabled is None else own.enabled

    def again(self, provider: str) -> float:
        """Seconds after which a target that fails is due again, so that it is probed within what is configured.

        That much sooner as a round may last (with a probe that is not answered) and the pause behind it; where this is
        more than half of the time, half of it.
        """
        whole, tiers = self.settings.probes, self.settings.tiers
        own = self.providers[provider].probes if provider in self.providers else whole
        pause = max(whole.pause, own.pause)
        longest = max(one.timeout for one in (tiers.critical, tiers.popular, tiers.standard, tiers.on_demand))
        return max(own.failing - pause - longest, own.failing / 2)

    def similar(self, name: str) -> list[str]:
        """The at most three names of providers that `name` is most likely a slip of."""
        return nearest(name, self.routes, 3)
