"""How long a fault is remembered: rate limits, spent keys, budgets, and the way back of what is well again.

Derived from semantics sections 2, 3 and 4; see `tests.e2e.matrix` for what is looked at in every cell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.caller import ask
from tests.e2e.faults import THRESHOLD, Place, Turn, but
from tests.e2e.matrix import Matrix, open_matrix, post_admin
from tests.e2e.usual import (
    BROKEN_KEY,
    ELSEWHERE,
    GOOD,
    ILL,
    LIMITED,
    LONG,
    MOVED,
    REFUSED,
    SILENT,
    STAYED,
    cell,
    windows,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORMS = [
    *(
        cell(
            f"429: {kind}, {script}",
            (but(LIMITED, script=script),),
            Turn(saw="a", by="a", status=429),
            Turn(saw="", status=429, body="own", says=".", cause="hold_off", wait=bounds, takes=(0, 1)),
            kind=kind,
        )
        for kind, script, bounds in (
            ("chat", "rate-limit@retry=30,form=date", (20, 30)),
            ("chat", "rate-limit@retry=29.5,form=ms", (20, 30)),
            ("chat/s", "rate-limit@retry=90,form=reset", (80, 90)),
            ("chat", "rate-limit-3600", (290, 300)),
            ("messages", "rate-limit-30", (20, 30)),
            ("generate", "rate-limit-30", (20, 30)),
            ("generate/a", "rate-limit-30", (20, 30)),
        )
    ),
    cell(
        "429: in a successful answer",
        (but(LIMITED, script="error-200@status=429"), GOOD),
        Turn(saw="ab", by="b", cause="rate_limited"),
        Turn(saw="b", by="b", cause="hold_off"),
    ),
    *(
        cell(
            f"quota: {kind}",
            (but(BROKEN_KEY, script="quota", message=r"4\d\d .*"), ELSEWHERE, GOOD),
            Turn(saw="ac", by="c", cause="error"),
            Turn(saw="ac", by="c", cause="error"),
            Turn(saw="ac", by="c", cause="error", opens="credential"),
            # The key is spent at all of the provider's models.
            Turn(saw="c", by="c", cause="credential", opens="credential"),
            kind=kind,
        )
        for kind in ("chat", "chat/s")
    ),
    cell(
        "quota: messages",
        (but(BROKEN_KEY, script="quota", message=r"400 .*"), GOOD),
        Turn(saw="ab", by="b", cause="error"),
        kind="messages",
    ),
    cell(
        "402",
        (but(BROKEN_KEY, script="fail-402", message=r"402 .*"), GOOD),
        Turn(saw="ab", by="b", cause="error"),
    ),
    cell(
        "a large answer is passed on as it comes, and cut short",
        (Place(script="short@size=200000", result="network_error", message=r"connection lost .*"), GOOD),
        Turn(saw="a", by="a", end="fin"),
    ),
    cell("a stream was asked for, and a document came", (but(ILL, script="error-200"), GOOD), MOVED, kind="chat/s"),
    cell(
        "401 in a successful answer",
        (but(BROKEN_KEY, script="error-200@status=401"), ELSEWHERE, GOOD),
        Turn(saw="ac", by="c", cause="error"),
    ),
    cell(
        "a provider that is gone, with two models",
        (REFUSED, but(REFUSED, same=True), GOOD),
        Turn(saw="abc", by="c", cause="network_error"),
        Turn(saw="ac", by="c", cause="network_error", opens="provider"),
        Turn(saw="c", by="c", cause="open", opens="provider"),
    ),
]
AFTERWARDS = [
    # What an attempt has shown holds for the rest of the exchange: a bad key is bad at all of its provider's models,
    # a prompt that is too long for one window is too long for all that are no larger.
    cell(
        "afterwards: the key is bad still",
        (BROKEN_KEY, ELSEWHERE, REFUSED),
        Turn(saw="ac", status=502, body="own", says="cannot connect"),
    ),
    cell(
        "afterwards: the prompt is too long still",
        windows((LONG, 8192), (GOOD, 8192), (REFUSED, 131072)),
        Turn(saw="ac", status=502, body="own", says="cannot connect"),
    ),
    cell(
        "afterwards: silence is not asked twice",
        (SILENT, REFUSED),
        Turn(saw="ab", status=502, body="own", says="cannot connect"),
    ),
    cell(
        "afterwards: both are held off",
        (LIMITED, but(LIMITED, script="rate-limit-20")),
        Turn(saw="ab", by="b", status=429, cause="rate_limited"),
        Turn(saw="", status=429, body="own", says=".", cause="hold_off", wait=(10, 20), takes=(0, 1)),
    ),
    cell(
        "afterwards: our own key for the other is bad",
        (but(ILL, more={"breakers": {"mode": "off"}}), BROKEN_KEY),
        *([Turn(saw="aab", by="b", status=401, cause="error")] * 2),
        Turn(saw="aab", by="b", status=401, cause="error", trips=(("b", "credential"),)),
        STAYED,
    ),
]
SPARING = [
    cell(
        "budget: ten further attempts a minute",
        (but(ILL, more={"breakers": {"mode": "off"}}),),
        *([STAYED] * 10),
        but(STAYED, saw="a"),
        but(STAYED, saw="a"),
    ),
]
FLAKY = Place(script="flaky@every=2", like="ok", message=r"503 .*")
AGAIN = Turn(saw="aa", by="a", results=("error", "success"))
BRIEF = {"breakers": {"open_for": "2s", "jitter": 0.0}}
ONE_OF_TWO = ("open", "half_open", "waited")
RECOVERING = [
    cell(
        "unhealthy: left for something unknown, but for every twentieth request",
        (FLAKY, GOOD),
        Turn(saw="a", by="a"),
        # As many failures as would trip the breaker in a row; fewer are left to it.
        *([AGAIN] * THRESHOLD),
        *([Turn(saw="b", by="b", cause="unhealthy")] * 19),
        AGAIN,
        Turn(saw="b", by="b", cause="unhealthy"),
    ),
    cell("unhealthy: nothing better is there", (FLAKY,), Turn(saw="a", by="a"), AGAIN, AGAIN, AGAIN, AGAIN),
    *(
        cell(
            f"recovery: {kind}",
            (but(ILL, script="once@after=4", result="error", like="ok", more=BRIEF), GOOD),
            MOVED,
            but(MOVED, saw="ab", opens="target"),
            Turn(saw="b", by="b", cause="open", opens="target"),
            # The trial fails, and the wait doubles.
            but(MOVED, saw="ab", opens="target", after=2.1, moves=(ONE_OF_TWO, ("half_open", "open", "trial_failed"))),
            Turn(saw="b", by="b", cause="open", opens="target", after=2.1),
            Turn(
                saw="a",
                by="a",
                results=("success",),
                opens="target",
                state="half_open",
                after=2.1,
                moves=(ONE_OF_TWO,),
            ),
            Turn(saw="a", by="a", results=("success",), moves=(("half_open", "closed", "recovered"),)),
            Turn(saw="a", by="a", results=("success",)),
            kind=kind,
        )
        for kind in ("chat", "chat/s", "messages/s")
    ),
]
CELLS = [*RECOVERING, *FORMS, *AFTERWARDS, *SPARING]
"""The longest first."""
WAITING = cell("waiting", (Place(script="once@fault=rate-limit@retry=0.8", like="ok", result="success", message=".*"),))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Matrix]:
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    async with open_matrix(
        tmp_path_factory.mktemp("memory"), [*CELLS, WAITING], only=(asked | {"waiting"}).__contains__
    ) as found:
        yield found


@pytest.mark.parametrize("name", [one.name for one in CELLS])
async def test_how_long_a_fault_is_remembered(matrix: Matrix, name: str) -> None:
    await matrix.result(name)


async def test_whoever_comes_in_a_hold_off_waits_for_its_end(matrix: Matrix) -> None:
    stage = matrix.stages["waiting"]
    turn = Turn(saw="aa", by="a", results=("rate_limited", "success"))
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(ask(matrix.detour.port, stage.request(turn)))
    fake = stage.fakes["a"]
    await fake.until(lambda: len(fake.log) == 1 and fake.log[0].ended_at is not None)
    await asyncio.sleep(0.1)
    began = loop.time()
    second = await ask(matrix.detour.port, stage.request(turn))
    answers = [await first, second]
    assert [(got.status, got.header("x-detour-attempts")) for got in answers] == [(200, "2"), (200, "1")]
    held_until = (fake.log[0].ended_at or 0) + 0.8
    assert [seen.at > held_until - 0.01 for seen in fake.log] == [False, True, True]
    assert second.at - began < 3
    for saw, results in (("aa", ("rate_limited", "success")), ("a", ("success",))):
        matrix.write_down(stage, Turn(saw=saw, by="a", results=results))
    record = await matrix.record(f"/v1/model-health/{stage.target('a')}", 3)
    assert (record["success_count"], record["error_count"], record["last_status"]) == (2, 1, "success")


async def test_the_breakers_are_not_for_everybody_to_move(matrix: Matrix) -> None:
    target = matrix.stages["waiting"].target("a")
    for verb in ("open?for=10m", "close", "reset"):
        status, said = await post_admin(matrix.detour, f"/circuit-breakers/{target}/{verb}", token="guessed")
        assert status == 401, said
