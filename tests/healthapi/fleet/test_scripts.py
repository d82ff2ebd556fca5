"""Each script on a real server, against what it ought to do written down the slow way."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from healthapi.fleet import scripts, wire
from healthapi.fleet.keys import identity, prefix
from healthapi.fleet.scripts import Script
from healthapi.history import DAY, HOUR, MINUTE, History
from tests.redis_server import eventually, redis_server

UNPACK = msgspec.msgpack.decode
RECORD, MINUTES, HOURS, MINUTE_RING, LONG_RINGS, ALL = 1, 2, 4, 8, 16, 31
LLAMA, GEMMA = identity("groq", "llama"), identity("groq", "gemma")
OTHER = identity("groq", "~other")
NASTY = [
    identity("groq", model) for model in ("", "\ud800", "a\nb}{", "\0", "~", "é" * 3000, "'\"\\", "%d", "~other\n")
]
WIDTHS = (MINUTE, HOUR, DAY)

Cell = list[Any]


class Shard:
    """One shard of a fleet on the real server, of its own for each test and example."""

    numbers = itertools.count()

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.prefix = prefix(f"f{next(self.numbers)}", 0)

    def run(self, script: Script, *args: bytes | str | int) -> Any:
        return self.client.execute_command("EVAL", script.text, 1, self.prefix, *args)

    def flush(
        self, entries: list[Any], sequence: int = 1, *, acked: int = 0, windows: list[Any] | None = None,
        instance: str = "a", most: int = 512,
    ) -> list[Any]:  # fmt: skip
        payload = wire.payload(wire.entries(entries), wire.windows(windows or []))
        return self.run(scripts.FLUSH, instance, sequence, acked, payload, most)

    def heartbeat(self, acked: int, instance: str = "a") -> list[Any]:
        return self.run(scripts.FLUSH, instance, 0, acked, b"", 512)

    def key(self, name: bytes) -> bytes:
        return self.prefix + name

    def record(self, name: bytes, kind: bytes = b"l") -> list[Any] | None:
        raw = self.client.hget(self.key(b"t"), kind + name)
        return None if raw is None else UNPACK(raw)

    def records(self) -> dict[bytes, list[Any]]:
        return {field: UNPACK(raw) for field, raw in self.client.hgetall(self.key(b"t")).items()}

    def ring(self, name: bytes, kind: bytes = b"l") -> History:
        return History.read(self.client.get(self.key(b"g:" + kind + name)) or b"")

    def names(self) -> set[bytes]:
        return {key.removeprefix(self.prefix) for key in self.client.scan_iter(match=self.prefix + b"*", count=10_000)}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server, server.client() as client:
        yield client


@pytest.fixture
def shard(client: redis.Redis) -> Shard:
    return Shard(client)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def cell(good: int = 1, *, blamed: int = 0, other: int = 0) -> Cell:
    counts = [good, blamed, 0, other, 0]
    return [*counts, blamed, 1000 * sum(counts), [7, sum(counts)], [3, good] if good else []]


def entry(
    name: bytes = LLAMA, *, counted: Cell | None = None, at: int | None = None, flags: int = ALL, kind: str = "l",
    streak: int = 1, error: str | bool = False, minute: int | None = None,
) -> list[Any]:  # fmt: skip
    at = now_ms() if at is None else at
    minute = at // 60_000 if minute is None else minute
    good, bad = (at, 0) if streak > 0 else (0, at)
    return [flags, kind, name, minute, counted or cell(), at - 5, at, 0, 900, error, good, bad, streak]


def added(one: Cell, more: Cell) -> Cell:
    """Two cells merged, with dicts."""
    histograms = []
    for mine, theirs in zip(one[7:], more[7:], strict=True):
        total: Counter[int] = Counter()
        for flat in (mine, theirs):
            for bucket, count in zip(flat[::2], flat[1::2], strict=True):
                total[bucket] += count
        histograms.append([number for bucket in sorted(total) for number in (bucket, total[bucket])])
    return [mine + theirs for mine, theirs in zip(one[:7], more[:7], strict=True)] + histograms


def summed(cells: list[Cell]) -> Cell:
    total = cell(0)
    total[7] = []
    for one in cells:
        total = added(total, one)
    return total


def contents(history: History) -> Any:
    history._settle()
    return history._newest, [list(counts or [0] * 140) for counts in history._counts]


# -- flush: records ------------------------------------------------------------------------------------------------

COUNTS = st.integers(0, 5)
FLAT = st.dictionaries(st.integers(0, 155), st.integers(1, 2**40), max_size=6).map(
    lambda found: [number for bucket in sorted(found) for number in (bucket, found[bucket])]
)
CELLS = st.tuples(*[COUNTS] * 5, COUNTS, st.integers(0, 2**48), FLAT, FLAT).map(list)
ERRORS = st.just(False) | st.text(st.characters(codec="utf-8"), max_size=20)


@st.composite
def told(draw: st.DrawFn) -> list[Any]:
    counted = draw(CELLS)
    last = now_ms() - draw(st.integers(0, 6)) * 1000
    whole = sum(counted[:5])
    return [
        draw(st.sampled_from([RECORD, ALL, MINUTES | HOURS])), draw(st.sampled_from("lp")),
        draw(st.sampled_from([LLAMA, GEMMA, *NASTY])), last // 60_000, counted,
        last - draw(st.integers(0, 5)), last, draw(st.integers(0, 4)), draw(st.integers(0, 9)), draw(ERRORS),
        draw(st.sampled_from([0, last])), draw(st.sampled_from([0, last])),
        draw(st.sampled_from([0, 1, -1, whole, -whole])),
    ]  # fmt: skip


def taken(stored: list[Any] | None, one: list[Any]) -> list[Any]:
    """A record after an entry."""
    counted, first, last, *how, good, bad, streak = one[4:]
    if stored is None:
        return [counted, first, last, *how, good, bad, streak]
    made = [
        added(stored[0], counted), min(stored[1], first), *stored[2:6],
        max(stored[6], good), max(stored[7], bad), stored[8],
    ]  # fmt: skip
    if last >= stored[2]:
        made[2:6] = [last, *how]
        goes_on = abs(streak) == sum(counted[:5]) and (streak > 0) == (stored[8] > 0) and stored[8]
        if streak:
            made[8] = stored[8] + streak if goes_on else streak
    return made


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(st.lists(told(), max_size=6), min_size=1, max_size=5))
def test_records_and_cells_are_sums_of_all_that_was_told(client: redis.Redis, batches: list[list[Any]]) -> None:
    shard = Shard(client)
    records: dict[bytes, list[Any]] = {}
    cells: dict[tuple[bytes, str, int], Cell] = {}
    for number, batch in enumerate(batches, 1):
        assert shard.flush(batch, number, acked=number - 1)[0] == b"ok"
        for one in batch:
            flags, kind, name, minute, counted = one[:5]
            if flags & RECORD:
                records[kind.encode() + name] = taken(records.get(kind.encode() + name), one)
            if flags & MINUTES:
                at = (name, kind, minute)
                cells[at] = added(cells.get(at, [0] * 7 + [[], []]), counted)
    assert shard.records() == records
    minutes = [minute for *_, minute in cells] or [0]
    for name in (LLAMA, GEMMA, *NASTY):
        found = shard.run(scripts.READ_CELLS, "m", "lp", name, min(minutes), max(minutes))
        assert {(name, kind.decode(), bucket): UNPACK(raw) for bucket, kind, raw in found} == {
            at: counted for at, counted in cells.items() if at[0] == name
        }
        assert [bucket for bucket, *_ in found] == sorted(bucket for bucket, *_ in found)
        hours = shard.run(scripts.READ_CELLS, "h", "lp", name, min(minutes) // 60, max(minutes) // 60)
        assert summed([UNPACK(raw) for *_, raw in hours]) == summed([cells[at] for at in cells if at[0] == name])


@pytest.mark.parametrize(
    ("runs", "streak"),
    [
        ([(3, 3), (2, 2)], 5),
        ([(-3, 3), (-2, 2)], -5),
        ([(3, 3), (-2, 2)], -2),
        ([(3, 3), (2, 4)], 2),
        ([(-1, 3), (-4, 4)], -5),
        ([(4, 4), (0, 2)], 4),
    ],
)
def test_a_run_goes_on_while_nothing_else_was_counted(shard: Shard, runs: list[tuple[int, int]], streak: int) -> None:
    for number, (run, calls) in enumerate(runs, 1):
        shard.flush([entry(streak=run, counted=cell(calls))], number)
    assert shard.record(LLAMA)[8] == streak


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (RECORD, {b"t", b"x", b"v", b"vb"}),
        (MINUTES, {b"m:"}),
        (HOURS, {b"h:"}),
        (MINUTE_RING, {b"g:l" + LLAMA}),
        (LONG_RINGS, {b"g:l" + LLAMA}),
    ],
)
def test_each_flag_is_for_one_place(shard: Shard, flags: int, names: set[bytes]) -> None:
    shard.flush([entry(flags=flags)])
    assert {name[:2] if name[:1] in b"mh" else name for name in shard.names()} == names | {b"q:a"}


def test_what_is_kept_for_a_while_ends(shard: Shard) -> None:
    shard.flush([entry()], windows=[[LLAMA, 6000, 0, [1, 0, 0, 0, 0], [], ""]])
    lives = {name[:2]: shard.client.ttl(shard.key(name)) for name in shard.names()}
    hours = {part: life / 3600 for part, life in lives.items() if life > 0}
    assert hours == pytest.approx(
        {b"q:": 7 * 24, b"m:": 25, b"h:": 31 * 24, b"g:": 32 * 24, b"w:": 60 / 3600}, rel=0.05
    )


@pytest.mark.parametrize("ahead", [HOUR, DAY, 400 * DAY])
def test_a_clock_far_ahead_is_put_right(shard: Shard, ahead: int) -> None:
    """Or nothing that others say would be news for as long."""
    before = now_ms()
    shard.flush([entry(at=before + ahead * 1000)])
    record = shard.record(LLAMA)
    assert before - 5 <= record[1] <= record[2] <= now_ms()
    assert record[6] <= now_ms()
    assert shard.ring(LLAMA).counts(300, now_ms() / 1000).total == 1
    found = shard.run(scripts.READ_CELLS, "m", "l", LLAMA, before // 60_000, before // 60_000 + 1)
    assert len(found) == 1


# -- flush: rings --------------------------------------------------------------------------------------------------

AGO = st.integers(0, 3) | st.integers(0, 130) | st.integers(0, 3000) | st.integers(0, 60_000)
"""Minutes: in every ring, in the longer ones, in none."""


@settings(max_examples=150, deadline=None)
@given(seen=st.lists(st.tuples(AGO, COUNTS, COUNTS, COUNTS, st.sampled_from([8, 16, 24])), max_size=25))
def test_rings_are_those_of_a_history(client: redis.Redis, seen: list[tuple[int, int, int, int, int]]) -> None:
    shard, expected = Shard(client), History()
    this = now_ms() // 60_000
    entries = []
    for ago, good, blamed, other, flags in seen:
        minute, groups = this - ago, (good, blamed, other)
        entries.append(entry(counted=cell(good, blamed=blamed, other=other), minute=minute, flags=flags))
        for width in WIDTHS:
            if flags & (MINUTE_RING if width == MINUTE else LONG_RINGS):
                expected.put(width, minute * MINUTE // width, groups)
    shard.flush(entries)
    newest, counts = contents(shard.ring(LLAMA))
    wanted = contents(expected)
    assert counts == wanted[1]
    assert newest == wanted[0] or not any(map(any, counts))


def test_rings_are_those_of_a_process_that_counted_all_of_it(shard: Shard) -> None:
    """In the way of things: minute after minute, with gaps."""
    expected, this = History(), now_ms() // 60_000
    ago, number = 50_000, 0
    while ago >= 0:
        number += 1
        groups = (1 + number % 3, number % 2, int(number % 5 == 0))
        expected.count(this - ago, groups)
        shard.flush([entry(counted=cell(groups[0], blamed=groups[1], other=groups[2]), minute=this - ago)], number)
        ago -= (1, 1, 2, 59, 60, 61, 1440, 2880)[number % 8] if ago > 100 else 1
    assert contents(shard.ring(LLAMA)) == contents(expected)


@pytest.mark.parametrize(("flags", "width", "size"), [(8, 1, 61), (16, 60, 48), (16, 1440, 31)])
def test_a_ring_reaches_back_so_far_and_no_further(shard: Shard, flags: int, width: int, size: int) -> None:
    this, expected = now_ms() // 60_000, History()
    for number, buckets in enumerate((0, size, size - 1), 1):
        minute = this - buckets * width
        shard.flush([entry(minute=minute, flags=flags)], number)
        for seconds in WIDTHS:
            if flags == (MINUTE_RING if seconds == MINUTE else LONG_RINGS):
                expected.put(seconds, minute * MINUTE // seconds, (1, 0, 0))
    assert contents(shard.ring(LLAMA)) == contents(expected)


def test_a_count_that_is_full_stays_full(shard: Shard) -> None:
    shard.flush([entry(counted=cell(2**32 - 2)), entry(counted=cell(5))])
    assert shard.ring(LLAMA).counts(300, now_ms() / 1000).success == 2**32 - 1


# -- flush: once ---------------------------------------------------------------------------------------------------


def test_a_batch_counts_once(shard: Shard) -> None:
    batch = [entry(counted=cell(3)), entry(GEMMA, kind="p")]
    window = [LLAMA, 60_000, 0, [3, 0, 0, 0, 0], [], ""]
    first = shard.flush(batch, 1, windows=[window])
    state = {name: shard.client.dump(shard.key(name)) for name in shard.names()}
    again = shard.flush(batch, 1, windows=[window])
    assert again[2:] == first[2:] == [first[2], [[0, [3, 0, 0, 0, 0], 0, b""]]]
    assert {name: shard.client.dump(shard.key(name)) for name in shard.names()} == state
    shard.flush([], 5)
    assert shard.flush(batch, 4)[0] == b"ok"
    assert shard.record(LLAMA)[0] == cell(3)


def test_each_instance_has_its_own_sequence(shard: Shard) -> None:
    for instance in "abc":
        shard.flush([entry()], 1, instance=instance)
    assert shard.record(LLAMA)[0] == cell(3)


def test_a_store_that_lost_everything_takes_nothing_more(shard: Shard) -> None:
    shard.flush([entry()], 1)
    shard.client.delete(*map(shard.key, shard.names()))
    assert shard.flush([entry()], 2, acked=1) == [b"lost", 0]
    assert shard.heartbeat(1) == [b"lost", 0]
    assert shard.names() == set()
    assert shard.flush([entry()], 3, acked=0)[0] == b"ok"


def test_a_store_that_is_behind_takes_nothing_more(shard: Shard) -> None:
    """A replica took over that had not heard of the last batch."""
    shard.flush([entry()], 1)
    assert shard.flush([entry()], 3, acked=2) == [b"behind", 1]
    assert shard.heartbeat(2) == [b"behind", 1]
    assert shard.record(LLAMA)[0] == cell(1)
    assert shard.flush([entry()], 2, acked=1)[0] == b"ok"


def test_a_heartbeat_changes_nothing_but_how_long_the_sequence_is_known(shard: Shard) -> None:
    assert shard.heartbeat(0)[0] == b"ok"
    assert shard.names() == set()
    shard.flush([entry()], 1)
    shard.client.expire(shard.key(b"q:a"), 5)
    before = shard.records()
    assert shard.heartbeat(1)[2:] == [shard.flush([], 1)[2], []]
    assert shard.client.ttl(shard.key(b"q:a")) > 1000
    assert shard.records() == before


def test_a_batch_that_breaks_off_is_not_counted_again(shard: Shard) -> None:
    batch = [entry(), entry(GEMMA)[:4]]
    with pytest.raises(redis.ResponseError):
        shard.flush(batch, 1)
    shard.flush(batch, 1)
    assert shard.record(LLAMA)[0] == cell(1)


@pytest.mark.parametrize("key", [b"t", b"x", b"z", b"v", b"m:%d", b"h:%d", b"g:l%b", b"w:%b"])
def test_keys_of_somebody_else_are_found_before_anything_is_changed(shard: Shard, key: bytes) -> None:
    minute = entry()[3]
    name = key.replace(b"%d", b"%d" % (minute // (60 if key[:1] == b"m" else 1440))).replace(b"%b", LLAMA)
    shard.client.execute_command("LPUSH" if key != b"t" else "SET", shard.key(name), "theirs")
    batch = [entry(GEMMA), entry()]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        shard.flush(batch, 1, windows=[window([1, 0, 0, 0, 0])])
    assert shard.client.keys(shard.key(b"*")) == [shard.key(name)], "nothing but what was there"
    shard.client.delete(shard.key(name))
    shard.flush(batch, 1)
    assert shard.record(LLAMA)[0] == shard.record(GEMMA)[0] == cell(1)


# -- flush: bounds -------------------------------------------------------------------------------------------------


def live(shard: Shard) -> set[bytes]:
    return {field[1:] for field in shard.client.hkeys(shard.key(b"t"))}


@settings(max_examples=40, deadline=None)
@given(
    names=st.lists(st.integers(0, 30), min_size=1, max_size=80),
    most=st.integers(1, 12),
    size=st.integers(1, 40),
)
def test_no_more_identities_are_kept_than_there_is_room_for(
    client: redis.Redis, names: list[int], most: int, size: int
) -> None:
    """Whoever leaves is still counted, under its provider's others."""
    shard, sent = Shard(client), []
    this, total = now_ms() // 60_000, History()
    for number, place in enumerate(range(0, len(names), size), 1):
        batch = []
        for name in names[place : place + size]:
            provider, kind, good, ago = ("groq", "fal")[name % 2], "lp"[name % 3 == 0], 1 + name % 4, name * 7
            counted = cell(good, blamed=name % 2)
            batch.append(entry(identity(provider, f"m{name}"), counted=counted, kind=kind, minute=this - ago, streak=1))
            for width in WIDTHS:
                total.put(width, (this - ago) * MINUTE // width, (good, name % 2, 0))
        shard.flush(batch, number, most=most)
        sent += [one[4] for one in batch]
        kept = live(shard)
        assert len(kept - {OTHER, identity("fal", "~other")}) <= most
        known = set(shard.client.zrange(shard.key(b"x"), 0, -1))
        gone = set(shard.client.zrange(shard.key(b"z"), 0, -1))
        assert known == kept | gone
        assert not kept & gone
    assert summed([record[0] for record in shard.records().values()]) == summed(sent)
    rings = History()
    for field in shard.client.hkeys(shard.key(b"t")):
        rings.merge(shard.ring(field[1:], field[:1]))
    for span in (3600, 40 * 3600, 30 * DAY):
        now = (this + 1) * 60.0
        assert rings.counts(span, now) == total.counts(span, now)
    assert {name[3:] for name in shard.names() if name[:2] == b"g:"} == live(shard)


def test_who_changed_longest_ago_leaves_first_and_may_come_again(shard: Shard) -> None:
    names = [identity("groq", f"m{number}") for number in range(4)]
    for number, name in enumerate([*names[:3], names[0], names[3]], 1):
        shard.flush([entry(name)], number, most=3)
        time.sleep(0.002)
    assert live(shard) == {names[0], names[3], OTHER}
    shard.flush([entry(names[1])], 6, most=3)
    assert live(shard) == {names[3], names[1], OTHER}
    assert shard.record(names[1])[0] == cell(1)
    assert shard.record(OTHER)[0] == cell(4)


def test_others_and_attempts_without_a_model_stay(shard: Shard) -> None:
    kept = [OTHER, identity("groq", "~none")]
    for number, name in enumerate([*kept, LLAMA, GEMMA], 1):
        shard.flush([entry(name)], number, most=1)
    assert set(kept) <= live(shard)


def test_readers_hear_of_those_that_left_though_not_for_ever(shard: Shard) -> None:
    names = [identity("groq", f"m{number:03}") for number in range(100)]
    shard.flush([entry(name) for name in names], 1, most=200)
    version = shard.run(scripts.READ, 0, 500)[3]
    shard.flush([entry(LLAMA)], 2, most=71)  # a place goes to the others
    rows = shard.run(scripts.READ, version, 500)[2]
    assert [name for name, *docs in rows if docs == [None] * 4] == names[:31]
    shard.flush([entry(GEMMA)], 3, most=10)
    assert shard.client.zcard(shard.key(b"z")) == 64
    assert shard.client.zcard(shard.key(b"x")) == 64 + 10


def test_a_flood_of_names_does_not_fill_history(shard: Shard) -> None:
    names = [identity("groq", f"m{number}") for number in range(50)]
    all_models = identity("groq", "~all")
    at = now_ms()
    sent = [entry(name, flags=MINUTES | HOURS, counted=cell(2), at=at) for name in (*names, all_models)]
    shard.flush(sent, 1, most=2)
    key = next(name for name in shard.names() if name[:2] == b"m:")
    fields = shard.client.hgetall(shard.key(key))
    assert len(fields) <= 2 * 16 + 2
    assert summed([UNPACK(raw) for raw in fields.values()])[0] == 102
    assert [UNPACK(raw)[0] for field, raw in fields.items() if field.endswith(all_models)] == [2]


# -- flush: windows ------------------------------------------------------------------------------------------------


def window(counts: list[int], *models: bytes, epoch: int = 0, step: int = 60_000, last: str = "") -> list[Any]:
    return [LLAMA, step, epoch, counts, list(models), last]


def test_a_window_is_what_all_sidecars_saw(shard: Shard) -> None:
    told = [
        ("a", window([1, 2, 0, 0, 0], b"m1", last="busy"), [1, 2, 0, 0, 0], 1, b"busy"),
        ("b", window([0, 1, 3, 4, 5], b"m1"), [1, 3, 3, 4, 5], 1, b"busy"),
        ("b", window([0, 0, 0, 0, 0]), [1, 3, 3, 4, 5], 1, b"busy"),
        ("a", window([0, 2, 0, 0, 0], b"m2", b"m1", last="down"), [1, 5, 3, 4, 5], 2, b"down"),
        ("c", window([0, 1, 0, 0, 0], b"m3" * 5000), [1, 6, 3, 4, 5], 2, b"down"),
    ]
    for number, (instance, one, counts, models, last) in enumerate(told, 1):
        answer = shard.flush([], number, instance=instance, windows=[one])
        assert answer[3] == [[0, counts, models, last]]


@pytest.mark.parametrize(
    ("epoch", "step", "answer"),
    [
        (5, 60_000, [5, [1, 2, 0, 0, 0], 0, b""]),
        (6, 60_000, [6, [0, 1, 0, 0, 0], 0, b""]),
        (4, 60_000, [5, [1, 1, 0, 0, 0], 0, b""]),
        (5, 30_000, [5, [0, 1, 0, 0, 0], 0, b""]),
    ],
)
def test_a_window_is_of_one_epoch(shard: Shard, epoch: int, step: int, answer: list[Any]) -> None:
    shard.flush([], 1, windows=[window([1, 1, 0, 0, 0], epoch=5)])
    assert shard.flush([], 2, windows=[window([0, 1, 0, 0, 0], epoch=epoch, step=step)])[3] == [answer]


def test_an_epoch_begins_anew_even_with_nothing_in_it(shard: Shard) -> None:
    shard.flush([], 1, windows=[window([1, 1, 0, 0, 0], epoch=5)])
    shard.flush([], 2, windows=[window([0] * 5, epoch=6)])
    assert shard.flush([], 3, windows=[window([7] * 5, epoch=5)])[3] == [[6, [0] * 5, 0, b""]]


def test_what_is_too_old_leaves_a_window(shard: Shard) -> None:
    shard.flush([], 1, windows=[window([9] * 5, b"m1", b"m2", step=100)])
    numbers = itertools.count(2)

    def left() -> bool:
        (answer,) = shard.flush([], next(numbers), windows=[window([1, 0, 0, 0, 0], step=100)])[3]
        return answer[1][1] == 0 and answer[2] == 0

    eventually(left, "the failures have left the window")


def test_what_is_too_old_is_not_told_even_where_nothing_is_added(shard: Shard) -> None:
    step = 3_600_000
    bucket = now_ms() // step
    parts = [[bucket - ago, 1, 10**ago, 0, 0, 0, name] for ago, name in ((0, "a"), (8, "b"), (11, "c"), (12, "d"))]
    shard.client.set(shard.key(b"w:" + LLAMA), msgspec.msgpack.encode([0, step, "busy", parts]))
    answer = shard.flush([], 1, windows=[window([0] * 5, step=step)])[3]
    assert answer == [[0, [2, 1 + 10**8, 0, 0, 0], 2, b"busy"]]


# -- read ----------------------------------------------------------------------------------------------------------


def test_an_empty_store_has_nothing_and_lost_nothing(shard: Shard) -> None:
    assert shard.run(scripts.READ, 0, 10) == [0, 0, [], 0]
    assert shard.run(scripts.READ, 1, 10) == [b"lost"]


def test_reading_goes_on_where_it_ended(shard: Shard) -> None:
    names = [*NASTY, LLAMA, GEMMA]
    for number, batch in enumerate((names[:4], names[4:5], names[5:], [LLAMA]), 1):
        shard.flush([entry(name, kind=kind) for name in batch for kind in "lp"], number)
    since, pages = 0, []
    while True:
        version, more, rows, upto = shard.run(scripts.READ, since, 2)
        pages.append({name for name, *_ in rows})
        since = upto
        if not more:
            break
    assert since == version
    assert pages == [set(names[:4]), {*names[4:5], *names[5:]} - {LLAMA}, {LLAMA}]
    assert shard.run(scripts.READ, since, 2) == [version, 0, [], version]
    rows = shard.run(scripts.READ, 0, 100)[2]
    for name, *docs in rows:
        assert [UNPACK(raw) for raw in docs[:2]] == [shard.record(name, b"l"), shard.record(name, b"p")]
        assert docs[2:] == [shard.client.get(shard.key(b"g:" + kind + name)) for kind in (b"l", b"p")]


def test_another_store_is_seen_whatever_its_version(shard: Shard) -> None:
    shard.flush([entry()], 1)
    version = shard.run(scripts.READ, 0, 10)[3]
    shard.client.set(shard.key(b"v"), version - 1)
    assert shard.run(scripts.READ, version, 10) == [b"lost"]
    shard.client.delete(*map(shard.key, shard.names()))
    assert shard.run(scripts.READ, version, 10) == [b"lost"]
    time.sleep(0.002)
    shard.flush([entry(GEMMA)], 1)
    assert shard.run(scripts.READ, version, 10) == [b"lost"]


def test_versions_rise_whatever_the_clock_does(shard: Shard) -> None:
    ahead = now_ms() + 10**9
    shard.flush([entry()], 1)
    shard.client.set(shard.key(b"v"), ahead)
    assert [shard.flush([entry()], number)[2] for number in (2, 3)] == [ahead + 1, ahead + 2]


# -- history, removing ---------------------------------------------------------------------------------------------


def test_history_is_read_over_the_edges_of_hours_and_days(shard: Shard) -> None:
    this = now_ms() // 60_000
    minutes = [this - ago for ago in (0, 1, 59, 60, 61, 1439, 1440)]
    shard.flush([entry(minute=minute, kind=kind) for minute in minutes for kind in "lp"])
    found = shard.run(scripts.READ_CELLS, "m", "lp", LLAMA, this - 1439, this)
    assert [(bucket, kind) for bucket, kind, _ in found] == [
        (minute, kind) for minute in sorted(minutes)[1:] for kind in (b"l", b"p")
    ]
    hours = shard.run(scripts.READ_CELLS, "h", "p", LLAMA, this // 60 - 30, this // 60)
    assert sum(UNPACK(raw)[0] for *_, raw in hours) == len(minutes)
    assert {kind for _, kind, _ in hours} == {b"p"}
    assert shard.run(scripts.READ_CELLS, "m", "lp", GEMMA, this - 1439, this) == []
    inside = shard.run(scripts.READ_CELLS, "m", "l", LLAMA, this - 60, this - 1)
    assert [bucket for bucket, *_ in inside] == [this - 60, this - 59, this - 1]


def test_removing_leaves_history_and_says_so_to_readers(shard: Shard) -> None:
    shard.flush([entry(name, kind=kind) for name in (LLAMA, GEMMA, *NASTY) for kind in "lp"], 1)
    version, this = shard.run(scripts.READ, 0, 99)[3], now_ms() // 60_000
    assert shard.run(scripts.REMOVE, LLAMA, b"tgroq\nnobody", NASTY[1]) == 2
    assert shard.run(scripts.REMOVE, LLAMA) == 0
    new, more, rows, upto = shard.run(scripts.READ, version, 99)
    assert ({name for name, *_ in rows}, more, upto) == ({LLAMA, NASTY[1]}, 0, new)
    assert [docs for _, *docs in rows] == [[None] * 4] * 2
    assert shard.client.exists(shard.key(b"g:l" + LLAMA)) == 0
    assert len(shard.run(scripts.READ_CELLS, "m", "lp", LLAMA, this - 2, this)) == 2
    shard.flush([entry()], 2)
    assert shard.record(LLAMA)[0] == cell(1)
    assert {name for name, *_ in shard.run(scripts.READ, upto, 99)[2]} == {LLAMA}


# -- breakers ------------------------------------------------------------------------------------------------------


def move(
    shard: Shard, name: bytes = LLAMA, *, base: int = 0, force: int = 0, state: str = "open", instance: str = "a",
    reason: str = "5 in a row", status: int | str = 503, channel: bytes = b"",
) -> list[Any]:  # fmt: skip
    return shard.run(
        scripts.MOVE, name, base, force, state, "consecutive", "rate", reason, 1, 3, status, 250, 60_000, instance,
        channel or shard.prefix + b"news",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "base", "force", "accepted", "epoch"),
    [
        (0, 0, 0, 1, 1),
        (0, 7, 0, 1, 8),
        (1, 1, 0, 1, 2),
        (2, 1, 0, 0, 2),
        (2, 0, 0, 0, 2),
        (1, 3, 0, 0, 1),
        (2, 1, 1, 1, 3),
        (1, 9, 1, 1, 10),
    ],
)
def test_a_move_from_an_epoch_that_is_over_is_refused(
    shard: Shard, stored: int, base: int, force: int, accepted: int, epoch: int
) -> None:
    for number in range(stored):
        move(shard, base=number, instance="b")
    said, document, _, version = move(shard, base=base, force=force)
    assert (said, UNPACK(document)[0]) == (accepted, epoch)
    assert UNPACK(document)[-1] == ("a" if accepted else "b")
    assert shard.run(scripts.POLL, 0)[::2] == [version, [[LLAMA, document]]]


def test_a_document_says_all_there_is_by_the_servers_clock(shard: Shard) -> None:
    before = now_ms()
    _, document, at, _ = move(shard, reason="é\0'\"")
    assert before <= at <= now_ms()
    epoch_to_status, times = UNPACK(document)[:8], UNPACK(document)[8:]
    assert epoch_to_status == [1, "open", "consecutive", "rate", "é\0'\"", True, 3, 503]
    assert times == [at - 250, at + 60_000, "a"]
    _, document, at, _ = move(shard, base=1, state="closed", status="")
    assert UNPACK(document)[7:10] == [False, at, 0]


@pytest.mark.parametrize("name", [LLAMA, *NASTY, identity("groq", None), b"*"])
def test_a_move_is_published(shard: Shard, name: bytes) -> None:
    channel = shard.prefix + b"heard"
    with shard.client.pubsub() as news:
        news.subscribe(channel)
        news.get_message(timeout=10)
        _, document, at, _ = move(shard, name, channel=channel)
        move(shard, name, base=99, channel=channel)
        move(shard, name, base=1, channel=channel)
        heard = [UNPACK(news.get_message(timeout=10)["data"]) for _ in range(2)]
    assert heard[0] == [name, UNPACK(document), at]
    assert heard[1][1][0] == 2


def test_moves_are_polled_in_order_and_once(shard: Shard) -> None:
    assert shard.run(scripts.POLL, 0)[::2] == [0, []]
    assert shard.run(scripts.POLL, 1)[0] == b"lost"
    names = [b"t%d\nm" % number for number in range(1203)]
    for name in names:
        move(shard, name)
    move(shard, names[0], base=1)
    seen, since = [], 0
    for _ in range(3):
        since, at, rows = shard.run(scripts.POLL, since)
        seen += [name for name, _ in rows]
        assert abs(at - now_ms()) < 60_000
    assert seen == [*names[1:], names[0]]
    assert shard.run(scripts.POLL, since)[::2] == [since, []]
    shard.client.delete(*map(shard.key, shard.names()))
    assert shard.run(scripts.POLL, since)[0] == b"lost"
    time.sleep(0.002)
    move(shard)
    assert shard.run(scripts.POLL, since)[0] == b"lost"


def test_a_move_ends_the_lease(shard: Shard) -> None:
    lease(shard, "a", LLAMA, "ask")
    lease(shard, "b", LLAMA, "ask")
    move(shard, base=0, state="closed")
    assert {name for name in shard.names() if name[:1] == b"l"} == set()
    move(shard, base=0)
    assert lease(shard, "b", LLAMA, "ask") == [1]
    move(shard, base=0)
    assert lease(shard, "a", LLAMA, "ask") == [0], "a move that was refused ends nothing"


def test_closed_breakers_are_forgotten_first(shard: Shard) -> None:
    most = 20_000
    pipe = shard.client.pipeline(transaction=False)
    document = msgspec.msgpack.encode([1, "open", "", "", "", False, 0, False, 0, 0, "a"])
    closed = msgspec.msgpack.encode([1, "closed", "", "", "", False, 0, False, 0, 0, "a"])
    for number in range(most):
        pipe.hset(shard.key(b"b"), b"%d" % number, closed if number == 300 else document)
        pipe.zadd(shard.key(b"bx"), {b"%d" % number: number})
    pipe.execute()
    shard.client.set(shard.key(b"bv"), most)
    for name in (b"new", b"newer"):
        move(shard, name)
    left = set(shard.client.hkeys(shard.key(b"b")))
    assert left == {b"%d" % number for number in range(most)} - {b"300", b"0"} | {b"new", b"newer"}
    assert set(shard.client.zrange(shard.key(b"bx"), 0, -1)) == left


# -- leases --------------------------------------------------------------------------------------------------------


def lease(shard: Shard, instance: str, *pairs: bytes | str, life: int = 60_000) -> list[int]:
    return shard.run(scripts.LEASE, instance, life, *pairs)


def test_one_holds_a_lease_until_it_drops_it(shard: Shard) -> None:
    steps = [
        ("a", "keep", 0),
        ("a", "ask", 1),
        ("a", "ask", 1),
        ("a", "keep", 1),
        ("b", "keep", 0),
        ("b", "drop", 0),
        ("a", "keep", 1),
        ("b", "ask", 0),
        ("a", "keep", 2),
        ("a", "ask", 1),
        ("a", "drop", 0),
        ("a", "keep", 0),
        ("b", "ask", 1),
        ("b", "keep", 1),
        ("a", "ask", 0),
        ("b", "keep", 2),
    ]
    assert [lease(shard, instance, LLAMA, mode) for instance, mode, _ in steps] == [[said] for *_, said in steps]


def test_who_waited_for_a_lease_that_ended_wants_nothing_more(shard: Shard) -> None:
    lease(shard, "a", LLAMA, "ask")
    lease(shard, "b", LLAMA, "ask")
    shard.client.delete(shard.key(b"l:" + LLAMA))
    assert [lease(shard, "b", LLAMA, mode) for mode in ("ask", "keep")] == [[1], [1]]


def test_leases_are_asked_for_together(shard: Shard) -> None:
    lease(shard, "b", GEMMA, "ask", b"publisher", "ask")
    wanted = [part for name in (LLAMA, GEMMA, *NASTY, b"publisher") for part in (name, "ask")]
    assert lease(shard, "a", *wanted) == [1, 0, *[1] * len(NASTY), 0]
    assert lease(shard, "b", GEMMA, "keep", LLAMA, "keep", b"publisher", "drop") == [2, 0, 0]
    assert lease(shard, "a", b"publisher", "ask") == [1]


def test_a_lease_ends_unless_it_is_renewed(shard: Shard) -> None:
    lease(shard, "a", LLAMA, "ask", life=50)
    lease(shard, "a", GEMMA, "ask", life=50)
    lease(shard, "a", GEMMA, "keep")
    eventually(lambda: lease(shard, "b", LLAMA, "ask") == [1], "the lease has ended")
    assert lease(shard, "b", GEMMA, "ask") == [0]
    assert shard.client.pttl(shard.key(b"lw:" + GEMMA)) <= 2000
