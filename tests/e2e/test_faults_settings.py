"""What settings make of a fault: no routing at all, fewer attempts, patience, small replays, callers nobody trusts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.faults import Cell, Place, Turn, but
from tests.e2e.matrix import Matrix, open_matrix
from tests.e2e.usual import BROKEN_KEY, GOOD, ILL, LIMITED, MOVED, REFUSED, SHUT, STAYED, STRAIGHT, cell

pytestmark = pytest.mark.asyncio(loop_scope="module")

UNHELD = but(LIMITED, more={"breakers": {"mode": "off"}})
MOMENT = Place(script="once@fault=rate-limit@retry=0.5", like="ok", message=r"429 .*")


REPLAY = 64 * 1024
LARGE = b'{"model": "@model@", "messages": [{"role": "user", "content": "' + b"x" * 2 * REPLAY + b'"}]}'
FITTING = LARGE.replace(b"x" * 2 * REPLAY, b"x" * (REPLAY - 200))
TOKEN = "client-token"
PROOF = (b"X-Detour-Token: " + TOKEN.encode(),)


WORLDS: dict[str, tuple[dict[str, Any], tuple[str, ...], list[Cell]]] = {
    "routing.enabled: false": (
        {"routing": {"enabled": False}},
        (),
        [
            cell("pinned: 503", (ILL, GOOD), STAYED, SHUT),
            cell("pinned: 401", (BROKEN_KEY, GOOD), Turn(saw="a", by="a", status=401), kind="chat/s"),
            cell(
                "pinned: 429",
                (LIMITED, GOOD),
                Turn(saw="a", by="a", status=429),
                Turn(saw="", status=429, body="own", says=".", cause="hold_off", wait=(20, 30), takes=(0, 1)),
            ),
        ],
    ),
    "few attempts, much patience, small replays": (
        {
            "retries": {"max_attempts": 2, "on_rate_limit": "wait"},
            "limits": {"replay": f"{REPLAY // 1024}KiB"},
            "routing": {"when_all_open": "try"},
        },
        (),
        [
            cell(
                "two attempts",
                (BROKEN_KEY, LIMITED, GOOD),
                Turn(saw="ab", by="b", status=429, cause="error"),
            ),
            cell("two attempts, one target", (ILL,), STAYED),
            cell(
                "a limit that is worth waiting for",
                (MOMENT, GOOD),
                Turn(saw="aa", by="a", results=("rate_limited", "success"), takes=(0.5, 3)),
            ),
            cell(
                "a limit that is not",
                (LIMITED, GOOD),
                Turn(saw="ab", by="b", cause="rate_limited", takes=(0, 1)),
                Turn(saw="b", by="b", cause="hold_off", takes=(0, 1)),
            ),
            cell("large: 503", (ILL, GOOD), Turn(saw="a", by="a", status=503), body=LARGE),
            cell("large: 429", (LIMITED, GOOD), Turn(saw="a", by="a", status=429), body=LARGE, kind="messages"),
            cell(
                "large: refused",
                (REFUSED, GOOD),
                Turn(saw="a", status=502, body="own", says="cannot connect"),
                body=LARGE,
            ),
            cell("large: well", (GOOD, GOOD), Turn(saw="a", by="a"), body=LARGE),
            cell("just not large: 401", (BROKEN_KEY, GOOD), Turn(saw="ab", by="b", cause="error"), body=FITTING),
            cell(
                "all open: tried all the same",
                (GOOD,),
                Turn(saw="a", by="a", opens="target", opened=True),
            ),
        ],
    ),
    "callers nobody trusts, targets as in the file": (
        {"client_token": TOKEN, "routing": {"strategy": "order"}, "limits": {"replay": f"{REPLAY // 1024}KiB"}},
        ("--listen", "0.0.0.0:0"),
        [
            cell("without the token", (ILL, GOOD), STAYED, SHUT),
            cell("without the token: 401", (BROKEN_KEY, GOOD), Turn(saw="a", by="a", status=401), kind="messages"),
            cell("without the token: open", (GOOD, GOOD), SHUT, kind="generate"),
            cell("a guessed token", (ILL, GOOD), but(STAYED, fields=(b"X-Detour-Token: guessed",))),
            cell("with the token", (ILL, GOOD), but(MOVED, fields=PROOF), but(STRAIGHT, fields=PROOF)),
            # The first change of targets is free; the next ones are ten in a minute for so few requests.
            cell(
                "with the token: budget",
                (UNHELD, UNHELD, GOOD),
                *([Turn(saw="abc", by="c", cause="rate_limited", fields=PROOF)] * 10),
                *([Turn(saw="ab", by="b", status=429, cause="rate_limited", fields=PROOF)] * 2),
            ),
            cell("with the token: large", (GOOD, GOOD), but(SHUT, fields=PROOF), body=LARGE),
            cell("with the token: just not large", (GOOD, GOOD), but(STRAIGHT, fields=PROOF), body=FITTING),
            cell(
                "with the token: streamed",
                (BROKEN_KEY, GOOD),
                Turn(saw="ab", by="b", cause="error", fields=PROOF),
                kind="chat/s",
            ),
        ],
    ),
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    sections, more, cells = WORLDS[request.param]
    async with open_matrix(tmp_path_factory.mktemp("settings"), cells, more=more, **sections) as found:
        yield found


@pytest.mark.parametrize(
    ("matrix", "name"),
    [(world, one.name) for world in WORLDS for one in WORLDS[world][2]],
    indirect=["matrix"],
    scope="module",
)
async def test_what_settings_make_of_a_fault(matrix: Matrix, name: str) -> None:
    await matrix.result(name)
