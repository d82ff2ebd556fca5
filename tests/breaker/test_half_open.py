"""Half-open under load: exactly the configured number pass, nobody's place is lost, late results change nothing."""

from __future__ import annotations

import asyncio
import random

import pytest

from breaker.outcome import SUCCESS, Blame, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit, Rejection
from breaker.registry import Registry
from breaker.transition import Transition
from breaker.transitions import State
from config.settings import Breakers

CALLERS = 1000
ROUNDS = 100

ILL = Verdict(Status.ERROR, Blame.TARGET, message="503")
LEFT = Verdict(Neutral.CANCELLED)


class World:
    """One target whose breaker has opened and waited: the next to ask is a trial."""

    def __init__(self, **knobs: float) -> None:
        self.told: list[Transition] = []
        found = Breakers(**({"failure_threshold": 5, "jitter": 0.0, "success_threshold": 2} | knobs))  # type: ignore[arg-type]
        self.registry = Registry(
            tracked=10, configured=[("p", "m")], breakers=found, on_transition=self.told.append, random=lambda: 0.0
        )
        self.now = 0.0
        self.late = [self.admitted() for _ in range(500)]
        for _ in range(5):
            self.settle(self.admitted(), ILL)
        assert self.state is State.OPEN
        self.now = 60.0

    @property
    def state(self) -> State:
        breaker = self.registry.breaker("p", "m")
        return State.CLOSED if breaker is None else breaker.state

    @property
    def trials_out(self) -> int:
        breaker = self.registry.breaker("p", "m")
        assert breaker is not None
        return breaker.trials_out

    def ask(self) -> Permit | Rejection:
        return self.registry.admit("p", "m", self.now, "", 600.0)

    def admitted(self) -> Permit:
        permit = self.ask()
        assert isinstance(permit, Permit), permit
        return permit

    def settle(self, permit: Permit, verdict: Verdict) -> None:
        permit.settle(Outcome("p", "m", verdict, True, response_time=1.0, first_byte=0.5, at=1.7e9), self.now)

    def crowd(self) -> list[Permit]:
        """Everybody asks at one moment; those who were let through."""
        return [permit for permit in (self.ask() for _ in range(CALLERS)) if isinstance(permit, Permit)]


async def gathered(world: World) -> list[Permit]:
    """A thousand tasks that all ask once the door opens, and hold what they got."""
    door = asyncio.Event()
    passed: list[Permit] = []

    async def caller() -> None:
        await door.wait()
        answer = world.ask()
        if isinstance(answer, Permit):
            passed.append(answer)
            await asyncio.sleep(0)

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    await asyncio.sleep(0)
    door.set()
    await asyncio.gather(*callers)
    return passed


async def test_a_thousand_at_once_a_hundred_times() -> None:
    for number in range(ROUNDS):
        allowed = number % 10 + 1
        world = World(half_open_requests=allowed)
        passed = await gathered(world)
        assert len(passed) == allowed
        assert all(permit.trial for permit in passed)
        assert (world.state, world.trials_out) == (State.HALF_OPEN, allowed)
        assert world.registry.open_permits == 500 + allowed


@pytest.mark.parametrize("allowed", [1, 2, 7])
async def test_with_cancelling_and_settling_in_between_never_more_are_out(allowed: int) -> None:
    """A thousand callers who each hold what they got for a few turns and end it in one way or another."""
    world = World(half_open_requests=allowed, success_threshold=10**6)
    chance = random.Random(allowed)
    most = out = passed = 0

    async def caller() -> None:
        nonlocal most, out, passed
        for _ in range(chance.randrange(20)):
            await asyncio.sleep(0)
        answer = world.ask()
        if isinstance(answer, Rejection):
            assert (answer.kind, answer.retry_after, answer.status) == ("half_open", 1.0, 503)
            assert out == allowed, "refused while there was room"
            return
        out, passed = out + 1, passed + 1
        most = max(most, out)
        assert out <= allowed
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        out -= 1
        match chance.randrange(4):
            case 0:
                answer.cancel()
            case 1:
                world.settle(answer, LEFT)
            case 2:
                world.settle(answer, SUCCESS)
            case _:
                answer.proved(world.now, 0.5)
                world.settle(answer, SUCCESS)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    assert most == allowed
    assert passed > allowed
    assert (out, world.trials_out, world.registry.open_permits) == (0, 0, 500)
    assert world.state is State.HALF_OPEN


def test_a_trial_that_ends_lets_exactly_one_more_in() -> None:
    world = World(half_open_requests=3, success_threshold=100)
    held = world.crowd()
    for verdict in (LEFT, SUCCESS, None, LEFT):
        permit = held.pop(0)
        permit.cancel() if verdict is None else world.settle(permit, verdict)
        more = world.crowd()
        assert len(more) == 1
        held += more
    assert world.trials_out == 3


def test_the_trials_that_close_open_the_door_to_all() -> None:
    world = World(half_open_requests=2, success_threshold=2)
    first, second = world.crowd()
    world.settle(first, SUCCESS)
    assert world.state is State.HALF_OPEN
    third = world.admitted()
    assert third.trial
    world.settle(second, SUCCESS)
    assert world.state is State.CLOSED
    assert len(world.crowd()) == CALLERS
    world.settle(third, ILL)
    assert world.state is State.CLOSED, "a trial from before it closed is late"


def test_a_failed_trial_shuts_it_for_everybody_and_the_others_are_late() -> None:
    world = World(half_open_requests=3, success_threshold=2)
    first, second, third = world.crowd()
    world.settle(first, ILL)
    assert world.state is State.OPEN
    assert world.crowd() == []
    told = len(world.told)
    world.settle(second, SUCCESS)
    world.settle(third, ILL)
    assert (world.state, len(world.told)) == (State.OPEN, told)


@pytest.mark.parametrize("verdict", [ILL, SUCCESS, LEFT])
@pytest.mark.parametrize("state", [State.OPEN, State.HALF_OPEN, State.CLOSED])
def test_five_hundred_late_results_change_nothing(state: State, verdict: Verdict) -> None:
    world = World(success_threshold=1)
    trial = None
    if state is not State.OPEN:
        trial = world.admitted()
    if state is State.CLOSED and trial is not None:
        world.settle(trial, SUCCESS)
    breaker = world.registry.breaker("p", "m")
    assert breaker is not None
    told = len(world.told)
    before = (breaker.state, breaker.generation, breaker.consecutive, breaker.trials_out, breaker.trial_successes)
    standing = world.registry.standing("p", "m", world.now) if state is State.CLOSED else None
    for permit in world.late:
        world.settle(permit, verdict)
    assert before == (
        breaker.state,
        breaker.generation,
        breaker.consecutive,
        breaker.trials_out,
        breaker.trial_successes,
    )
    assert breaker.counts(world.now) == (0, 0)
    assert len(world.told) == told
    if standing is not None:
        assert world.registry.standing("p", "m", world.now) == standing


@pytest.mark.parametrize("end", ["cancel", "neutral"])
def test_a_trial_that_decides_nothing_frees_its_permit(end: str) -> None:
    world = World(half_open_requests=1)
    for _ in range(100):
        trial = world.admitted()
        assert isinstance(world.ask(), Rejection)
        trial.cancel() if end == "cancel" else world.settle(trial, LEFT)
    assert (world.state, world.trials_out) == (State.HALF_OPEN, 0)


def test_first_content_lets_the_next_in_while_the_stream_runs_on() -> None:
    world = World(half_open_requests=1, success_threshold=2)
    stream = world.admitted()
    assert isinstance(world.ask(), Rejection)
    stream.proved(world.now, 0.5)
    other = world.admitted()
    assert other.trial
    other.proved(world.now, 0.5)
    assert world.state is State.CLOSED
    world.settle(stream, ILL)
    world.settle(other, SUCCESS)
    breaker = world.registry.breaker("p", "m")
    assert breaker is not None
    assert breaker.counts(world.now) == (1, 0), "the first proof was before the closing, the second led to it"


def test_a_proved_stream_that_breaks_shuts_the_door_again() -> None:
    world = World(half_open_requests=1, success_threshold=2)
    stream = world.admitted()
    stream.proved(world.now, 0.5)
    trial = world.admitted()
    world.settle(stream, ILL)
    assert (world.state, world.told[-1].reason) == (State.OPEN, "a trial failed: 503")
    world.settle(trial, SUCCESS)
    assert world.state is State.OPEN
    assert world.registry.open_permits == 500


def test_lost_trials_come_back_with_their_leases() -> None:
    world = World(half_open_requests=2)
    lost = world.crowd()
    assert len(lost) == 2
    world.now += 599.9
    assert world.crowd() == []
    world.now += 0.2
    assert len(world.crowd()) == 2
    assert world.registry.lapsed_leases == 2
