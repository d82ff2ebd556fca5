"""What breakers, hold-offs and retries tell Prometheus; the other half of `healthapi.exposition`.

A breaker has a series once it has moved, a provider's from its first attempt on. Breakers of keys are added up: a
fingerprint is no label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from breaker.outcome import NO_MODEL
from breaker.registry import Registry
from breaker.transition import Scope
from breaker.transitions import State
from healthapi.metrics import Metrics

_Labels = tuple[str, ...]


class Judgement(Struct, frozen=True):
    """What the registry holds at one moment, and what was counted of it; labels to values."""

    states: Mapping[_Labels, int]
    """Scope, provider, model and state to how many breakers are in it."""
    transitions: Mapping[_Labels, int]
    reroutes: Mapping[_Labels, int]
    retries: Mapping[_Labels, int]
    overspendings: Mapping[str, int]
    budgets: Mapping[str, float]
    hold_offs: Mapping[str, int]
    lapsed_leases: int


def judgement(metrics: Metrics, registry: Registry, now: float) -> Judgement:
    """Copy what has to be copied, at `now` on the registry's clock; to be called on the event loop."""
    return Judgement(
        states=_states(metrics, registry),
        transitions=metrics.transitions.copy(),
        reroutes=metrics.reroutes.copy(),
        retries=metrics.retries.copy(),
        overspendings=metrics.overspendings.copy(),
        budgets={metrics.label(name)[0]: budget.left(now) for name, budget in registry.budgets().items()},
        hold_offs=Counter(metrics.label(provider)[0] for provider, *_ in registry.hold_offs(now)),
        lapsed_leases=registry.lapsed_leases,
    )


def families(told: Judgement) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md, without `detour_rejections`, which go by target."""
    yield _gauge(
        "detour_breaker_state",
        "Circuit breakers by state: 1 for the state a breaker is in; those of keys are added up.",
        ("scope", "provider", "model", "state"),
        told.states,
    )
    yield _counter(
        "detour_breaker_transitions",
        "Moves of circuit breakers, by the kind of reason.",
        ("scope", "provider", "from", "to", "cause"),
        told.transitions,
    )
    yield _counter(
        "detour_reroutes",
        "Requests that were answered by another target than they asked for, by what made them move.",
        ("from_provider", "from_model", "to_provider", "to_model", "cause"),
        told.reroutes,
    )
    yield _counter(
        "detour_retries",
        "Attempts after the first of a request, by what the one before came to.",
        ("provider", "cause"),
        told.retries,
    )
    yield _gauge(
        "detour_retry_budget_left", "Further attempts that may be made now.", ("provider",), _keyed(told.budgets)
    )
    yield _counter(
        "detour_retry_budget_exhausted",
        "Further attempts that were not made because the budget was spent.",
        ("provider",),
        _keyed(told.overspendings),
    )
    yield _gauge(
        "detour_hold_offs", "Targets and keys that are left alone after a 429.", ("provider",), _keyed(told.hold_offs)
    )
    yield CounterMetricFamily(
        "detour_lapsed_leases", "Trials that were not back when their time was over.", value=told.lapsed_leases
    )


def _states(metrics: Metrics, registry: Registry) -> dict[_Labels, int]:
    counts: dict[_Labels, int] = {}
    for breaker in registry.breakers():
        if not breaker.generation and breaker.scope is not Scope.PROVIDER:
            continue
        provider, model = metrics.label(breaker.provider, breaker.model or NO_MODEL)
        key = (breaker.scope, provider, "" if breaker.model is None else model, breaker.state)
        counts[key] = counts.get(key, 0) + 1
    named = dict.fromkeys(key[:3] for key in counts)
    return {(*name, state): counts.get((*name, state), 0) for name in named for state in State}


def _keyed(values: Mapping[str, float]) -> dict[_Labels, float]:
    return {(name,): value for name, value in values.items()}


def _gauge(name: str, documentation: str, labels: _Labels, values: Mapping[_Labels, float]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, documentation: str, labels: _Labels, values: Mapping[_Labels, float]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
