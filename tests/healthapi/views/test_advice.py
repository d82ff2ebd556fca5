from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.views.advice import NAMES, Findings, Lacking, Priority, problematic, recommendations

WELL = Findings(health=100.0, healthy=10, known=10)


def priorities(**found: object) -> list[str]:
    known = {"health": 100.0, "healthy": 10, "known": 10}
    return [one.priority for one in recommendations(Findings(**{**known, **found}))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        (None, []),
        (100.0, []),
        (90.0, []),
        (89.99, ["HIGH"]),
        (80.0, ["HIGH"]),
        (79.99, ["CRITICAL"]),
        (0.0, ["CRITICAL"]),
    ],
)
def test_health(health: float | None, expected: list[str]) -> None:
    assert priorities(health=health) == expected


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        ([Lacking("groq", ("GROQ_API_KEY",), 1)], ["HIGH"]),
        ([Lacking("groq", ("GROQ_API_KEY",), 0)], []),  # nobody wants it
        ([Lacking("groq", (), 2)], ["HIGH"]),
        ([Lacking("groq", (), 2), Lacking("xai", ("XAI_API_KEY",), 1)], ["HIGH", "HIGH"]),
    ],
)
def test_keys(lacking: list[Lacking], expected: list[str]) -> None:
    assert priorities(lacking=lacking) == expected


def test_all_of_them_come_by_priority_with_names_and_steps() -> None:
    found = recommendations(
        Findings(
            health=50.0,
            healthy=1,
            known=2,
            unhealthy=[("groq", "llama")],
            lacking=[Lacking("groq", ("GROQ_API_KEY", "GROQ_HOST"), 1), Lacking("xai", (), 3)],
            problematic=["openrouter"],
            stale=[("groq", "old"), ("groq", "older")],
        )
    )
    assert [one.priority for one in found] == ["CRITICAL", "HIGH", "HIGH", "MEDIUM", "LOW"]
    assert [one.names for one in found] == [
        ["groq/llama"],
        ["groq"],
        ["xai"],
        ["openrouter"],
        ["groq/old", "groq/older"],
    ]
    assert found[0].details == "1 of 2 known models are healthy, 1 unhealthy, 0 degraded"
    assert found[1].next_steps[0] == "groq: set GROQ_API_KEY and GROQ_HOST"
    assert found[2].details.startswith("3 targets")
    assert found[3].details.startswith("1 provider with more than 30%")
    assert "detour cleanup --live" in " ".join(found[4].next_steps)
    assert all(one.next_steps and one.more == 0 for one in found)


def test_names_are_bounded_and_the_rest_counted() -> None:
    (one,) = recommendations(
        Findings(health=0.0, healthy=0, known=25, unhealthy=[("p", f"m{number}") for number in range(25)])
    )
    assert (len(one.names), one.more) == (NAMES, 15)


def test_the_unhealthy_come_before_the_degraded() -> None:
    ill, poorly = [("p", "bad")], [("p", f"fair{number}") for number in range(12)]
    (one,) = recommendations(Findings(health=0.0, healthy=0, known=13, unhealthy=ill, degraded=poorly))
    assert one.names == ["p/bad", *(f"p/fair{number}" for number in range(9))]
    assert one.more == 3


@given(st.text(st.characters(), max_size=300))
def test_any_name_can_be_told(name: str) -> None:
    found = recommendations(Findings(health=0.0, healthy=0, known=1, unhealthy=[("groq", name)], stale=[("x", name)]))
    for shown in (shown for one in found for shown in one.names):
        shown.encode()
        assert shown.isprintable()
        assert len(shown) <= 81


@pytest.mark.parametrize(
    ("unhealthy", "known", "expected"), [(0, 0, False), (3, 10, False), (4, 10, True), (1, 1, True), (1, 4, False)]
)
def test_a_provider_is_a_problem_above_thirty_percent(unhealthy: int, known: int, *, expected: bool) -> None:
    assert problematic(unhealthy, known) is expected


def test_priorities_are_in_their_order() -> None:
    assert list(Priority) == ["CRITICAL", "HIGH", "MEDIUM", "LOW"]
    assert recommendations(WELL) == []
