"""Who of a fleet tries an open breaker out: a right that is lent to one sidecar at a time.

A request has to pass its provider's breaker and its target's, so that both rights are of use at one place alone: who
has not the provider's neither asks for those of its targets nor keeps them. Who has a right that others want, and no
request to use it on, gives it up and stands back for a while: so it comes round to where the requests are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from breaker.breaker import Breaker
from breaker.memo import memo
from breaker.registry import Registry
from breaker.transitions import State
from healthapi.fleet import scripts
from healthapi.fleet.keys import identity
from healthapi.fleet.link import Call

LEASE: Final = 5.0
"""Seconds for which the right to try a breaker out is given; it is renewed while it is used."""

UNUSED: Final = 1.0
"""Seconds for which a right is kept from those who want it before the first trial."""

BETWEEN: Final = LEASE
"""The same after a trial: those that succeeded so far would have to be made again elsewhere."""

BACK: Final = LEASE
"""Seconds for which who gave a right up does not ask for it."""


class _Hold(Struct):
    """A right that is held: how far the trials had come when it was last used, and when that was."""

    mark: tuple[int, int]
    used: float


class Trials:
    """This sidecar's part in the trials of its fleet. `now` is in monotonic, `wall` in Unix seconds."""

    def __init__(self, registry: Registry, prefix: bytes, instance: bytes) -> None:
        """Ask for the breakers of `registry`, as `instance`; `prefix` is that of the shard in which rights are kept."""
        self._registry = registry
        self._prefix = prefix
        self._instance = instance
        self._holds: dict[bytes, _Hold] = {}
        self._giving: set[bytes] = set()
        self._back: dict[bytes, float] = {}

    def ask(self, due: Sequence[Breaker], now: float, wall: float) -> list[Call]:
        """Ask for the rights to try these out, renew and give up; a list of one call, or of none."""
        words: list[bytes] = []
        for one in due:
            name = identity(one.provider, one.model)
            if name in self._giving:
                words += (name, b"drop")
            elif one.leased or self._shut(one, due, now, wall) or now < self._back.get(name, 0.0):
                words += (name, b"keep")  # which asks for nothing that is not held
            else:
                words += (name, b"ask")
        return [self._call(LEASE, words)] if words else []

    def answered(self, due: Sequence[Breaker], answers: Sequence[Any], now: float, wall: float) -> bool:
        """Take in what became of the rights that were asked for; whether there is more to ask at once."""
        given, self._giving = self._giving, set()
        held, self._holds = self._holds, {}
        new: list[Breaker] = []
        for one, answer in zip(due, answers, strict=True):
            name = identity(one.provider, one.model)
            granted = answer > 0 and name not in given
            if granted:
                hold = self._holds[name] = _used(one, held.get(name), now)
                if name not in held:
                    new.append(one)
                useless = self._shut(one, due, now, wall) or _idle(one, hold, now)
                if answer == 2 and useless and not one.trials_out:
                    granted = False
                    self._giving.add(name)
                    self._back[name] = now + BACK
            if not granted and one.state is State.HALF_OPEN and not one.trials_out:
                self._registry.tell(memo(one, now, wall), now, wall)  # it is open, and due
            self._registry.lease(one.provider, one.model, granted=granted)
        for one in new:  # with which the provider's begins to be of use
            whole = self._holds.get(identity(one.provider, None))
            if whole is not None:
                whole.used = now
        self._back = {name: until for name, until in self._back.items() if until > now}
        return bool(self._giving) or any(one.model is None for one in new)

    def drop(self, due: Sequence[Breaker]) -> list[Call]:
        """Give up all rights that are held."""
        words = [part for one in due if one.leased for part in (identity(one.provider, one.model), b"drop")]
        return [self._call(0.0, words)] if words else []

    # -- inside ----------------------------------------------------------------------------------------------------

    def _call(self, lease: float, words: Sequence[bytes]) -> Call:
        return Call(scripts.LEASE, self._prefix, (self._instance, round(lease * 1000), *words))

    def _shut(self, one: Breaker, due: Sequence[Breaker], now: float, wall: float) -> bool:
        """Whether no request gets as far as this target's breaker: the provider's is open, and not for us to try."""
        if one.model is None:
            return False
        host = self._registry.memo(one.provider, None, now, wall)
        if host is None or host.state is State.CLOSED:
            return False
        return not any(other.leased for other in due if other.provider == one.provider and other.model is None)


def _idle(one: Breaker, hold: _Hold, now: float) -> bool:
    """Whether a right was not used for so long that others may have it."""
    return now - hold.used >= (BETWEEN if one.state is State.HALF_OPEN else UNUSED)


def _used(one: Breaker, hold: _Hold | None, now: float) -> _Hold:
    """A right as it is held now: used when a trial is out, or when something came of one."""
    mark = (one.generation, one.trial_successes)
    return _Hold(mark, now) if hold is None or hold.mark != mark or one.trials_out else hold
