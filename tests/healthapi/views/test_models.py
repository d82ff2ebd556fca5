from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Status
from healthapi.views import model_health_list, unhealthy
from healthapi.views.models import Filters, ModelHealthList, Page, UnhealthyModels, Wanted
from healthapi.views.record import ModelHealth
from tests.healthapi.samples import NOW, many, outcome, sources, store


def names(document: ModelHealthList | UnhealthyModels) -> list[str]:
    return [one.model for one in document.models]


def test_an_empty_list() -> None:
    document = model_health_list(sources(store()))
    assert document == ModelHealthList(0, 100, 0, Filters(None, None), [], 1, 100)


def test_the_newest_comes_first_and_equal_times_keep_their_order() -> None:
    order = (("b", NOW + 1), ("tie-1", NOW), ("tie-2", NOW), ("a", NOW + 2), ("tie-3", NOW), ("b", NOW + 3))
    given_sources = sources(store(*(outcome(model=model, at=at) for model, at in order)))
    wanted = ["b", "a", "tie-1", "tie-2", "tie-3"]
    assert names(model_health_list(given_sources)) == wanted
    pages = [model_health_list(given_sources, Wanted(limit=1, offset=offset)) for offset in range(6)]
    assert [names(page) for page in pages] == [[name] for name in wanted] + [[]]
    assert [page.total for page in pages] == [5] * 6
    assert [(page.page, page.page_size, page.limit, page.offset) for page in pages][2] == (3, 1, 1, 2)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3)), max_size=20), st.integers(1, 4))
def test_pages_put_together_are_the_whole_list(calls: list[tuple[str, int]], limit: int) -> None:
    given_sources = sources(store(*(outcome(model=model, at=NOW + at) for model, at in calls)))
    whole = model_health_list(given_sources, Wanted(limit=1000))
    pages = [model_health_list(given_sources, Wanted(limit=limit, offset=n)) for n in range(0, 20, limit)]
    assert [model for page in pages for model in names(page)] == names(whole)
    assert [one.last_called_at for one in whole.models] == sorted(
        (o.last_called_at for o in whole.models), reverse=True
    )
    assert {page.total for page in pages} == {whole.total} == {len({model for model, _ in calls})}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60),
    st.integers(1, 9),
    st.integers(0, 20),
    st.integers(1, 9),
)
def test_a_page_is_the_same_in_however_many_runs_it_is_found(
    calls: list[tuple[int, int]], limit: int, offset: int, run: int
) -> None:
    given_sources = sources(store(*(outcome(model=f"m-{model}", at=NOW + at) for model, at in calls)))
    records = list(given_sources.store.records())
    wanted = Wanted(limit=limit, offset=offset)
    page = Page(given_sources, wanted)
    for start in range(0, len(records), run):
        page.look(records[start : start + run])
    assert page.total == len(records)
    newest = sorted(records, key=lambda record: record.updated_at, reverse=True)
    assert list(page.newest()) == newest[: offset + limit]
    assert names(model_health_list(given_sources, wanted)) == [one.model for one in newest[offset : offset + limit]]


def test_filters_count_all_that_match_and_are_told() -> None:
    kept = store(
        outcome(model="good"),
        outcome(Status.ERROR, model="bad"),
        outcome(Status.ERROR, model="worse"),
        outcome(Status.ERROR, provider="openai", model="bad"),
        outcome(provider="google-vertex", model="gemini"),
    )
    given_sources = sources(kept)
    document = model_health_list(given_sources, Wanted(provider="groq", status=Status.ERROR, limit=1))
    assert (document.total, names(document), document.filters) == (2, ["bad"], Filters("groq", "error"))
    assert names(model_health_list(given_sources, Wanted(status=Status.TIMEOUT))) == []
    assert names(model_health_list(given_sources, Wanted(provider="nobody"))) == []
    assert model_health_list(given_sources, Wanted(provider="google")).filters.provider == "google"
    assert names(model_health_list(given_sources, Wanted(provider="google"))) == ["gemini"]
    assert model_health_list(given_sources, Wanted(provider="a\udcff")).filters.provider == "a?"


def test_requests_without_a_model_are_in_no_list_and_forgotten_names_are() -> None:
    given_sources = sources(store(*many(0, 20, model=NO_MODEL), *many(0, 20, model=OTHER_MODEL)))
    assert names(model_health_list(given_sources)) == [OTHER_MODEL]
    assert names(unhealthy(given_sources)) == [OTHER_MODEL]


def test_one_kind_of_traffic_alone() -> None:
    kept = store(
        outcome(model="both", at=NOW + 1),
        outcome(Status.ERROR, model="both", at=NOW + 9, kind=Kind.PROBE),
        outcome(model="live", at=NOW + 2),
        outcome(model="probed", at=NOW + 3, kind=Kind.PROBE),
    )
    given_sources = sources(kept, NOW + 9)
    assert names(model_health_list(given_sources)) == ["both", "probed", "live"]
    assert names(model_health_list(given_sources, Wanted(kind=Kind.LIVE))) == ["live", "both"]
    assert names(model_health_list(given_sources, Wanted(kind=Kind.PROBE))) == ["both", "probed"]
    assert names(model_health_list(given_sources, Wanted(kind=Kind.PROBE, status=Status.SUCCESS))) == ["probed"]
    assert names(model_health_list(given_sources, Wanted(kind=Kind.LIVE, status=Status.SUCCESS))) == ["live", "both"]
    assert model_health_list(given_sources, Wanted(kind=Kind.LIVE)).models[1].call_count == 1


@pytest.mark.parametrize(
    ("good", "bad", "listed"),
    [
        (8, 2, True),  # the threshold belongs to it
        (9, 2, False),
        (0, 9, False),  # too few calls
        (0, 10, True),
    ],
)
def test_who_is_unhealthy(good: int, bad: int, listed: bool) -> None:
    document = unhealthy(sources(store(*many(good, bad))))
    assert (document.total_unhealthy, len(document.models)) == (int(listed), int(listed))
    assert (document.threshold, document.min_calls) == (0.2, 10)


def test_the_worst_comes_first_with_its_rate_and_its_whole_record() -> None:
    kept = store(*many(3, 1, model="quarter"), *many(0, 4, model="all"), *many(2, 2, model="half"))
    document = unhealthy(sources(kept), error_threshold=0.0, min_calls=1)
    assert [(one.model, one.error_rate) for one in document.models] == [("all", 1), ("half", 0.5), ("quarter", 0.25)]
    assert document.total_unhealthy == 3
    assert all(isinstance(one, ModelHealth) for one in document.models)
    assert document.models[1].call_count == 4


def test_a_target_that_only_succeeds_is_in_it_when_the_threshold_is_nought() -> None:
    assert names(unhealthy(sources(store(outcome())), error_threshold=0.0, min_calls=1)) == ["llama"]
