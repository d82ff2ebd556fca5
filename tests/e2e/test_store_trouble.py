"""A disk that takes nothing while traffic goes on: no caller notices, people are told, and nothing is lost by it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.spoilt import FullDisk, Held, Limited, ReadOnly, Way
from tests.e2e.stored import (
    FILE,
    OVER,
    TROUBLE,
    Load,
    calls,
    failures,
    flushed,
    history,
    in_trouble,
    read,
    said,
    sidecar,
    well_again,
)
from tests.e2e.world import lab

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LOST = "what happened since the store took the last of it is lost"
CALM = {"connect": "30s", "answer": "30s"}
"""Limits that no pause of the machine reaches: what is looked at is the store."""

MODELS = ("ok", "acme/ok", "ok", "ok", "acme/model-1", "acme/model-2")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.mark.parametrize("kind", [FullDisk, Limited, ReadOnly, Held])
async def test_it_is_told_and_made_up_for(fake: FakeProvider, tmp_path: Path, kind: type[Way]) -> None:
    folder, asked = tmp_path / "disk", len(fake.log)
    folder.mkdir()
    with kind.ready(folder) as way:
        async with sidecar(folder, lab(fake.url, timeouts=CALM)) as running, Load(running, *MODELS) as load:
            pid = running.process.pid
            await load.more()
            await flushed(running)
            for times in range(1, way.times + 1):
                way.spoil(pid)
                try:
                    detail = await in_trouble(running)
                    assert re.search(f"{FILE} ({way.words})", detail), detail
                    await failures(running, 2)
                    await load.more()
                    assert await running.metric("detour_store_waiting") > 0
                    assert len(said(running, TROUBLE)) == times, "one line, however long it lasts"
                    assert len(said(running, OVER)) == times - 1
                finally:
                    way.mend(pid)
                await well_again(running)
                assert len(said(running, OVER)) == len(said(running, TROUBLE)) == times
            await load.more()
        warned = [line for line in running.lines if line["level"] == "warning"]
        assert warned == said(running, TROUBLE)
        assert {line["logger"] for line in warned} == {"detour.store"}
        assert all(re.search(f"{FILE} ({way.words})", line["message"]) for line in warned), warned
        assert (load.failed, load.lost) == ([], 0)
        assert read(folder / FILE, "PRAGMA integrity_check") == [("ok",)]
        seen = Counter(seen.model for seen in fake.log[asked:])
        async with sidecar(folder, lab(fake.url, timeouts=CALM)) as running:
            assert {name: await calls(running, name) for name in seen} == seen
            for window in ("1h", "30d"):
                assert (await history(running, window))["totals"]["calls"] == seen.total()


@pytest.mark.parametrize("kind", [FullDisk, Limited, Held])
async def test_ended_while_nothing_can_be_written(fake: FakeProvider, tmp_path: Path, kind: type[Way]) -> None:
    """It ends as it should, in time, and says what that costs; what was written before is whole."""
    folder = tmp_path / "disk"
    folder.mkdir()
    # Its end is at a moment when nothing it writes is taken: not what would tell which lines ran, either.
    untold = dict.fromkeys(("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"), "")
    with kind.ready(folder) as way:
        async with sidecar(folder, lab(fake.url, timeouts=CALM), env=untold) as running:
            async with Load(running, "ok") as load:
                await load.more()
            await flushed(running)
            kept = await calls(running)
            way.spoil(running.process.pid)
            async with Load(running, "ok", "acme/ok"):
                await in_trouble(running)
            assert await calls(running) > kept
            began = asyncio.get_running_loop().time()
            assert await running.stop() == 0, running.lines
            took = asyncio.get_running_loop().time() - began
        assert took < 10, f"{took:.1f} s"
        assert len(said(running, TROUBLE)) == len(said(running, LOST)) == 1
        way.mend(running.process.pid)
        async with sidecar(folder, lab(fake.url, timeouts=CALM)) as running:
            assert await calls(running) == kept
            assert await calls(running, "acme/ok") == 0
        assert read(folder / FILE, "PRAGMA integrity_check") == [("ok",)]
