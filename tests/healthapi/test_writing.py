from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType, field

from healthapi import writing
from healthapi.answer import Rows


class Row(Struct):
    name: str
    seen: float | None = None


class Made(Struct):
    timestamp: str
    by: str


class Document(Struct):
    rows: list[Row]
    named: dict[str, Row]
    again: list[Row]
    metadata: Made
    from_: str = field(name="from", default="f")
    maybe: str | UnsetType = UNSET


class Nothing(Struct):
    maybe: str | UnsetType = UNSET


class Bare(Struct, omit_defaults=True):
    a: int = 1
    b: int = 2


def document(count: int, timestamp: str = "now", **more: Any) -> Document:
    rows = [Row(f"é{number}", number / 7) for number in range(count)]
    return Document(
        **{"rows": rows, "named": {row.name: row for row in rows}, "again": rows, "metadata": Made(timestamp, "me")}
        | more
    )


SIZES = [0, 1, writing.SLICE - 1, writing.SLICE, writing.SLICE + 1, 3 * writing.SLICE, 500]


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("moving", [(), ("metadata.timestamp",), ("metadata",), ("rows", "from")])
async def test_a_document_is_what_one_go_would_make_of_it(count: int, moving: tuple[str, ...]) -> None:
    made = document(count)
    assert (await writing.as_json(made, moving)).body == msgspec.json.encode(made)


@pytest.mark.parametrize("made", [Nothing(), Nothing("x"), Bare(), Bare(3), Made("t", "b")])
async def test_whatever_struct_it_is(made: Struct) -> None:
    assert (await writing.as_json(made)).body == msgspec.json.encode(made)


@given(st.lists(st.text(max_size=5), max_size=60), st.integers(1, 60))
def test_any_list(names: list[str], copies: int) -> None:
    made = document(0, rows=[Row(name) for name in names * copies], again=[Row("x")])
    assert asyncio.run(writing.as_json(made)).body == msgspec.json.encode(made)


@pytest.mark.parametrize("count", [2, 100])
async def test_the_digest_leaves_out_what_moves_and_nothing_else(count: int) -> None:
    moving = ("metadata.timestamp",)

    async def digest(made: Document, moving: tuple[str, ...] = moving) -> str:
        return (await writing.as_json(made, moving)).digest

    first = await digest(document(count))
    assert await digest(document(count, "later")) == first
    assert await digest(document(count, "later"), ()) != await digest(document(count), ())
    for other in (
        document(count + 1),
        document(count, metadata=Made("now", "you")),
        document(count, from_="g"),
        document(count, maybe="x"),
        document(count, again=[]),
        document(count, rows=[Row("other")]),
    ):
        assert await digest(other) != first


async def test_others_have_turns_meanwhile() -> None:
    for what in (writing.as_json(document(20_000)), writing.as_csv(document(20_000), Rows("rows"))):
        turns = 0
        job = asyncio.ensure_future(what)
        while not job.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns > 3
        assert len(job.result().body) > 100_000


async def test_csv_has_a_line_for_each_row() -> None:
    body = (await writing.as_csv(document(300), Rows("rows"))).body
    assert body.count(b"\r\n") == 301
    assert body.startswith("name,seen\r\né0,0.0\r\n".encode())


async def test_a_name_that_is_no_text_takes_nothing_else_away() -> None:
    body = (await writing.as_csv(document(0, rows=[Row("a\udcff"), Row("b")]), Rows("rows"))).body
    assert body == b"name,seen\r\na?,\r\nb,\r\n"


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_digests_tell_bodies_apart(one: bytes, other: bytes) -> None:
    assert (writing.digest(one) == writing.digest(other)) == (one == other)


@pytest.mark.parametrize("count", SIZES)
async def test_the_digest_of_what_does_not_move_is_of_every_byte(count: int) -> None:
    for made in (await writing.as_json(document(count)), await writing.as_csv(document(count), Rows("rows"))):
        assert made.digest == writing.digest(bytes(made.body))
