"""One breaker by itself: asking, being told, trials, growth and decay of open times, and what people read."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from breaker.breaker import Breaker
from breaker.company import Company
from breaker.permit import Permit, Rejection
from breaker.transition import Cause, Scope, Transition
from breaker.transitions import Event, State
from config.settings import Breakers
from config.words import Mode

CLOSED, OPEN, HALF_OPEN = State.CLOSED, State.OPEN, State.HALF_OPEN


class Nobody:
    """An issuer for permits that are given back by hand."""

    def settled(self, *_: object) -> object: ...

    proved = cancelled = settled


def permit() -> Permit:
    return Permit(Nobody(), "p", "m")  # type: ignore[arg-type]


class World:
    def __init__(
        self,
        scope: Scope = Scope.TARGET,
        *,
        key: str = "",
        model: str | None = "m",
        random: Callable[[], float] = lambda: 0.0,
        **knobs: float | Mode,
    ) -> None:
        self.told: list[Transition] = []
        self.company = Company(random, self.told.append)
        self.knobs = Breakers(**knobs)  # type: ignore[arg-type]
        self.breaker = Breaker(scope, "p", model, self.knobs, self.company, key)
        self.now = 0.0

    def fail(self, times: int = 1, last: str = "503") -> None:
        for _ in range(times):
            self.breaker.bad(self.breaker.generation, self.now, last)

    def succeed(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.good(self.breaker.generation, self.now)

    def enter(self, lease: float = math.inf) -> Permit | None:
        one = permit()
        return one if self.breaker.enter(one, self.now, lease) else None

    def trial(self, *, passed: bool | None) -> None:
        one = self.enter()
        assert one is not None
        assert self.breaker.tried(one, self.now, passed=passed, last="503")

    def half_open(self) -> None:
        """Trip, and wait until trials are let through."""
        self.fail(self.knobs.failure_threshold)
        self.now += self.breaker.retry_in(self.now)

    def close(self) -> None:
        for _ in range(self.knobs.success_threshold):
            self.trial(passed=True)


def test_a_new_one_is_closed_and_blank() -> None:
    breaker = World().breaker
    assert (breaker.state, breaker.closed, breaker.generation, breaker.openings) == (CLOSED, True, 0, 0)
    assert (breaker.cause, breaker.reason, breaker.manual, breaker.http_status) == (None, "", False, None)
    assert (breaker.opened_at, breaker.retry_at, breaker.trials_out, breaker.trial_successes) == (None, None, 0, 0)
    assert breaker.rejection(0.0) is None
    assert breaker.retry_in(0.0) == 0.0
    assert breaker.mode is Mode.ENFORCE


@pytest.mark.parametrize(
    ("scope", "model", "key", "name", "credential"),
    [
        (Scope.PROVIDER, None, "", "p", None),
        (Scope.TARGET, "a/b", "", "p/a/b", None),
        (Scope.CREDENTIAL, None, "0123456789abcdef", "p (key 01234567)", "01234567"),
        (Scope.CREDENTIAL, "m", "0123456789abcdef", "p/m (key 01234567)", "01234567"),
    ],
)
def test_names(scope: Scope, model: str | None, key: str, name: str, credential: str | None) -> None:
    breaker = World(scope, model=model, key=key).breaker
    assert (breaker.name, breaker.credential, breaker.key) == (name, credential, key)


def test_the_way_round() -> None:
    world = World(failure_threshold=3, success_threshold=2, jitter=0.0)
    world.fail(2)
    assert world.breaker.state is CLOSED
    world.fail()
    assert (world.breaker.state, world.breaker.retry_in(0.0)) == (OPEN, 60.0)
    world.now = 59.99
    assert world.enter() is None
    assert world.breaker.state is OPEN
    world.now = 60.0
    assert world.breaker.rejection(60.0) is None
    assert world.breaker.state is OPEN, "asking moves nothing"
    world.trial(passed=True)
    assert (world.breaker.state, world.breaker.trial_successes) == (HALF_OPEN, 1)
    world.trial(passed=True)
    assert (world.breaker.state, world.breaker.trial_successes) == (CLOSED, 0)
    assert [(t.was, t.event, t.state, t.cause, t.reason, t.retry_in) for t in world.told] == [
        (CLOSED, Event.TRIP, OPEN, Cause.CONSECUTIVE, "3 failures in a row, last: 503", 60.0),
        (OPEN, Event.WAITED, HALF_OPEN, Cause.WAITED, "60 s have passed: what comes next is a trial", None),
        (HALF_OPEN, Event.RECOVERED, CLOSED, Cause.RECOVERED, "2 trials succeeded", None),
    ]
    assert [t.generation for t in world.told] == [1, 2, 3]
    assert [t.now for t in world.told] == [0.0, 60.0, 60.0]


def test_one_trial_is_not_many() -> None:
    world = World(failure_threshold=1, success_threshold=1)
    world.half_open()
    world.close()
    assert world.told[-1].reason == "1 trial succeeded"


def test_a_transition_says_which_breaker_it_was() -> None:
    world = World(Scope.CREDENTIAL, key="0123456789abcdef", failure_threshold=1)
    world.fail()
    told = world.told[0]
    assert (told.scope, told.provider, told.model, told.credential) == (Scope.CREDENTIAL, "p", "m", "01234567")


def test_nobody_has_to_listen() -> None:
    breaker = Breaker(Scope.TARGET, "p", "m", Breakers(failure_threshold=1), Company(lambda: 0.0, None))
    breaker.bad(0, 0.0, "503")
    assert breaker.state is OPEN


@pytest.mark.parametrize(
    ("scope", "key", "http_status", "kind", "status"),
    [
        (Scope.PROVIDER, "", None, "open", 503),
        (Scope.TARGET, "", 500, "open", 503),
        (Scope.CREDENTIAL, "k" * 16, 402, "credential", 402),
        (Scope.CREDENTIAL, "k" * 16, None, "credential", 401),
    ],
)
def test_rejections_while_open(scope: Scope, key: str, http_status: int | None, kind: str, status: int) -> None:
    world = World(scope, key=key, failure_threshold=1, jitter=0.0)
    world.breaker.bad(0, 0.0, "no", http_status)
    name = world.breaker.name
    expected = f"the circuit breaker of {name} is open: a failure, last: no"
    assert world.breaker.rejection(10.0) == Rejection(expected, 50.0, status, kind, scope)


@pytest.mark.parametrize(
    ("scope", "key", "kind", "status"),
    [(Scope.TARGET, "", "half_open", 503), (Scope.CREDENTIAL, "k", "credential", 401)],
)
def test_rejections_while_trials_are_out(scope: Scope, key: str, kind: str, status: int) -> None:
    world = World(scope, key=key, failure_threshold=1, half_open_requests=2, jitter=0.0)
    world.half_open()
    assert world.enter() is not None
    assert world.breaker.rejection(60.0) is None
    assert world.enter() is not None
    why = f"the circuit breaker of {world.breaker.name} is being tried out again after: a failure, last: 503"
    assert world.breaker.rejection(60.0) == Rejection(why, 1.0, status, kind, scope)
    assert world.enter() is None
    assert world.breaker.trials_out == 2


def test_a_closed_one_makes_nothing_a_trial() -> None:
    world = World()
    assert world.enter() is None
    assert world.breaker.trials_out == 0


def test_a_trial_that_decides_nothing_frees_its_place() -> None:
    world = World(failure_threshold=1)
    world.half_open()
    for _ in range(5):
        world.trial(passed=None)
    assert (world.breaker.state, world.breaker.trials_out, world.breaker.trial_successes) == (HALF_OPEN, 0, 0)


def test_a_failed_trial_opens_again_for_longer() -> None:
    world = World(failure_threshold=1, jitter=0.0)
    world.half_open()
    world.trial(passed=True)
    world.trial(passed=False)
    assert (world.breaker.state, world.breaker.retry_in(world.now), world.breaker.openings) == (OPEN, 120.0, 2)
    assert (world.breaker.reason, world.breaker.cause) == ("a trial failed: 503", Cause.TRIAL_FAILED)
    world.now += 120.0
    world.trial(passed=True)
    assert world.breaker.state is HALF_OPEN, "the success before does not count any more"


def test_a_trial_that_failed_without_a_word() -> None:
    world = World(failure_threshold=1)
    world.half_open()
    one = world.enter()
    assert one is not None
    world.breaker.tried(one, world.now, passed=False)
    assert world.breaker.reason == "a trial failed"


def test_no_reason_is_endless() -> None:
    world = World(failure_threshold=1)
    world.half_open()
    assert world.enter() is not None
    world.fail(last="x" * 5000)
    assert len(world.breaker.reason) == 500


def test_who_is_no_trial_decides_nothing_by_succeeding() -> None:
    world = World(failure_threshold=1, success_threshold=1)
    world.half_open()
    assert world.enter() is not None
    assert not world.breaker.tried(permit(), world.now, passed=True)
    assert not world.breaker.tried(permit(), world.now, passed=False)
    world.succeed(5)
    assert (world.breaker.state, world.breaker.counts(world.now)) == (HALF_OPEN, (0, 0))


def test_who_is_no_trial_relapses_by_failing() -> None:
    world = World(failure_threshold=5)
    world.half_open()
    assert world.enter() is not None
    world.fail()
    assert (world.breaker.state, world.breaker.cause, world.breaker.trials_out) == (OPEN, Cause.TRIAL_FAILED, 0)


def test_an_open_one_hears_nothing() -> None:
    world = World(failure_threshold=1)
    world.fail()
    told = len(world.told)
    world.fail(9)
    world.succeed(9)
    world.breaker.paced(world.breaker.generation, 0.0, slow=True)
    assert (world.breaker.counts(0.0), world.breaker.consecutive, len(world.told)) == ((0, 0), 0, told)


@pytest.mark.parametrize("state", [CLOSED, HALF_OPEN])
def test_what_is_older_than_the_last_transition_is_not_heard(state: State) -> None:
    world = World(failure_threshold=1, min_requests=1, slow_rate=0.1, success_threshold=1)
    world.half_open()
    assert world.enter() is not None
    if state is CLOSED:
        world.breaker.force_close(world.now)
    told = len(world.told)
    for _ in range(500):
        world.breaker.bad(world.breaker.generation - 1, world.now, "late")
        world.breaker.good(world.breaker.generation - 1, world.now)
        world.breaker.paced(world.breaker.generation - 1, world.now, slow=True)
    assert (world.breaker.state, world.breaker.counts(world.now), len(world.told)) == (state, (0, 0), told)


def test_a_lapsed_lease_makes_room_and_is_counted() -> None:
    world = World(failure_threshold=1)
    world.half_open()
    lost = world.enter(lease=10.0)
    assert lost is not None
    world.now += 9.99
    assert world.enter() is None
    assert world.company.lapsed == 0
    world.now += 0.01
    assert world.breaker.rejection(world.now) is None
    assert (world.company.lapsed, world.breaker.trials_out) == (0, 1), "asking takes nothing"
    assert world.enter() is not None
    assert (world.company.lapsed, world.breaker.trials_out) == (1, 1)
    assert not world.breaker.tried(lost, world.now, passed=True)


def test_open_times_double_up_to_the_limit_and_vary() -> None:
    world = World(failure_threshold=1, open_for=60.0, max_open_for=300.0, jitter=0.1, random=lambda: 0.5)
    world.fail()
    times = []
    for _ in range(5):
        times.append(world.breaker.retry_in(world.now))
        world.now += times[-1]
        world.trial(passed=False)
    assert times == pytest.approx([57.0, 114.0, 228.0, 285.0, 285.0])
    assert world.breaker.openings == 6
    assert world.told[-1].retry_in == pytest.approx(285.0)


def test_closing_alone_does_not_bring_short_open_times_back() -> None:
    world = World(failure_threshold=1, jitter=0.0)
    world.half_open()
    world.close()
    world.fail()
    assert world.breaker.retry_in(world.now) == 120.0


@pytest.mark.parametrize(
    ("wait", "left"), [(0.0, 3), (59.9, 3), (60.0, 2), (119.9, 2), (120.0, 1), (180.0, 0), (1e6, 0)]
)
def test_growth_decays_a_step_for_each_healthy_window(wait: float, left: int) -> None:
    world = grown(3)
    world.now += wait
    world.succeed()
    assert world.breaker.openings == left


def grown(openings: int, failure_threshold: int = 100) -> World:
    """A closed breaker that has opened so often, at a moment when a window begins."""
    world = World(failure_threshold=failure_threshold, min_requests=100, success_threshold=1, jitter=0.0)
    world.breaker.force_open(0.0, 60.0)
    for passed in [False] * openings + [True]:
        world.now += world.breaker.retry_in(world.now)
        world.trial(passed=passed)
    assert (world.breaker.openings, world.now % 60.0) == (openings, 0.0)
    return world


def test_what_is_left_of_a_window_counts_towards_the_next() -> None:
    world = grown(3)
    for wait, left in [(90.0, 2), (10.0, 2), (19.9, 2), (0.1, 1), (59.9, 1), (0.1, 0)]:
        world.now += wait
        world.succeed()
        assert world.breaker.openings == left


def test_a_bad_moment_within_a_window_does_not_begin_it_anew() -> None:
    """Only at its end is a window judged: what failed at 10 s has left it by 70 s."""
    world = grown(3)
    for wait in (10.0, 2.0, 58.0):
        world.now += wait
        world.fail() if wait == 10.0 else world.succeed()
    assert world.breaker.openings == 2


def test_failures_of_a_providers_models_make_its_window_unhealthy() -> None:
    world = World(Scope.PROVIDER, model=None, failure_threshold=100, min_requests=100)
    breaker = world.breaker
    breaker.openings = 3
    world.now = 54.0
    world.succeed(20)
    for _ in range(2):
        breaker.bad(0, world.now, "503", below=True, models=1)
    world.now = 60.0
    world.succeed()
    assert breaker.openings == 3


def test_a_failure_decays_before_it_counts() -> None:
    world = grown(3, failure_threshold=1)
    world.now += 120.0
    world.fail()
    assert (world.breaker.state, world.breaker.openings) == (OPEN, 2)
    assert world.breaker.retry_in(world.now) == 120.0


@pytest.mark.parametrize(("good", "bad", "left"), [(19, 1, 2), (18, 1, 3), (0, 1, 3), (1, 0, 2), (0, 0, 2)])
def test_an_unhealthy_window_begins_the_stretch_anew(good: int, bad: int, left: int) -> None:
    world = grown(3)
    world.breaker.knobs = Breakers(failure_threshold=100, min_requests=100)
    world.now += 30.0
    world.succeed(good)
    world.fail(bad)
    world.now += 50.0
    world.succeed()
    assert world.breaker.openings == left
    if left == 3:
        world.now += 59.0
        world.succeed(100)
        assert world.breaker.openings == 3
        world.now += 1.0
        world.succeed()
        assert world.breaker.openings == 2


def test_slow_answers_trip_and_quick_ones_hold_against_it() -> None:
    world = World(min_requests=5, slow_rate=0.8)
    for slow in [True, True, True, False]:
        world.breaker.paced(0, 0.0, slow=slow)
    assert world.breaker.state is CLOSED
    world.breaker.paced(0, 0.0, slow=True)
    assert (world.breaker.state, world.breaker.cause) == (OPEN, Cause.SLOW)
    assert world.breaker.reason == "4 of 5 streamed answers took longer than 30 s to begin"
    assert world.breaker.by_pace
    assert world.breaker.counts(0.0) == (0, 0)


def test_a_quick_answer_never_trips() -> None:
    world = World(min_requests=2, slow_rate=0.5)
    world.breaker.paced(0, 0.0, slow=True)
    world.breaker.paced(0, 0.0, slow=False)
    assert world.breaker.state is CLOSED


@pytest.mark.parametrize(
    ("below", "models", "consecutive", "counts"), [(False, 0, 1, (0, 1)), (True, 1, 0, (0, 1)), (True, 2, 0, (0, 1))]
)
def test_failures_of_models_are_no_consecutive_ones(
    below: bool, models: int, consecutive: int, counts: tuple[int, int]
) -> None:
    breaker = World(Scope.PROVIDER, model=None).breaker
    breaker.bad(0, 0.0, "503", below=below, models=models)
    assert (breaker.consecutive, breaker.counts(0.0)) == (consecutive, counts)


def test_the_window_of_a_breaker_is_as_long_as_its_knob() -> None:
    world = World(window=10.0, failure_threshold=100)
    world.fail(3)
    assert world.breaker.counts(9.9) == (0, 3)
    assert world.breaker.counts(10.0) == (0, 0)


@pytest.mark.parametrize(
    ("cause", "by_host", "by_pace"),
    [
        ("consecutive", True, False),
        ("rate", False, False),
        ("host_rate", True, False),
        ("slow", True, True),
        ("manual", True, False),
    ],
)
def test_why_it_opened_is_remembered_through_failed_trials(cause: str, by_host: bool, by_pace: bool) -> None:
    world = World(Scope.PROVIDER, model=None, failure_threshold=2, min_requests=3, failure_rate=0.6, slow_rate=0.1)
    breaker = world.breaker
    match cause:
        case "consecutive":
            world.fail(2)
        case "manual":
            breaker.force_open(0.0, 60.0)
        case "slow":
            for slow in [True, True, True]:
                breaker.paced(0, 0.0, slow=slow)
        case "host_rate":
            world.fail()
            world.succeed()
            world.fail()
        case _:
            for model in (1, 2, 2):
                breaker.bad(0, 0.0, "503", below=True, models=model)
    assert breaker.cause is Cause(cause)
    for _ in range(3):
        assert (breaker.by_host, breaker.by_pace) == (by_host, by_pace)
        world.now += breaker.retry_in(world.now)
        world.trial(passed=False)


def test_opened_by_hand() -> None:
    world = World(random=lambda: 1.0, jitter=0.5, success_threshold=1)
    world.breaker.force_open(5.0, 600.0)
    breaker = world.breaker
    assert (breaker.state, breaker.manual, breaker.openings, breaker.opened_at) == (OPEN, True, 0, 5.0)
    assert (breaker.retry_at, breaker.reason, breaker.cause) == (605.0, "opened by hand for 600 s", Cause.MANUAL)
    world.now = 605.0
    one = world.enter()
    assert one is not None
    assert (breaker.state, breaker.manual) == (HALF_OPEN, True)
    assert breaker.reason == "opened by hand for 600 s", "why it opened stays to be read"
    assert world.told[-1].reason == "600 s have passed: what comes next is a trial"
    breaker.tried(one, 605.0, passed=True)
    assert (breaker.state, breaker.manual, breaker.retry_at, breaker.opened_at) == (CLOSED, False, None, None)


def test_opened_by_hand_after_a_trip_by_rate_any_answer_is_a_good_sign_again() -> None:
    world = World(Scope.PROVIDER, model=None, min_requests=2)
    for model in (1, 2):
        world.breaker.bad(0, 0.0, "503", below=True, models=model)
    assert not world.breaker.by_host
    world.breaker.force_open(0.0, 5.0)
    assert world.breaker.by_host


def test_opened_by_hand_for_no_time_the_next_is_a_trial() -> None:
    world = World()
    world.breaker.force_open(7.0, 0.0)
    assert (world.breaker.retry_at, world.breaker.retry_in(7.0)) == (7.0, 0.0)


@pytest.mark.parametrize("half_open", [False, True])
@pytest.mark.parametrize("verb", ["force_close", "reset"])
def test_what_is_closed_again_has_no_time_of_its_opening(half_open: bool, verb: str) -> None:
    world = World(Scope.CREDENTIAL, key="k", failure_threshold=1, jitter=0.0)
    breaker = world.breaker
    breaker.bad(0, 0.0, "quota", 402)
    if half_open:
        world.now = 60.0
        assert world.enter() is not None
    found = (breaker.opened_at, breaker.retry_at, breaker.http_status)
    assert found == (0.0, 60.0, 402), "while it is not closed it says why and since when"
    getattr(breaker, verb)(world.now)
    assert (breaker.opened_at, breaker.retry_at, breaker.http_status) == (None, None, None)


def test_closing_is_when_the_first_healthy_window_begins() -> None:
    world = World(failure_threshold=1, success_threshold=1, jitter=0.0)
    world.half_open()
    world.close()
    world.now += 59.9
    world.succeed()
    assert world.breaker.openings == 1
    world.now += 0.1
    world.succeed()
    assert world.breaker.openings == 0


def test_moves_of_others_make_no_attempt_late() -> None:
    breaker = World(failure_threshold=100, min_requests=1, failure_rate=1.0, slow_rate=0.5).breaker
    breaker.good(5, 0.0)
    breaker.bad(5, 0.0, "503")
    assert breaker.counts(0.0) == (1, 1)
    breaker.paced(5, 0.0, slow=True)
    assert breaker.cause is Cause.SLOW


def test_opened_by_hand_again_it_is_open_for_as_long_as_was_said_last() -> None:
    breaker = World().breaker
    breaker.force_open(0.0, 600.0)
    breaker.force_open(10.0, 5.0)
    assert (breaker.retry_in(10.0), breaker.retry_in(15.0), breaker.retry_in(99.0)) == (5.0, 0.0, 0.0)


def test_a_trial_that_fails_after_opening_by_hand_is_the_first_opening() -> None:
    world = World(jitter=0.0)
    world.breaker.force_open(0.0, 5.0)
    world.now = 5.0
    world.trial(passed=False)
    assert (world.breaker.retry_in(5.0), world.breaker.openings, world.breaker.manual) == (60.0, 1, False)


def test_closed_by_hand_keeps_how_often_it_opened_and_reset_does_not() -> None:
    world = World(failure_threshold=1, jitter=0.0)
    world.fail()
    world.breaker.force_close(1.0)
    assert (world.breaker.state, world.breaker.openings, world.breaker.reason) == (CLOSED, 1, "closed by hand")
    world.fail()
    assert world.breaker.retry_in(0.0) == 120.0
    world.breaker.reset(1.0)
    assert (world.breaker.state, world.breaker.openings, world.breaker.reason) == (CLOSED, 0, "reset by hand")
    assert world.breaker.cause is Cause.RESET
    world.fail()
    assert world.breaker.retry_in(0.0) == 60.0


def test_clearing_forgets_without_a_word() -> None:
    world = World(failure_threshold=5)
    world.fail(4)
    world.breaker.openings = 3
    world.breaker.clear()
    assert (world.breaker.counts(0.0), world.breaker.consecutive, world.breaker.openings) == ((0, 0), 0, 0)
    assert world.told == []
    world.fail(4)
    assert world.breaker.state is CLOSED


def test_a_success_ends_a_row_of_failures() -> None:
    world = World(failure_threshold=3, min_requests=100)
    world.fail(2)
    world.succeed()
    world.fail(2)
    assert (world.breaker.state, world.breaker.consecutive) == (CLOSED, 2)


def test_those_that_are_not_closed_are_known() -> None:
    world = World(failure_threshold=1, success_threshold=1)
    other = Breaker(Scope.TARGET, "p", "n", world.knobs, world.company)
    world.fail()
    other.bad(0, 0.0, "503")
    assert world.company.unwell == {world.breaker, other}
    assert (world.breaker.generation, other.generation, world.company.generation) == (1, 2, 2)
    other.force_close(0.0)
    assert world.company.unwell == {world.breaker}
    world.now = 60.0
    assert world.enter() is not None
    assert world.company.unwell == {world.breaker}, "half-open is not closed"
