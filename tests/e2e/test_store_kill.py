"""A sidecar that ends under load, again and again on one file.

Asked to end it loses nothing; killed it loses the last second at most. In neither case is anything made up.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from healthapi.keeper import INTERVAL
from proxy.fake import FakeProvider
from tests.e2e.stored import FILE, Load, calls, health, history, kill, read, sidecar
from tests.e2e.world import Detour, lab

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SLACK = 1.0
"""Seconds by which a flush may be late: on two cores that others use, too, a thread and a task may have to wait."""

KILLED = 5
MODELS = ("ok", "acme/ok", "fail-503", "flaky")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def sound(folder: Path, copy: Path) -> None:
    """Look at what a crash left as whoever opens it next will, without doing that in its place."""
    copy.mkdir()
    for path in folder.glob(f"{FILE}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, copy)
    assert read(copy / FILE, "PRAGMA integrity_check") == [("ok",)]


class Life:
    """What a sidecar was asked and answered until it was killed."""

    def __init__(self, load: Load, killed_at: float, seen: Counter[str]) -> None:
        self.load, self.killed_at, self.seen = load, killed_at, seen

    def check(self, model: str, kept: int) -> None:
        """So many of its calls may have been kept."""
        answered = sorted(at for at, name, _ in self.load.answers if name == model)
        lost = self.killed_at - answered[kept] if kept < len(answered) else 0.0
        certain = sum(at < self.killed_at - INTERVAL - SLACK for at in answered)
        assert certain > 0
        assert certain <= kept, f"{model}: the last {lost:.2f} s were lost"
        assert kept <= self.seen[model], f"{model}: counted and never asked"


async def found_by_the_next(running: Detour) -> Counter[str]:
    """How many calls there are of each model; every page that tells it tells the same."""
    found = Counter({name: await calls(running, name) for name in MODELS})
    for window in ("24h", "30d"):
        for name in +found:
            totals = (await history(running, window, provider="openai", model=name))["totals"]
            assert totals["calls"] == found[name], "written together, or not at all"
        assert (await history(running, window, provider="openai"))["totals"]["calls"] == found.total()
    rows = await health(running)
    assert len(rows) == len(+found)
    for row in rows.values():
        runs = {"fail-503": "consecutive_failures", "ok": "consecutive_successes"}
        if run := runs.get(row["model"].rpartition("/")[2]):
            assert row[run] == found[row["model"]]
    return +found


async def test_killed_again_and_again(fake: FakeProvider, tmp_path: Path) -> None:
    folder = tmp_path / "it"
    folder.mkdir()
    kept: Counter[str] = Counter()
    life = None
    for number in range(KILLED + 1):
        asked = len(fake.log)
        async with sidecar(folder, lab(fake.url)) as running:
            found = await found_by_the_next(running)
            for name in MODELS if life is not None else ():
                life.check(name, found[name] - kept[name])
            kept = found
            if number == KILLED:
                break
            async with Load(running, *MODELS) as load:
                await asyncio.sleep(2.2 * INTERVAL + number * 0.17)  # at another moment of the flush each time
                killed_at = asyncio.get_running_loop().time()
                await kill(running)
        sound(folder, tmp_path / f"copy{number}")
        await fake.until(lambda: not fake.busy)
        life = Life(load, killed_at, Counter(seen.model for seen in fake.log[asked:]))
    assert read(folder / FILE, "PRAGMA integrity_check") == [("ok",)]


async def test_asked_to_end_again_and_again(fake: FakeProvider, tmp_path: Path) -> None:
    """More targets than are written at one go, and the signal at any moment of that."""
    config, asked = lab(fake.url, timeouts={"connect": "30s", "answer": "30s"}), len(fake.log)
    models = [f"acme/many-{number}" for number in range(250)]
    for _ in range(4):
        async with sidecar(tmp_path, config) as running, Load(running, *models, gap=0.3) as load:
            await load.more(2 * len(models))
            assert await running.stop() == 0
        assert not load.failed
        await fake.until(lambda: not fake.busy)
        seen = Counter(seen.model for seen in fake.log[asked:])
        kept = dict(read(tmp_path / FILE, "SELECT model, success FROM health"))
        assert kept == seen
    async with sidecar(tmp_path, config) as running:
        assert {row["model"]: row["call_count"] for row in (await health(running)).values()} == seen
        assert (await history(running))["totals"]["calls"] == seen.total()
