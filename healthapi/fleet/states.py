"""Breakers of a fleet: what one sidecar finds out the others hear of, and one of them tries for all.

Each breaker has a document in the shared store with a number, its epoch. A sidecar moves its own breaker at once and
tells the store afterwards: "from epoch 4, it is open". Where somebody else was first, it takes over what the store says
instead. What an operator does by hand is told without asking for the epoch.

Moves are published and heard of within milliseconds; because a message can be lost, everybody also asks once a second
what moved.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from breaker.memo import Memo
from breaker.registry import Registry
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State
from healthapi.fleet import scripts
from healthapi.fleet.keys import identity, names, prefix
from healthapi.fleet.link import Call, Link, LinkError
from healthapi.fleet.trials import Trials

POLL: Final = 1.0
"""Seconds between two questions what moved."""

TRYING: Final = 0.2
"""The same while a breaker waits to be tried out."""

MOVES: Final = 100
"""Most moves told in one round trip."""

EVERYTHING: Final = b"*"
"""The document that stands for all breakers: it moves when everything is reset."""

_BY_HAND: Final = frozenset({Event.FORCE_OPEN, Event.FORCE_CLOSE, Event.RESET})
_HEARD: Final = frozenset({Event.TOLD_OPEN, Event.TOLD_CLOSED})


class Move(Struct, frozen=True):
    """A move that has still to be told; `number` tells it from later ones of the same breaker."""

    by_hand: bool
    number: int


class States:
    """This sidecar's part in the breakers of its fleet. `now` and `wall` are in seconds."""

    def __init__(
        self,
        link: Link,
        registry: Registry,
        fleet: str,
        instance: str,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        """Share the breakers of `registry` over `link`."""
        self._link = link
        self._registry = registry
        self._prefix = prefix(fleet, 0)
        self._channel = b"detour:%s:breakers" % fleet.encode()
        self._instance = instance.encode()
        self._now = now
        self._wall = wall
        self._moved: dict[bytes, Move] = {}  # by identity: what has still to be told
        self._moves_noted = 0
        self._wake = asyncio.Event()
        self._since = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._trials = Trials(registry, self._prefix, self._instance)
        self.epochs: dict[bytes, int] = {}
        """How often the fleet moved each breaker, by identity."""
        self.trouble: LinkError | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take part until `stop`; the first question is asked before this returns."""
        self._registry.join(self._now())
        await self._round()
        self._tasks = [
            asyncio.create_task(self._run(), name="fleet-breakers"),
            asyncio.create_task(self._link.listen(self._channel, self._heard, self._wake.set), name="fleet-news"),
        ]

    async def stop(self) -> None:
        """Take part no more; rights that are held are given back."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        calls = [*self._moves(), *self._trials.drop(self._registry.due(self._now() + TRYING))]
        if calls:
            await self._link.run(calls)

    def moved(self, transition: Transition) -> None:
        """Hear of a move of a breaker of this process; called on the way of a request, so it only takes note."""
        if transition.scope is Scope.CREDENTIAL or transition.event in _HEARD or transition.event is Event.WAITED:
            return
        self._note(identity(transition.provider, transition.model), by_hand=transition.event in _BY_HAND)

    def reset_all(self) -> None:
        """Hear that everything was reset by hand."""
        self._note(EVERYTHING, by_hand=True)

    def _note(self, name: bytes, *, by_hand: bool) -> None:
        earlier = self._moved.get(name)
        self._moves_noted += 1
        self._moved[name] = Move(by_hand or (earlier is not None and earlier.by_hand), self._moves_noted)
        self._wake.set()

    # -- telling and asking ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            pause = await self._round()
            if self.trouble is not None:
                await asyncio.sleep(pause)  # what has moved meanwhile must not make this spin
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _round(self) -> float:
        """Tell what moved, ask what moved elsewhere and who may try; seconds after which to do so again."""
        self._wake.clear()
        now, wall = self._now(), self._wall()
        due = self._registry.due(now + TRYING)
        moves, told = self._moves(), list(self._moved.items())[:MOVES]
        leases = self._trials.ask(due, now, wall)
        answers = await self._link.run([*moves, *leases, Call(scripts.POLL, self._prefix, (self._since,))])
        self.trouble = next((one for one in answers if isinstance(one, LinkError)), None)
        if not isinstance(answers[-1], LinkError):
            self._registry.heard(self._now())
        for (name, move), answer in zip(told, answers, strict=False):
            if not isinstance(answer, LinkError):
                self._answered(name, move, answer)
        rights = answers[len(moves)]
        if (
            leases
            and not isinstance(rights, LinkError)
            and self._trials.answered(due, rights, self._now(), self._wall())
        ):
            self._wake.set()
        if not isinstance(answers[-1], LinkError):
            self._polled(answers[-1])
        return self._pause()

    def _pause(self) -> float:
        """Seconds until something is to be asked: before the next breaker becomes due, not when it already has."""
        if self._moved:
            return TRYING
        now = self._now()
        waits = [one.retry_in(now) - TRYING for one in self._registry.due(now + POLL + TRYING)]
        return max(min(waits, default=POLL), TRYING)

    def _moves(self) -> list[Call]:
        return [self._move(name, move) for name, move in list(self._moved.items())[:MOVES]]

    def _move(self, name: bytes, move: Move) -> Call:
        now, wall = self._now(), self._wall()
        memo = _RESET if name == EVERYTHING else self._registry.memo(*names(name), now, wall)
        if memo is None:
            memo = _RESET  # it was let go of meanwhile
        document = (
            b"closed" if memo.state is State.CLOSED else b"open",  # that one tries it out is nothing to the others
            b"" if memo.cause is None else memo.cause.encode(),
            memo.origin.encode(),
            memo.reason.encode("utf-8", "replace"),
            int(memo.manual),
            memo.openings,
            b"" if memo.http_status is None else memo.http_status,
            max(round((wall - memo.opened_at) * 1000), 0),
            max(round((memo.retry_at - wall) * 1000), 0),
        )
        base = self.epochs.get(name, 0)
        return Call(
            scripts.MOVE, self._prefix, (name, base, int(move.by_hand), *document, self._instance, self._channel)
        )

    def _answered(self, name: bytes, move: Move, answer: Any) -> None:
        accepted, document, server_ms, _ = answer
        found = msgspec.msgpack.decode(document)
        if not accepted and self._newer(name, found, server_ms):
            self.epochs[name] = max(found[0], self.epochs.get(name, 0))
            return
        if self._moved.get(name) == move:
            del self._moved[name]
        if accepted:
            self.epochs[name] = max(found[0], self.epochs.get(name, 0))
        else:
            self._adopt(name, found, server_ms)

    def _newer(self, name: bytes, document: Sequence[Any], server_ms: int) -> bool:
        """Whether a breaker opened here after the fleet had closed it, which this sidecar hears of only now.

        It is told once more then, from the epoch that is known by that.
        """
        if name == EVERYTHING or document[1] != State.CLOSED:
            return False
        wall = self._wall()
        memo = self._registry.memo(*names(name), self._now(), wall)
        closed_at = wall - (server_ms - document[8]) / 1000
        return memo is not None and memo.state is not State.CLOSED and memo.opened_at > closed_at

    # -- hearing ---------------------------------------------------------------------------------------------------

    def _heard(self, message: bytes) -> None:
        name, document, server_ms = msgspec.msgpack.decode(message)
        self._adopt(name, document, server_ms)

    def _polled(self, answer: Any) -> None:
        if answer[0] == b"lost":
            self._since = 0
            for memo in self._registry.memos(self._now(), self._wall()):
                if memo.state is not State.CLOSED:
                    self._note(identity(memo.provider, memo.model), by_hand=False)
            return
        version, server_ms, rows = answer
        self._since = version
        for name, document in rows:
            self._adopt(name, msgspec.msgpack.decode(document), server_ms)

    def _adopt(self, name: bytes, document: Sequence[Any], server_ms: int) -> None:
        """Let a breaker be what the store says, unless that is known or something newer was done here by hand."""
        epoch, state, cause, origin, reason, manual, openings, http_status, opened_ms, retry_ms, instance = document
        if epoch <= self.epochs.get(name, 0):
            return
        first = name not in self.epochs and self._since == 0
        self.epochs[name] = epoch
        mine = self._moved.get(name)
        if (mine is not None and mine.by_hand) or instance.encode() == self._instance:
            return
        self._moved.pop(name, None)
        if name == EVERYTHING:
            if not first:
                self._registry.reset_all(self._now())
            return
        provider, model = names(name)
        wall = self._wall()
        memo = Memo(
            provider, model, State(state), Cause(cause) if cause else None, Cause(origin), reason, manual, openings,
            http_status or None, wall - (server_ms - opened_ms) / 1000, wall + (retry_ms - server_ms) / 1000,
        )  # fmt: skip
        self._registry.tell(memo, self._now(), wall)


_RESET: Final = Memo("", None, State.CLOSED, Cause.RESET, Cause.RESET, "reset by hand", False, 0, None, 0.0, 0.0)
