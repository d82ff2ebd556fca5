"""Leave to send probes, alone and in a fleet: the same rules, whoever keeps count."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.settings import Cap
from healthapi.claim import Claim, Leave, Refusal
from healthapi.claims import NOTE, Claims
from healthapi.keeper import Keeper
from healthapi.spend import ALL, Spend
from tests.healthapi.admin_world import World
from tests.healthapi.sidecar import Sidecar, eventually
from tests.redis_server import RedisServer, redis_server

WIDE = Cap(requests=10**6, tokens=10**9)
NAMES = ("m", "a/b", "with space\n and newline", "\ud800", "{brace}", "\0", "x" * 5000)
CONFIG = """
providers: {groq: {api_key: k}, openai: {api_key: k}}
probes: {daily_cap: {requests: 1000000, tokens: 1000000000}}
"""


class Giver:
    """Somebody who gives leave, with a clock of its own or the server's."""

    def __init__(self, claims: Claims, spend: Spend, number: int) -> None:
        self.claims, self.spend, self.number = claims, spend, number

    async def claim(self, model: str = "m", provider: str = "groq", **changes: Any) -> Refusal | Leave:
        wanted: dict[str, Any] = {"interval": 0.0, "tokens": 10, "cap": WIDE, "own_cap": WIDE}
        wanted |= {"duty": "prober" if self.number else "", "number": self.number} | changes
        return await self.claims.claim(Claim(provider, model, **wanted))

    def spent(self, provider: str = ALL) -> tuple[int, int]:
        one = self.spend.sum(provider)
        return one.requests, one.tokens


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@contextlib.asynccontextmanager
async def of_fleet(server: RedisServer, name: str = "a", *, on_duty: bool = False) -> AsyncIterator[Giver]:
    sidecar = Sidecar(f"redis://127.0.0.1:{server.port}", name)
    await sidecar.keeper.start()
    try:
        spend = Spend(sidecar.config, sidecar.wall)
        number = await eventually(lambda: sidecar.keeper.duty("prober")) if on_duty else 0
        yield Giver(Claims(sidecar.keeper, spend, sidecar.wall), spend, number)
    finally:
        await sidecar.keeper.stop()


@contextlib.asynccontextmanager
async def alone(path: str = ":memory:") -> AsyncIterator[Giver]:
    world = World(CONFIG, archive=path)
    await world.keeper.start()
    spend = Spend(world.config, lambda: world.now)
    try:
        yield Giver(Claims(world.keeper, spend, lambda: world.now), spend, 1)
    finally:
        await world.keeper.stop()


@pytest_asyncio.fixture(params=["alone", "fleet"])
async def giver(request: pytest.FixtureRequest, server: RedisServer) -> AsyncIterator[Giver]:
    with redis.Redis(port=server.port) as client:
        client.flushall()
    async with alone() if request.param == "alone" else of_fleet(server) as found:
        yield found


async def test_leave_is_given_and_counted(giver: Giver) -> None:
    assert isinstance(await giver.claim(), tuple)
    assert isinstance(await giver.claim("other", "openai", tokens=5), tuple)
    assert giver.spent() == (2, 15)
    assert giver.spent("groq") == (1, 10)
    assert giver.spent("openai") == (1, 5)


@pytest.mark.parametrize("model", NAMES)
async def test_one_in_an_interval(giver: Giver, model: str) -> None:
    assert isinstance(await giver.claim(model, interval=60.0), tuple)
    assert await giver.claim(model, interval=60.0) is Refusal.CLAIMED
    assert isinstance(await giver.claim(model + "2", interval=60.0), tuple)
    assert isinstance(await giver.claim(model), tuple), "a trial asks for no interval"
    assert await giver.claim(model, interval=0.5) is Refusal.CLAIMED, "and begins one"
    assert giver.spent() == (3, 30)


async def test_one_that_was_not_sent_is_given_back(giver: Giver) -> None:
    leave = await giver.claim(interval=60.0)
    assert isinstance(leave, tuple)
    await giver.claims.correct(leave, "groq", "m", -1, -10)
    assert giver.spent() == giver.spent("groq") == (0, 0)
    again = await giver.claim(interval=60.0)
    assert isinstance(again, tuple)
    await giver.claims.correct((leave[0], leave[1] - 1), "groq", "m", -1, -10)
    assert await giver.claim(interval=60.0) is Refusal.CLAIMED, "another one's claim stays"


async def test_what_it_cost_is_corrected(giver: Giver) -> None:
    leave = await giver.claim(tokens=26)
    assert isinstance(leave, tuple)
    await giver.claims.correct(leave, "groq", "m", 0, 12 - 26)
    await giver.claims.correct(leave, "groq", "m", 0, 0)
    assert giver.spent() == giver.spent("groq") == (1, 12)


@pytest.mark.parametrize(
    ("caps", "granted"),
    [
        ({"cap": Cap(requests=3, tokens=1000)}, 3),
        ({"cap": Cap(requests=100, tokens=45)}, 4),
        ({"own_cap": Cap(requests=2, tokens=1000)}, 2),
        ({"own_cap": Cap(requests=100, tokens=10)}, 1),
        ({"cap": Cap(requests=0, tokens=0)}, 0),
        ({"own_cap": Cap(requests=9, tokens=9)}, 0),
    ],
)
async def test_caps(giver: Giver, caps: dict[str, Cap], granted: int) -> None:
    answers = await asyncio.gather(*(giver.claim(str(number), **caps) for number in range(9)))
    assert [isinstance(one, tuple) for one in answers].count(True) == granted
    assert answers.count(Refusal.CAPPED) == 9 - granted
    assert giver.spent() == (granted, 10 * granted)
    mine, other = (ALL, "groq") if "cap" in caps else ("groq", ALL)
    assert giver.spend.sum(mine).capped(next(iter(caps.values())))
    assert not giver.spend.sum(other).capped(WIDE)
    assert isinstance(await giver.claim("more"), tuple)
    assert not giver.spend.sum(mine).refused


async def test_what_costs_nothing_does_not_hide_a_cap_that_is_reached(giver: Giver) -> None:
    cap = Cap(requests=1000, tokens=15)
    assert isinstance(await giver.claim("a", cap=cap), tuple)
    assert await giver.claim("b", cap=cap) is Refusal.CAPPED
    leave = await giver.claim("image", tokens=0, cap=cap)
    assert isinstance(leave, tuple)
    await giver.claims.correct(leave, "groq", "image", -1, 0)
    assert giver.spend.sum().capped(cap)
    assert isinstance(await giver.claim("c", cap=cap, tokens=5), tuple)
    assert not giver.spend.sum().refused


async def test_few_models_in_a_minute(giver: Giver) -> None:
    answers = [await giver.claim(str(number), models_per_minute=4) for number in range(6)]
    assert [isinstance(one, tuple) for one in answers] == [True] * 4 + [False] * 2
    assert answers[-1] is Refusal.PACED
    assert isinstance(await giver.claim("2", models_per_minute=4), tuple)
    assert isinstance(await giver.claim("9", "openai", models_per_minute=4), tuple)


async def test_an_old_number_gets_nothing(server: RedisServer) -> None:
    async with of_fleet(server, "first", on_duty=True) as first:
        assert isinstance(await first.claim(number=first.number), tuple)
        assert await first.claim(number=first.number - 1) is Refusal.OLD
        assert await first.claim(number=first.number + 1) is Refusal.OLD
        assert isinstance(await first.claim(duty="", number=0), tuple), "a trial is nobody's duty"


async def test_one_fleet_one_purse(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as client:
        client.flushall()
    async with of_fleet(server, "a") as one:
        other_sidecar = Sidecar(f"redis://127.0.0.1:{server.port}", "b")
        spend = Spend(other_sidecar.config, other_sidecar.wall)
        other = Giver(Claims(other_sidecar.keeper, spend, other_sidecar.wall), spend, 0)
        await other_sidecar.keeper.start()
        try:
            cap = Cap(requests=5, tokens=1000)
            asked = [who.claim(str(n), cap=cap, duty="") for n in range(10) for who in (one, other)]
            answers = await asyncio.gather(*asked)
            assert [isinstance(answer, tuple) for answer in answers].count(True) == 5
            same = await asyncio.gather(*(who.claim("same", interval=9.0, duty="") for who in (one, other, one, other)))
            assert [isinstance(answer, tuple) for answer in same].count(True) == 1
            await one.claims.refresh()
            await other.claims.refresh()
            assert one.spent() == other.spent() == (6, 60)
        finally:
            await other_sidecar.keeper.stop()


async def test_without_an_answer_there_is_no_leave(server: RedisServer) -> None:
    async with of_fleet(server) as one:
        server.freeze()
        try:
            assert await one.claim() is Refusal.STORE
            leave = (20000, 1)
            await one.claims.correct(leave, "groq", "m", -1, 0)
        finally:
            server.thaw()
        assert await eventually(lambda: one.claim()) is not Refusal.STORE


async def test_alone_it_outlives_the_process(tmp_path: Path) -> None:
    path = str(tmp_path / "health.db")
    cap = Cap(requests=len(NAMES) + 2, tokens=1000)
    async with alone(path) as one:
        for model in NAMES:
            assert isinstance(await one.claim(model, interval=60.0, cap=cap), tuple)
    async with alone(path) as one:
        for model in NAMES:
            assert await one.claim(model, interval=60.0, cap=cap) is Refusal.CLAIMED
        assert one.spent() == (len(NAMES), 10 * len(NAMES))
        assert isinstance(await one.claim("new", cap=cap), tuple)
        assert isinstance(await one.claim("newer", cap=cap), tuple)
        assert await one.claim("newest", cap=cap) is Refusal.CAPPED


@pytest.mark.parametrize("kept", [b"", b"[]", b"{}", b'{"day": 1, "spent": {"": 7}, "claims": []}'])
async def test_what_cannot_be_read_is_counted_from_nothing(kept: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with alone() as one:
        await one.claims._keeper.put_note(NOTE, kept)
        assert isinstance(await one.claim(), tuple)
        assert one.spent() == (1, 10)
    assert len(caplog.records) == 1


class Deaf(Keeper):
    """A keeper whose store has nothing to say."""

    async def put_note(self, name: str, text: bytes, duty: str = "", number: int = 0) -> bool:
        from healthapi.store import StoreError

        assert name == NOTE
        raise StoreError("the disk is full")


async def test_a_full_disk_does_not_keep_probes_away() -> None:
    world = World(CONFIG)
    keeper = world.kept_by(Deaf)
    await keeper.start()
    spend = Spend(world.config, lambda: world.now)
    claims = Claims(keeper, spend, lambda: world.now)
    assert isinstance(await Giver(claims, spend, 1).claim(), tuple)
    await keeper.stop()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(0, 90), st.booleans()), max_size=40),
    st.integers(0, 12),
    st.integers(0, 200),
)
def test_never_beyond_the_caps_never_twice_in_an_interval(
    asked: list[tuple[str, int, int, bool]], requests: int, tokens: int
) -> None:
    """Whatever is asked for, alone, on a moved clock; what was not sent counts as never asked for."""

    async def run() -> None:
        world = World(CONFIG)
        await world.keeper.start()
        spend = Spend(world.config, lambda: world.now)
        giver = Giver(Claims(world.keeper, spend, lambda: world.now), spend, 1)
        sent: dict[str, list[float]] = {}
        cost = 0
        for model, price, seconds, kept in asked:
            world.now += seconds
            cap = Cap(requests=requests, tokens=tokens)
            leave = await giver.claim(model, tokens=price, interval=60.0, cap=cap)
            if isinstance(leave, tuple):
                if kept:
                    sent.setdefault(model, []).append(world.now)
                    cost += price
                else:
                    await giver.claims.correct(leave, "groq", model, -1, -price)
            assert giver.spent() == (sum(map(len, sent.values())), cost)
        assert giver.spent()[0] <= requests
        assert cost <= tokens
        for times in sent.values():
            assert all(b - a >= 60 for a, b in itertools.pairwise(times))
        await world.keeper.stop()

    asyncio.run(run())
