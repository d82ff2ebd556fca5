from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.errors import Problem
from healthapi.parameters import MOST, Parameters


def message(query: str, ask: str, *args: object) -> str:
    with pytest.raises(Problem) as caught:
        getattr(Parameters(query), ask)(*args)
    assert (caught.value.status, caught.value.code) == (400, "bad_parameter")
    return caught.value.message


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("provider=groq", "groq"),
        ("", None),
        ("other=1", None),
        ("provider=", None),
        ("provider", None),
        ("provider=a%2Fb", "a/b"),
        ("provider=a+b", "a b"),
        ("provider=%ff", "\udcff"),
        ("provider=%00", "\x00"),
        ("provider=%zz", "%zz"),
        ("provider=a;b=c", "a;b=c"),
        ("&&provider=x&&", "x"),
    ],
)
def test_text(query: str, value: str | None) -> None:
    assert Parameters(query).text("provider") == value


def test_what_is_given_twice_is_refused() -> None:
    assert message("limit=1&limit=2", "integer", "limit", 100, 1, 1000) == "limit is given 2 times"


@pytest.mark.parametrize(
    ("query", "value"), [("", 100), ("limit=1", 1), ("limit=1000", 1000), ("limit=007", 7), ("limit=%2B5", 5)]
)
def test_integers(query: str, value: int) -> None:
    assert Parameters(query).integer("limit", 100, 1, 1000) == value


@pytest.mark.parametrize(
    "value",
    ["0", "1001", "-1", "", "abc", "1.5", "1e2", "1_0", "%201", "1%20", "0x10", "%D9%A3", "9" * 30, "nan", "+"],
)
def test_integers_out_of_bounds_or_shape(value: str) -> None:
    assert message(f"limit={value}", "integer", "limit", 100, 1, 1000).startswith(
        "limit is a whole number from 1 to 1000, not "
    )


def test_an_integer_without_an_upper_bound() -> None:
    assert Parameters(f"offset={10**17}").integer("offset", 0, 0) == 10**17
    assert message("offset=-1", "integer", "offset", 0, 0) == 'offset is a whole number of at least 0, not "-1"'


@pytest.mark.parametrize(
    ("query", "value"),
    [("", 0.2), ("t=0", 0.0), ("t=1", 1.0), ("t=.5", 0.5), ("t=1.", 1.0), ("t=0.25", 0.25), ("t=1e-05", 1e-05)],
)
def test_numbers(query: str, value: float) -> None:
    assert Parameters(query).number("t", 0.2, 0, 1) == value


@pytest.mark.parametrize(
    "value",
    [
        "1.01",
        "-0.1",
        "",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e",
        "e-3",
        "1e0x1",
        "0,5",
        "half",
        ".",
        "1_0",
        "%D9%A0.%D9%A5",
    ],
)
def test_numbers_out_of_bounds_or_shape(value: str) -> None:
    assert message(f"t={value}", "number", "t", 0.2, 0, 1).startswith("t is a number from 0 to 1, not ")


def test_choices() -> None:
    assert Parameters("status=error").choice("status", ("success", "error")) == "error"
    assert Parameters("").choice("status", ("success", "error")) is None
    assert (
        message("status=sucess", "choice", "status", ("success", "error"))
        == 'status is one of success, error, not "sucess"'
    )


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", 600.0), ("for=90s", 90.0), ("for=1h30m", 5400.0), ("for=250ms", 0.25), ("for=7d", 604800.0)],
)
def test_durations(query: str, seconds: float) -> None:
    assert Parameters(query).duration("for", 600.0, 604800.0) == seconds


@pytest.mark.parametrize("value", ["", "0", "0s", "10", "-1s", "1s ", "8d", "7d1ms", "inf", "9" * 400 + "d", "\udcff"])
def test_what_is_no_duration(value: str) -> None:
    with pytest.raises(Problem) as caught:
        Parameters(f"for={value}").duration("for", 600.0, 604800.0)
    assert caught.value.status == 400
    assert caught.value.message.startswith("for is a duration such as 90s or 10m, of at most 7d, not ")


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("", False),
        ("verbose", True),
        ("verbose=", True),
        ("verbose=1", True),
        ("verbose=true", True),
        ("verbose=0", False),
        ("verbose=False", False),
        ("verbose&verbose=no", False),
        ("verbosely", False),
    ],
)
def test_flags(query: str, value: bool) -> None:
    assert Parameters(query).flag("verbose") is value


def test_there_are_not_endlessly_many() -> None:
    Parameters("&".join(["a=1"] * MOST))
    with pytest.raises(Problem, match="more than 50"):
        Parameters("&".join(["a=1"] * (MOST + 1)))


def test_what_was_sent_is_shown_harmlessly() -> None:
    shown = message("limit=%1b%5b31m%0d%0a" + "x" * 500, "integer", "limit", 1, 1, 2)
    assert shown.isprintable()
    assert len(shown) < 200


@given(st.text())
def test_any_text_is_a_number_or_a_400(text: str) -> None:
    with contextlib.suppress(Problem):
        assert 1 <= Parameters("limit=" + text).integer("limit", 100, 1, 1000) <= 1000
    with contextlib.suppress(Problem):
        assert 0 <= Parameters("t=" + text).number("t", 0.2, 0, 1) <= 1
