from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from healthapi.fleet.keys import SHARDS, identity, names, prefix, shard

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates too
PROVIDERS = ANY_TEXT.filter(lambda name: "\n" not in name)


@given(PROVIDERS, ANY_TEXT | st.none())
def test_an_identity_gives_its_names_back(provider: str, model: str | None) -> None:
    assert names(identity(provider, model)) == (provider, model)


@given(st.lists(st.tuples(PROVIDERS, ANY_TEXT | st.none()), max_size=10, unique=True))
def test_no_two_have_the_same_identity(found: list[tuple[str, str | None]]) -> None:
    assert len({identity(*one) for one in found}) == len(found)


@pytest.mark.parametrize("raw", [b"", b"x", b"tgroq", b"xgroq\nllama"])
def test_what_is_no_identity_has_no_names(raw: bytes) -> None:
    with pytest.raises(ValueError, match="neither"):
        names(raw)


def test_bytes_that_are_no_text_have_no_names() -> None:
    with pytest.raises(ValueError, match="decode"):
        names(b"t\xff\n")


@given(ANY_TEXT.map(lambda model: identity("groq", model)))
def test_a_shard_is_one_of_those_there_are(name: bytes) -> None:
    assert 0 <= shard(name) < SHARDS


def test_shards_are_what_they_were() -> None:
    """What is stored is found again by the next release."""
    assert [shard(identity("groq", model)) for model in ("llama", "a/b", "")] == [45, 13, 10]
    assert shard(identity("groq", None)) == 20
    assert prefix("default", 7) == b"detour:{default:07}:"


def test_shards_are_used_alike() -> None:
    used = [shard(identity("groq", f"model-{number}")) for number in range(6400)]
    assert max(map(used.count, range(SHARDS))) < 200


def test_all_keys_of_a_shard_are_in_one_slot_and_shards_in_many() -> None:
    assert key_slot(prefix("f", 3) + b"x}y{z}") == key_slot(prefix("f", 3) + b"t")
    assert len({key_slot(prefix("default", number)) for number in range(SHARDS)}) == SHARDS
