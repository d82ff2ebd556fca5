from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bounded import LIMIT, RUN, Pile, bounded


def piled(*pieces: bytes) -> bytes:
    pile = Pile()
    for piece in pieces:
        pile.add(piece)
    return pile.take()


def test_what_is_small_stays_as_it_is() -> None:
    data = b"x" * LIMIT
    assert bounded(data) is data
    assert piled(data[:-1], b"x") == data


def test_long_runs_are_shortened_and_json_stays_json() -> None:
    document = {"a": [1, "x" * 400_000, {"b": "iVBOR/+" * 100_000}], "reason": "STOP"}
    short = bounded(json.dumps(document).encode())
    assert len(short) < 3 * RUN
    assert json.loads(short) == {"a": [1, "x" * RUN, {"b": ("iVBOR/+" * 1000)[:RUN]}], "reason": "STOP"}


def test_what_is_still_too_long_is_cut() -> None:
    assert bounded(b"a word " * 50_000) == (b"a word " * 50_000)[:LIMIT]


def test_a_pile_starts_afresh_after_take() -> None:
    pile = Pile()
    pile.add(b"x " * LIMIT)
    assert len(pile.take()) == LIMIT
    pile.add(b"a")
    assert (pile.size, pile.take(), pile.take()) == (1, b"a", b"")


CHUNK = st.builds(
    lambda unit, size: unit * size,
    st.sampled_from([b"x", b"word ", b'"', b"ab\\", b"{", b"y" * RUN + b" ", b"z" * (RUN + 1) + b":"]),
    st.sampled_from([1, 7, 300, 1023, 1024, 1025, 60_000, 140_000]),
)


@given(chunks=st.lists(CHUNK, max_size=8), cuts=st.lists(st.integers(0, 1_000_000), max_size=6))
@settings(max_examples=40, deadline=None)
def test_pieces_never_matter(chunks: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(chunks)[: 2 * LIMIT]
    places = sorted(cut % (len(whole) + 1) for cut in cuts)
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    short = bounded(whole)
    assert piled(*pieces) == short
    assert len(short) <= LIMIT
    assert bounded(short) == short


@pytest.mark.parametrize("tail", [b"x", b"ab ", b"y" * 50])
def test_many_small_pieces_behind_a_full_pile_cost_little(tail: bytes) -> None:
    pile = Pile()
    pile.add(b"word " * (LIMIT // 5 - 300))
    for _ in range(50_000):
        pile.add(tail)
    assert pile.size == len(b"word ") * (LIMIT // 5 - 300) + 50_000 * len(tail)
    assert len(pile.take()) <= LIMIT
