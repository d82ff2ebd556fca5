from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Neutral, Status
from healthapi.history import DAY
from healthapi.memory import MemoryStore
from healthapi.record import STATUSES, Record
from healthapi.store import Store
from tests.healthapi.samples import NOW, outcome, store


def test_it_is_a_store_and_has_no_trouble() -> None:
    made: Store = MemoryStore()
    assert made.trouble is None
    assert list(made.records()) == []


@pytest.mark.parametrize("kind", list(Neutral))
def test_neutral_outcomes_change_nothing_and_create_nothing(kind: Neutral) -> None:
    made = store(outcome(kind))
    assert list(made.records()) == []
    made.add(outcome())
    before = made.get("groq", "llama")
    made.add(outcome(kind, at=NOW + 60, took=99))
    after = made.get("groq", "llama")
    assert after is before
    assert after is not None
    assert (after.sums().calls, after.updated_at, after.last.last_status) == (1, NOW, Status.SUCCESS)


def test_targets_differ_by_provider_model_and_case() -> None:
    made = store(outcome(), outcome(provider="openai"), outcome(model="Llama"), outcome(model="llama"))
    assert [(r.provider, r.model, r.sums().calls) for r in made.records()] == [
        ("groq", "llama", 2),
        ("openai", "llama", 1),
        ("groq", "Llama", 1),
    ]


def test_forgetting_moves_the_counts_to_other() -> None:
    made = store(outcome(), outcome(Status.ERROR), outcome(model="second"), outcome(provider="openai"))
    made.forget("groq", "llama")
    assert made.get("groq", "llama") is None
    assert {(r.provider, r.model): r.sums().calls for r in made.records()} == {
        ("groq", OTHER_MODEL): 2,
        ("groq", "second"): 1,
        ("openai", "llama"): 1,
    }
    made.forget("groq", "second")
    other = made.get("groq", OTHER_MODEL)
    assert other is not None
    assert (other.model, other.sums().calls, other.sums().successes) == (OTHER_MODEL, 3, 2)


@pytest.mark.parametrize("model", ["never seen", OTHER_MODEL])
def test_forgetting_what_cannot_be_forgotten_changes_nothing(model: str) -> None:
    made = store(outcome(), outcome(model=OTHER_MODEL))
    made.forget("groq", model)
    assert [(r.model, r.sums().calls) for r in made.records()] == [("llama", 1), (OTHER_MODEL, 1)]


def test_a_forgotten_target_that_comes_back_starts_again() -> None:
    made = store(outcome(), outcome(at=NOW + 1))
    made.forget("groq", "llama")
    made.add(outcome(at=NOW + 2))
    again, other = made.get("groq", "llama"), made.get("groq", OTHER_MODEL)
    assert again is not None
    assert other is not None
    assert (again.created_at, again.sums().calls, other.sums().calls) == (NOW + 2, 1, 2)


actions = st.lists(
    st.tuples(
        st.sampled_from(["groq", "openai"]),
        st.sampled_from(["a", "b/c", NO_MODEL, OTHER_MODEL]),
        st.sampled_from([*Status, *Neutral, "forget"]),
        st.sampled_from(list(Kind)),
        st.floats(-DAY, DAY),
    ),
    max_size=60,
)


def seen(made: MemoryStore) -> Counter[tuple[str, Kind, Status]]:
    found: Counter[tuple[str, Kind, Status]] = Counter()
    for record in made.records():
        for kind in Kind:
            for tally in record.tallies(kind):
                found.update({(record.provider, kind, s): n for s, n in zip(STATUSES, tally.counts, strict=True) if n})
    return found


def consistent(record: Record) -> bool:
    latencies = sum(tally.response.count for tally in record.tallies())
    history = record.seen(30 * DAY, NOW).total
    return record.sums().calls == latencies == history >= 1


@settings(deadline=None)
@given(actions)
def test_counts_are_exact_and_totals_add_up_over_any_interleaving(
    steps: list[tuple[str, str, Status | Neutral | str, Kind, float]],
) -> None:
    made = MemoryStore()
    told: Counter[tuple[str, Kind, Status]] = Counter()
    for provider, model, what, kind, offset in steps:
        if isinstance(what, Status | Neutral):
            made.add(outcome(what, provider=provider, model=model, kind=kind, at=NOW + offset))
            if isinstance(what, Status):
                told[provider, kind, what] += 1
        else:
            made.forget(provider, model)
    assert seen(made) == told
    assert all(consistent(record) for record in made.records())
