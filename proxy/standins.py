"""The targets that could take one request in place of the one it asked for (semantics section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from breaker.permit import Permit
from proxy import credentials
from proxy.plan import Candidate, Step, Wanted, ranked
from proxy.rewrite import pins, place, rewrite

if TYPE_CHECKING:
    from collections.abc import Collection

    from config.effective import Target
    from proxy.asked import Asked
    from proxy.plane import DataPlane

Key = tuple[str, str]
"""Provider and model."""


class StandIns:
    """Where one request could go instead. Nothing is worked out before somebody asks."""

    __slots__ = ("_asked", "_plane", "_targets")

    def __init__(self, plane: DataPlane, asked: Asked) -> None:
        self._plane = plane
        self._asked = asked
        self._targets: tuple[Target, ...] | None = None

    def candidates(self, now: float, tried: Collection[Key], wanted: Wanted) -> list[Candidate]:
        """The targets that may still be asked, admitted or not, in file order."""
        registry, windows = self._plane.registry, self._asked.config.windows
        found = []
        for target in self._all():
            here = (target.provider, target.model)
            if here in tried or not wanted.suits(target.provider, windows.get(here)):
                continue
            rejection = registry.rejection(*here, now, self._key(target.provider))
            found.append(Candidate(*here, rejection, registry.standing(*here, now)))
        return found

    def enter(self, candidates: list[Candidate], now: float, lease: float) -> tuple[Step, Permit] | None:
        """The best of them that takes the request, with leave to call it."""
        for candidate in ranked(candidates, self._asked.config.settings.routing.strategy):
            step = self.step(candidate)
            if step is None:
                continue
            permit = self._plane.registry.admit(candidate.provider, candidate.model, now, step.key, lease)
            if isinstance(permit, Permit):
                return step, permit
        return None

    def step(self, candidate: Candidate) -> Step | None:
        """The request made ready for a target; None when it cannot go there."""
        config = self._asked.config
        provider = config.providers[candidate.provider]
        rewritten = rewrite(self._asked, provider, candidate.model, config)
        if rewritten is None:
            return None
        timeouts = config.timeouts(candidate.provider, candidate.model)
        return Step(provider, candidate.model, timeouts, self._key(candidate.provider), rewritten)

    def _all(self) -> tuple[Target, ...]:
        if self._targets is None:
            asked, config = self._asked, self._asked.config
            targets = config.stand_ins.get((asked.route.provider.name, asked.peek.model), ())
            stays = not config.settings.routing.enabled or asked.wishes.stay
            self._targets = () if not targets or stays or pins(asked) else self._able(targets)
        return self._targets

    def _able(self, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        """Those that the request can be rewritten for: what speaks against one of them will not change meanwhile."""
        config = self._asked.config
        return tuple(
            target
            for target in targets
            if place(self._asked, config.providers[target.provider], target.model, config) is not None
        )

    def _key(self, provider: str) -> str:
        """The fingerprint of the credential that goes along to a provider."""
        if provider == self._asked.route.provider.name:
            return self._asked.key
        return credentials.key_of(self._asked.config.providers[provider])
