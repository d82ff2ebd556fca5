from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breaker.outcome import NO_MODEL, OTHER_MODEL, Kind, Status
from config.words import Tier
from healthapi.tiers import Tiers, ranked
from tests.healthapi.admin_world import World

CONFIG = """
providers: {groq: {api_key: k}}
models:
  given: {tier: popular, targets: [groq/given]}
  open: {targets: [groq/open]}
"""


def letters(tiers: dict[tuple[str, str], Tier]) -> str:
    """One letter for each target in the order of their names."""
    return "".join(tiers[key].value[0] for key in sorted(tiers, key=lambda key: int(key[1])))


@pytest.mark.parametrize(
    ("calls", "tiers"),
    [
        ([], ""),
        ([0], "o"),
        ([1], "c"),
        ([7, 3], "cs"),
        ([7, 7], "ss"),
        ([0, 3, 0, 9, 5], "oSoCP".lower()),
        ([9, 5, 5, 1, 0, 0, 0, 0], "csssoooo"),
        ([9, 5, 4, 1, 0, 0, 0, 0], "cpssoooo"),
        ([*range(100, 0, -1)], "c" * 5 + "p" * 20 + "s" * 75),
        ([*range(99, -1, -1)], "c" * 5 + "p" * 20 + "s" * 74 + "o"),
        ([3] * 20, "s" * 20),
        ([9, *[3] * 4, *[2] * 15], "c" + "p" * 4 + "s" * 15),
        ([9, *[3] * 5, *[2] * 14], "c" + "s" * 19),
        ([5] * 5 + [0] * 95, "c" * 5 + "o" * 95),
        ([5] * 6 + [0] * 94, "p" * 6 + "o" * 94),
    ],
)
def test_tiers_by_calls(calls: list[int], tiers: str) -> None:
    found = ranked({("p", str(number)): count for number, count in enumerate(calls)})
    assert letters(found) == tiers


@given(st.dictionaries(st.tuples(st.sampled_from("pq"), st.text(max_size=3)), st.integers(0, 20), max_size=60))
def test_shares_and_order(calls: dict[tuple[str, str], int]) -> None:
    tiers = ranked(calls)
    assert tiers.keys() == calls.keys()
    counts = Counter(tiers.values())
    assert counts[Tier.CRITICAL] <= len(calls) / 20 + 1
    assert counts[Tier.CRITICAL] + counts[Tier.POPULAR] <= len(calls) / 4 + 1
    order = list(Tier)
    for one, tier in tiers.items():
        assert (tier is Tier.ON_DEMAND) == (calls[one] == 0)
        for other, its in tiers.items():
            if calls[one] > calls[other]:
                assert order.index(tier) <= order.index(its)
            if calls[one] == calls[other]:
                assert tier is its


async def test_users_traffic_of_a_day_alone_counts() -> None:
    world = World(CONFIG)
    for _ in range(9):
        world.attempt("groq", "old")
    world.now += 86400 + 3600
    for _ in range(5):
        world.attempt("groq", "busy", Status.ERROR)
        world.attempt("groq", NO_MODEL)
        world.attempt("groq", OTHER_MODEL)
    for _ in range(50):
        world.attempt("groq", "probed", kind=Kind.PROBE)
    world.attempt("groq", "called")
    tiers = Tiers()
    assert tiers.of(world.config, "groq", "busy") is Tier.STANDARD, "until traffic was counted"
    await tiers.renew(world.store.records(), world.config.targets, world.now)
    found = {
        model: tiers.of(world.config, "groq", model) for model in ("busy", "called", "old", "probed", "given", "open")
    }
    assert found == {
        "busy": Tier.CRITICAL,
        "called": Tier.POPULAR,
        "old": Tier.ON_DEMAND,
        "probed": Tier.ON_DEMAND,
        "given": Tier.POPULAR,
        "open": Tier.ON_DEMAND,
    }
    assert tiers.of(world.config, "groq", "first called since") is Tier.STANDARD
    assert tiers.of(world.config, "groq", NO_MODEL) is Tier.STANDARD
    await world.close()
