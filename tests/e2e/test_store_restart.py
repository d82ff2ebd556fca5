"""A sidecar that is ended and started again in the same directory: what its admin port told, it tells again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.stored import FILE, ask, calls, files, health, history, read, sidecar
from tests.e2e.world import Detour, lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = (
    "/v1/model-health?limit=1000",
    "/v1/model-health?kind=live",
    "/v1/model-health/openai/ok%40delay=0.03",
    "/v1/model-health/unhealthy?min_calls=4",
    "/v1/model-health/stats",
    "/v1/model-health/provider/openai/summary",
    "/v1/model-health/providers",
    "/health/system",
    "/health/providers",
    "/health/models",
    *(f"/v1/model-health/history?window={window}" for window in ("1h", "24h", "7d", "30d")),
    "/v1/model-health/history?provider=openai&model=flaky",
)
MOMENTS = ("timestamp", "last_updated", "last_checked", "from", "to", "metadata")
"""What says when a page was made."""

STRANGE = (
    "acme/family/model-1",
    "//slashes/",
    "Größe Ω 模型 🛰",
    "e\u0301 is not \u00e9",
    "} ] \" ' \\ `",
    "<script>alert(1)</script>",
    "'; DROP TABLE record; --",
    "..%2f..%00",
    "=1+1",
    " ",
    "x" * 256,
)
NO_NAMES = ("line\nbreak", "\x00", "\x1b[31mred", "half \ud83d of a pair", "~all", "~other", "long " + "x" * 4091)
"""What no model is called: counted together."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


async def pages(running: Detour) -> dict[str, Any]:
    """Every page, without the moments at which they were made."""
    found = {}
    for page in PAGES:
        status, document = await running.get(page)
        assert status == 200, document
        found[page] = timeless(document)
    return found


def timeless(document: Any) -> Any:
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in MOMENTS}
    return [timeless(value) for value in document] if isinstance(document, list) else document


async def test_everything_is_there_again(fake: FakeProvider, tmp_path: Path) -> None:
    config, was = lab(fake.url), len(fake.log)
    async with sidecar(tmp_path, config) as running:
        assert (tmp_path / FILE).exists(), "the store that is the default"
        assert await ask(running, "ok@delay=0.03", times=5) == [200] * 5
        assert await ask(running, "ok", "anthropic", times=3) == [200] * 3
        assert await ask(running, "flaky", times=7) == [200, 200, 503, 200, 200, 503, 200]
        assert await ask(running, "fail-500", times=4) == [500] * 4
        assert await ask(running, "bad-key", "anthropic", times=2) == [401] * 2
        assert await ask(running, "rate-limit", times=1) == [429]
        assert await ask(running, "silent", times=1) == [504]
        before = await pages(running)
        record = await running.record("openai", "fail-500")
    assert (record["consecutive_failures"], record["call_count"]) == (4, 4)
    assert record["last_error_message"].startswith("500 ")
    assert record["uptime_percentage_24h"] == 0
    assert files(tmp_path) == [FILE, f"{FILE}-lock", "detour.yaml"]
    async with sidecar(tmp_path, config) as running:
        assert await pages(running) == before
        assert await ask(running, "fail-500") == [500]
        assert await ask(running, "ok", "anthropic") == [200]
        later = await running.record("openai", "fail-500")
        good = await running.record("anthropic", "ok")
        every = await pages(running)
    assert (later["consecutive_failures"], later["call_count"]) == (5, 5)
    assert later["created_at"] == record["created_at"]
    assert later["updated_at"] > record["updated_at"]
    assert (good["consecutive_successes"], good["call_count"], good["last_error_message"]) == (4, 4, None)
    async with sidecar(tmp_path, config) as running:
        assert await pages(running) == every
    assert len(fake.log) - was == sum(row["call_count"] for row in every[PAGES[0]]["models"]) == 25


async def test_names_of_all_kinds_are_the_same_names_again(fake: FakeProvider, tmp_path: Path) -> None:
    config = lab(fake.url)
    fake.models.update(dict.fromkeys((*STRANGE, *NO_NAMES), "ok"))
    was = len(fake.log)
    known = {f"openai {name}" for name in STRANGE}
    async with sidecar(tmp_path, config) as running:
        for name in (*STRANGE, *NO_NAMES):
            assert await ask(running, name) == [200], name
        before = await health(running)
        assert set(before) == known
        for name in STRANGE:
            assert (await history(running, provider="openai", model=name))["totals"]["calls"] == 1, name
    async with sidecar(tmp_path, config) as running:
        assert await health(running) == before
        for name in (*STRANGE, *NO_NAMES):
            assert await ask(running, name) == [200], name
        for name in STRANGE:
            assert await calls(running, name) == 2, name
            assert (await history(running, provider="openai", model=name))["totals"]["calls"] == 2, name
        assert set(await health(running)) == known
        assert (await history(running, provider="openai"))["totals"]["calls"] == len(fake.log) - was
    assert read(tmp_path / FILE, "PRAGMA integrity_check") == [("ok",)]
    assert len(read(tmp_path / FILE, "SELECT * FROM health")) == len(known) + 1
    assert read(tmp_path / FILE, "SELECT success FROM health WHERE model = '~none'") == [(2 * len(NO_NAMES),)]


async def test_memory_leaves_no_file(fake: FakeProvider, tmp_path: Path) -> None:
    for _ in range(2):
        async with sidecar(tmp_path, lab(fake.url), "--store", "memory:") as running:
            assert await calls(running) == 0, "nothing of the one before"
            await ask(running, "ok", times=3)
            assert await calls(running) == 3
            assert (await history(running))["totals"]["calls"] == 3
        assert files(tmp_path) == ["detour.yaml"]
