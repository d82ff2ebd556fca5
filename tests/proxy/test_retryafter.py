from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.retryafter import LONGEST, retry_after, seconds_of

NOW = 1_760_000_000.0
DATE = b"Thu, 09 Oct 2025 08:53:20 GMT"  # NOW


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1", 1.0),
        ("1.5", 1.5),
        ("0", 0.0),
        (".5", 0.5),
        ("3.", 3.0),
        (" 7 ", 7.0),
        ("20ms", 0.02),
        ("6m0s", 360.0),
        ("1m30s", 90.0),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1d", 86400.0),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("5ns", 5e-9),
        *(
            (text, None)
            for text in ("", "-1", "+1", "1e3", "nan", "inf", "0x10", "s", "1 s", "1w", "1m-3s", "٣", "9" * 16)
        ),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds, abs=1e-12))


@pytest.mark.parametrize(
    ("headers", "asked", "seconds"),
    [
        ({}, None, None),
        ({}, 4.0, 4.0),
        ({b"retry-after": b"5"}, None, 5.0),
        ({b"retry-after": b"0.5"}, None, 0.5),
        ({b"retry-after": b"5"}, 4.0, 5.0),
        ({b"retry-after": b"soon"}, 4.0, 4.0),
        ({b"retry-after": b"soon"}, None, None),
        ({b"retry-after": b"-5"}, None, None),
        ({b"retry-after": b"99999999999"}, None, LONGEST),
        ({b"retry-after": b"Thu, 09 Oct 2025 08:53:50 GMT"}, None, 30.0),
        ({b"retry-after": b"Thursday, 09-Oct-25 08:53:50 GMT"}, None, 30.0),
        ({b"retry-after": b"Thu, 09 Oct 2025 08:53:10 GMT"}, None, 0.0),
        ({b"retry-after": b"Thu, 99 Oct 2025 08:53:10 GMT"}, None, None),
        ({b"retry-after": b"Thu, 09 Oct 2025 08:54:50 GMT", b"date": b"Thu, 09 Oct 2025 08:54:20 GMT"}, None, 30.0),
        ({b"retry-after": b"Thu, 09 Oct 2025 08:53:50 GMT", b"date": b"nonsense"}, None, 30.0),
        ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, None, 1.5),
        ({b"retry-after-ms": b"1500.5"}, None, 1.5005),
        ({b"retry-after-ms": b"x", b"retry-after": b"2"}, None, 2.0),
        ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"20ms"}, None, 0.02),
        (
            {
                b"x-ratelimit-remaining-requests": b"99",
                b"x-ratelimit-reset-requests": b"8h",
                b"x-ratelimit-remaining-tokens": b"0",
                b"x-ratelimit-reset-tokens": b"6m0s",
            },
            None,
            360.0,
        ),
        (
            {
                b"x-ratelimit-remaining-requests": b"0",
                b"x-ratelimit-reset-requests": b"1m",
                b"x-ratelimit-remaining-tokens": b"0.0",
                b"x-ratelimit-reset-tokens": b"2s",
            },
            None,
            60.0,
        ),
        ({b"x-ratelimit-remaining-requests-day": b"0", b"x-ratelimit-reset-requests-day": b"33011.38"}, None, 33011.38),
        ({b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"1760000042"}, None, 42.0),
        ({b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"1760000042000"}, None, 42.0),
        ({b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"1750000000"}, None, 0.0),
        ({b"x-ratelimit-remaining": b"0"}, None, None),
        ({b"x-ratelimit-remaining": b"none", b"x-ratelimit-reset": b"5"}, None, None),
        ({b"x-ratelimit-reset-requests": b"5s"}, None, None),
        ({b"retry-after": b"3", b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"50"}, None, 3.0),
    ],
)
def test_how_long_a_provider_asks_to_be_left_alone(
    headers: dict[bytes, bytes], asked: float | None, seconds: float | None
) -> None:
    found = retry_after(headers, asked, NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_date_used_in_these_tests() -> None:
    assert retry_after({b"retry-after": DATE}, None, NOW - 7) == 7.0


@pytest.mark.parametrize(
    "headers",
    [{b"retry-after": DATE}, {b"x-ratelimit-remaining": b"0", b"x-ratelimit-reset": b"1760000042"}],
)
def test_a_moment_says_nothing_without_a_clock(headers: dict[bytes, bytes]) -> None:
    assert retry_after(headers, None, None) is None
    assert retry_after({**headers, b"date": DATE}, None, None) is not None


VALUES = st.one_of(
    st.binary(max_size=40),
    st.text("0123456789.msdh-+ GMTOct,:", max_size=30).map(str.encode),
    st.just(b"0"),
    st.just(b"Thu, 09 Oct 0000 08:53:50 +9999"),
)
NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"date",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
        b"x-ratelimit-remaining-x",
    ]
)


@given(headers=st.dictionaries(NAMES, VALUES, max_size=6))
@settings(max_examples=400, deadline=None)
def test_no_header_raises_or_asks_for_the_impossible(headers: dict[bytes, bytes]) -> None:
    found = retry_after(headers, None, NOW)
    assert found is None or 0 <= found <= LONGEST
