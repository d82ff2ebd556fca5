"""Who is measured when: Detour and Envoy side by side in every round, others where they are installed."""

from __future__ import annotations

import pytest

from bench import measurements
from bench.measurements import MEASUREMENTS, taking_part
from bench.peers import OTHERS
from bench.plan import FULL, NAMES, QUICK, SHORT

ALL: frozenset[str] = frozenset()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    there = {peer.name: True for peer in OTHERS}

    class Installed:
        def __init__(self, name: str) -> None:
            self.name = name

        def there(self) -> bool:
            return there[self.name]

    monkeypatch.setattr(measurements, "PEERS", {name: Installed(name) for name in there})
    return there


@pytest.mark.parametrize("name", [name for name, one in MEASUREMENTS.items() if "envoy" in one.peers])
def test_the_pair_follow_one_another_now_this_way_now_that(name: str, installed: dict[str, bool]) -> None:
    orders = [taking_part(name, number, 5, ALL) for number in range(2)]
    places = [order.index("envoy") - order.index("detour") for order in orders]
    assert places == [1, -1]
    assert sorted(orders[0]) == sorted(MEASUREMENTS[name].peers)


def test_gateways_take_part_in_the_first_rounds_if_they_are_there(installed: dict[str, bool]) -> None:
    assert {"portkey", "litellm"} <= set(taking_part("requests", 0, 1, ALL))
    assert not {"portkey", "litellm"} & set(taking_part("requests", 1, 1, ALL))
    installed["litellm"] = False
    assert {"portkey", "litellm"} & set(taking_part("requests", 0, 1, ALL)) == {"portkey"}


def test_some_peers_come_with_the_pair(installed: dict[str, bool]) -> None:
    assert taking_part("requests", 0, 1, frozenset({"nginx"})) == ["direct", "detour", "envoy", "nginx"]


def test_plans_say_how_often_each_is_repeated() -> None:
    assert tuple(MEASUREMENTS) == NAMES
    for plan in (FULL, SHORT, QUICK):
        assert plan.rounds.keys() == MEASUREMENTS.keys()
    assert all(FULL.rounds[name] == 5 for name, one in MEASUREMENTS.items() if "envoy" in one.peers and name not in (
        "connections", "targets", "bodies"
    ))  # fmt: skip
    assert FULL.gateways == 5
    assert (FULL.streams / FULL.gap, FULL.crowd / FULL.crowd_gap) == (25_000, pytest.approx(25_000))
