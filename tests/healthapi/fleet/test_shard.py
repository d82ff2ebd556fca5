from __future__ import annotations

import msgspec
import pytest

from breaker.fleet import Share
from healthapi.fleet import shard as shards
from healthapi.fleet.entries import of_delta
from healthapi.fleet.shard import Frozen, Shard, payload
from tests.healthapi.samples import NOW, delta, outcome


def filled(*minutes: int) -> Shard:
    made = Shard()
    for minute in minutes:
        made.waiting.add(delta(outcome(at=NOW + 60 * minute)))
    return made


def share() -> Share:
    return Share("groq", "llama", 0, (1, 2, 0, 0, 0), (), 6.0, "busy")


def entries(batch: Frozen) -> list[int]:
    """The minutes of a batch's entries."""
    return [entry[3] - NOW // 60 for entry in msgspec.msgpack.decode(batch.entries, strict=False)]


def sent(made: Shard, now: float = 0.0, most: int = 100) -> Frozen:
    batch = made.next(most)
    assert batch is not None
    made.took(now)
    return batch


def test_nothing_to_tell() -> None:
    made = Shard()
    assert (made.next(10), made.idle, len(made)) == (None, True, 0)
    assert payload(None, lambda _: 0) == b""


def test_a_batch_stays_what_it_is_until_it_was_taken() -> None:
    made = filled(0)
    first = made.next(10)
    assert first is not None
    made.waiting.add(delta(outcome(at=NOW + 60)))
    again = made.next(10)
    assert again is first
    assert (first.number, entries(first), len(made)) == (1, [0], 2)
    made.took(5.0)
    assert (made.acknowledged, made.heard) == (1, 5.0)
    second = made.next(10)
    assert second is not None
    assert (second.number, entries(second)) == (2, [1])


def test_windows_go_along_with_the_first_sending_alone() -> None:
    made = filled(0)
    made.shares.append(share())
    batch = made.next(10)
    assert batch is not None
    _, windows = msgspec.msgpack.decode(payload(batch, lambda _: 4))
    assert windows == [["tgroq\nllama", 6000, 4, [1, 2, 0, 0, 0], [], "busy"]]
    again = made.next(10)
    assert again is not None
    assert msgspec.msgpack.decode(payload(again, lambda _: 4))[1] == []


def test_many_windows_go_in_several_batches() -> None:
    made = Shard()
    made.shares += [share()] * 5
    first = made.next(1)
    assert first is not None
    assert (len(first.shares), len(made.shares), made.idle) == (2, 3, False)
    made.took(0.0)
    second = made.next(1)
    assert second is not None
    assert (second.number, len(second.shares)) == (2, 2)


def test_windows_alone_are_a_batch() -> None:
    made = Shard()
    made.shares.append(share())
    assert not made.idle
    assert sent(made).size == 0
    assert made.behind(0) == 0
    again = made.next(10)
    assert again is not None
    assert (entries(again), again.shares) == ([], [])


def test_what_a_server_forgot_is_sent_again_in_order_before_what_is_new() -> None:
    made = filled()
    for minute in range(4):
        made.waiting.add(delta(outcome(at=NOW + 60 * minute)))
        sent(made)
    made.waiting.add(delta(outcome(at=NOW + 240)))
    new = made.next(10)
    assert made.behind(2) == 0
    assert made.acknowledged == 2
    again = [sent(made) for _ in range(3)]
    assert [(batch.number, entries(batch)) for batch in again] == [(3, [2]), (4, [3]), (5, [4])]
    assert again[2] is new
    assert made.acknowledged == 5


@pytest.mark.parametrize("how", ["too long ago", "too much"])
def test_what_is_not_remembered_is_said_to_be_lost(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled()
    for minute in range(3):
        made.waiting.add(delta(outcome(at=NOW + 60 * minute)))
        sent(made, now=minute * (100.0 if how == "too long ago" else 0.0))
        if how == "too much":
            monkeypatch.setattr(shards, "REMEMBERED_BYTES", 100)
    assert made.behind(0) == 2
    assert entries(sent(made, 300.0)) == [2]


def test_beginning_again_forgets_what_was_to_be_told_and_tells_everything() -> None:
    made = filled(0, 1)
    sent(made, most=1)
    made.next(1)
    made.shares.append(share())
    made.begin_again([of_delta(delta(outcome(at=NOW + 60 * minute))) for minute in range(5)])
    assert (made.acknowledged, len(made), made.shares) == (0, 5, [])
    told = [entries(sent(made, most=2)) for _ in range(3)]
    assert told == [[0, 1], [2, 3], [4]]
    assert made.acknowledged > 0
