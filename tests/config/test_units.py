from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.units import LARGEST, LONGEST, parse_duration, parse_size, show_duration, show_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d", 86400), ("1.5s", 1.5), ("0", 0), ("0s", 0),
     ("1m1s1ms", 61.001), ("2m30s", 150)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("30", 'no unit; did you mean "30s"?'),
        ("", "is not a duration"),
        ("s", "is not a duration"),
        ("30 s", "is not a duration"),
        ("-1s", "is not a duration"),
        ("30m1h", "is not a duration"),
        ("1s1s", "is not a duration"),
        ("inf", "is not a duration"),
        ("1e3s", "is not a duration"),
        ("٣s", "is not a duration"),
        ("400d", "longer than 366d"),
        ("9" * 15 + "h", "longer than"),
        ("1s\n", "is not a duration"),
    ],
)
def test_what_is_no_duration(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"has no unit|is not|longer") as caught:
        parse_duration(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "250ms"), (30, "30s"), (90, "1m30s"), (5400, "1h30m"), (86400, "1d"), (1.5, "1.5s")],
)
def test_shown_durations(seconds: float, text: str) -> None:
    assert show_duration(seconds) == text


@given(st.integers(0, int(LONGEST) * 10))
def test_a_shown_duration_reads_back(tenths: int) -> None:
    assert parse_duration(show_duration(tenths / 10)) == pytest.approx(tenths / 10, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64KiB", 65536), ("8MiB", 8 << 20), ("1GiB", 1 << 30), ("10MB", 10**7), ("1kB", 1000), ("512", 512), ("0", 0),
     ("1.5KiB", 1536), ("10 B", 10)],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64KB/s", "is not a size"),
        ("8Mib", "is not a size"),
        ("", "is not a size"),
        ("-1", "is not a size"),
        ("1.0001KiB", "whole number of bytes"),
        ("9999999GiB", "larger than"),
    ],
)
def test_what_is_no_size(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_size(text)


@given(st.integers(0, LARGEST))
def test_a_shown_size_reads_back(size: int) -> None:
    assert parse_size(show_size(size)) == size
