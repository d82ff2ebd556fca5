from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Status
from healthapi.views import model_health_list, provider_summary, providers, stats
from healthapi.views.models import Wanted
from healthapi.views.totals import Providers, ProviderShare, ProviderSummary, Stats, begun
from tests.healthapi.samples import many, outcome, sources, store


def test_nothing_seen_has_every_field() -> None:
    assert msgspec.to_builtins(stats(sources(store()))) == {
        "total_models": 0,
        "total_calls": 0,
        "total_success": 0,
        "total_errors": 0,
        "average_response_time": 0.0,
        "success_rate": 0.0,
        "providers": 0,
    }


def test_the_average_is_over_calls_not_over_models() -> None:
    kept = store(outcome(took=1), outcome(took=1), outcome(took=1), outcome(Status.TIMEOUT, took=5, model="slow"))
    assert stats(sources(kept)) == Stats(
        total_models=2,
        total_calls=4,
        total_success=3,
        total_errors=1,
        average_response_time=2000.0,
        success_rate=0.75,
        providers=1,
    )


def test_one_kind_of_traffic_alone() -> None:
    kept = store(outcome(took=1), outcome(Status.ERROR, kind=Kind.PROBE, took=3), outcome(provider="openai", took=1))
    given_sources = sources(kept)
    probed = stats(given_sources, Kind.PROBE)
    assert (probed.total_models, probed.total_calls, probed.providers) == (1, 1, 1)
    assert (probed.average_response_time, probed.success_rate) == (3000.0, 0.0)
    assert providers(given_sources, Kind.PROBE) == Providers(1, [ProviderShare("groq", 1, 1)])
    assert provider_summary(given_sources, "openai", Kind.PROBE) is None


def test_a_provider_s_summary() -> None:
    kept = store(*many(3, 1), *many(1, 0, model="b/c"), *many(5, 5, provider="google-vertex"))
    given_sources = sources(kept)
    assert provider_summary(given_sources, "groq") == ProviderSummary(
        provider="groq",
        total_models=2,
        model_count=2,
        total_calls=5,
        total_success=4,
        total_errors=1,
        average_response_time=500.0,
        success_rate=0.8,
    )
    assert provider_summary(given_sources, "nobody") is None
    by_alias = provider_summary(given_sources, "google")
    assert by_alias is not None
    assert (by_alias.provider, by_alias.total_calls) == ("google-vertex", 10)


def test_a_provider_with_nothing_but_requests_without_a_model_has_no_summary() -> None:
    given_sources = sources(store(outcome(model=NO_MODEL)))
    assert provider_summary(given_sources, "groq") is None
    assert providers(given_sources) == Providers(0, [])


def test_the_busiest_provider_comes_first() -> None:
    kept = store(*many(1, 0), *many(2, 1, provider="openai"), *many(1, 0, provider="xai"), *many(2, 0, model="b"))
    assert providers(sources(kept)) == Providers(
        3, [ProviderShare("groq", 2, 3), ProviderShare("openai", 1, 3), ProviderShare("xai", 1, 1)]
    )


calls = st.tuples(
    st.sampled_from(["groq", "openai"]),
    st.sampled_from(["a", "b/c", NO_MODEL, OTHER_MODEL]),
    st.sampled_from(list(Status)),
    st.sampled_from(list(Kind)),
)


@settings(deadline=None)
@given(st.lists(calls, max_size=40), st.sampled_from([None, *Kind]))
def test_lists_statistics_summaries_and_shares_tell_the_same(
    made: list[tuple[str, str, Status, Kind]], kind: Kind | None
) -> None:
    kept = store(*(outcome(status, provider=p, model=m, kind=k) for p, m, status, k in made))
    given_sources = sources(kept)
    wanted = [one for one in made if one[1] != NO_MODEL and kind in (None, one[3])]
    whole, listed, shares = (
        stats(given_sources, kind),
        model_health_list(given_sources, Wanted(kind=kind)),
        providers(given_sources, kind),
    )
    summaries = [provider_summary(given_sources, share.provider, kind) for share in shares.providers]
    assert whole.total_calls == len(wanted)
    assert whole.total_calls == whole.total_success + whole.total_errors
    assert whole.total_calls == sum(one.call_count for one in listed.models)
    assert whole.total_success == sum(one.success_count for one in listed.models)
    assert whole.total_calls == sum(share.total_calls for share in shares.providers)
    assert whole.total_calls == sum(one.total_calls for one in summaries if one is not None)
    assert whole.total_models == listed.total == sum(share.model_count for share in shares.providers)
    assert whole.providers == shares.total_providers == len([one for one in summaries if one is not None])


@pytest.mark.parametrize("after", range(4))
def test_what_is_forgotten_while_records_are_added_up_counts_once(after: int) -> None:
    kept = store(*many(3, 1), *many(2, 0, model="b"), *many(1, 1, model="c"), *many(5, 0, model="gone before"))
    kept.forget("groq", "gone before")
    totals, records = begun(sources(kept), None, None)
    for number, one in enumerate(records):
        if number == after:
            kept.forget("groq", "b")
        totals.add(one)
    found = totals.stats()
    assert (found.total_models, found.total_calls, found.total_success, found.providers) == (4, 13, 11, 1)
