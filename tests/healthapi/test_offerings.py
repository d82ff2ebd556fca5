from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from breaker.outcome import NO_MODEL
from config.load import load_text
from healthapi import cleanup
from healthapi.cleanup import Reason
from healthapi.history import DAY
from healthapi.offerings import AGAIN, LARGEST, QUIET, Offerings
from healthapi.store import StoreError
from healthapi.suggestions import Suggestion
from tests.healthapi.sidecar import Sidecar, eventually, sidecar
from tests.healthapi.vendors import Vendors
from tests.redis_server import redis_server

CONFIG = """
store: "{store}"
redis: {{timeout: 1s}}
providers:
  groq: {{api_key: k}}
  openai: {{}}
  openrouter: {{api_key: k}}
  modelz: {{api_key: k}}
  lab: {{base_url: "http://127.0.0.1:1/v1"}}
models:
  llama: {{targets: [groq/llama, lab/other]}}
  llama-3.3-70b: {{targets: [groq/llama-3.3-70b-versatile]}}
"""


def offerings(store: str = "memory:", every: str = "24h") -> Offerings:
    return Offerings(load_text(CONFIG.format(store=store) + f"offers: {{every: {every}}}\n", {}))


def test_which_lists_can_be_read() -> None:
    """Not of those without a key or without a list."""
    assert offerings().readable == ["groq", "openrouter", "lab"]


async def test_records_of_what_is_not_offered_are_delisted() -> None:
    async with sidecar("memory:") as one:
        for model in ("llama", "gone", NO_MODEL, "bad-\udcff"):
            one.attempt(model=model)
        made, vendors = offerings(), Vendors(groq=["llama"])
        results = await made.refresh(one.keeper, vendors.read, ["groq", "openrouter"], one.wall)
        told = {record.model: made.delisted(record) for record in one.store.records()}
        assert told == {"llama": False, "gone": True, NO_MODEL: False, "bad-\udcff": False}
        assert {result.provider: result.newly_delisted for result in results} == {
            "groq": ("gone", "llama-3.3-70b-versatile"),
            "openrouter": (),
        }
        assert made.of("openrouter").problem == "503: overloaded"
        one.attempt(model="gone")
        record = one.store.get("groq", "gone")
        assert record is not None
        assert not made.delisted(record), "it answers"


async def test_the_log_tells_what_a_person_should_know(caplog: pytest.LogCaptureFixture) -> None:
    async with sidecar("memory:") as one:
        one.attempt(model="ev\nil")
        one.attempt(model="gone")
        made = offerings()
        vendors = Vendors(groq=[f"m{number}" for number in range(9)])
        with caplog.at_level(logging.INFO, "detour.offers"):
            for _ in range(2):
                await made.refresh(one.keeper, vendors.read, ["groq", "lab"], one.wall)
            vendors.lists["groq"] = ["m1"]
            await made.refresh(one.keeper, vendors.read, ["groq"], one.wall)
        lines = [(record.message, record.__dict__["provider"]) for record in caplog.records]
        assert lines == [
            ("a provider does not offer models any more that are tracked", "groq"),
            ("a provider's list of models cannot be read: 503: overloaded", "lab"),
            ("a provider suddenly offers less than half of its models", "groq"),
        ]
        assert caplog.records[0].__dict__["models"] == ["gone", "llama", "llama-3.3-70b-versatile"]


async def test_cleanup_lists_what_is_delisted() -> None:
    async with sidecar("memory:") as one:
        one.attempt(model="kept")
        one.attempt(model="gone")
        made = offerings()
        await made.refresh(one.keeper, Vendors(groq=["kept"]).read, ["groq"], one.wall)
        found = await cleanup.find(one.keeper, one.config, one.wall(), 30 * DAY, made)
        assert [(stale.model, stale.reason) for stale in found.models] == [("gone", Reason.DELISTED)]
        assert await cleanup.remove(one.keeper, found) == 1
        assert await one.calls("gone") == 0


async def test_lists_survive_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/detour.db"
    async with sidecar(store) as first:
        first.attempt(model="gone")
        made = offerings(store)
        await made.refresh(first.keeper, Vendors(groq=["a", "b"]).read, ["groq", "lab"], first.wall)
        before = made.of("groq"), made.of("lab")
    async with sidecar(store) as second:
        made = offerings(store)
        await made.sync(second.keeper)
        assert (made.of("groq"), made.of("lab")) == before
        record = second.store.get("groq", "gone")
        assert record is not None
        assert made.delisted(record)


@pytest.mark.parametrize("text", ["", "[]", '{"groq": "x"}', '{"groq": 1e12, "nobody": 3}'])
async def test_notes_of_another_kind_are_passed_over(tmp_path: Path, text: str) -> None:
    async with sidecar(f"sqlite:///{tmp_path}/detour.db") as one:
        await one.keeper.put_note("offers", text.encode())
        await one.keeper.put_note("offers:groq", b'{"names": 7}')
        made = offerings()
        await made.sync(one.keeper)
        assert made.of("groq").read_at is None
        await made.refresh(one.keeper, Vendors(groq=["a"]).read, ["groq"], one.wall)
        again = offerings()
        await again.sync(one.keeper)
        assert again.of("groq").names == {"a"}


async def test_lists_are_read_when_it_is_time() -> None:
    async with sidecar("memory:") as one:
        made, vendors = offerings(), Vendors(groq=["a"], openrouter=["b"])

        async def read_after(seconds: float) -> list[str]:
            vendors.asked.clear()
            one.ahead += seconds
            await made.due(one.keeper, vendors.read, one.wall)
            return sorted(vendors.asked)

        assert await read_after(0) == [], "before what was kept is known"
        await made.sync(one.keeper)
        assert await read_after(0) == []
        assert await read_after(QUIET - 10) == [], "not right after the start"
        assert await read_after(20) == ["groq", "lab", "openrouter"]
        assert await read_after(300) == []
        assert await read_after(400) == ["lab"], "what could not be read is tried again sooner"
        assert await read_after(DAY) == ["groq", "lab", "openrouter"]


async def test_never_means_never() -> None:
    async with sidecar("memory:") as one:
        made, vendors = offerings(every="0s"), Vendors()
        await made.sync(one.keeper)
        await made.due(one.keeper, vendors.read, one.wall)
        one.ahead += 9 * DAY
        await made.due(one.keeper, vendors.read, one.wall)
        assert vendors.asked == []


async def test_no_provider_is_asked_while_nobody_knows_what_is_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with sidecar("memory:") as one:
        made, vendors = offerings(), Vendors(groq=["a"])

        async def away(scope: object) -> None:
            raise StoreError("away")

        monkeypatch.setattr(one.keeper, "reading", away)
        with pytest.raises(StoreError):
            await made.refresh(one.keeper, vendors.read, ["groq"], one.wall)
        assert vendors.asked == []


async def test_what_a_store_in_trouble_does_not_take_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sidecar(f"sqlite:///{tmp_path}/detour.db") as one:
        made, again = offerings(), offerings()

        async def full(*_: object) -> bool:
            raise StoreError("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(one.keeper, "put_note", full)
            (result,) = await made.refresh(one.keeper, Vendors(groq=["a"]).read, ["groq"], one.wall)
            await made.sync(one.keeper)
        assert result.offer.names == {"a"}
        await again.sync(one.keeper)
        assert again.of("groq").names == frozenset()
        await made.sync(one.keeper)
        again = offerings()
        await again.sync(one.keeper)
        assert again.of("groq").names == {"a"}


async def test_a_list_of_megabytes_is_kept_in_part() -> None:
    async with sidecar("memory:") as one:
        one.attempt(model="gone")
        made = offerings()
        names = [f"{number:06d}".rjust(250, "x") for number in range(20_000)]
        (result,) = await made.refresh(one.keeper, Vendors(groq=names).read, ["groq"], one.wall)
        assert sum(map(len, result.offer.names)) <= LARGEST
        assert result.offer.delisted == {}
        assert (result.offer.whole, result.offer.problem) == (False, None)


async def test_a_list_that_is_read_in_part_is_no_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """It is read as often as any other, and told of once."""
    async with sidecar("memory:") as one:
        one.attempt(model="gone")
        made, vendors = offerings(), Vendors(groq=["a"])
        vendors.parts.add("groq")
        with caplog.at_level(logging.INFO, "detour.offers"):
            for _ in range(2):
                (result,) = await made.refresh(one.keeper, vendors.read, ["groq"], one.wall)
        assert (result.offer.names, result.offer.delisted, result.newly_delisted) == ({"a"}, {}, ())
        assert [record.message[:40] for record in caplog.records] == ["a provider's list of models is read in p"]
        await made.sync(one.keeper)
        await made.due(one.keeper, vendors.read, one.wall)
        vendors.asked.clear()
        one.ahead += max(QUIET, AGAIN) + 1
        await made.due(one.keeper, vendors.read, one.wall)
        assert "groq" not in vendors.asked
        vendors.parts.clear()
        (result,) = await made.refresh(one.keeper, vendors.read, ["groq"], one.wall)
        assert "gone" in result.offer.delisted


async def test_names_that_no_list_can_hold_are_never_delisted() -> None:
    async with sidecar("memory:") as one:
        long = "x" * 257
        for model in ("gone", long, "bad-\udcff"):
            one.attempt(model=model)
        made = offerings()
        (result,) = await made.refresh(one.keeper, Vendors(groq=["a"]).read, ["groq"], one.wall)
        assert set(result.offer.delisted) == {"gone", "llama", "llama-3.3-70b-versatile"}


async def test_thousands_of_names_keep_nobody_waiting() -> None:
    """Every step that names are gone through in gives others a turn."""
    async with sidecar("memory:") as one:
        made = offerings()
        vendors = Vendors(groq=[f"vendor-{number % 97}/Model-{number}-Instruct" for number in range(20_000)])
        await made.refresh(one.keeper, vendors.read, ["groq"], one.wall)
        asked, turns = asyncio.create_task(made.suggestions()), 0
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 20  # in one go it would be one or two


async def test_what_could_join_a_group() -> None:
    async with sidecar("memory:") as one:
        made = offerings()
        vendors = Vendors(groq=["llama-3.3-70b-versatile"], openrouter=["meta-llama/llama-3.3-70b-instruct"])
        assert await made.suggestions() == []
        await made.refresh(one.keeper, vendors.read, ["groq", "openrouter"], one.wall)
        wanted = [Suggestion("llama-3.3-70b", "openrouter", "meta-llama/llama-3.3-70b-instruct")]
        assert await made.suggestions() == wanted
        vendors.lists["openrouter"] = ["meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.3-70b"]
        await made.refresh(one.keeper, vendors.read, ["openrouter"], one.wall)
        assert (await made.suggestions())[0].model == "meta-llama/llama-3.3-70b"


# -- a fleet ---------------------------------------------------------------------------------------------------------


async def test_one_of_a_fleet_reads_and_all_know(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        url = f"redis://{server.address}"
        sidecars = [Sidecar(url, name) for name in "abc"]
        vendors = [Vendors(groq=["llama"], openrouter=["x"], lab=["other"]) for _ in sidecars]
        made = [offerings(url, "1s") for _ in sidecars]
        for one in sidecars:
            await one.keeper.start()
        sidecars[0].attempt(model="gone")

        async def turn() -> None:
            for one, mine, known in zip(sidecars, vendors, made, strict=True):
                await known.sync(one.keeper)
                await known.due(one.keeper, mine.read, one.wall)

        async def all_know() -> bool:
            await turn()
            return all(known.of("lab").names == {"other"} and known.of("groq").delisted for known in made)

        await eventually(all_know)
        assert [bool(mine.asked) for mine in vendors].count(True) == 1, "one has the duty"
        record = await sidecars[1].record("gone")
        assert record is not None
        assert all(known.delisted(record) for known in made)
        # Somebody asks another sidecar for it: all know that too.
        idle = next(place for place, mine in enumerate(vendors) if not mine.asked)
        vendors[idle].lists["groq"] = ["llama", "gone"]
        for mine in vendors:
            mine.lists["groq"] = ["llama", "gone"]
        await made[idle].refresh(sidecars[idle].keeper, vendors[idle].read, ["groq"], sidecars[idle].wall)

        async def all_know_better() -> bool:
            for one, known in zip(sidecars, made, strict=True):
                await known.sync(one.keeper)
            return not any(known.delisted(record) for known in made)

        await eventually(all_know_better)
        # Whoever misses its own list among those that are kept writes it again.
        await sidecars[0].keeper.put_note("offers", b"{}")
        again = offerings(url, "1s")

        async def is_kept() -> bool:
            for one, known in zip(sidecars, made, strict=True):
                await known.sync(one.keeper)
            await again.sync(sidecars[0].keeper)
            return again.of("groq").names == {"llama", "gone"}

        await eventually(is_kept)
        for one in sidecars:
            await one.keeper.stop()
