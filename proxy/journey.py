"""The attempts of one exchange: where the request goes first, and where next (semantics sections 3 and 4).

Which moves there are is said by `proxy.retry`, which targets could stand in by `proxy.standins`, whether one may be
called by the registry, and what one attempt is by `proxy.dispatch`. Here they come together.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from breaker import holdoff
from breaker.health import Health
from breaker.permit import Permit, Rejection
from config.words import AllOpen
from proxy import answers
from proxy.answers import RefusedError
from proxy.dispatch import Dispatch, Failure
from proxy.plan import ANYTHING, OPEN, Candidate, Step, Wanted, least_bad
from proxy.retry import Move, moves, pause, repeatable
from proxy.standins import Key, StandIns
from proxy.verdict import Ending, judge
from proxy.wishes import NONE

if TYPE_CHECKING:
    from breaker.outcome import Verdict
    from proxy.asked import Asked
    from proxy.attempt import Attempt
    from proxy.errand import Errand
    from proxy.plane import DataPlane
    from proxy.relay import Relay
    from proxy.request import Request

LEASE_MARGIN: Final = 5.0
"""Seconds that a trial's lease is longer than its exchange can last."""
GRAIN: Final = 0.001
"""Seconds between two times of the loop's clock: what ends at one, by a sum that is rounded, is over at the next."""

Way = tuple[Step, Permit]
"""A target and the leave to call it."""


class Journey:
    """One exchange on its way from target to target."""

    __slots__ = (
        "_again",
        "_asked",
        "_cause",
        "_due",
        "_failed_over",
        "_plane",
        "_relay",
        "_stand_ins",
        "_step",
        "_tried",
        "_wanted",
        "dispatch",
    )

    def __init__(self, plane: DataPlane, request: Request, relay: Relay, asked: Asked) -> None:
        provider, peek, wishes = asked.route.provider, asked.peek, asked.wishes
        limits = asked.config.target_timeouts.get((provider.name, peek.model), provider.timeouts)
        due = relay.began_at + (limits.stream_total if peek.stream else limits.total)
        if wishes is not NONE:
            if wishes.errand is not None:
                limits = wishes.errand.within(limits)
                due = relay.began_at + wishes.errand.timeout
            if wishes.deadline is not None:
                due = min(due, relay.began_at + wishes.deadline)
        self._plane = plane
        self._relay = relay
        self._asked = asked
        self._due = due
        self._step = Step(provider, peek.model, limits, asked.key)
        """Where it is: at first the target that was asked for."""
        self._stand_ins: StandIns | None = None
        self.dispatch = Dispatch(plane, request, relay, asked)
        self._tried: tuple[Key, ...] = ()
        """Stand-ins that were tried."""
        self._again: tuple[Key, ...] = ()
        """Targets that were asked twice."""
        self._wanted = ANYTHING
        self._failed_over = False
        self._cause = ""

    async def go_on(self, failure: Failure | None) -> None:
        """See the exchange through from what the first attempt came to; None where the client has its answer.

        Raises:
            RefusedError: the client is to get this answer.
            BadBodyError, BodyTimeoutError, BodyTooLargeError: the caller's body failed while it was sent on.
        """
        dispatch = self.dispatch
        while failure is not None:
            onward = await self._next(failure)
            if onward is None:
                dispatch.conclude(failure)
                break
            self._plane.recorder.retried(self._asked.route.provider.name, failure.verdict.status)
            self._step, permit = onward
            failure = await self._try_again(failure, permit)
        if self._step.rewritten is not None:
            self._tell_rerouted()

    async def _try_again(self, last: Failure, permit: Permit) -> Failure | None:
        """Make a further attempt; where we cannot, the last provider's own answer is what there is."""
        try:
            return await self.dispatch.to(self._step, permit, self)
        except RefusedError:
            self._step = last.step
            self.dispatch.conclude(last)
            return None

    # -- first -----------------------------------------------------------------------------------------------------

    def first(self) -> Way | None:
        """Where the request goes first; None when its target must not be called and nothing stands in for it."""
        plane, step = self._plane, self._step
        registry, name, model = plane.registry, step.provider.name, step.model
        now = plane.watch.now()
        if self._asked.wishes.errand is not None:
            return self._sent_by_us(self._asked.wishes.errand, now)
        registry.budget(name).request(now)
        if (
            (name, model) in self._asked.config.stand_ins
            and registry.ill(name, model, now)
            and not registry.turn(name, model)
        ):
            better = [one for one in self._others(now, self._wanted) if one.standing.health is not Health.UNHEALTHY]
            way = self._enter_other(better, now, "unhealthy")
            if way is not None:
                return way
            plane.say_seldom(f"{name}/{model} is unhealthy and nothing better stands in for it", now)
        permit = registry.admit(name, model, now, step.key, self._due - now + LEASE_MARGIN)
        if isinstance(permit, Rejection):
            plane.recorder.rejected(name, model, permit.kind)
            return self._enter_other(self._others(now, self._wanted), now, permit.kind)
        return step, permit

    def _sent_by_us(self, errand: Errand, now: float) -> Way:
        """The way of a probe: to its target, or nowhere.

        Raises:
            RefusedError: the target must not be called now.
        """
        found = self._enter(self._step, now, probe=True)
        if isinstance(found, Rejection):
            errand.rejection = found
            name, model = self._step.provider.name, self._step.model
            raise RefusedError(answers.rejected(name, model, found, found.retry_after))
        return found

    async def wait_or_refuse(self) -> Way:
        """The way of a request whose target is not admitted and that nothing stands in for.

        Raises:
            RefusedError: its hold-off lasts too long to be waited for, or a breaker is open.
        """
        plane, step = self._plane, self._step
        now = plane.watch.now()
        left = self._held_off(step, now)
        if left is not None and left <= self._asked.config.settings.retries.max_wait and self._fits(now, left):
            await asyncio.sleep(left + GRAIN)
            now = plane.watch.now()
        found = self._enter(step, now)
        if not isinstance(found, Rejection):
            return found
        name, model = step.provider.name, step.model
        shut = [
            Candidate(name, model, found, plane.registry.standing(name, model, now)),
            *self._others(now, self._wanted),
        ]
        if self._asked.config.settings.routing.when_all_open is AllOpen.TRY and found.kind in OPEN:
            way = self._force(shut, now)
            if way is not None:
                return way
        waits = [one.rejection.retry_after for one in shut if one.rejection is not None]
        raise RefusedError(answers.rejected(name, model, found, min(waits)))

    def _force(self, shut: list[Candidate], now: float) -> Way | None:
        """The least bad of targets that are all open (`routing.when_all_open: try`)."""
        chosen = least_bad(shut)
        if chosen is None:
            return None
        step = self._step if chosen is shut[0] else self._stood_in().step(chosen)
        if step is None:
            return None
        found = self._enter(step, now, force=True)
        if isinstance(found, Rejection):
            return None
        self._take(step, "open")
        return found

    # -- next ------------------------------------------------------------------------------------------------------

    async def _next(self, failure: Failure) -> Way | None:
        """Where to go after an attempt that failed, nothing of which has reached the client; None for nowhere."""
        attempt, verdict = failure.attempt, failure.verdict
        if attempt.ending is None or not self._may_repeat(attempt, attempt.ending):
            return None
        self._wanted = self._wanted_after(verdict)
        for move in moves(verdict, attempt.ending, self._asked.config.settings.retries.on_rate_limit):
            if move is Move.OTHER:
                way = self._fail_over(verdict)
            elif move is Move.SAME:
                way = await self._once_more()
            else:
                way = await self._wait(verdict)
            if way is not None:
                return way
        return None

    def _fail_over(self, verdict: Verdict) -> Way | None:
        """Another target: the first time for nothing, then, or where nothing is well, out of the budget."""
        now = self._plane.watch.now()
        others = [one for one in self._others(now, self._wanted) if one.rejection is None]
        if not others or not self._fits(now, 0.0) or not (self._free(others) or self._spend(now)):
            return None
        way = self._enter_other(others, now, verdict.status)
        self._failed_over = self._failed_over or way is not None
        return way

    async def _once_more(self) -> Way | None:
        """The same target again, once for each, after a short pause of random length."""
        step, now = self._step, self._plane.watch.now()
        seconds = pause(len(self._again), random.random())  # noqa: S311 - spreads load, hides nothing
        if not self._may_ask_again(step, now) or not self._fits(now, seconds) or not self._spend(now):
            return None
        self._again += ((step.provider.name, step.model),)
        return await self._after(seconds, step)

    async def _wait(self, verdict: Verdict) -> Way | None:
        """The same target again, when its hold-off is over; where none is in force, when it would have been."""
        step, now = self._step, self._plane.watch.now()
        left = self._held_off(step, now)
        if left == 0.0:  # `breakers.mode` is not `enforce`, or the provider said 0
            left = holdoff.FIRST if verdict.retry_after is None else verdict.retry_after
        if left is None or left > self._asked.config.settings.retries.max_wait:
            return None
        if not self._fits(now, left) or not self._spend(now):
            return None
        return await self._after(left + GRAIN, step)

    async def _after(self, seconds: float, step: Step) -> Way | None:
        await asyncio.sleep(seconds)
        found = self._enter(step, self._plane.watch.now())
        return None if isinstance(found, Rejection) else found

    # -- what the attempt under way asks ---------------------------------------------------------------------------

    def would_move(self, attempt: Attempt) -> bool:
        """Whether another attempt would follow if this one ended now with what it holds. Changes nothing."""
        if not self._may_repeat(attempt, Ending.COMPLETE):
            return False
        verdict = judge(attempt.facts())
        retries, now = self._asked.config.settings.retries, self._plane.watch.now()
        possible = moves(verdict, Ending.COMPLETE, retries.on_rate_limit)
        if Move.OTHER in possible and self._could_fail_over(self._wanted_after(verdict), now):
            return True
        if not self._affordable(now):
            return False
        if Move.SAME in possible:
            return self._may_ask_again(self._step, now)
        return Move.WAIT in possible and (verdict.retry_after or 0.0) <= retries.max_wait

    def others_admit(self) -> bool:
        """Whether another target would take the request if the attempt under way came to nothing."""
        if self.dispatch.attempts >= self._asked.config.settings.retries.max_attempts:
            return False
        return self._asked.replayable() and self._could_fail_over(self._wanted, self._plane.watch.now())

    def _could_fail_over(self, wanted: Wanted, now: float) -> bool:
        others = [one for one in self._others(now, wanted) if one.rejection is None]
        return bool(others) and (self._free(others) or self._affordable(now))

    def _free(self, others: list[Candidate]) -> bool:
        """Whether going to one of `others` costs nothing: the first time does, unless they are no better off."""
        return not self._failed_over and any(one.standing.health is not Health.UNHEALTHY for one in others)

    def _wanted_after(self, verdict: Verdict) -> Wanted:
        """What is asked of further targets if the attempt at hand ends so."""
        name, model = self._step.provider.name, self._step.model
        return self._wanted.after(verdict.retry, name, self._asked.config.windows.get((name, model)))

    # -- questions and small steps ---------------------------------------------------------------------------------

    def _may_repeat(self, attempt: Attempt, ending: Ending) -> bool:
        """Whether the exchange may have another attempt after one that ended so."""
        asked, reply = self._asked, attempt.reply
        if asked.wishes.errand is not None or self._relay.started:
            return False
        if self.dispatch.attempts >= self._asked.config.settings.retries.max_attempts:
            return False
        status = reply.status if reply is not None else None
        return asked.body.whole and repeatable(asked.endpoint, asked.peek.background, ending, status)

    def _may_ask_again(self, step: Step, now: float) -> bool:
        place = (step.provider.name, step.model)
        return place not in self._again and self._plane.registry.rejection(*place, now, step.key) is None

    def _held_off(self, step: Step, now: float) -> float | None:
        """Seconds until a hold-off ends, 0 when nothing is in the way, None when something else is."""
        rejection = self._plane.registry.rejection(step.provider.name, step.model, now, step.key)
        if rejection is None:
            return 0.0
        return rejection.retry_after if rejection.kind == "hold_off" else None

    def _fits(self, now: float, seconds: float) -> bool:
        """Whether there is time for an attempt after so many seconds."""
        patience = self._asked.wishes.patience
        due = self._due if patience is None else min(self._due, self._relay.began_at + patience)
        return now + seconds < due

    def _affordable(self, now: float) -> bool:
        return self._plane.registry.budget(self._asked.route.provider.name).left(now) >= 1

    def _spend(self, now: float) -> bool:
        """Take a further attempt out of the budget of the provider that was asked for."""
        name = self._asked.route.provider.name
        if self._plane.registry.budget(name).spend(now):
            return True
        self._plane.recorder.overspent(name)
        return False

    def _stood_in(self) -> StandIns:
        if self._stand_ins is None:
            self._stand_ins = StandIns(self._plane, self._asked)
        return self._stand_ins

    def _others(self, now: float, wanted: Wanted) -> list[Candidate]:
        """The other targets, admitted or not, that may be asked after the attempts so far."""
        name, model = self._asked.route.provider.name, self._asked.peek.model
        if (name, model) not in self._asked.config.stand_ins:
            return []
        return self._stood_in().candidates(now, self._tried, wanted)

    def _enter_other(self, candidates: list[Candidate], now: float, cause: str) -> Way | None:
        way = self._stood_in().enter(candidates, now, self._due - now + LEASE_MARGIN) if candidates else None
        if way is not None:
            self._take(way[0], cause)
        return way

    def _take(self, step: Step, cause: str) -> None:
        """Be on the way to another target."""
        self._step = step
        self._tried += ((step.provider.name, step.model),)
        self._cause = self._cause or cause

    def _enter(self, step: Step, now: float, *, force: bool = False, probe: bool = False) -> Way | Rejection:
        """Leave to call a target, or why there is none."""
        lease = self._due - now + LEASE_MARGIN
        permit = self._plane.registry.admit(
            step.provider.name, step.model, now, step.key, lease, force=force, probe=probe
        )
        return permit if isinstance(permit, Rejection) else (step, permit)

    def _tell_rerouted(self) -> None:
        asked, step = self._asked, self._step
        name, model = asked.route.provider.name, asked.peek.model
        self._plane.recorder.rerouted(name, model, step.provider.name, step.model, self._cause)
