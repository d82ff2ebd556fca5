from __future__ import annotations

import enum

import pytest

from config.kinds import BOOL, SECRET, Kind, choice, duration, header_name, number, size, text
from config.problems import shortened


class Word(enum.StrEnum):
    OFF = "off"
    HOLD = "hold"


class Plain(enum.StrEnum):
    FAIL = "fail"


WHOLE = number("n", whole=True, least=1, most=9)
SHARE = number("n", above=0, most=1)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (WHOLE, "3", 3),
        (SHARE, "0.5", 0.5),
        (SHARE, "1", 1.0),
        (duration(), "1s", 1.0),
        (duration(zero=True), "0", 0.0),
        (size(least=2), "2", 2),
        (BOOL, "true", True),
        (BOOL, "On", True),
        (BOOL, "no", False),
        (choice(Word), "hold", Word.HOLD),
        (choice(Word), "off", Word.OFF),
        (choice(Word), "false", Word.OFF),
        (header_name(), "X-Title", "X-Title"),
        (text("t", "[a-z]+", "a word"), "abc", "abc"),
    ],
)
def test_reading(kind: Kind, given: str, value: object) -> None:
    assert kind.parse(given) == value


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (WHOLE, "0", "at least 1"),
        (WHOLE, "10", "at most 9"),
        (WHOLE, "1.5", "is not a whole number"),
        (WHOLE, "1_0", "is not a whole number"),
        (WHOLE, "9" * 19, "is not a whole number"),
        (SHARE, "0", "greater than 0"),
        (SHARE, "nan", "is not a number"),
        (SHARE, "1e9", "is not a number"),
        (SHARE, "50%", "is not a number"),
        (duration(), "0", "longer than nothing"),
        (size(least=2), "1", "at least 2B"),
        (BOOL, "maybe", "is not true or false"),
        (choice(Word), "hodl", 'is not one of off, hold; did you mean "hold"?'),
        (choice(Plain), "false", "is not one of fail"),
        (SECRET, "", "empty"),
        (SECRET, "a\nb", "cannot be sent"),
        (SECRET, " a", "cannot be sent"),
        (SECRET, "ä", "cannot be sent"),
        (header_name(), "X Y", "is not the name of a header"),
        (header_name(), "", "is not the name of a header"),
        (header_name(), "Host", "cannot be set"),
        (header_name(), "X-Detour-Token", "cannot be set"),
        (text("t", "[a-z]+", "a word"), "a b\n", "is not a word"),
    ],
)
def test_refusing(kind: Kind, given: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        kind.parse(given)
    assert message in str(caught.value)


def test_a_secret_is_never_repeated() -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        SECRET.parse("sk-ä")
    assert "sk" not in str(caught.value)


def test_what_a_message_repeats_is_short_and_on_one_line() -> None:
    assert shortened("a\nb") == "a\N{REPLACEMENT CHARACTER}b"
    assert len(shortened("x" * 1000)) == 81


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [(WHOLE, 3, "3"), (SHARE, 0.5, "0.5"), (BOOL, True, "true"), (choice(Word), Word.OFF, "off")],
)
def test_showing(kind: Kind, value: object, shown: str) -> None:
    assert kind.show(value) == shown
