"""The settings: one frozen Struct per section of the file, every key documented at its field.

The docs page and the JSON Schema are made from what stands here: `Annotated[type, kind, "what it does"]`. Durations
are seconds, sizes are bytes. What an override leaves out is None and falls to the next wider setting.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from config.address import Listen
from config.alerts import Alerts
from config.egress import EgressProxy
from config.kinds import LISTEN, PROXY, STORE
from config.scalars import (
    Amount,
    BaseUrl,
    Count,
    Exempt,
    FilePath,
    Flag,
    Goal,
    HeaderName,
    HeaderValue,
    Hidden,
    HostName,
    Label,
    ModelName,
    Prefix,
    Ratio,
    Seconds,
    Share,
    Size,
    Variable,
    Wait,
    WebOrigin,
)
from config.storeurl import StoreUrl
from config.words import (
    AllOpen,
    AuthStyle,
    Dialect,
    LogFormat,
    LogLevel,
    Mode,
    OnRateLimit,
    OpenGet,
    Rescue,
    Strategy,
    Tier,
)


class Tls(Struct, frozen=True, kw_only=True):
    """TLS for the port of provider traffic: 1.2 or newer, from files that are read anew when they change."""

    cert: Annotated[
        FilePath | None,
        "PEM file with the certificate, what it is issued by behind it. With one, the port speaks TLS alone. Changing "
        "the paths needs a restart, changing the files does not.",
    ] = None
    key: Annotated[FilePath | None, "PEM file with its private key, not encrypted; `cert` itself when not given."] = (
        None
    )
    client_ca: Annotated[
        FilePath | None,
        "PEM file with the authorities of client certificates: nobody gets in without one. On the port of provider "
        "traffic that is a proof which `client_token` is not needed beside.",
    ] = None


class Admin(Struct, frozen=True, kw_only=True):
    """The port for people and machines that watch."""

    listen: Annotated[Listen, LISTEN, "Where the admin port listens. Changing it needs a restart."] = Listen(
        "127.0.0.1", 9090
    )
    token: Annotated[
        Hidden | None,
        "Bearer token of the admin port. Every POST needs it (without one configured they are refused), and so do GETs "
        "when `admin.listen` is not loopback.",
    ] = None
    open: Annotated[
        tuple[OpenGet, ...], "GETs that never need the token, besides `/livez` and `/readyz` which are always open."
    ] = ()
    origins: Annotated[tuple[WebOrigin, ...], "Origins of web pages that may read the admin port (CORS)."] = ()
    tls: Tls = Tls()


class Redis(Struct, frozen=True, kw_only=True):
    """What a fleet shares over Redis. Changing it needs a restart."""

    fleet: Annotated[Label, "Name of the fleet: sidecars of one fleet share health and breakers."] = "default"
    timeout: Annotated[Seconds, "Longest wait for Redis. No request ever waits for it."] = 0.1
    publish_cache: Annotated[Flag, "Publish `health:*` documents for consumers of the original cache."] = False


class Upstream(Struct, frozen=True, kw_only=True):
    """How providers are reached."""

    ca_bundle: Annotated[
        FilePath | None,
        "PEM file with the authorities that may vouch for providers (and for a proxy spoken to over TLS), in the place "
        "of the system's. Read anew when it changes.",
    ] = None
    proxy: Annotated[
        EgressProxy | None,
        PROXY,
        "Proxy that every provider is reached through, by CONNECT: `http://user:password@host:3128`, or `https://` to "
        "speak TLS with it; `env` takes it from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`. This machine "
        "itself is reached without.",
    ] = None
    no_proxy: Annotated[
        tuple[Exempt, ...],
        "Hosts reached without the proxy: names with all below them, addresses, networks (`10.0.0.0/8`), each with a "
        "port perhaps; `*` is all.",
    ] = ()


class Timeouts(Struct, frozen=True, kw_only=True):
    """Time limits on users' traffic; the nearest of target, group, provider and global wins."""

    connect: Annotated[Seconds, "Address to ready connection, TLS included."] = 5.0
    first_byte: Annotated[Seconds, "Streams: request sent to first content event."] = 120.0
    idle: Annotated[Seconds, "Between content events of a stream, between reads of any other body."] = 120.0
    answer: Annotated[
        Seconds,
        "Not streamed: request sent to response head. Also stands for `first_byte` and `idle` of requests that ask "
        "for reasoning.",
    ] = 600.0
    total: Annotated[Seconds, "The whole exchange with all its attempts, when it is not a stream."] = 900.0
    stream_total: Annotated[Seconds, "The whole exchange with all its attempts, when it is a stream."] = 3600.0


class TimeoutOverrides(Struct, frozen=True, kw_only=True):
    """Time limits of one provider, group or target."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    answer: Seconds | None = None
    total: Seconds | None = None
    stream_total: Seconds | None = None


class Breakers(Struct, frozen=True, kw_only=True):
    """When a circuit breaker opens and how it closes again."""

    mode: Annotated[Mode, "`observe` judges and reports and blocks nothing; `off` does neither."] = Mode.ENFORCE
    failure_threshold: Annotated[Count, "Consecutive failures that trip."] = 5
    failure_rate: Annotated[Share, "Share of failures in the window that trips."] = 0.5
    min_requests: Annotated[Count, "Requests in the window before `failure_rate` counts."] = 10
    window: Annotated[Seconds, "Length of the sliding window."] = 60.0
    open_for: Annotated[Seconds, "First open time; it doubles with each reopening."] = 60.0
    max_open_for: Annotated[Seconds, "Longest open time, and longest hold-off after a 429."] = 300.0
    jitter: Annotated[Ratio, "Share by which open times are varied, so that a fleet does not try all at once."] = 0.1
    half_open_requests: Annotated[Count, "Trials out at a time while half-open."] = 1
    success_threshold: Annotated[Count, "Trials that must succeed to close."] = 2
    slow_first_byte: Annotated[Seconds, "A streamed answer later than this is slow."] = 30.0
    slow_rate: Annotated[Share, "Share of slow answers in the window that trips."] = 0.8


class BreakerOverrides(Struct, frozen=True, kw_only=True):
    """Breaker knobs of one provider and its targets."""

    mode: Mode | None = None
    failure_threshold: Count | None = None
    failure_rate: Share | None = None
    min_requests: Count | None = None
    window: Seconds | None = None
    open_for: Seconds | None = None
    max_open_for: Seconds | None = None
    jitter: Ratio | None = None
    half_open_requests: Count | None = None
    success_threshold: Count | None = None
    slow_first_byte: Seconds | None = None
    slow_rate: Share | None = None


class Cap(Struct, frozen=True, kw_only=True):
    """What probes may spend in a day."""

    requests: Annotated[Amount, "Probe requests a day."] = 2000
    tokens: Annotated[Amount, "Tokens probes may use a day."] = 20000


class CapOverrides(Struct, frozen=True, kw_only=True):
    """What probes of one provider may spend in a day."""

    requests: Amount | None = None
    tokens: Amount | None = None


class Probes(Struct, frozen=True, kw_only=True):
    """Detour's own requests to targets that have no traffic."""

    enabled: Annotated[Flag, "Whether probes are sent at all; never where a provider's credential is missing."] = True
    max_in_flight: Annotated[Count, "Probes of one round, all under way at a time."] = 10
    pause: Annotated[Wait, "Time between two rounds."] = 30.0
    failing: Annotated[Seconds, "A target that fails is probed again within so long, where rounds have room."] = 300.0
    models_per_minute: Annotated[
        Amount, "Different models of one provider that are probed within a minute; 0 sets no limit. The catalog says 4 "
        "for `openrouter`.",
    ] = 0  # fmt: skip
    daily_cap: Annotated[Cap, "What they may spend in a day (UTC), for the fleet."] = Cap()


class ProbeOverrides(Struct, frozen=True, kw_only=True):
    """Probes of one provider."""

    enabled: Flag | None = None
    max_in_flight: Count | None = None
    pause: Wait | None = None
    failing: Seconds | None = None
    models_per_minute: Amount | None = None
    daily_cap: CapOverrides | None = None


class TargetProbe(Struct, frozen=True, kw_only=True):
    """Probes of one target; what is left out its tier says, and its provider whether there are any."""

    enabled: Annotated[Flag | None, "Whether it is probed."] = None
    interval: Annotated[Seconds | None, "Time between probes."] = None
    timeout: Annotated[Seconds | None, "Longest wait for a probe's answer."] = None
    max_tokens: Annotated[Count | None, "Tokens a probe asks for."] = None


class Sla(Struct, frozen=True, kw_only=True):
    """What is expected of a provider; the health API and metrics tell how it does."""

    availability: Annotated[
        Goal, "Percentage of attempts that have to succeed; the rest, in 30 days, is its error budget."
    ] = 99.0  # fmt: skip
    p95: Annotated[Seconds, "Response time that 95 % of attempts have to stay within."] = 30.0


class SlaOverrides(Struct, frozen=True, kw_only=True):
    """What is expected of one provider."""

    availability: Goal | None = None
    p95: Seconds | None = None


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """One provider. What is left out comes from the catalog; one that is not in it needs `base_url`."""

    base_url: Annotated[
        BaseUrl | None, "Origin and API prefix: what follows the prefix is the same at every provider of the dialect."
    ] = None
    dialect: Annotated[Dialect | None, "Shape of its API where the path does not tell; `openai` by default."] = None
    api_key: Annotated[Hidden | None, "Its key, for callers that bring none. Prefer `${NAME}` or `${file:…}`."] = None
    api_key_env: Annotated[
        tuple[Variable, ...], "Environment variables that may hold its key, first one set wins; `api_key` beats them."
    ] = ()
    auth: Annotated[AuthStyle | None, "Where it wants the key; by dialect when not given."] = None
    headers: Annotated[dict[HeaderName, HeaderValue], "Headers added to requests that do not carry them."] = {}
    timeouts: Annotated[TimeoutOverrides, "Time limits of this provider."] = TimeoutOverrides()
    breakers: Annotated[BreakerOverrides, "Breaker knobs of this provider and its targets."] = BreakerOverrides()
    probes: Annotated[ProbeOverrides, "Probes of this provider."] = ProbeOverrides()
    sla: Annotated[SlaOverrides, "What is expected of this provider."] = SlaOverrides()
    ca_bundle: Annotated[FilePath | None, "As `upstream.ca_bundle`, for this provider alone."] = None
    proxy: Annotated[
        EgressProxy | None,
        PROXY,
        "As `upstream.proxy`, for this provider alone and wherever it is; `none` reaches it without.",
    ] = None
    prefixes: Annotated[dict[Dialect, Prefix], "API prefix per dialect where it differs from `base_url`'s."] = {}


class TargetSettings(Struct, frozen=True, kw_only=True):
    """One provider's model. `provider/model` alone is short for `target: provider/model`."""

    target: Annotated[ModelName, "Provider and its own model name; the first `/` splits them."]
    context_window: Annotated[Count | None, "Tokens it can take: a longer prompt goes only to a larger one."] = None
    prefill: Annotated[Flag | None, "Whether it goes on from a begun assistant message; known for some."] = None
    timeouts: Annotated[TimeoutOverrides, "Time limits of this target."] = TimeoutOverrides()
    probe: Annotated[TargetProbe, "Probes of this target."] = TargetProbe()


class GroupSettings(Struct, frozen=True, kw_only=True):
    """Interchangeable targets for one model, best first."""

    tier: Annotated[
        Tier | None,
        "How often and how long its targets are probed, and what their failure means to alerts. By traffic when not "
        "given: of all targets by their calls of 24 hours, the first 5 % are `critical`, the next 20 % `popular`, "
        "others with any `standard`, those with none `on_demand`.",
    ] = None
    targets: Annotated[tuple[TargetSettings, ...], "The targets, best first; at most 100."]
    timeouts: Annotated[TimeoutOverrides, "Time limits of this group."] = TimeoutOverrides()


class Routing(Struct, frozen=True, kw_only=True):
    """Where requests go when the asked-for target is ill."""

    enabled: Annotated[Flag, "Whether requests may be rerouted; `x-detour-route: off` pins a single one."] = True
    strategy: Annotated[Strategy, "How targets are ordered: by health, by first byte, as in the file."] = (
        Strategy.UPTIME
    )
    when_all_open: Annotated[AllOpen, "`fail` answers 503 at once, `try` goes to the least bad one."] = AllOpen.FAIL


class Retries(Struct, frozen=True, kw_only=True):
    """Further attempts while nothing has reached the client."""

    max_attempts: Annotated[Count, "Attempts of one exchange, the first included."] = 3
    on_rate_limit: Annotated[OnRateLimit, "After a 429: move on at once, or wait first."] = OnRateLimit.REROUTE
    max_wait: Annotated[Wait, "Longest wait for a rate limit to end."] = 3.0
    budget: Annotated[Ratio, "Further attempts as a share of a provider's recent requests."] = 0.2


class Streams(Struct, frozen=True, kw_only=True):
    """Streams that break after content reached the client."""

    rescue: Annotated[
        Rescue,
        "`off` ends them with an error event, `continue` asks the next target to go on, `hold` delivers nothing "
        "before the end.",
    ] = Rescue.OFF


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds, so that no caller can hurt another."""

    request_body: Annotated[Size, "Largest body of a judged request; others stream through."] = 64 << 20
    replay: Annotated[Size, "Largest body kept for another attempt."] = 8 << 20
    replay_total: Annotated[Size, "Most kept for all exchanges together."] = 256 << 20
    tracked_targets: Annotated[Count, "Targets whose health is kept, oldest out first."] = 10_000
    pool_wait: Annotated[Wait, "Longest wait for a free upstream connection."] = 5.0
    connections: Annotated[Amount, "Most upstream connections per origin; 0 sets no cap."] = 0


class TierSettings(Struct, frozen=True, kw_only=True):
    """How the targets of one tier are probed."""

    interval: Annotated[Seconds, "Time between probes; a target with traffic within it is not probed."] = 7200.0
    timeout: Annotated[Seconds, "Longest wait for a probe's answer. It bounds probes, not users' traffic."] = 60.0
    max_tokens: Annotated[Count, "Tokens a probe asks for."] = 5


class Tiers(Struct, frozen=True, kw_only=True):
    """Probing by tier."""

    critical: Annotated[TierSettings, "What must work."] = TierSettings(interval=300.0, timeout=30.0, max_tokens=10)
    popular: Annotated[TierSettings, "What many use."] = TierSettings(interval=1800.0, timeout=45.0, max_tokens=10)
    standard: Annotated[TierSettings, "What is used at all."] = TierSettings(interval=7200.0)
    on_demand: Annotated[TierSettings, "What is seldom used."] = TierSettings(interval=14400.0)


class Cleanup(Struct, frozen=True, kw_only=True):
    """Health records that nobody needs any more: never called, unused for long, or never successful in ten calls."""

    every: Annotated[Wait, "Time between two cleanups; `0s` is never. `detour cleanup` does one by hand."] = 0.0
    older_than: Annotated[Seconds, "How long a record has to be unused, for `detour cleanup` too."] = 30 * 86400.0


class Offers(Struct, frozen=True, kw_only=True):
    """The providers' own lists of models: what is tracked is compared with what is offered."""

    every: Annotated[
        Wait, "Time between two times that they are read, by one sidecar of a fleet; `0s` is never but on request."
    ] = 86400.0


class Drain(Struct, frozen=True, kw_only=True):
    """How the process ends."""

    timeout: Annotated[
        Wait, "Longest wait for exchanges under way after SIGTERM; then they are ended, visibly."
    ] = 60.0  # fmt: skip
    linger: Annotated[
        Wait,
        "Time after SIGTERM in which new connections are taken in any case, while `/readyz` says 503: a little longer "
        "than a balancer needs to notice.",
    ] = 0.0


class Log(Struct, frozen=True, kw_only=True):
    """What is written to standard error."""

    level: Annotated[LogLevel, "Least severity that is written."] = LogLevel.INFO
    format: Annotated[LogFormat, "`auto` is text on a terminal and JSON lines otherwise."] = LogFormat.AUTO
    access: Annotated[Flag, "One line per exchange; never a prompt, never a credential."] = False


class Settings(Struct, frozen=True, kw_only=True):
    """The whole file."""

    listen: Annotated[
        Listen, LISTEN, "Where the gateway sends provider traffic. Changing it needs a restart."
    ] = Listen("127.0.0.1", 8080)  # fmt: skip
    open: Annotated[
        Flag, "Add configured credentials for every caller that reaches a `listen` that is not loopback."
    ] = False  # fmt: skip
    client_token: Annotated[
        Hidden | None, "What callers prove themselves with (`x-detour-token`, or in the place of the key)."
    ] = None
    hosts: Annotated[tuple[HostName, ...], "Names this sidecar is called by, besides addresses and `localhost`."] = ()
    tls: Tls = Tls()
    admin: Admin = Admin()
    store: Annotated[StoreUrl, STORE, "Where health is kept. Changing it needs a restart."] = StoreUrl.parse(
        "sqlite:///detour.db"
    )
    redis: Redis = Redis()
    upstream: Upstream = Upstream()
    providers: Annotated[
        dict[Label, ProviderSettings], "Providers by name; with none and no `models`, the whole catalog is served."
    ] = {}
    models: Annotated[dict[ModelName, GroupSettings], "Model groups by the model's canonical name."] = {}
    breakers: Breakers = Breakers()
    routing: Routing = Routing()
    retries: Retries = Retries()
    timeouts: Timeouts = Timeouts()
    streams: Streams = Streams()
    limits: Limits = Limits()
    tiers: Tiers = Tiers()
    probes: Probes = Probes()
    sla: Sla = Sla()
    alerts: Alerts = Alerts()
    offers: Offers = Offers()
    cleanup: Cleanup = Cleanup()
    drain: Drain = Drain()
    log: Log = Log()


OVERRIDES: Final[dict[type[Struct], type[Struct]]] = {
    TimeoutOverrides: Timeouts,
    BreakerOverrides: Breakers,
    ProbeOverrides: Probes,
    CapOverrides: Cap,
    SlaOverrides: Sla,
}
"""Sections whose keys are those of another, each optional; its docs are that other's."""

SHORTHANDS: Final[dict[type[Struct], str]] = {TargetSettings: "target"}
"""Sections that may be written as one value: the key it stands for."""
