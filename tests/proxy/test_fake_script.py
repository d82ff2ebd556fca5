from __future__ import annotations

import pytest

from proxy.fake_script import Script, ScriptError, parse


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("ok", Script("ok")),
        ("ok@", Script("ok")),
        ("acme/large/stall@after=3", Script("stall", {"after": "3"})),
        ("ok@events=500,gap=0.02,size=190", Script("ok", {"events": "500", "gap": "0.02", "size": "190"})),
        ("rate-limit@form=ms", Script("rate-limit", {"form": "ms"})),
    ],
)
def test_parse(text: str, script: Script) -> None:
    assert parse(text) == script


@pytest.mark.parametrize(
    "option", ["evnts=3", "events", "events=", "events=x", "events=-1", "events=1e3", "events=99999999999", "gap=-1",
               "gap=nan", "gap=inf", "delay=99999", "form=", "=", ""],
)  # fmt: skip
def test_what_makes_no_sense_is_said(option: str) -> None:
    with pytest.raises(ScriptError, match="cannot use option"):
        parse(f"ok@{option},after=1")


def test_options_have_their_kinds() -> None:
    script = parse("ok@events=7,gap=0.5,finish=length")
    assert (script.whole("events", 1), script.seconds("gap", 0), script.word("finish", "stop")) == (7, 0.5, "length")
    assert (script.whole("size", 1), script.seconds("delay", 2.5), script.word("kind", "x")) == (1, 2.5, "x")


def test_given_options_win_over_defaults() -> None:
    assert parse("stall@after=1").over({"after": "3", "gap": "2"}).options == {"after": "1", "gap": "2"}
    assert parse("ok").over({}) == Script("ok")
