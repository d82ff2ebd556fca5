"""Which targets are probed next, and when: the schedule as functions of its arguments.

A target is due when nothing was heard of it for its interval, and a little later: by a share of the interval that is
its own and another each time, so that what began together does not stay together. What fails is due when its interval
is over: it waits for nothing. Who has waited longest, measured by its interval, goes first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import itemgetter
from typing import Final, Protocol

from msgspec import Struct

JITTER: Final = 0.1
"""Most that a target is probed later than its interval says, as a share of that."""

MINUTE: Final = 60.0
"""Seconds in which different models of a provider are counted."""

Key = tuple[str, str]


class Subject(Protocol):
    """A target that is probed."""

    @property
    def provider(self) -> str:
        """Its provider."""

    @property
    def model(self) -> str:
        """Its model."""

    @property
    def interval(self) -> float:
        """Seconds between two attempts."""

    @property
    def timeout(self) -> float:
        """Seconds that a probe may take."""

    @property
    def max_tokens(self) -> int:
        """Tokens that its answer may hold."""

    @property
    def last(self) -> float | None:
        """When the last attempt of any kind ended, in Unix time; None where there was none."""

    @property
    def failing(self) -> bool:
        """Whether it fails, and its interval is shortened for that."""


class Limits(Struct, frozen=True):
    """Of one provider: probes of a round, different models a minute (0: any number), seconds between rounds."""

    max_in_flight: int
    models_per_minute: int
    pause: float


class Sent(Struct, frozen=True):
    """When a model of a provider was probed."""

    at: float
    provider: str
    model: str


def share(provider: str, model: str, last: float | None) -> float:
    """The place of a target in the spread, 0 to 1: the same at every sidecar, and another after each attempt."""
    name = f"{provider}\n{model}\n{0 if last is None else last:.0f}"
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest) / 2**32


def due_at(subject: Subject, since: float, spread: float) -> float:
    """When a target is due, in Unix time.

    Those of which nothing was ever heard are due within `spread` seconds from when their prober began, `since`.
    """
    last = subject.last
    if last is None:
        return since + share(subject.provider, subject.model, last) * min(JITTER * subject.interval, spread)
    if subject.failing:
        return last + subject.interval
    return last + subject.interval * (1 + JITTER * share(subject.provider, subject.model, last))


def choose(
    due: Iterable[tuple[float, Subject]],
    now: float,
    most: int,
    limits: Mapping[str, Limits],
    sent: Collection[Sent],
) -> list[Subject]:
    """The next round, at most `most` of those that are due (each with its time), the most patient first.

    `sent` are the probes of the last minute and of the providers' pauses. All times are of one clock.
    """
    waiting = sorted([((at - now) / one.interval, one.provider, one.model, one) for at, one in due], key=_PATIENCE)
    chosen: list[Subject] = []
    rooms: dict[str, _Room] = {}
    for _, provider, model, subject in waiting:
        if len(chosen) >= most:
            break
        room = rooms.get(provider)
        if room is None:
            room = rooms[provider] = _Room(limits[provider], [one for one in sent if one.provider == provider], now)
        if room.take(model):
            chosen.append(subject)
    return chosen


_PATIENCE: Final = itemgetter(0, 1, 2)


def room_at(now: float, limits: Mapping[str, Limits], sent: Iterable[Sent]) -> float:
    """When a provider that takes no more now may take one again."""
    known = [(one.at, limits[one.provider]) for one in sent if one.provider in limits]
    ends = (at + wait for at, found in known for wait in (MINUTE, found.pause))
    return min((end for end in ends if end > now), default=now)


class _Room:
    """What a provider takes in one round."""

    def __init__(self, limits: Limits, sent: Sequence[Sent], now: float) -> None:
        self._left = 0 if any(now - one.at < limits.pause for one in sent) else limits.max_in_flight
        self._models = {one.model for one in sent if now - one.at < MINUTE}
        self._most = limits.models_per_minute or math.inf

    def take(self, model: str) -> bool:
        """Whether there is room for one more; then it is taken."""
        if not self._left or (model not in self._models and len(self._models) >= self._most):
            return False
        self._left -= 1
        self._models.add(model)
        return True
