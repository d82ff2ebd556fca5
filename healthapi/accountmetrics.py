"""What keys and lists of models tell Prometheus, by provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from prometheus_client.core import GaugeMetricFamily, Metric

from healthapi.keys import KeyLog, KeyState
from healthapi.offerings import Offerings


class AccountFigures(Struct, frozen=True):
    """One configured provider at one moment. What was never read is None; `read_at` is Unix time."""

    provider: str
    key: KeyState
    offered: int | None
    delisted: int
    read_at: float | None
    failing: bool


def figures(keys: KeyLog | None, offers: Offerings | None) -> list[AccountFigures]:
    """Ask both; to be called on the event loop."""
    if keys is None or offers is None:
        return []
    found = []
    for name in keys.providers:
        offer = offers.of(name)
        offered = None if offer.read_at is None else len(offer.names)
        failing = offer.problem is not None
        found.append(AccountFigures(name, keys.state(name), offered, len(offer.delisted), offer.read_at, failing))
    return found


def families(told: Sequence[AccountFigures]) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    states = GaugeMetricFamily(
        "detour_key_state",
        "Configured keys by how they were judged: 1 for the state a key is in.",
        labels=("provider", "state"),
    )
    for one in told:
        for state in KeyState:
            states.add_metric((one.provider, state.value), int(state is one.key))
    yield states
    read = [one for one in told if one.offered is not None]
    yield _gauge(
        "detour_models_offered", "Models on the provider's own list.", {one.provider: one.offered or 0 for one in read}
    )
    yield _gauge(
        "detour_models_delisted",
        "Tracked models that are not on it any more.",
        {one.provider: one.delisted for one in read},
    )
    yield _gauge(
        "detour_model_list_read_timestamp_seconds",
        "When it was last read.",
        {one.provider: one.read_at or 0.0 for one in read},
    )
    yield _gauge(
        "detour_model_list_failing",
        "1 while it cannot be read.",
        {one.provider: int(one.failing) for one in told if one.failing or one.read_at is not None},
    )


def _gauge(name: str, documentation: str, values: dict[str, float] | dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=("provider",))
    for provider, value in values.items():
        family.add_metric((provider,), value)
    return family
