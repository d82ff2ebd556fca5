from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.fleet import wire


@pytest.mark.parametrize("size", [0, 1, 31, 32, 255, 256, 65_535, 65_536, 100_000])
def test_bytes_go_as_the_only_kind_of_string_lua_reads(size: int) -> None:
    packed = msgspec.msgpack.encode(wire.binary(b"x" * size))
    assert msgspec.msgpack.decode(packed) == "x" * size


@given(st.text(max_size=300), st.lists(st.text(max_size=40), max_size=2))
def test_a_payload_is_its_entries_and_windows(name: str, models: list[str]) -> None:
    raw, raws = name.encode(), [model.encode() for model in models]
    entry = [31, "l", raw, 7, [1, 0, 0, 0, 0, 0, 9, [1, 1], []], 1, 2, 0, 9, False, 2, 0, 1]
    window = [raw, 6000, 3, (1, 0, 0, 0, 0), raws, "busy"]
    packed = wire.payload(wire.entries([entry]), wire.windows([window]))
    assert msgspec.msgpack.decode(packed) == [
        [[31, "l", name, *entry[3:]]],
        [[name, 6000, 3, [1, 0, 0, 0, 0], models, "busy"]],
    ]


def test_nothing_is_two_empty_lists() -> None:
    assert wire.payload(wire.entries([]), wire.windows([])) == b"\x92\x90\x90"
