"""Counts for Prometheus, kept on the hot path as plain numbers and read by `healthapi.exposition`.

They belong to this process and start at zero with it, as Prometheus expects; what survives a restart is the store's.

How many targets have numbers of their own is bounded twice: `PROVEN` that are configured or have succeeded once, and
`UNPROVEN` names that only ever failed, so that a caller who invents names takes no place from a target that works.
Others are counted under their provider's `~other`. A forgotten target's series ends: moved elsewhere, its counts would
show up as a burst of traffic that never was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from breaker.outcome import NO_MODEL, OTHER_MODEL, Answer, Neutral, Outcome, Status, Verdict
from breaker.transition import Transition
from config.effective import Config
from healthapi.labels import UNKNOWN_PROVIDER, fits
from healthapi.lag import Lag
from healthapi.series import Series

PROVEN: Final = 1000
"""Most configured or once successful targets with series of their own: about 60 lines each in a scrape."""

UNPROVEN: Final = 200
"""Most other targets with series of their own."""

REROUTES: Final = 1000
"""Most kinds of reroute (from, to and cause) with a series of their own; others go by their providers."""

_SUCCESS: Final = Status.SUCCESS
_UNNAMED: Final = (NO_MODEL, OTHER_MODEL)


class Metrics:
    """What this process has done, by target; and the gauges, asked for when somebody reads them.

    `outcomes` are all attempts by status or neutral kind. `transitions` are by scope, provider, state before, state
    after and cause; `reroutes` by provider and model asked for, provider and model that answered, and cause; `retries`
    by provider and cause; `overspendings` by provider.
    """

    __slots__ = (
        "_config",
        "_counts",
        "_series",
        "connections",
        "in_flight",
        "instance",
        "lag",
        "open_permits",
        "outcomes",
        "overspendings",
        "reroutes",
        "retries",
        "transitions",
        "version",
    )

    def __init__(
        self,
        *,
        config: Config,
        instance: str,
        lag: Lag,
        in_flight: Callable[[], int],
        connections: Callable[[], Mapping[str, int]],
        open_permits: Callable[[], int],
        version: str = "",
    ) -> None:
        """Start at zero.

        `in_flight` counts exchanges that have begun and not ended, `connections` upstream connections by state,
        `open_permits` permits not yet given back. `version` may be told later, before anybody reads it.
        """
        self._config = config
        self._series: dict[tuple[str, str], Series] = {}
        self._counts = {True: 0, False: 0}  # series of proven and unproven targets
        self.outcomes: dict[str, int] = dict.fromkeys((*Status, *Neutral), 0)
        self.transitions: dict[tuple[str, ...], int] = {}
        self.reroutes: dict[tuple[str, ...], int] = {}
        self.retries: dict[tuple[str, ...], int] = {}
        self.overspendings: dict[str, int] = {}
        self.version = version
        self.instance = instance
        self.lag = lag
        self.in_flight = in_flight
        self.connections = connections
        self.open_permits = open_permits

    def attempt(self, outcome: Outcome) -> None:
        """Count one attempt, its target as the registry tracks it."""
        status = outcome.verdict.status
        series = self._series.get((outcome.provider, outcome.model))
        if series is None or (not series.proven and status is _SUCCESS):
            series = self._place(outcome.provider, outcome.model, outcome.verdict)
        series.attempt(outcome)
        self.outcomes[status] += 1

    def answer(self, answer: Answer) -> None:
        """Count one exchange."""
        series = self._series.get((answer.provider, answer.model))
        if series is None:
            series = self._place(answer.provider, answer.model, None)
        series.answer(answer)

    def rejected(self, provider: str, model: str, kind: str) -> None:
        """Count an attempt that was not made, by what stood in the way."""
        series = self._series.get((provider, model))
        if series is None:
            series = self._place(provider, model, None)
        series.rejections[kind] = series.rejections.get(kind, 0) + 1

    def rerouted(self, provider: str, model: str, to_provider: str, to_model: str, cause: str) -> None:
        """Count an exchange that was answered elsewhere than it asked."""
        asked, answered = self.label(provider, model), self.label(to_provider, to_model)
        key = (*asked, *answered, cause)
        if key not in self.reroutes and len(self.reroutes) >= REROUTES:
            key = (asked[0], OTHER_MODEL, answered[0], OTHER_MODEL, cause)
        self.reroutes[key] = self.reroutes.get(key, 0) + 1

    def retried(self, provider: str, cause: str) -> None:
        """Count a further attempt, by what the one before it came to."""
        key = (self.label(provider)[0], cause)
        self.retries[key] = self.retries.get(key, 0) + 1

    def overspent(self, provider: str) -> None:
        """Count a further attempt that was not made because the budget was spent."""
        name, _ = self.label(provider)
        self.overspendings[name] = self.overspendings.get(name, 0) + 1

    def transition(self, moved: Transition) -> None:
        """Count a breaker's move."""
        key = (moved.scope, self.label(moved.provider)[0], moved.was, moved.state, moved.cause)
        self.transitions[key] = self.transitions.get(key, 0) + 1

    def label(self, provider: str, model: str = NO_MODEL) -> tuple[str, str]:
        """Provider and model as labels, for what has no series of its own. Makes no name known."""
        if provider not in self._config.providers:
            return UNKNOWN_PROVIDER, NO_MODEL
        key = (provider, model)
        known = model in _UNNAMED or key in self._series or (key in self._config.targets and fits(model))
        return provider, model if known else OTHER_MODEL

    def forget(self, provider: str, model: str) -> None:
        """End the series of a target that is no longer tracked, and give its place to another."""
        series = self._series.get((provider, model))
        if series is not None and model not in _UNNAMED:
            del self._series[provider, model]
            self._counts[series.proven] -= 1

    def adopt(self, config: Config) -> None:
        """Go on with another configuration: series of providers that it has not end."""
        self._config = config
        known = config.providers.keys() | {UNKNOWN_PROVIDER}
        for key in [key for key in self._series if key[0] not in known]:
            series = self._series.pop(key)
            if key[1] not in _UNNAMED:
                self._counts[series.proven] -= 1
        self.transitions = {key: count for key, count in self.transitions.items() if key[1] in known}
        self.reroutes = {key: count for key, count in self.reroutes.items() if key[0] in known and key[2] in known}
        self.retries = {key: count for key, count in self.retries.items() if key[0] in known}
        self.overspendings = {name: count for name, count in self.overspendings.items() if name in known}

    def series(self) -> list[tuple[tuple[str, str], Series]]:
        """Everything counted so far, by (provider, model); a list of its own, safe to walk while counting goes on."""
        return list(self._series.items())

    @property
    def warnings(self) -> int:
        """How many warnings the configuration in force has."""
        return len(self._config.warnings)

    def _place(self, provider: str, model: str, verdict: Verdict | None) -> Series:
        """The series that counts for a target which has none, or none as proven, yet. `verdict` is None for answers."""
        if provider not in self._config.providers:
            return self._unnamed(UNKNOWN_PROVIDER, NO_MODEL)
        if model in _UNNAMED:
            return self._unnamed(provider, model)
        proven = (provider, model) in self._config.targets or (verdict is not None and verdict.status is _SUCCESS)
        series = self._series.get((provider, model))
        if series is not None:
            return self._promote(series)
        # Neither answers nor neutral attempts prove a name: a caller's mistake may be the name itself.
        tracked = proven or (verdict is not None and verdict.counted)
        if not tracked or not fits(model) or self._counts[proven] >= (PROVEN if proven else UNPROVEN):
            return self._unnamed(provider, OTHER_MODEL)
        self._counts[proven] += 1
        series = self._series[provider, model] = Series(proven=proven)
        return series

    def _promote(self, series: Series) -> Series:
        """Give a target that has just succeeded for the first time a lasting place, if one is left."""
        if self._counts[True] < PROVEN:
            self._counts[True] += 1
            self._counts[False] -= 1
            series.proven = True
        return series

    def _unnamed(self, provider: str, model: str) -> Series:
        """A series that takes no place: there are at most two for each provider."""
        series = self._series.get((provider, model))
        if series is None:
            series = self._series[provider, model] = Series(proven=True)
        return series
