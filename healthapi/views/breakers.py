"""The documents of `/circuit-breakers`."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from breaker.breaker import Breaker
from breaker.transition import Scope
from breaker.transitions import State
from healthapi.text import breaker_name, clean, iso
from healthapi.views.sources import Sources


class BreakerRow(Struct, frozen=True, kw_only=True, gc=False):
    """One breaker. Counts are of its window, the rate 0-1 (0 when nothing was seen), times in seconds.

    `opened_at` and `seconds_until_retry` are null while it is closed, `reason` and `cause` while it has never moved.
    `credential` is the beginning of a key's fingerprint. `hold_off_seconds` is how long a provider's 429 still keeps
    traffic away, whatever the state: of any key for a target, of its own for a key's breaker.
    """

    provider: str
    model: str | None
    scope: str
    credential: str | None
    mode: str
    state: str
    failure_count: int = 0
    success_count: int = 0
    failure_rate: float = 0.0
    recent_requests: int = 0
    consecutive_failures: int = 0
    opened_at: str | None = None
    seconds_until_retry: float | None = None
    reason: str | None = None
    cause: str | None = None
    generation: int = 0
    trials_out: int = 0
    manual: bool = False
    hold_off_seconds: float = 0.0


class BreakerList(Struct, frozen=True):
    """Breakers by name: `groq`, `groq/llama`, and for keys in use `groq#key:1a2b3c4d`, `groq/llama#key:1a2b3c4d`."""

    circuit_breakers: dict[str, BreakerRow]
    total_count: int
    open_count: int
    half_open_count: int
    closed_count: int


class _HoldOffs:
    """The hold-offs of one moment, by what they concern; in seconds."""

    def __init__(self, by_target: dict[tuple[str, str], float], by_key: dict[tuple[str, str, str], float]) -> None:
        self._by_target = by_target
        self._by_key = by_key

    @classmethod
    def of(cls, sources: Sources) -> Self:
        """All there are."""
        by_target: dict[tuple[str, str], float] = {}
        by_key: dict[tuple[str, str, str], float] = {}
        for provider, model, key, left in sources.registry.hold_offs(sources.monotonic):
            by_target[provider, model] = max(left, by_target.get((provider, model), 0.0))
            by_key[provider, model, key] = max(left, by_key.get((provider, model, key), 0.0))
        return cls(by_target, by_key)

    def left(self, provider: str, model: str | None, credential: str | None) -> float:
        """Seconds that are left of what concerns a breaker."""
        if model is None:
            return 0.0
        if credential is None:
            return self._by_target.get((provider, model), 0.0)
        return self._by_key.get((provider, model, credential), 0.0)


class Listing:
    """A list of breakers that is being made one by one: ten thousand take tens of milliseconds."""

    def __init__(self, sources: Sources) -> None:
        """Begin with none."""
        self._sources = sources
        self._holds = _HoldOffs.of(sources)
        self._named: dict[str, BreakerRow] = {}
        self._counts = dict.fromkeys(State, 0)

    def add(self, breaker: Breaker) -> None:
        """List a breaker."""
        self.put(_row(self._sources, breaker, self._holds))

    def put(self, row: BreakerRow) -> None:
        """List a row under its name."""
        name = breaker_name(row.provider, row.model, row.credential)
        while name in self._named:  # a caller named a model like a key's breaker, or two keys begin alike: lose neither
            name = f"{name}#{len(self._named)}"
        self._named[name] = row
        self._counts[State(row.state)] += 1

    def done(self) -> BreakerList:
        """The document."""
        named, counts = self._named, self._counts
        return BreakerList(named, len(named), counts[State.OPEN], counts[State.HALF_OPEN], counts[State.CLOSED])


def breaker_list(sources: Sources) -> BreakerList:
    """Every breaker there is: those of providers and targets that were attempted, and of keys that failed."""
    listing = Listing(sources)
    for breaker in sources.registry.breakers():
        listing.add(breaker)
    return listing.done()


def provider_breakers(sources: Sources, provider: str) -> BreakerList | None:
    """A provider's breaker and all below it; None for a name that is neither configured nor was ever attempted."""
    own = breaker_row(sources, provider)
    if own is None:
        return None
    listing = Listing(sources)
    listing.put(own)
    for breaker in sources.registry.breakers():
        if below(breaker, sources.canonical(provider)):
            listing.add(breaker)
    return listing.done()


def below(breaker: Breaker, provider: str) -> bool:
    """Whether a breaker is one of a provider's models or keys."""
    return breaker.provider == provider and breaker.scope is not Scope.PROVIDER


def breaker_row(sources: Sources, provider: str, model: str | None = None, *, known: bool = False) -> BreakerRow | None:
    """The breaker of a provider or target, None for names that are neither configured nor were ever attempted.

    What is configured, or `known` for another reason, and was not attempted yet is shown closed; no breaker is made
    for that.
    """
    name = sources.canonical(provider)
    breaker = sources.registry.breaker(name, model)
    if breaker is not None:
        return _row(sources, breaker, _HoldOffs.of(sources))
    configured = name in sources.config.providers if model is None else (name, model) in sources.config.targets
    if not configured and not known:
        return None
    return BreakerRow(
        provider=clean(name),
        model=None if model is None else clean(model),
        scope=Scope.PROVIDER if model is None else Scope.TARGET,
        credential=None,
        mode=sources.registry.knobs(name).mode,
        state=State.CLOSED,
    )


def _row(sources: Sources, breaker: Breaker, holds: _HoldOffs) -> BreakerRow:
    successes, failures = breaker.counts(sources.monotonic)
    seen = successes + failures
    opened_at = breaker.opened_at
    return BreakerRow(
        provider=clean(breaker.provider),
        model=None if breaker.model is None else clean(breaker.model),
        scope=breaker.scope,
        credential=breaker.credential,
        mode=breaker.mode,
        state=breaker.state,
        failure_count=failures,
        success_count=successes,
        failure_rate=failures / seen if seen else 0.0,
        recent_requests=seen,
        consecutive_failures=breaker.consecutive,
        opened_at=None if opened_at is None else iso(sources.at(opened_at)),
        seconds_until_retry=None if breaker.closed else round(breaker.retry_in(sources.monotonic), 3),
        reason=clean(breaker.reason) or None,
        cause=breaker.cause,
        generation=breaker.generation,
        trials_out=breaker.trials_out,
        manual=breaker.manual,
        hold_off_seconds=round(holds.left(breaker.provider, breaker.model, breaker.credential), 3),
    )
