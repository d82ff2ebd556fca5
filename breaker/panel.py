"""All breakers of a process: found, made when something is first told to them, and let go when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final

from breaker.breaker import Breaker
from breaker.company import Company
from breaker.outcome import NO_MODEL
from breaker.provider import ProviderState
from breaker.target import TargetState
from breaker.tracked import Key, Tracked
from breaker.transition import Scope, Transition
from breaker.transitions import State
from config.settings import Breakers
from config.words import Mode

if TYPE_CHECKING:
    from breaker.memo import Memo

CREDENTIALS: Final = 10_000
"""Breakers of keys that are kept, the least recently used out first."""

Place = tuple[str, str | None, str]
"""Provider, model (None for the provider as a whole) and fingerprint of a key."""


class Panel:
    """The breakers of providers, of targets, and of the keys in use at either."""

    __slots__ = (
        "_default",
        "_on_forget",
        "_on_transition",
        "_per_provider",
        "company",
        "credentials",
        "hosts",
        "targets",
    )

    def __init__(
        self,
        *,
        tracked: int,
        unproven: int,
        configured: Collection[Key],
        breakers: Breakers,
        per_provider: Mapping[str, Breakers],
        random: Callable[[], float],
        on_forget: Callable[[str, str], None] | None,
        on_transition: Callable[[Transition], None] | None,
    ) -> None:
        """Make an empty one; the arguments are those of `breaker.registry.Registry`."""
        self._default = breakers
        self._per_provider = dict(per_provider)
        self._on_forget = on_forget
        self._on_transition = on_transition
        self.company = Company(random, self._moved)
        self.hosts: dict[str, ProviderState] = {}
        self.targets = Tracked(tracked, unproven, configured, self._make_target, self._forgotten)
        self.credentials: OrderedDict[Place, Breaker] = OrderedDict()
        """The breakers of keys, the one used least recently first."""

    def knobs(self, provider: str) -> Breakers:
        """The knobs that hold for a provider and its targets."""
        return self._per_provider.get(provider, self._default)

    # -- finding ---------------------------------------------------------------------------------------------------

    def find(self, provider: str, model: str | None = None) -> Breaker | None:
        """The breaker of a provider or target, None where there is none yet."""
        state = self.hosts.get(provider) if model is None else self.targets.get((provider, model))
        return None if state is None else state.breaker

    def __iter__(self) -> Iterator[Breaker]:
        """All breakers there are: providers', targets', keys'."""
        for host in self.hosts.values():
            yield host.breaker
        for target in self.targets:
            yield target.breaker
        yield from self.credentials.values()

    def unwell(self, provider: str, model: str, key: str) -> list[Breaker]:
        """The breakers that concern an attempt and are not closed."""
        found = []
        host = self.hosts.get(provider)
        if host is not None and not host.breaker.closed:
            found.append(host.breaker)
        target = self.targets.get((provider, model))
        if target is not None and not target.breaker.closed:
            found.append(target.breaker)
        if self.credentials and key:
            of_key = (self.credentials.get((provider, None, key)), self.credentials.get((provider, model, key)))
            found += [one for one in of_key if one is not None and not one.closed]
        return found

    def of_key(self, provider: str, model: str, key: str) -> list[Breaker]:
        """The breakers of a key in use at a target; asking uses them."""
        found = []
        if self.credentials and key:
            for place in ((provider, None, key), (provider, model, key)):
                one = self.credentials.get(place)
                if one is not None:
                    self.credentials.move_to_end(place)
                    found.append(one)
        return found

    def used(self, provider: str, model: str | None) -> bool:
        """Whether a provider is configured or was ever used, or one of its models is."""
        known = provider in self._per_provider or provider in self.hosts
        return known or (model not in (None, NO_MODEL) and (provider, model) in self.targets)

    # -- making ----------------------------------------------------------------------------------------------------

    def host(self, provider: str) -> ProviderState:
        """The state of a provider, made at its first use."""
        found = self.hosts.get(provider)
        if found is None:
            knobs = self.knobs(provider)
            breaker = Breaker(Scope.PROVIDER, provider, None, knobs, self.company)
            found = self.hosts[provider] = ProviderState(breaker, knobs.window)
        return found

    def credential(self, place: Place) -> Breaker:
        """The breaker of a key, made at its first failure."""
        found = self.credentials.get(place)
        if found is None:
            provider, model, key = place
            found = Breaker(Scope.CREDENTIAL, provider, model, self.knobs(provider), self.company, key)
            self.credentials[place] = found
            if len(self.credentials) > CREDENTIALS:
                _, gone = self.credentials.popitem(last=False)
                gone.retire()
        else:
            self.credentials.move_to_end(place)
        return found

    def known(self, provider: str, model: str | None) -> Breaker:
        """The breaker of a provider or target that is configured or tracked, made if need be.

        Raises:
            KeyError: it is neither.
        """
        if model is None:
            if not self.used(provider, None):
                raise KeyError(provider)
            return self.host(provider).breaker
        target = self.targets.get((provider, model))
        if target is None:
            if not self.used(provider, model) or (provider, model) not in self.targets:
                raise KeyError(f"{provider}/{model}")
            target = self.targets.attempted((provider, model), succeeded=False)
        return target.breaker

    # -- another configuration -------------------------------------------------------------------------------------

    def adopt(
        self,
        *,
        tracked: int,
        configured: Collection[Key],
        breakers: Breakers,
        per_provider: Mapping[str, Breakers],
        now: float,
    ) -> frozenset[str]:
        """Go on with another configuration, whose arguments are as before; returns the providers it has no more.

        Nothing that was counted or opened is lost, but for providers that are gone, and breakers that are off: these
        close.
        """
        gone = frozenset((self._per_provider.keys() | self.hosts.keys()) - per_provider.keys())
        self._default, self._per_provider = breakers, dict(per_provider)
        self.targets.adopt(tracked, configured)
        for host in self.hosts.values():
            host.adopt(self.knobs(host.breaker.provider), now)
        for one in self:
            if one.scope is not Scope.PROVIDER:
                one.adopt(self.knobs(one.provider))
        for one in list(self.company.unwell):
            if one.provider in gone:
                one.told_reset("its provider is not configured any more", now)
            elif one.mode is Mode.OFF:
                one.told_reset("breakers.mode is off", now)
        for name in gone:
            self.hosts.pop(name, None)
        for place in [place for place in self.credentials if place[0] in gone]:
            del self.credentials[place]
        return gone

    def key_replaced(self, provider: str, key: str, now: float) -> None:
        """Let go of the breakers of a key that is not used any more: nobody would ever try them out."""
        for place in [place for place in self.credentials if (place[0], place[2]) == (provider, key)]:
            one = self.credentials.pop(place)
            if not one.closed:
                one.told_reset("its key was replaced", now)

    # -- by hand ---------------------------------------------------------------------------------------------------

    def reset(self, provider: str, model: str | None, now: float) -> Breaker:
        """Reset a breaker and those below it: a target's keys, a provider's targets and keys. Raises KeyError."""
        breaker = self.known(provider, model)
        breaker.reset(now)
        for one in list(self):
            if one.provider == provider and model in (None, one.model) and one is not breaker:
                _reset_below(one, now)
        return breaker

    def reset_all(self, now: float) -> int:
        """Reset everything; returns how many breakers were not closed."""
        return sum(_reset_below(one, now) for one in list(self))

    def told_reset(self, memo: Memo, now: float) -> bool:
        """Do here what `reset` did elsewhere, as far as there is anything; whether there was."""
        first = self.find(memo.provider, memo.model)
        below = [one for one in self if one.provider == memo.provider and memo.model in (None, one.model)]
        for one in below:
            if one.closed and one is not first:
                one.clear()
            else:
                one.told_reset(memo.reason, now)
        return bool(below)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _make_target(self, provider: str, model: str) -> TargetState:
        breaker = Breaker(Scope.TARGET, provider, model, self.knobs(provider), self.company)
        return TargetState(provider, model, breaker)

    def _forgotten(self, state: TargetState) -> None:
        state.breaker.retire()
        if self._on_forget is not None:
            self._on_forget(state.provider, state.model)

    def _moved(self, transition: Transition) -> None:
        """Health for routing counts only what came after the last closing, of the target or of its host."""
        if transition.state is State.CLOSED and transition.scope is not Scope.CREDENTIAL:
            for target in self.targets:
                if target.provider == transition.provider and transition.model in (None, target.model):
                    target.closed(transition.generation)
        if self._on_transition is not None:
            self._on_transition(transition)


def _reset_below(one: Breaker, now: float) -> bool:
    """Reset a breaker, quietly when there is nothing to tell; whether there was."""
    if one.closed:
        one.clear()
        return False
    one.reset(now)
    return True
