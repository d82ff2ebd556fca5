"""The search for secrets finds them, in any disguise, and nothing where there is none."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest

from tests.hardening.canaries import PIECE, Canary, found_in, guilty

VALUE = "sk-Kx81Qw/Lm3'Vt9Kp2+Hs6=Zz"
CANARY = Canary("it", VALUE)
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent-encoded": lambda text: urllib.parse.quote(text, safe=""),
    "percent-encoded in full": lambda text: "".join(f"%{ord(c):02X}" for c in text),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "hexadecimal": lambda text: text.encode().hex().upper(),
    "backwards": lambda text: text[::-1],
    **{
        f"base64 behind {before!r}": lambda text, before=before: base64.b64encode((before + text).encode()).decode()
        for before in ("", "a", "ab", "user:")
    },
    "URL-safe base64": lambda text: base64.urlsafe_b64encode(("x" + text).encode()).decode().rstrip("="),
}


@pytest.mark.parametrize("way", WAYS)
def test_in_any_disguise(way: str) -> None:
    assert found_in("before " + WAYS[way](VALUE) + " after", [CANARY])


@pytest.mark.parametrize("at", range(len(VALUE) - PIECE + 1))
def test_any_part(at: int) -> None:
    assert found_in(f"…{VALUE[at : at + PIECE]}…", [CANARY])
    assert found_in(f"{{'a': {VALUE[at : at + PIECE]!a}}}".encode(), [CANARY])


def test_what_is_none() -> None:
    assert not found_in("sk-proj-abc Kx81Q Lm3 base64 " * 100, [CANARY])
    assert not found_in(VALUE[: PIECE - 1], [CANARY])
    assert not found_in(b"", [CANARY])


def test_which_one_it_was() -> None:
    other = Canary("other", "Zq48Xn7Wv3Kd9Lp2")
    assert guilty(
        {"a": b"nothing", "b": WAYS["backwards"](VALUE).encode(), "c": other.value.encode()}, [CANARY, other]
    ) == {
        "b": ["it, backwards"],
        "c": ["other, as it is"],
    }
    assert guilty({"a": b"nothing"}, [CANARY, other]) == {}
