from __future__ import annotations

import pytest

from breaker.outcome import NO_MODEL, OTHER_MODEL, Blame, Kind, Status
from healthapi.history import HOUR, MINUTE
from healthapi.status import Availability, Health
from healthapi.views.survey import Survey, survey
from tests.healthapi.samples import NOW, many, outcome, sources, store


def statuses(found: Survey) -> dict[str, Health]:
    return {target.record.model: target.status for target in found.targets}


def test_nothing_seen() -> None:
    assert survey(sources(store())) == Survey([], {}, 2, dict.fromkeys(Health, 0))


@pytest.mark.parametrize(
    ("good", "bad", "ago", "model", "status"),
    [
        (19, 1, 0, "llama", Health.HEALTHY),
        (9, 1, 0, "llama", Health.DEGRADED),
        (1, 1, 0, "llama", Health.UNHEALTHY),
        (4, 1, 30 * MINUTE, "llama", Health.DEGRADED),  # by the last hour
        (2, 0, 14 * MINUTE, "llama", Health.HEALTHY),  # by three intervals of the critical tier
        (4, 0, 59 * MINUTE, "llama", Health.UNKNOWN),
        (2, 0, 11 * HOUR, "seldom", Health.HEALTHY),  # by three intervals of the on_demand tier
        (2, 0, 5 * HOUR, "elsewhere", Health.HEALTHY),  # by three intervals of the standard tier
        (2, 0, 8 * HOUR, "elsewhere", Health.UNKNOWN),
        (1, 0, 0, "llama", Health.UNKNOWN),
        (0, 1, 0, "llama", Health.UNKNOWN),
    ],
)
def test_the_status_of_a_target(good: int, bad: int, ago: float, model: str, status: Health) -> None:
    kept = store(*many(good, bad, at=NOW - ago, model=model))
    assert statuses(survey(sources(kept))) == {model: status}


def test_recent_outcomes_outweigh_older_ones() -> None:
    kept = store(*many(0, 100, at=NOW - 30 * MINUTE), *many(5, 0))
    assert statuses(survey(sources(kept))) == {"llama": Health.HEALTHY}


@pytest.mark.parametrize("blame", [Blame.TARGET_CREDENTIAL, Blame.PROVIDER_CREDENTIAL])
def test_one_caller_s_bad_key_makes_no_model_look_ill(blame: Blame) -> None:
    kept = store(*(outcome(Status.ERROR, blame=blame) for _ in range(50)))
    assert statuses(survey(sources(kept))) == {"llama": Health.UNKNOWN}
    for one in many(5, 0):
        kept.add(one)
    assert statuses(survey(sources(kept))) == {"llama": Health.HEALTHY}


def test_probes_and_live_traffic_decide_together() -> None:
    probes = (outcome(Status.ERROR, kind=Kind.PROBE) for _ in range(2))
    assert statuses(survey(sources(store(*many(3, 0), *probes)))) == {"llama": Health.UNHEALTHY}


def test_targets_come_newest_first_and_without_pseudo_models() -> None:
    kept = store(
        outcome(model="old"),
        outcome(model="new", at=NOW + 1),
        outcome(model=NO_MODEL, at=NOW + 2),
        outcome(model=OTHER_MODEL, at=NOW + 3),
    )
    found = survey(sources(kept))
    assert [target.record.model for target in found.targets] == ["new", "old"]
    groq = found.providers["groq"]
    assert (len(groq.models), groq.sums.calls, groq.seen.total, groq.last_called_at) == (2, 4, 4, NOW + 3)


@pytest.mark.parametrize(
    ("scope", "model", "status"),
    [
        ((0, 9), (0, 0), Availability.OFFLINE),
        ((9, 0), (0, 0), Availability.ONLINE),
        ((9, 0), (1, 0), Availability.ONLINE),  # one call leaves the model unknown
        ((0, 9), (9, 0), Availability.ONLINE),  # a known model decides
        ((9, 0), (0, 9), Availability.OFFLINE),
        ((1, 0), (0, 0), Availability.UNKNOWN),
    ],
)
def test_requests_without_a_model_decide_where_no_model_is_known(
    scope: tuple[int, int], model: tuple[int, int], status: Availability
) -> None:
    kept = store(*many(*scope, model=NO_MODEL), *many(*model))
    assert survey(sources(kept)).providers["groq"].status is status


def test_invented_names_decide_nothing() -> None:
    kept = store(*many(0, 1000, model=OTHER_MODEL))
    assert survey(sources(kept)).providers["groq"].status is Availability.UNKNOWN
    for one in many(9, 0):
        kept.add(one)
    assert survey(sources(kept)).providers["groq"].status is Availability.ONLINE


def test_the_error_of_a_provider_is_its_latest_that_still_stands() -> None:
    kept = store(
        outcome(Status.ERROR, model="a", message="first", at=NOW),
        outcome(Status.ERROR, model="b", message="second", at=NOW + 2),
        outcome(Status.ERROR, model="c", message="third", at=NOW + 1),
        outcome(Status.ERROR, model="d", message="over", at=NOW + 3),
        outcome(model="d", at=NOW + 4),
    )
    assert survey(sources(kept)).providers["groq"].error == "second"
    for model in "abc":
        kept.add(outcome(model=model, at=NOW + 5))
    assert survey(sources(kept)).providers["groq"].error is None
