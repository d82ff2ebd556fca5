from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi import offers
from healthapi.offers import DAY, NOTHING, Offer, failed, gone, spellings, stands

NOW = 1_767_225_600.0
NEVER: Mapping[str, float | None] = {}


def read(
    before: Offer, names: Sequence[str], tracked: Mapping[str, float | None], now: float, *, whole: bool = True
) -> Offer:
    """What is known after a list was read, while these models are tracked."""
    spelt = spellings(names)
    absent = {model: success for model, success in tracked.items() if not stands(spelt, model)}
    return offers.read(before, names, absent, now, whole=whole)


def after(*lists: list[str], tracked: Mapping[str, float | None] = NEVER, step: float = DAY) -> Offer:
    """What is known after these lists were read, one a day, the first of them at `NOW`."""
    offer = NOTHING
    for number, names in enumerate(lists):
        offer = read(offer, names, tracked, NOW + number * step)
    return offer


def test_what_is_not_on_the_list_is_delisted() -> None:
    offer = after(["a", "b"], tracked={"a": None, "c": None})
    assert (offer.delisted, offer.missing, offer.read_at, offer.suspicious) == ({"c": NOW}, {}, NOW, False)
    assert not gone(offer, "a", None)
    assert gone(offer, "c", None)
    assert not gone(offer, "never heard of", None)


def test_what_comes_back_is_offered_again() -> None:
    assert after(["a"], ["a", "c"], tracked={"c": None}).delisted == {}
    assert after(["a"], ["a", "c"], ["a"], tracked={"c": None}).delisted == {"c": NOW + 2 * DAY}


def test_the_first_list_without_it_is_when_it_went() -> None:
    assert after(["a"], ["a"], ["a", "b"], tracked={"c": None}).delisted == {"c": NOW}


@pytest.mark.parametrize("names", [[], ()])
def test_an_empty_list_delists_nothing_and_forgets_nothing(names: list[str]) -> None:
    before = after(["a", "b"], tracked={"a": None, "c": None})
    offer = read(before, names, {"a": None, "b": None, "c": None, "d": None}, NOW + 5)
    assert (offer.delisted, offer.names, offer.read_at) == (before.delisted, before.names, NOW)
    assert (offer.tried_at, offer.problem) == (NOW + 5, "the list is empty")


def test_a_list_that_cannot_be_read_changes_nothing_but_what_is_said_of_it() -> None:
    before = after(["a"], tracked={"c": None})
    offer = failed(before, "503: overloaded", NOW + 5)
    assert (offer.delisted, offer.names, offer.read_at) == (before.delisted, before.names, NOW)
    assert (offer.tried_at, offer.problem) == (NOW + 5, "503: overloaded")
    assert read(offer, ["a", "c"], {"c": None}, NOW + 6).problem is None


def test_a_list_that_was_read_in_part_speaks_only_for_models() -> None:
    before = after(["a", "c"], ["a"], tracked={"c": None, "d": None})
    assert before.delisted.keys() == {"c", "d"}
    offer = read(before, ["x", "d"], {"a": None, "c": None, "d": None}, NOW + 5, whole=False)
    assert offer.delisted.keys() == {"c"}
    assert (offer.whole, offer.problem, offer.read_at) == (False, None, NOW + 5)
    assert read(offer, ["d"], {"a": None, "d": None}, NOW + 6).whole


TEN = [f"m{number}" for number in range(10)]


def test_a_list_that_shrinks_to_less_than_half_is_believed_the_second_time() -> None:
    tracked: dict[str, float | None] = {"m9": None, "m0": None}
    first = after(TEN, TEN[:4], tracked=tracked)
    assert (first.suspicious, first.delisted, first.missing) == (True, {}, {"m9": NOW + DAY})
    second = after(TEN, TEN[:4], TEN[:4], tracked=tracked)
    assert (second.suspicious, second.delisted, second.missing) == (False, {"m9": NOW + DAY}, {})
    assert after(TEN, TEN[:4], TEN, tracked=tracked) == read(
        after(TEN, TEN[:4], tracked=tracked), TEN, tracked, NOW + 2 * DAY
    )
    assert after(TEN, TEN[:4], TEN, tracked=tracked).delisted == {}
    assert after(TEN, TEN[:5], tracked=tracked).delisted == {"m9": NOW + DAY}, "half is not less than half"


def test_shrinking_again_and_again_keeps_what_went_before() -> None:
    offer = after(TEN, TEN[:9], TEN[:4], tracked={"m9": None, "m8": None})
    assert (offer.suspicious, offer.delisted, offer.missing) == (True, {"m9": NOW + DAY}, {"m8": NOW + 2 * DAY})


def test_a_model_that_answers_is_offered_whatever_the_list_says() -> None:
    offer = after(["a"], tracked={"c": NOW - 1})
    assert gone(offer, "c", NOW - 1)
    assert not gone(offer, "c", NOW + 1)
    again = read(offer, ["a"], {"c": NOW + 1}, NOW + DAY)
    assert not gone(again, "c", NOW + 1), "the next list without it proves nothing"
    silent = read(again, ["a"], {"c": NOW + 1}, NOW + DAY + 2)
    assert gone(silent, "c", NOW + 1), "but after a day without a success it does"
    assert silent.delisted["c"] == NOW + DAY + 2


def test_what_is_new() -> None:
    assert after(["a", "b"]).new == frozenset(), "of the first list nothing is known to be new"
    assert after(["a", "b"], ["b", "c", "d"]).new == {"c", "d"}
    assert after(["a", "b"], ["b", "c"], ["b", "c"]).new == frozenset()


def test_what_is_no_longer_tracked_is_no_longer_told_of() -> None:
    assert read(after(["a"], tracked={"c": None}), ["a"], {}, NOW + DAY).delisted == {}


@pytest.mark.parametrize(
    ("listed", "model", "there"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "GPT-4o", True),
        ("gpt-4o", "gpt-4", False),
        ("meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.3-70b-instruct:nitro", True),
        ("meta-llama/llama-3.3-70b-instruct:free", "meta-llama/llama-3.3-70b-instruct:free", True),
        ("meta-llama/llama-3.3-70b-instruct:free", "meta-llama/llama-3.3-70b-instruct", False),
        ("meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.3-70b-instruct:free", False),
        ("gemini-2.0-flash", "models/gemini-2.0-flash", True),
        ("gemini-2.0-flash", "models/gemini-2.0-pro", False),
        ("llama3.3", "llama3.3:70b", False),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest", True),
        ("claude-opus-4-1-20250805", "claude-opus-4-1", True),
        ("claude-3-5-sonnet-20241022", "claude-3-5-sonnet-20240620", False),
        ("a", "b\udcff", False),
        ("a", "", False),
    ],
)
def test_under_which_names_a_model_stands_on_a_list(listed: str, model: str, there: bool) -> None:
    assert stands(spellings([listed, "something:else"]), model) is there


def test_in_a_list_without_variants_they_are_a_router_s() -> None:
    """As at Hugging Face, where any provider's name may stand behind the model's."""
    spelt = spellings(["Qwen/Qwen3-32B"])
    assert stands(spelt, "Qwen/Qwen3-32B:groq")
    assert not stands(spelt, "Qwen/Qwen3-8B:groq")


@given(
    st.lists(st.lists(st.sampled_from(TEN), max_size=10), max_size=8),
    st.dictionaries(st.sampled_from([*TEN, "x"]), st.none() | st.floats(NOW - DAY, NOW + 9 * DAY), max_size=8),
)
def test_whatever_is_read(lists: list[list[str]], tracked: dict[str, float | None]) -> None:
    offer = NOTHING
    for number, names in enumerate(lists):
        before, offer = offer, read(offer, names, tracked, NOW + number * DAY)
        assert not offer.missing.keys() & offer.delisted.keys()
        assert (offer.missing.keys() | offer.delisted.keys()) <= tracked.keys() - offer.names
        assert all(at <= NOW + number * DAY for at in offer.delisted.values())
        fresh = offer.delisted.keys() - before.delisted.keys()
        if not names:
            assert not fresh
        if offer.suspicious:
            assert fresh <= before.missing.keys()
        assert offer.delisted.keys() & before.names <= fresh, "what was there just before has just gone"
