"""The breakers against the plain reference, on a moved clock, with every event there is."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from breaker.outcome import NO_MODEL, SUCCESS, Blame, Neutral, Status, Verdict
from config.settings import Breakers
from config.words import Mode
from tests.breaker.pair import Pair

STEPS = 50

CONFIGURED = [("p", "a"), ("p", "b"), ("q", "c")]
TARGETS = st.sampled_from([*CONFIGURED, ("p", "a"), ("p", NO_MODEL), ("p", "made/up")])
KEYS = st.sampled_from(["", "1a2b3c4d5e6f7788", "99aabbccddeeff00"])
MANUAL = st.sampled_from([*CONFIGURED, ("p", None), ("q", None), ("p", "made/up"), ("p", "unheard"), ("r", None)])

FAILURES = [Status.ERROR, Status.TIMEOUT, Status.NETWORK_ERROR, Status.RATE_LIMITED]
CODES = {Blame.TARGET_CREDENTIAL: 403, Blame.PROVIDER_CREDENTIAL: 401, Blame.TARGET: 500}

VERDICTS = [
    SUCCESS,
    *(Verdict(status, blame, http_status=CODES.get(blame)) for status in FAILURES for blame in Blame),
    *(Verdict(kind) for kind in Neutral),
    *(Verdict(Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, retry_after=s) for s in (0.0, 2.25, 40.0, 7200.0)),
]
"""Every status with every blame, every neutral kind, and rate limits that say for how long."""

LIKELY = [
    SUCCESS,
    Verdict(Status.ERROR, Blame.TARGET, message="overloaded", http_status=503),
    Verdict(Status.NETWORK_ERROR, Blame.PROVIDER, message="refused"),
    Verdict(Status.ERROR, Blame.TARGET_CREDENTIAL, http_status=404),
    Verdict(Status.ERROR, Blame.PROVIDER_CREDENTIAL, http_status=402),
    Verdict(Neutral.CANCELLED),
]

verdicts = st.sampled_from(LIKELY) | st.sampled_from(VERDICTS)
paces = st.fixed_dictionaries(
    {
        "streamed": st.booleans(),
        "reasoning": st.sampled_from([False, False, False, True]),
        "first_byte": st.sampled_from([0.2, None, 30.0, 30.5, 90.0]),
        "response_time": st.sampled_from([0.5, 30.0, 31.0, 100.0]),
    }
)
SLOW = {"streamed": True, "first_byte": None, "response_time": 99.0}
seconds = st.sampled_from([0.001, 0.25, 1.0, 5.0, 13.5, 60.0, 61.0, 150.0, 900.0, 3600.0, 10_800.0])

knobs = st.builds(
    Breakers,
    mode=st.sampled_from([Mode.ENFORCE] * 6 + [Mode.OBSERVE, Mode.OFF]),
    failure_threshold=st.sampled_from([1, 2, 3, 5, 1000]),
    failure_rate=st.sampled_from([0.1, 0.5, 0.75, 1.0]),
    min_requests=st.sampled_from([1, 3, 4, 10]),
    window=st.sampled_from([10.0, 60.0, 300.0]),
    open_for=st.sampled_from([5.0, 60.0]),
    max_open_for=st.sampled_from([3.0, 60.0, 300.0]),
    jitter=st.sampled_from([0.0, 0.1, 1.0]),
    half_open_requests=st.integers(1, 3),
    success_threshold=st.integers(1, 3),
    slow_first_byte=st.just(30.0),
    slow_rate=st.sampled_from([0.5, 0.8, 1.0]),
)


class Breaking(RuleBasedStateMachine):
    """One example: some knobs, then events in any order, compared after each."""

    steps: ClassVar[int] = 0
    wall: ClassVar[st.SearchStrategy[float]] = st.just(1.7e9)

    @initialize(
        knobs=knobs,
        other=st.none() | knobs,
        stand_ins=st.sampled_from([[], CONFIGURED, CONFIGURED[:1]]),
        share=st.sampled_from([0.0, 0.5, 0.999]),
        start=st.sampled_from([0.0, 17.25, 86_400.0 * 400]),
    )
    def begin(
        self, knobs: Breakers, other: Breakers | None, stand_ins: list[tuple[str, str]], share: float, start: float
    ) -> None:
        self.pair = Pair(
            knobs=knobs,
            per_provider={} if other is None else {"q": other},
            configured=CONFIGURED,
            stand_ins=stand_ins,
            share=share,
            start=start,
        )

    def teardown(self) -> None:
        """Nothing is left out for ever."""
        if hasattr(self, "pair"):
            while self.pair.out:
                self.pair.cancel(0)

    def counted(self) -> None:
        type(self).steps += 1

    @rule(
        place=TARGETS,
        key=KEYS,
        lease=st.sampled_from([math.inf, 7.3, 100.3]),
        force=st.sampled_from([False] * 9 + [True]),
    )
    def admit(self, place: tuple[str, str], key: str, lease: float, force: bool) -> None:
        self.counted()
        self.pair.admit(*place, key, lease, force=force)

    @precondition(lambda self: self.pair.out)
    @rule(at=st.integers(0, 30), verdict=verdicts, pace=paces | st.just(SLOW), data=st.data())
    def settle(self, at: int, verdict: Verdict, pace: dict[str, Any], data: st.DataObject) -> None:
        self.counted()
        self.pair.settle(at, verdict, **pace, wall=data.draw(self.wall))

    @precondition(lambda self: self.pair.out)
    @rule(at=st.integers(0, 30))
    def cancel(self, at: int) -> None:
        self.counted()
        self.pair.cancel(at)

    @precondition(lambda self: self.pair.out)
    @rule(at=st.integers(0, 30), first_byte=st.sampled_from([None, 0.2, 30.0, 45.0]))
    def prove(self, at: int, first_byte: float | None) -> None:
        self.counted()
        self.pair.prove(at, first_byte)

    @rule(place=TARGETS, key=KEYS, verdict=verdicts, times=st.integers(1, 6))
    def burst(self, place: tuple[str, str], key: str, verdict: Verdict, times: int) -> None:
        """The same fate several times on end: what trips."""
        self.counted()
        for _ in range(times):
            self.pair.attempt(*place, verdict, key)

    @rule(
        place=TARGETS,
        verdict=st.sampled_from([SUCCESS, Verdict(Status.TIMEOUT), Verdict(Neutral.CANCELLED)]),
        times=st.integers(1, 6),
    )
    def slow_burst(self, place: tuple[str, str], verdict: Verdict, times: int) -> None:
        self.counted()
        first_byte = 45.0 if verdict is SUCCESS else None
        for _ in range(times):
            if self.pair.admit(*place):
                self.pair.settle(-1, verdict, streamed=True, first_byte=first_byte, response_time=46.0)

    @rule(place=TARGETS, key=KEYS, times=st.integers(1, 6))
    def crowd(self, place: tuple[str, str], key: str, times: int) -> None:
        """Many asking at one moment, before any of them is settled."""
        self.counted()
        for _ in range(times):
            self.pair.admit(*place, key)

    @rule(step=seconds)
    def wait(self, step: float) -> None:
        self.counted()
        self.pair.now += step
        self.pair.compare()

    @rule()
    def wait_for_the_next_trial(self) -> None:
        self.counted()
        waiting = [m.retry_at for m in self.pair.model.machines.values() if m.state == "open" and m.retry_at]
        self.pair.now = max(self.pair.now, min(waiting, default=0.0) + 0.001)
        self.pair.compare()

    @rule(place=MANUAL, step=seconds)
    def open(self, place: tuple[str, str | None], step: float) -> None:
        self.counted()
        self.pair.open(*place, step)

    @rule(place=MANUAL)
    def close(self, place: tuple[str, str | None]) -> None:
        self.counted()
        self.pair.close(*place)

    @rule(place=MANUAL)
    def reset(self, place: tuple[str, str | None]) -> None:
        self.counted()
        self.pair.reset(*place)

    @rule()
    def reset_all(self) -> None:
        self.counted()
        self.pair.reset_all()


class Jumping(Breaking):
    """The same while the clock on the wall jumps by an hour, and by years, either way."""

    steps = 0
    wall = st.sampled_from([1.7e9, 1.7e9 + 3600, 1.7e9 - 3600, 0.0, 4e9])


def run(machine: type[Breaking], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_ten_thousand_steps_and_no_difference() -> None:
    Breaking.steps = 0
    run(Breaking, 250)
    assert Breaking.steps >= 10_000


def test_a_jump_of_the_wall_clock_makes_no_transition() -> None:
    Jumping.steps = 0
    run(Jumping, 100)
    assert Jumping.steps >= 4_000
