"""What a caller's patience means to a fault: deadlines, time limits of SDKs, and callers that leave half-way.

Derived from semantics sections 1 and 4 and proxy rule 15.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.caller import connect, reset
from tests.e2e.faults import Cell, Place, Stage, Turn, but
from tests.e2e.matrix import Matrix, open_matrix
from tests.e2e.usual import GOOD, ILL, MOVED, SILENT, cell
from tests.e2e.world import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")

MUTE = Place(script="silent", result="cancelled")
"""Silent for longer than any caller here waits, and shorter than it may be."""
MOMENT = Place(
    script="once@fault=rate-limit@retry=0.8", like="rate-limit@retry=0.8", result="rate_limited", message=r"429 .*"
)
DRIPPING = Place(script="slow-comments@first=9,gap=0.1", result="cancelled")
SOON = 1.0
"""Seconds within which a provider has to see that nobody waits for it any more."""


def deadline(milliseconds: str) -> tuple[bytes, ...]:
    return (b"X-Detour-Deadline-Ms: " + milliseconds.encode(),)


WAITED = Turn(saw="a", status=504, body="own", says=r"within 0\.5 s", fields=deadline("500"), takes=(0.5, 2))
CELLS = [
    cell("deadline: silence", (MUTE, GOOD), WAITED),
    cell("deadline: silence, streamed", (MUTE, GOOD), WAITED, kind="chat/s"),
    cell("deadline: silence, messages", (MUTE, GOOD), WAITED, kind="messages/s"),
    cell(
        "deadline: far enough",
        (SILENT, GOOD),
        Turn(saw="ab", by="b", cause="timeout", fields=deadline("5000"), takes=(0.4, 3)),
    ),
    cell(
        "deadline: none",
        (ILL, GOOD),
        but(MOVED, fields=deadline("0")),
        but(MOVED, saw="ab", fields=deadline("soon"), opens="target"),
    ),
    cell(
        "deadline: shorter than the hold-off",
        (MOMENT,),
        Turn(saw="a", by="a", status=429, fields=deadline("400"), takes=(0, 0.6)),
    ),
    *(
        cell(
            f"{name}: {kind}",
            (MUTE, GOOD),
            Turn(saw="a", status=504, body="own", says=r"within 0\.75 s", fields=(field,), takes=(0.75, 2)),
            kind=kind,
        )
        for name, field in (
            ("read timeout", b"X-Stainless-Read-Timeout: 1"),
            ("timeout", b"x-stainless-timeout: 1"),
        )
        for kind in ("chat", "chat/s")
    ),
    cell(
        "timeout: 0 is none",
        (SILENT, GOOD),
        Turn(saw="ab", by="b", cause="timeout", fields=(b"X-Stainless-Timeout: 0",)),
    ),
]
LEFT: dict[str, tuple[Cell, str, str]] = {
    one.name: (one, saw, last)
    for one, saw, last in (
        # Who is asked until then, and who must see that the caller is gone.
        (cell("leaves in a hold-off", (but(MOMENT, script="rate-limit@retry=1"),)), "a", ""),
        (cell("leaves the first", (MUTE, GOOD)), "a", "a"),
        (cell("leaves the second", (but(ILL, script="bad-key", message="401 .*"), MUTE, GOOD)), "ab", "b"),
        (
            cell(
                "leaves the second, streamed",
                (SILENT, DRIPPING, GOOD),
                kind="chat/s",
            ),
            "ab",
            "b",
        ),
    )
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    cells = [*CELLS, *(one for one, _, _ in LEFT.values())]
    async with open_matrix(tmp_path_factory.mktemp("callers"), cells) as found:
        yield found


@pytest.mark.parametrize("name", [one.name for one in CELLS])
async def test_how_long_a_caller_waits(matrix: Matrix, name: str) -> None:
    await matrix.result(name)


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_nothing_is_tried_for_a_caller_that_left(matrix: Matrix, name: str, how: str) -> None:
    stage, (_, saw, last) = matrix.stages[name], LEFT[name]
    turn = Turn(saw=saw, caller=f"caller-{how}")
    before = len(stage.spent)
    since = asyncio.get_running_loop().time()
    wire = await connect(matrix.detour.port)
    wire.transport.write(stage.request(turn))
    await seen(stage, since, saw)
    await asyncio.sleep(0.2)
    left = asyncio.get_running_loop().time()
    if how == "rst":
        reset(wire.transport)
    else:
        wire.transport.write_eof()
    if last:
        request = stage.seen(since)[-1]
        await stage.fakes[last].until(lambda: request.client_closed_at is not None)
        assert (request.client_closed_at or 0) - left < SOON
    async with asyncio.timeout(SOON):
        while await matrix.busy():  # noqa: ASYNC110 - another process is looked at
            await asyncio.sleep(0.01)
    wire.transport.abort()
    await asyncio.sleep(1.0 if not last else 0.0)  # the hold-off is over: nobody comes back to it
    assert "".join(map(stage.letter_of, stage.seen(since))) == saw
    results = [stage.place(letter).result for letter in saw]
    matrix.write_down(stage, but(turn, status=0, results=tuple(results)))
    assert len(stage.spent) == before + len(saw)
    await matrix.check_records(stage)


async def seen(stage: Stage, since: float, saw: str) -> None:
    """Wait until these places were asked."""
    async with asyncio.timeout(PATIENCE):
        while "".join(map(stage.letter_of, stage.seen(since))) != saw:  # noqa: ASYNC110 - sockets are looked at
            await asyncio.sleep(0.005)
