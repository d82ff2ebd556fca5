from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from breaker.outcome import Neutral, Status
from config.load import load_text
from proxy.prober import Probed
from proxy.purse import LATE, PROMPT, Leave, Paid, Purse
from proxy.rounds import Subject

CONFIG = load_text(
    """
providers:
  openai: {api_key: k}
  fal: {api_key: k}
  modelz: {api_key: k}
  groq: {}
models: {one: {targets: [openai/m, {target: openai/off, probe: {enabled: false}}]}}
""",
    {},
)


class House:
    """Health and sender in one: says what it was told to, and remembers what it was asked."""

    def __init__(self, probed: Probed, answer: str | Leave = (20000, 7), slow: float = 0.0) -> None:
        self.probed, self.answer, self.slow = probed, answer, slow
        self.now = 0.0
        self.asked: list[tuple[Any, ...]] = []
        self.room = True

    def duty(self) -> int:
        return 1

    def forgo(self) -> None:
        self.asked.append(("forgo",))

    async def subjects(self) -> Sequence[Subject]:
        return ()

    def how(self, provider: str, model: str) -> tuple[float, int]:
        return 30.0, 10

    def fits(self, provider: str, tokens: int) -> bool:
        self.asked.append(("fits", provider, tokens))
        return self.room

    async def claim(self, provider: str, model: str, tokens: int, interval: float, number: int) -> str | Leave:
        self.asked.append(("claim", provider, model, tokens, interval, number))
        self.now += self.slow
        return self.answer

    async def sent(self, leave: Leave, provider: str, model: str, result: str, tokens: int, claimed: int) -> None:
        self.asked.append(("sent", leave, result, tokens, claimed))

    async def not_sent(self, leave: Leave, provider: str, model: str, reason: str, claimed: int) -> None:
        self.asked.append(("not sent", leave, reason, claimed))

    def skipped(self, provider: str, reason: str) -> None:
        self.asked.append(("skipped", provider, reason))

    async def probe(self, provider: str, model: str, *, timeout: float, max_tokens: int) -> Probed:  # noqa: ASYNC109
        self.asked.append(("probe", provider, model, timeout, max_tokens))
        return self.probed

    def purse(self) -> Purse:
        return Purse(CONFIG, self, self, lambda: self.now)


OK = Probed(Status.SUCCESS, tokens=12)
CLAIMED = ("claim", "openai", "m", 10 + PROMPT, 300.0, 4)
PROBED = ("probe", "openai", "m", 30.0, 10)


@pytest.mark.parametrize(
    ("house", "paid", "asked"),
    [
        (House(OK), Paid(None, Status.SUCCESS), [CLAIMED, PROBED, ("sent", (20000, 7), "success", 12, 26)]),
        (House(OK, slow=LATE), Paid(None, Status.SUCCESS), [CLAIMED, PROBED, ("sent", (20000, 7), "success", 12, 26)]),
        (House(OK, "capped"), Paid("capped"), [CLAIMED]),
        (House(OK, slow=LATE + 0.1), Paid("late"), [CLAIMED, ("not sent", (20000, 7), "late", 26)]),
        (
            House(Probed(None, "is open", rejected="open")),
            Paid("open"),
            [CLAIMED, PROBED, ("not sent", (20000, 7), "open", 26)],
        ),
        (House(Probed(None, "ended")), Paid("unsent"), [CLAIMED, PROBED, ("sent", (20000, 7), "unsent", 26, 26)]),
        (
            House(Probed(Neutral.CALLER_ERROR, "400 what?")),
            Paid(None, Neutral.CALLER_ERROR),
            [CLAIMED, PROBED, ("sent", (20000, 7), "caller_error", 0, 26)],
        ),
    ],
)
async def test_claimed_sent_and_accounted_for(house: House, paid: Paid, asked: list[tuple[Any, ...]]) -> None:
    assert await house.purse().send("openai", "m", 30.0, 10, 300.0, 4) == paid
    assert house.asked == asked


async def test_what_has_no_free_question_is_not_even_claimed() -> None:
    house = House(OK)
    assert await house.purse().send("modelz", "m", 30.0, 10) == Paid("unasked")
    assert house.asked == [("skipped", "modelz", "unasked")]


async def test_what_another_host_says_tries_no_breaker_out_and_is_asked_for_all_the_same() -> None:
    house = House(Probed(Status.SUCCESS))
    assert not house.purse().affordable("fal", "fal-ai/flux")
    assert await house.purse().send("fal", "fal-ai/flux", 30.0, 10) == Paid(None, Status.SUCCESS)


async def test_a_free_question_costs_no_tokens() -> None:
    house = House(Probed(Status.SUCCESS))
    await house.purse().send("openai", "dall-e-3", 30.0, 10)
    assert house.asked[0] == ("claim", "openai", "dall-e-3", 0, 0.0, 0)


async def test_a_probes_own_mistake_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    purse = House(Probed(Neutral.CALLER_ERROR, "400 no such field")).purse()
    for _ in range(3):
        await purse.send("openai", "m", 30.0, 10)
    (line,) = caplog.records
    assert "400 no such field" in line.getMessage()


@pytest.mark.parametrize(
    ("provider", "model", "room", "able"),
    [
        ("openai", "m", True, True),
        ("openai", "m", False, False),
        ("openai", "off", True, False),
        ("openai", "any", True, True),
        ("groq", "m", True, False),
        ("nobody", "m", True, False),
        ("fal", "fal-ai/flux", True, False),
        ("modelz", "m", True, False),
    ],
)
def test_what_is_affordable(provider: str, model: str, room: bool, able: bool) -> None:
    house = House(OK)
    house.room = room
    assert house.purse().affordable(provider, model) is able
