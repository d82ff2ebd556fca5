"""The fault matrix: {fault} x {plain, streamed} x {alone, in a group of two}.

Every cell is derived from the design's tables (semantics sections 1, 2, 3, 4, 6 and 8): a fault that is shown before
anything reached the client is another attempt's chance, one behind it is not; three failures in a row open the breaker
of whatever they are blamed on; from then on nobody is asked in vain.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct

from tests.e2e.faults import MAX_WAIT, OPEN_FOR, THRESHOLD, Cell, Place, Turn, but
from tests.e2e.matrix import Matrix, open_matrix
from tests.e2e.usual import GOOD, SHORT

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = "0.4 s"
BROKEN = "connection (closed|reset) by the provider"


class Row(Struct, frozen=True, kw_only=True):
    """One fault in one form, that goes on for good.

    `scope` is whose breaker hears of it, `tries` how often one exchange asks the same target. `status`, `body`, `says`
    and `end` are what the client gets where nobody else can be asked: the provider's own answer (`theirs`), an error of
    ours (`own`), or a broken stream (`event`, `begun`). `stays` says that content had reached the client: nobody else
    is asked then, whoever is there.
    """

    name: str
    script: str | None
    result: str
    message: str
    scope: str
    status: int
    tries: int = 1
    body: str = "own"
    end: str = "clean"
    like: str = ""
    short: bool = False
    stays: bool = False

    @property
    def place(self) -> Place:
        return Place(
            script=self.script,
            result=self.result,
            message=self.message,
            like=self.like,
            more=SHORT if self.short else {},
        )


def _both(**fields: Any) -> list[tuple[str, Row]]:
    """A fault that looks the same in both forms."""
    return [("chat", Row(**fields)), ("chat/s", Row(**fields))]


REFUSED = r"cannot connect: .*refused.*"
FIRST = r"connection closed before an answer: .*"

ROWS: list[tuple[str, Row]] = [
    # Nothing came at all. Refused connections are no resets: the same door is not knocked at twice.
    *_both(name="refused", script=None, result="network_error", message=REFUSED, scope="provider", status=502),
    *_both(
        name="reset before head",
        script="reset-before",
        result="network_error",
        message=FIRST,
        scope="provider",
        status=502,
        tries=2,
    ),
    *_both(
        name="closed before head",
        script="close-before",
        result="network_error",
        message=FIRST,
        scope="provider",
        status=502,
        tries=2,
    ),
    *_both(
        name="garbage",
        script="garbage",
        result="network_error",
        message=r"answer is not valid HTTP\b.*",
        scope="provider",
        status=502,
    ),
    # Broken inside the answer: a small body was held back, a stream's content was not.
    (
        "chat",
        Row(
            name="reset mid-body",
            script="reset",
            result="network_error",
            message=f"connection lost after part of the body: {BROKEN}",
            scope="target",
            status=502,
            tries=2,
        ),
    ),
    (
        "chat/s",
        Row(
            name="reset mid-body",
            script="reset",
            result="network_error",
            message=rf"connection lost after [1-9] events?: {BROKEN}",
            scope="target",
            status=200,
            body="begun",
            end="fin",
            stays=True,
        ),
    ),
    (
        "chat/s",
        Row(
            name="reset before content",
            script="reset@after=0",
            result="network_error",
            message=rf"connection lost after \d events?: {BROKEN}",
            scope="target",
            status=502,
            tries=2,
        ),
    ),
    (
        "chat",
        Row(
            name="truncated",
            script="short",
            result="network_error",
            message=f"connection lost after part of the body: {BROKEN}",
            scope="target",
            status=502,
            tries=2,
        ),
    ),
    (
        "chat/s",
        Row(
            name="truncated",
            script="truncate",
            result="error",
            message=r"stream truncated after [1-9] events?",
            scope="target",
            status=200,
            body="event",
            end="fin",
            stays=True,
        ),
    ),
    (
        "chat/s",
        Row(
            name="truncated before content",
            script="truncate@after=0",
            result="error",
            message=r"stream truncated after \d events?",
            scope="target",
            status=502,
        ),
    ),
    # Silence: never asked twice.
    (
        "chat",
        Row(
            name="silent",
            script="silent",
            result="timeout",
            message=f"no answer within {LIMIT}",
            scope="target",
            status=504,
            short=True,
        ),
    ),
    (
        "chat/s",
        Row(
            name="silent",
            script="silent",
            result="timeout",
            message=f"no content within {LIMIT}",
            scope="target",
            status=504,
            short=True,
        ),
    ),
    (
        "chat",
        Row(
            name="slow first token",
            script="slow-head@delay=20",
            result="timeout",
            message=f"no answer within {LIMIT}",
            scope="target",
            status=504,
            short=True,
        ),
    ),
    *(
        (
            "chat/s",
            Row(
                name=name,
                script=script,
                result="timeout",
                message=f"no content within {LIMIT}",
                scope="target",
                status=504,
                short=True,
            ),
        )
        for name, script in (
            ("slow first token", "slow-first@first=20"),
            ("slow first token, comments", "slow-comments@first=20,gap=0.1"),
        )
    ),
    (
        "chat",
        Row(
            name="stall",
            script="stall",
            result="timeout",
            message=f"stalled after part of the body: silent for {LIMIT}",
            scope="target",
            status=504,
            short=True,
        ),
    ),
    (
        "chat/s",
        Row(
            name="stall",
            script="stall",
            like="truncate",
            result="timeout",
            message=f"stalled after [1-9] events?: silent for {LIMIT}",
            scope="target",
            status=200,
            body="event",
            end="fin",
            short=True,
            stays=True,
        ),
    ),
    # An answer that says no.
    *_both(
        name="503 for good",
        script="fail-503",
        result="error",
        message=r"503 service_unavailable_error: .*",
        scope="target",
        status=503,
        tries=2,
        body="theirs",
    ),
    *_both(
        name="401",
        script="bad-key",
        result="error",
        message=r"401 invalid_api_key: .*",
        scope="credential",
        status=401,
        body="theirs",
    ),
    # An error inside a 200.
    (
        "chat",
        Row(
            name="in-band error first",
            script="error-200",
            result="error",
            message=r"503 service_unavailable_error: .* \(in a successful answer\)",
            scope="target",
            status=200,
            tries=2,
            body="theirs",
        ),
    ),
    (
        "chat/s",
        Row(
            name="in-band error first",
            script="error-first",
            result="error",
            message=r"529 overloaded_error: .* \(in the stream, after \d events?\)",
            scope="target",
            status=200,
            tries=2,
            body="theirs",
        ),
    ),
    (
        "chat/s",
        Row(
            name="in-band error late",
            script="error-late",
            result="error",
            message=r"529 overloaded_error: .* \(in the stream, after [1-9] events?\)",
            scope="target",
            status=200,
            body="theirs",
            end="fin",
            stays=True,
        ),
    ),
]


def outage(row: Row, paired: bool) -> tuple[Turn, ...]:
    """An exchange after another until the breaker opens, and one that finds it open."""
    turns: list[Turn] = []
    failures = 0
    while failures < THRESHOLD:
        tries = min(row.tries, THRESHOLD - failures)
        failures += tries
        opens = row.scope if failures == THRESHOLD else ""
        if paired and not row.stays:
            turns.append(Turn(saw="a" * tries + "b", by="b", cause=row.result, opens=opens))
            continue
        by = "" if row.body == "own" else "a"
        turn = Turn(saw="a" * tries, by=by, status=row.status, body=row.body, end=row.end, says=row.message)
        turns.append(but(turn, opens=opens))
    kind = "credential" if row.scope == "credential" else "open"
    if paired:
        turns.append(Turn(saw="b", by="b", cause=kind, opens=row.scope))
    else:
        status = row.status if row.scope == "credential" else 503
        turns.append(
            Turn(
                saw="",
                status=status,
                body="own",
                says=".",
                cause=kind,
                opens=row.scope,
                wait=(OPEN_FOR * 0.9 - 10, OPEN_FOR),
                takes=(0, 2),
            )
        )
    if row.scope == "credential":
        # Another caller has another key, and is asked for what that one is worth.
        last = Turn(saw="ab", by="b", cause="error", opens="credential", caller="another-caller")
        alone = Turn(saw="a", by="a", status=row.status, opens="credential", caller="another-caller")
        turns.append(last if paired else alone)
    return tuple(turns)


def _limited(script: str) -> Place:
    return Place(script=script, result="rate_limited", message=r"429 rate_limit_exceeded: .*")


def _refused_for(least: float, most: float) -> Turn:
    """A hold-off that is too long to wait for, and nowhere else to go."""
    return Turn(
        saw="", status=429, body="own", says="rate|429|limit", cause="hold_off", wait=(least, most), takes=(0, 1)
    )


def special(kind: str) -> list[Cell]:
    """Faults that end by themselves: rate limits, and a provider that fails but once."""
    form = "streamed" if kind.endswith("/s") else "plain"
    long, silent = _limited("rate-limit-30"), _limited("rate-limit")
    soon = but(_limited("once@fault=rate-limit@retry=0.5"), like="ok")
    hiccup = Place(script="once@fault=fail-500", message="500 .*", like="ok")
    once = Turn(saw="aa", by="a", results=("error", "success"))
    well = Turn(saw="a", by="a", results=("success",))
    gone = Turn(saw="ab", by="b", cause="rate_limited")
    held = Turn(saw="b", by="b", cause="hold_off", takes=(0, 1))
    waits = Turn(saw="aa", by="a", results=("rate_limited", "success"), takes=(0.5, 3))
    named: list[tuple[str, bool, Place, tuple[Turn, ...]]] = [
        ("429 with Retry-After", False, long, (Turn(saw="a", by="a", status=429), _refused_for(20, 30))),
        ("429 with Retry-After", True, long, (gone, held)),
        (
            "429 without Retry-After",
            False,
            silent,
            # A second of patience is there, two are not.
            (Turn(saw="aa", by="a", status=429, takes=(1, 3)), _refused_for(MAX_WAIT, 2)),
        ),
        ("429 without Retry-After", True, silent, (gone, held)),
        ("429 for a moment", False, soon, (waits, well)),
        ("500 once", False, hiccup, (once, well)),
        ("500 once", True, hiccup, (once, well)),
    ]
    return [
        Cell(
            name=f"{name}, {form}, {'pair' if paired else 'alone'}",
            kind=kind,
            places=(place, *([GOOD] if paired else [])),
            turns=turns,
            grouped=paired or form == "streamed",
        )
        for name, paired, place, turns in named
    ]


CELLS: list[Cell] = [
    Cell(
        name=f"{row.name}, {'streamed' if kind.endswith('/s') else 'plain'}, {'pair' if paired else 'alone'}",
        kind=kind,
        places=(row.place, *([GOOD] if paired else [])),
        turns=outage(row, paired),
        # Alone is a model nobody configured as well as a group of one.
        grouped=paired or kind.endswith("/s"),
    )
    for kind, row in ROWS
    for paired in (False, True)
] + [cell for kind in ("chat", "chat/s") for cell in special(kind)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Matrix]:
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    async with open_matrix(tmp_path_factory.mktemp("matrix"), CELLS, only=asked.__contains__) as found:
        yield found


@pytest.mark.parametrize("name", [cell.name for cell in CELLS])
async def test_what_becomes_of_a_fault(matrix: Matrix, name: str) -> None:
    await matrix.result(name)
