"""A body without its longest strings says the same as the body with them."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL
from proxy.abridge import FILLER, LARGE, LONG, abridged
from proxy.paths import CHAT
from proxy.peek import peek


class Long(str):
    """A string that is told of in short."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} times {self[:2]!r}>"


LONG_TEXTS = st.builds(
    lambda unit, size: Long(unit * (size // len(unit))),
    st.sampled_from(["x", "\\", '"', 'x"', '\\"', "é", "\n", "{", "a\\"]),
    st.sampled_from([LONG - 3, LONG // 2, 2 * LONG, LARGE]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | LONG_TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def differences(found: Any, value: Any) -> list[tuple[Any, Any]]:
    """What is not the same in both."""
    if isinstance(value, list):
        return [one for pair in zip(found, value, strict=True) for one in differences(*pair)]
    if isinstance(value, dict):
        assert found.keys() == value.keys()
        return [one for name in value for one in differences(found[name], value[name])]
    return [] if found == value else [(found, value)]


def long(value: Any) -> int:
    """How many strings of it are to be shortened."""
    if isinstance(value, dict | list):
        return sum(map(long, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and len(json.dumps(value)) - 1 > LONG


@given(VALUES)
def test_it_is_the_same_json_with_long_strings_shortened(value: Any) -> None:
    body = json.dumps({"a": value}).encode()
    blank = b" " * (1 << 20)  # so that quotes are looked at for a while
    found = json.loads(abridged(body + blank))["a"]
    changed = differences(found, value)
    assert all(short == FILLER.decode() and long(whole) for short, whole in changed)
    if body.count(b'"') <= 100:
        assert len(changed) == long(value)


@given(st.lists(st.sampled_from([b'"', b"\\", b"x" * LONG, b"{", b":", b'":"', b"\xff", b" " * LARGE])))
def test_any_bytes_keep_their_order_and_lose_only_what_is_between_quotes(parts: list[bytes]) -> None:
    body = b"".join(parts)
    found = abridged(body)
    assert len(found) <= len(body)
    pieces = found.split(b'"' + FILLER + b'"')
    at = 0
    for piece in pieces:
        at = body.find(piece, at)
        assert at >= 0
        at += len(piece)


def test_a_picture_before_and_behind_the_model() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 20_000
    for fields in (
        {"model": "m", "messages": [{"content": picture}, {"content": picture}], "stream": True},
        {"messages": [{"content": picture}, {"content": picture}], "stream": True, "model": "m"},
    ):
        body = json.dumps(fields).encode()
        assert len(abridged(body)) < 200
        found = peek(CHAT, "/v1/chat/completions", b"application/json", body)
        assert (found.model, found.stream) == ("m", True)
        assert peek(CHAT, "/v1/chat/completions", b"application/json", bytearray(body)) == found


def test_a_field_that_is_looked_at_and_far_too_long() -> None:
    long = "y" * LARGE
    found = peek(CHAT, "/v1/x", b"application/json", json.dumps({"model": long, "reasoning": long}).encode())
    assert found.model == NO_MODEL
    assert found.reasoning


@pytest.mark.parametrize("unit", [b'"', b'\\"', b"\\\\", b'"\\', b'":"', b'x"' + b"\\" * 999])
def test_hostile_bodies_are_left_after_a_bounded_number_of_quotes(unit: bytes) -> None:
    body = b'{"model":"m","x":"' + unit * ((8 << 20) // len(unit))
    looked = 0

    class Counting(bytearray):
        def find(self, *arguments: Any) -> int:
            nonlocal looked
            looked += 1
            return super().find(*arguments)

    abridged(Counting(body))
    assert looked <= len(body) // 8192


def test_what_a_long_string_hides_is_not_taken_for_a_field() -> None:
    text = '","model":"other","x":"' * 10_000
    rows = [random.Random(1).choice(["a", "b"]) for _ in range(10)]
    body = json.dumps({"model": "m", "rows": rows, "text": text}).encode()
    assert peek(CHAT, "/v1/x", b"application/json", body).model == "m"
