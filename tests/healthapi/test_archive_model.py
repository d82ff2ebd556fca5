"""Whatever happens, in whatever batches it is written: what comes back is what was counted."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import Blame, Kind, Outcome, Status
from healthapi.archive import Batch
from healthapi.archive_file import HOURS, MINUTES
from healthapi.cell import ALL_MODELS, Cell, empty
from healthapi.history import HOUR, MINUTE
from healthapi.memory import MemoryStore
from healthapi.record import Record, begin
from tests.healthapi.archives import opened, plain, plain_cell, reopened
from tests.healthapi.samples import NOW, delta, outcome

MODELS = ["llama", "gpt", "x\ud800\n"]
KEPT = {MINUTE: MINUTES, HOUR: HOURS}


class Step(NamedTuple):
    """One outcome some seconds after the one before; afterwards a batch is written, or not."""

    later: float
    status: Status
    blame: Blame
    provider: str
    model: str
    kind: Kind
    took: float
    first_byte: float | None
    written: bool


times = st.floats(0, 5000, allow_subnormal=False)
steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([0.0, 0.0, 0.25, 1.5, 59.0, 60.0, 1800.0, 7200.0, 86400.0, 20 * 86400.0]),
        st.sampled_from(list(Status)),
        st.sampled_from(list(Blame)),
        st.sampled_from(["groq", "openai"]),
        st.sampled_from(MODELS),
        st.sampled_from([Kind.LIVE, Kind.LIVE, Kind.PROBE]),
        times,
        st.none() | times,
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
)


def outcomes(wanted: list[Step]) -> list[Outcome]:
    ends = accumulate((step.later for step in wanted), initial=NOW)
    return [
        outcome(
            step.status,
            provider=step.provider,
            model=step.model,
            blame=step.blame,
            took=step.took,
            first_byte=step.first_byte,
            at=at,
            kind=step.kind,
        )
        for step, at in zip(wanted, list(ends)[1:], strict=True)
    ]


def naive(happened: list[Outcome], width: int, now: float) -> dict[tuple[str, str], dict[tuple[int, Kind], Cell]]:
    """All cells of one width that are not too old."""
    cells: dict[tuple[str, str], dict[tuple[int, Kind], Cell]] = defaultdict(lambda: defaultdict(empty))
    for one in happened:
        bucket = int(one.at // width)
        if bucket * width >= now - KEPT[width]:
            for model in (one.model, ALL_MODELS):
                cells[one.provider, model][bucket, one.kind].merge(delta(one))
    return cells


async def check(wanted: list[Step], path: Path) -> None:
    happened = outcomes(wanted)
    now = happened[-1].at
    live = MemoryStore()
    told: dict[tuple[str, str], Record] = {}
    async with opened(path) as archive:
        for place, one in enumerate(happened):
            live.add(one)
            if wanted[place].written or place == len(happened) - 1:
                batch = Batch(live.take())
                await archive.write(batch)
                for more in batch.deltas:
                    told.setdefault((more.provider, more.model), begin(more)).take(more)
        await archive.prune(now)
        for width in (MINUTE, HOUR):
            model = naive(happened, width, now)
            for provider in ("groq", "openai"):
                for name in (*MODELS, ALL_MODELS):
                    found = await archive.cells(provider, name, width, 0, int(now // width))
                    cells = sorted(model[provider, name].items())
                    assert [(at, kind) for at, kind, _ in found] == [place for place, _ in cells]
                    assert [plain_cell(cell) for _, _, cell in found] == [plain_cell(cell) for _, cell in cells]
    loaded = {(record.provider, record.model): plain(record, now) for record in (await reopened(path, now)).records}
    assert loaded == {key: plain(record, now) for key, record in told.items()}
    # A store's own records know the order of live traffic and probes within a batch; everything else is the same.
    mixed = {"streak", "times", "last"}
    assert {key: _without(mixed, record) for key, record in loaded.items()} == {
        (record.provider, record.model): _without(mixed, plain(record, now)) for record in live.records()
    }


def _without(fields: set[str], record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if name not in fields}


@given(steps)
@settings(max_examples=60, deadline=None)
def test_what_comes_back_is_what_was_counted(wanted: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(check(wanted, Path(directory) / "detour.db"))


@given(steps)
@settings(max_examples=40, deadline=None)
def test_of_one_kind_alone_a_restart_changes_nothing(wanted: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(same([step._replace(kind=Kind.LIVE) for step in wanted], Path(directory) / "detour.db"))


async def same(wanted: list[Step], path: Path) -> None:
    """Write in one half and another, from a process each: it is as if one process had lived through both."""
    happened = outcomes(wanted)
    whole = MemoryStore()
    middle = len(happened) // 2
    for half in (happened[:middle], happened[middle:]):
        now = half[-1].at if half else NOW
        async with opened(path, now) as archive:
            mine = MemoryStore()
            mine.restore((await archive.open(now)).records)
            for one in half:
                mine.add(one)
                whole.add(one)
            await archive.write(Batch(mine.take()))
            alike = [{r.model + r.provider: plain(r, now) for r in store.records()} for store in (mine, whole)]
            assert alike[0] == alike[1]
    loaded = (await reopened(path, now)).records
    assert {r.model + r.provider: plain(r, now) for r in loaded} == alike[1]
