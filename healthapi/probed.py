"""What probes tell Prometheus: what became of them, what they cost, what they may still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from healthapi.probing import Probing
from healthapi.spend import SpendReport

ALL: Final = "~all"
"""The provider that stands for all of them."""


class Probed(Struct, frozen=True):
    """How probing goes at one moment."""

    results: Mapping[tuple[str, str], int]
    tokens: Mapping[str, int]
    spend: SpendReport | None


NOTHING: Final[Probed] = Probed({}, {}, None)


def probed(probing: Probing | None) -> Probed:
    """Ask the prober's side of health; to be called on the event loop."""
    if probing is None:
        return NOTHING
    return Probed(dict(probing.results), dict(probing.tokens), probing.spend.report())


def families(told: Probed) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    results = CounterMetricFamily("detour_probes", "Probes by what became of them.", labels=("provider", "result"))
    for key, count in told.results.items():
        results.add_metric(key, count)
    yield results
    tokens = CounterMetricFamily("detour_probe_tokens", "Tokens that probes cost.", labels=("provider",))
    for provider, count in told.tokens.items():
        tokens.add_metric((provider,), count)
    yield tokens
    left = GaugeMetricFamily("detour_probe_cap_left", "What probes may still spend today.", labels=("provider", "what"))
    if told.spend is not None:
        whole = told.spend
        _add(left, ALL, whole.cap_requests - whole.requests, whole.cap_tokens - whole.tokens)
        for name, one in whole.providers.items():
            _add(left, name, one.cap_requests - one.requests, one.cap_tokens - one.tokens)
    yield left


def _add(family: GaugeMetricFamily, name: str, requests: int, tokens: int) -> None:
    family.add_metric((name, "requests"), max(requests, 0))
    family.add_metric((name, "tokens"), max(tokens, 0))
