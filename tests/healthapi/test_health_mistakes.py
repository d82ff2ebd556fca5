"""The mistakes of the original that the health arithmetic must never make (one test each, named after it)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from breaker.outcome import Neutral, Outcome, Status
from healthapi import views
from healthapi.history import DAY
from healthapi.memory import MemoryStore
from healthapi.record import STATUSES, Record
from healthapi.store import Store, StoreError
from healthapi.views import Sources
from healthapi.views.models import Wanted
from tests.healthapi.samples import NOW, many, outcome, sources, store


def only(kept: MemoryStore) -> Record:
    (record,) = kept.records()
    return record


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.SUCCESS])
def test_failures_never_recorded(status: Status) -> None:
    document = views.stats(sources(store(outcome(status))))
    assert (document.total_calls, document.total_errors, document.success_rate) == (1, 1, 0.0)


def test_successes_counted_twice() -> None:
    record = only(store(outcome()))
    assert record.sums().calls == record.sums().successes == 1
    assert record.last.response.count == record.last.first_byte.count == record.seen(DAY, NOW).total == 1


async def test_concurrent_updates_lost() -> None:
    kept = MemoryStore()

    async def call(caller: int) -> None:
        for n in range(10):
            await asyncio.sleep(0)
            kept.add(outcome(Status.ERROR if (caller + n) % 4 == 0 else Status.SUCCESS, took=1.0))

    await asyncio.gather(*(call(caller) for caller in range(200)))
    sums = only(kept).sums()
    assert (sums.calls, sums.successes, sums.seconds) == (2000, 1500, 2000.0)


def test_error_message_never_cleared() -> None:
    kept = store(outcome(Status.ERROR, message="503 overloaded"))
    before = views.model_health(sources(kept), "groq", "llama")
    kept.add(outcome())
    after = views.model_health(sources(kept), "groq", "llama")
    assert before is not None
    assert after is not None
    assert (before.last_error_message, after.last_error_message) == ("503 overloaded", None)
    assert after.error_count == 1


@pytest.mark.parametrize(("good", "status"), [(0, "unknown"), (40, "healthy")])
def test_one_sample_flips_a_model_s_health(good: int, status: str) -> None:
    kept = store(*many(good, 1))
    assert views.model_rows(sources(kept)).data[0].status == status


def test_degraded_never_produced() -> None:
    given = sources(store(*many(17, 3)))
    assert views.model_rows(given).data[0].status == "degraded"
    assert views.provider_rows(given).data[0].status == "degraded"
    assert views.gateways(given).data["groq"].status == "degraded"
    assert views.system(given).overall_status == "degraded"


def test_uptime_100_percent_when_nothing_was_measured() -> None:
    given = sources(store(*many(9, 0)), NOW + 2 * DAY)
    document = views.model_health(given, "groq", "llama")
    assert document is not None
    assert (document.uptime_percentage_24h, document.uptime_percentage_7d) == (None, 100.0)
    assert views.provider_rows(given).data[0].overall_uptime is None
    assert views.model_rows(given).data[0].uptime_percentage is None
    assert views.system(given).system_uptime is None
    assert views.gateways(given).summary.overall_health_percentage is None


def test_total_is_the_length_of_the_page() -> None:
    kept = store(*(outcome(model=f"m{n}") for n in range(7)))
    document = views.model_health_list(sources(kept), Wanted(limit=3, offset=6))
    assert (document.total, len(document.models)) == (7, 1)


def test_success_rate_missing_when_empty() -> None:
    assert views.stats(sources(store())).success_rate == 0.0


@pytest.mark.parametrize("model", ["meta-llama/llama-3.3", "a/b/c", "/", "provider/x/summary", "stats", "summary"])
def test_models_with_a_slash_unreachable(model: str) -> None:
    document = views.model_health(sources(store(outcome(model=model))), "groq", model)
    assert document is not None
    assert document.model == model


class Broken:
    """A store that cannot be read."""

    trouble = "the disk is gone"

    def add(self, outcome: Outcome) -> None:
        """Take it all the same."""

    def get(self, provider: str, model: str) -> Record | None:
        raise StoreError(self.trouble)

    def records(self) -> Iterable[Record]:
        raise StoreError(self.trouble)

    def forget(self, provider: str, model: str) -> None:
        """Nothing to forget."""


BROKEN: Store = Broken()


@pytest.mark.parametrize(
    "document",
    [
        views.model_health_list,
        lambda given: views.model_health(given, "groq", "llama"),
        views.unhealthy,
        views.stats,
        lambda given: views.provider_summary(given, "groq"),
        views.providers,
        views.system,
        views.provider_rows,
        views.model_rows,
        views.gateways,
    ],
)
def test_storage_failure_shown_as_no_data(document: Callable[[Sources], object]) -> None:
    given = sources(BROKEN)
    with pytest.raises(StoreError, match="the disk is gone"):
        document(given)


def test_timeouts_and_connection_errors_all_filed_as_error() -> None:
    record = only(store(*(outcome(status) for status in Status)))
    assert record.last.counts == [1] * len(STATUSES)
    for status in Status:
        document = views.model_health(sources(store(outcome(status))), "groq", "llama")
        assert document is not None
        assert document.last_status == status.value


@pytest.mark.parametrize("kind", list(Neutral))
def test_the_caller_s_own_400s_counted_against_the_model(kind: Neutral) -> None:
    kept = store(*many(9, 0), *(outcome(kind) for _ in range(100)))
    assert only(kept).sums().calls == 9
    assert views.model_rows(sources(kept)).data[0].status == "healthy"


def test_a_read_creating_something() -> None:
    kept = MemoryStore()
    given = sources(kept)
    assert views.model_health(given, "groq", "llama") is None
    assert views.provider_summary(given, "groq") is None
    assert views.breaker_row(given, "groq", "unheard-of") is None
    documents = (
        views.model_health_list,
        views.unhealthy,
        views.stats,
        views.system,
        views.gateways,
        views.breaker_list,
    )
    for document in documents:
        assert document(given) is not None
    assert list(kept.records()) == []
    assert list(given.registry.breakers()) == []
