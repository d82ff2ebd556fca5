from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from breaker.memo import Memo
from breaker.outcome import OTHER_MODEL, Kind, Status
from breaker.transition import Cause
from breaker.transitions import State
from healthapi.archive import Archive, Batch
from healthapi.archive_file import HOURS, MINUTES, Limits
from healthapi.cell import ALL_MODELS
from healthapi.memory import MemoryStore
from healthapi.store import StoreError
from tests.healthapi.archives import Near, asked, calls, changed, crowd, deltas, opened, plain, plain_cell, reopened
from tests.healthapi.samples import NOW, outcome

BAD = Status.ERROR
STRANGE = [
    *(
        "",
        " ",
        "a/b",
        "a\nb",
        "}{",
        '"',
        "'; DROP TABLE target --",
        "%s",
        "$[0]",
        "é",
        "e\u0301",
        "\u2028",
        "\U0001f980",
    ),
    *("\ud800", "\udfff", "\ud83e\udd80", "nul", "nul\0", "nul\0nul", "\0", "\ufffd", "x" * 5000, OTHER_MODEL),
]
MEMO = Memo("groq", "llama", State.OPEN, Cause.RATE, Cause.RATE, "6 of 10", False, 2, 503, NOW, NOW + 60)


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    store = MemoryStore()
    outcomes = [
        *(outcome(), outcome(BAD, at=NOW + 1, message="503 no"), outcome(BAD, kind=Kind.PROBE, at=NOW + 2)),
        *(outcome(provider="openai", model="gpt"), outcome(Status.RATE_LIMITED, at=NOW + 61, first_byte=None)),
    ]
    for one in outcomes:
        store.add(one)
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(Batch(store.take()))
    loaded = await reopened(path, NOW + 70)
    assert [plain(record, NOW + 70) for record in loaded.records] == [
        plain(record, NOW + 70) for record in sorted(store.records(), key=lambda record: record.updated_at)
    ]
    assert loaded.memos == []


async def test_deltas_add_up_whatever_batch_they_come_in(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        for _ in range(3):
            await archive.write(Batch(deltas(outcome(took=0.5), outcome(BAD, took=2.0))))
        await archive.write(Batch())
        found = await archive.cells("groq", "llama", 60, int(NOW // 60), int(NOW // 60))
    assert [plain_cell(cell) for _, _, cell in found] == [([3, 3, 0, 0, 0], 3, Near(7.5), {63: 3, 77: 3}, {47: 6})]
    assert calls(await reopened(path)) == {"llama": 6}


@pytest.mark.parametrize(
    ("batches", "streak"),
    [
        ([[True], [True, True]], 3),
        ([[False, False], [False]], -3),
        ([[True, True], [False]], -1),
        ([[False], [False, True]], 1),
        ([[True], [False, True, True]], 2),
    ],
)
async def test_runs_go_on_over_batches(batches: list[list[bool]], streak: int) -> None:
    async with opened(":memory:") as archive:
        for batch in batches:
            await archive.write(Batch(deltas(*[outcome(Status.SUCCESS if good else BAD) for good in batch])))
        (record,) = (await archive.open(NOW)).records
    assert record.streak == streak


@pytest.mark.parametrize("endless", [float("inf"), float("nan")])
async def test_an_attempt_of_endless_length_spoils_no_sum(endless: float) -> None:
    async with opened(":memory:") as archive:
        await archive.write(Batch(deltas(outcome(took=1.0), outcome(took=endless), outcome(BAD, message="\ud800\0"))))
        (record,) = (await archive.open(NOW)).records
    assert record.sums().calls == 3
    assert record.last.seconds < 2
    assert record.last.last_error == "?\ufffd"


async def test_strange_names_are_kept_apart_and_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    memos = [Memo("groq", name, *[getattr(MEMO, field) for field in Memo.__struct_fields__[2:]]) for name in STRANGE]
    async with opened(path) as archive:
        for count in (1, 2):
            wanted = [outcome(model=name) for name in STRANGE for _ in range(count)]
            await archive.write(Batch(deltas(*wanted), memos=memos))
        await archive.write(Batch(deltas(outcome(provider="\ud800\n", model="llama"))))
        keys = [("groq", name) for name in STRANGE]
        assert sorted(row[1] for row in await archive.all_cells(60, keys)) == sorted(STRANGE)
    loaded = await reopened(path)
    assert calls(loaded) == {**dict.fromkeys(STRANGE, 3), "llama": 1}
    assert loaded.records[-1].provider == "\ud800\n"
    assert loaded.memos == memos
    async with opened(path) as archive:
        for name in STRANGE:
            ((_, _, cell),) = await archive.cells("groq", name, 60, 0, int(NOW))
            assert cell.calls == 3


async def test_memos_are_replaced_or_left(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    closed = Memo("groq", None, State.CLOSED, None, Cause.RATE, "", True, 1, None, 0.0, 0.0)
    async with opened(path) as archive:
        await archive.write(Batch(memos=[MEMO, closed]))
        await archive.write(Batch(deltas(outcome())))
    assert (await reopened(path)).memos == [MEMO, closed]
    changed(
        path, "INSERT INTO memo SELECT provider, 'x', 'ajar', cause, origin, reason, 0, 1, 1, 0, 0 FROM memo LIMIT 1"
    )
    async with opened(path) as archive:
        assert (await archive.open(NOW)).memos == [MEMO, closed], "a state from elsewhere is left out"
        await archive.write(Batch(memos=[]))
    assert (await reopened(path)).memos == []


async def test_a_record_that_is_gone_may_come_again_and_keeps_its_history() -> None:
    async with opened(":memory:") as archive:
        await archive.write(Batch(deltas(outcome(), outcome(), outcome(model="other"))))
        await archive.write(Batch(deltas(outcome(BAD)), gone=[("groq", "llama"), ("groq", "never seen")]))
        records = {record.model: record for record in (await archive.open(NOW)).records}
        ((_, _, cell),) = await archive.cells("groq", "llama", 60, 0, int(NOW))
    assert records["llama"].sums().calls == 1
    assert records["llama"].streak == -1
    assert records["other"].sums().calls == 1
    assert cell.counts == [2, 1, 0, 0, 0]


async def test_a_replaced_record_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    store = MemoryStore()
    for one in (outcome(), outcome(BAD, kind=Kind.PROBE, at=NOW + 1), outcome(model=OTHER_MODEL), outcome(BAD)):
        store.add(one)
    async with opened(path) as archive:
        await archive.write(Batch(store.take()))
        store.forget("groq", "llama")
        other = store.get("groq", OTHER_MODEL)
        assert other is not None
        await archive.write(Batch(deltas(outcome(model=OTHER_MODEL)), [("groq", "llama")], None, [other]))
    (record,) = (await reopened(path, NOW + 1)).records
    wanted, found = plain(other, NOW + 1), plain(record, NOW + 1)
    for kind in ("live", "probe"):
        # History is what cells say: those of a target that was folded stay its own.
        del wanted[kind]["history"], found[kind]["history"]
    assert found == wanted


async def test_history_of_a_provider_is_that_of_all_its_models() -> None:
    async with opened(":memory:") as archive:
        for _ in range(2):
            batch = deltas(
                outcome(), outcome(BAD, model="b", at=NOW + 1), outcome(model="b", kind=Kind.PROBE, at=NOW + 60)
            )
            await archive.write(Batch([*batch, *deltas(outcome(provider="openai"))]))
        minutes = await archive.cells("groq", ALL_MODELS, 60, 0, int(NOW))
        hours = await archive.cells("groq", ALL_MODELS, 3600, 0, int(NOW))
        assert (await archive.open(NOW)).records[0].model == "llama", "it has no record"
    first = int(NOW // 60)
    assert [(at, kind, cell.counts) for at, kind, cell in minutes] == [
        (first, Kind.LIVE, [2, 2, 0, 0, 0]),
        (first + 1, Kind.PROBE, [2, 0, 0, 0, 0]),
    ]
    assert [(at, kind, cell.calls) for at, kind, cell in hours] == [
        (first // 60, Kind.LIVE, 4),
        (first // 60, Kind.PROBE, 2),
    ]


async def test_history_between_two_buckets() -> None:
    first = int(NOW // 60)
    async with opened(":memory:") as archive:
        await archive.write(Batch(deltas(*[outcome(at=NOW + 60 * minute) for minute in (0, 1, 2, 5)])))
        for asked_for, wanted in (((0, 9), [0, 1, 2, 5]), ((1, 2), [1, 2]), ((3, 4), []), ((6, 9), []), ((2, 1), [])):
            found = await archive.cells("groq", "llama", 60, first + asked_for[0], first + asked_for[1])
            assert [at - first for at, _, _ in found] == wanted
        assert await archive.cells("groq", "never seen", 60, 0, first) == []
        keys = [("groq", "llama"), ("groq", "never seen")]
        assert [row[2] - first for row in await archive.all_cells(60, keys)] == [5, 2, 1, 0]
        assert [row[2] - first for row in await archive.all_cells(60, keys, newest_first=False)] == [0, 1, 2, 5]
        assert [row[:4] for row in await archive.all_cells(3600, keys)] == [("groq", "llama", first // 60, Kind.LIVE)]


async def test_what_is_too_old_goes_and_its_names_with_it(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(Batch(deltas(outcome(), outcome(model="gone")), memos=[MEMO]))
        await archive.write(Batch(gone=[("groq", "gone")]))
        await archive.prune(NOW + MINUTES)
        assert len(await archive.cells("groq", "gone", 60, 0, int(NOW))) == 1
        await archive.prune(NOW + MINUTES + 1)
        assert await archive.cells("groq", "gone", 60, 0, int(NOW)) == []
        await archive.prune(NOW + HOURS)
        assert len(await archive.cells("groq", "gone", 3600, 0, int(NOW))) == 1
        await archive.prune(NOW + HOURS + 1)
        assert await archive.cells("groq", ALL_MODELS, 3600, 0, int(NOW)) == []
        assert asked(path, "SELECT model FROM target") == [("llama",)]
        await archive.write(Batch(deltas(outcome(model="gone"), outcome(model="new"))))
    loaded = await reopened(path)
    assert calls(loaded) == {"llama": 1, "gone": 1, "new": 1}
    assert loaded.memos == [MEMO]


async def test_a_database_in_memory_is_bounded() -> None:
    async with opened(":memory:", limits=Limits(in_memory=10)) as archive:
        for minute in range(8):
            await archive.write(crowd("ab", NOW + 60 * minute))
        await archive.prune(NOW + 480)
        minutes = await archive.all_cells(60, [("groq", name) for name in ("a", "b", ALL_MODELS)])
        hours = await archive.all_cells(3600, [("groq", "a")])
        loaded = await archive.open(NOW + 480)
    assert len(minutes) == 10
    assert min(row[2] for row in minutes) == NOW // 60 + 4
    assert len(hours) == 1
    assert calls(loaded) == {"a": 8, "b": 8}


async def test_history_of_made_up_names_cannot_fill_a_disk(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path, limits=Limits(targets=50)) as archive:
        await archive.write(crowd(["known"]))
        for round_ in range(10):
            names = [f"made up {round_} {place}" for place in range(20)]
            await archive.write(crowd(names))
            await archive.write(Batch(gone=[("groq", name) for name in names]))
            ((targets,),) = asked(path, "SELECT count(*) FROM target")
            assert targets <= 50 + 20
        assert len(await archive.cells("groq", names[-1], 60, 0, int(NOW))) == 1, "the latest stay"
        ((_, _, whole),) = await archive.cells("groq", ALL_MODELS, 60, 0, int(NOW))
    assert whole.calls == 201
    assert calls(await reopened(path)) == {"known": 1}
    assert asked(path, "SELECT count(*) FROM minute WHERE target NOT IN (SELECT id FROM target)") == [(0,)]


async def test_removed_targets_leave_nothing_but_the_sum_of_their_provider(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(crowd("abc"))
        await archive.remove([("groq", "a"), ("groq", "b"), ("groq", "never seen")])
        await archive.remove([])
        assert await archive.cells("groq", "a", 60, 0, int(NOW)) == []
        ((_, _, whole),) = await archive.cells("groq", ALL_MODELS, 60, 0, int(NOW))
        assert whole.calls == 3
        await archive.write(crowd("b"))
        ((_, _, again),) = await archive.cells("groq", "b", 60, 0, int(NOW))
        assert again.calls == 1
    assert calls(await reopened(path)) == {"b": 1, "c": 1}


async def test_cells_from_a_clock_that_was_far_ahead_do_not_blind_a_history() -> None:
    async with opened(":memory:") as archive:
        await archive.write(Batch(deltas(outcome(at=NOW + 90 * 86400), outcome(), outcome(at=NOW + 1800))))
        (record,) = (await archive.open(NOW)).records
    assert [record.seen(span, NOW).total for span in (3600, 86400, 30 * 86400)] == [2, 2, 2]


async def test_a_whole_archive_is_one_file_that_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        await archive.write(Batch(deltas(outcome(took=0.25), outcome(BAD, took=0.75))))
    assert set(os.listdir(tmp_path)) == {"detour.db", "detour.db-lock"}
    copy = shutil.copy(path, tmp_path / "copy.db")
    assert calls(await reopened(copy)) == {"llama": 2}
    assert asked(copy, "SELECT provider, model, error, average_ms, last_error, last_called FROM health") == [
        ("groq", "llama", 1, 500, "503 overloaded", "2026-01-01 00:00:00")
    ]
    assert asked(copy, "SELECT datetime(at, 'unixepoch'), kind, blamed, response FROM minute LIMIT 1") == [
        ("2026-01-01 00:00:00", "live", 1, '{"56":1,"67":1}')
    ]
    assert path.read_bytes()[68:72] == b"dtur"


async def test_the_loop_goes_on_while_the_disk_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "detour.db"
    async with opened(path) as archive:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.create_task(archive.write(crowd("ab")))
            for _ in range(50):
                await asyncio.sleep(0.001)
            assert not writing.done()
            other.execute("ROLLBACK")
        await writing
    assert calls(await reopened(path)) == {"a": 1, "b": 1}


@pytest.mark.parametrize("patience", [0, 1, 2, 3, 5, 8, 20])
async def test_a_cancelled_write_is_whole_or_nothing_and_the_next_one_is_right(tmp_path: Path, patience: int) -> None:
    path = tmp_path / "detour.db"
    names = [f"m{place}" for place in range(300)]
    async with opened(path) as archive:
        writing = asyncio.create_task(archive.write(crowd(names)))
        for _ in range(patience):
            await asyncio.sleep(0)
        writing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await writing
        first = len((await archive.open(NOW)).records)
        await archive.write(crowd([*reversed(names), "new"]))
    assert first in (0, 300)
    counted = calls(await reopened(path))
    assert counted == {**dict.fromkeys(names, 2 if first else 1), "new": 1}


async def test_an_archive_that_is_not_open_says_so() -> None:
    archive = Archive(":memory:")
    for doing in (archive.write(Batch()), archive.cells("a", "b", 60, 0, 1), archive.prune(NOW), archive.remove([])):
        with pytest.raises(StoreError, match="is not open"):
            await doing
    await archive.close()
    await archive.open(NOW)
    await archive.close()
    await archive.close()
    with pytest.raises(StoreError, match="is not open"):
        await archive.all_cells(60, [])


def test_its_thread_has_a_name_and_ends_and_leaves_no_descriptor_open(tmp_path: Path) -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("detour-archive")]

    async def lived() -> None:
        async with opened(path):
            assert threads() == ["detour-archive_0"]

    path = tmp_path / "detour.db"
    asyncio.run(lived())
    deadline = time.monotonic() + 20
    while threads() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threads() == []
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        assert str(path) not in [os.path.realpath(each).removesuffix("-lock") for each in descriptors.iterdir()]
