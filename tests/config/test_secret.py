from __future__ import annotations

import copy
import json
import pickle

import msgspec
import pytest

from config.secret import Secret

KEY = "sk-verysecret"


def test_it_never_prints() -> None:
    secret = Secret(KEY)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret:>5}", "%s" % secret, repr([secret]), repr({"k": secret})]  # noqa: UP031
    assert not any("very" in text for text in shown)
    assert shown[:4] == ["***", "***", "***", "  ***"]
    assert json.dumps({"k": secret}, default=str) == '{"k": "***"}'
    assert msgspec.json.encode({"k": secret}, enc_hook=str) == b'{"k":"***"}'


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode, pickle.dumps])
def test_encoders_that_know_nothing_of_it_refuse(encode: object) -> None:
    with pytest.raises(TypeError):
        encode({"k": Secret(KEY)})  # type: ignore[operator]


def test_it_is_not_copied_by_pickling() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(Secret(KEY))


@pytest.mark.parametrize(
    ("candidate", "same"),
    [
        (KEY, True),
        (KEY.encode(), True),
        (KEY[:-1], False),
        (KEY + "x", False),
        ("", False),
        (b"\xff\xfe", False),
        ("\udc80é", False),
    ],
)
def test_matching(candidate: str | bytes, same: bool) -> None:
    assert Secret(KEY).matches(candidate) is same


def test_equality_is_that_of_the_text() -> None:
    assert Secret(KEY) == Secret(KEY)
    assert hash(Secret(KEY)) == hash(Secret(KEY))
    assert Secret(KEY) != Secret("other")
    assert Secret(KEY) != KEY


def test_reveal_is_the_only_way_to_the_text() -> None:
    assert Secret(KEY).reveal() == KEY


def test_an_empty_one_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Secret("")
