"""What callers ask of Detour itself."""

from __future__ import annotations

import pytest

from proxy.answers import RefusedError
from proxy.errand import Errand
from proxy.headers import scan
from proxy.probe import Asks
from proxy.wishes import NONE, Wishes, wishes


def read(**fields: str) -> Wishes:
    return wishes(
        scan([(b"Host", b"a"), *((name.replace("_", "-").encode(), v.encode()) for name, v in fields.items())])
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, NONE),
        ({"x_detour_token": "t"}, NONE),
        ({"x_detour_route": "off"}, Wishes(stay=True)),
        ({"X_Detour_Route": " OFF "}, Wishes(stay=True)),
        ({"x_detour_route": "on"}, NONE),
        ({"x_detour_deadline_ms": "2500"}, Wishes(deadline=2.5)),
        ({"x_detour_deadline_ms": "0.5"}, Wishes(deadline=0.0005)),
        ({"x_stainless_read_timeout": "600"}, Wishes(patience=599.75)),
        ({"X_Stainless_Timeout": "20"}, Wishes(patience=19.75)),
        ({"x_stainless_timeout": "20", "x_stainless_read_timeout": "5"}, Wishes(patience=4.75)),
        ({"x_stainless_timeout": "0", "x_stainless_read_timeout": "5"}, Wishes(patience=4.75)),
        ({"x_stainless_timeout": "0"}, NONE),
        ({"x_stainless_timeout": "0.1"}, NONE),
        ({"x_stainless_timeout": "0.5"}, Wishes(patience=0.25)),
        ({"x_stainless_timeout": "0.1", "x_stainless_read_timeout": "5"}, Wishes(patience=4.75)),
        ({"x_stainless_timeout": "soon"}, NONE),
        ({"x_stainless_timeout": "1e9"}, NONE),
        ({"x_stainless_timeout": "1.2.3"}, NONE),
        ({"x_stainless_timeout": "-5"}, NONE),
        ({"x_stainless_timeout": "9" * 30}, NONE),
        ({"x_stainless_timeout": ""}, NONE),
        ({"x_stainless_os": "Linux", "x_stainless_retry_count": "0"}, NONE),
    ],
)
def test_fields(fields: dict[str, str], expected: Wishes) -> None:
    assert read(**fields) == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"x_detour_deadline_ms": "soon"}, "x-detour-deadline-ms"),
        ({"x_detour_deadline_ms": "0"}, "x-detour-deadline-ms"),
        ({"x_detour_deadline_ms": "-1"}, "x-detour-deadline-ms"),
        ({"x_detour_deadline_ms": "nan"}, "x-detour-deadline-ms"),
        ({"x_detour_deadline_ms": "86400001"}, "x-detour-deadline-ms"),
        ({"x_detour_route": "away"}, "x-detour-route"),
        ({"x_detour_route": ""}, "x-detour-route"),
    ],
)
def test_nonsense_is_refused_by_name(fields: dict[str, str], named: str) -> None:
    with pytest.raises(RefusedError) as refused:
        read(**fields)
    assert refused.value.refusal.status == 400
    assert named in refused.value.refusal.message


def test_a_word_tells_a_probe_of_ours_while_it_is_out() -> None:
    one, other = (Errand("m", Asks.GENERATION, 1.0) for _ in range(2))
    out = {b"abc": one, b"def": other}
    fields = [(b"Host", b"a"), (b"X-Detour-Probe", b"def"), (b"x-detour-deadline-ms", b"nonsense")]
    assert wishes(scan(fields), out) == Wishes(stay=True, errand=other)


@pytest.mark.parametrize("word", [b"", b"ab", b"abcd", b"ABC", b"abc, abc", b"*", b"\xff"])
def test_a_word_nobody_gave_means_nothing(word: bytes) -> None:
    fields = [(b"Host", b"a"), (b"x-detour-probe", word)]
    assert wishes(scan(fields), {b"abc": Errand("m", Asks.GENERATION, 1.0)}) == NONE
    assert wishes(scan(fields)) == NONE
