from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthapi.record import Sums
from healthapi.text import clean, duration, iso, mean_milliseconds, milliseconds, percent


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, None),
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_767_225_600.0, "2026-01-01T00:00:00.000Z"),
        (1_767_225_599.9994, "2025-12-31T23:59:59.999Z"),
        (1_767_225_599.9996, "2026-01-01T00:00:00.000Z"),
        (1_767_225_600.0625, "2026-01-01T00:00:00.062Z"),
        (-0.25, "1969-12-31T23:59:59.750Z"),
    ],
)
def test_times_are_iso_8601_in_utc_with_milliseconds(at: float | None, text: str | None) -> None:
    assert iso(at) == text


@pytest.mark.parametrize(("seconds", "shown"), [(None, None), (0.0, 0.0), (0.1, 100.0), (1.2345678, 1234.568)])
def test_milliseconds(seconds: float | None, shown: float | None) -> None:
    assert milliseconds(seconds) == shown


def test_the_mean_of_nothing_is_null() -> None:
    assert mean_milliseconds(Sums()) is None
    assert mean_milliseconds(Sums(4, 1, 2.0)) == 500.0


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_cleaned_text_can_always_be_encoded(text: str) -> None:
    assert len(clean(text).encode()) >= len(text)


@pytest.mark.parametrize(("text", "cleaned"), [("llama", "llama"), ("モデル", "モデル"), ("a\udcffb", "a?b")])
def test_only_lone_surrogates_are_replaced(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (0.0, "0.0%"),
        (92.3, "92.3%"),
        (100 * 14 / 15, "93.3%"),
        (99.94, "99.9%"),
        (99.96, "99.9%"),
        (100.0, "100.0%"),
    ],
)
def test_percentages(value: float | None, shown: str | None) -> None:
    assert percent(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (0.2, "0ms"),
        (850.0, "850ms"),
        (999.4, "999ms"),
        (999.6, "1.0s"),
        (2500.0, "2.5s"),
        (61000.0, "61.0s"),
    ],
)
def test_durations(value: float | None, shown: str | None) -> None:
    assert duration(value) == shown
