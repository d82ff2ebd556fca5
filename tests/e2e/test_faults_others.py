"""Faults of what is no ordinary generation, requests in unusual frames, and a group of which nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.caller import Got, ask
from tests.e2e.faults import Cell, Place, Stage, Turn
from tests.e2e.matrix import Matrix, open_matrix, post_admin
from tests.e2e.said import own_message

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD = Place()
CELLS = [
    *(Cell(name=name, kind="chat", places=(GOOD, GOOD), turns=()) for name in ("lists", "files", "open", "provider")),
    *(Cell(name=f"chunked, {kind}", kind=kind, places=(GOOD, GOOD), turns=()) for kind in ("chat", "audio")),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    async with open_matrix(tmp_path_factory.mktemp("others"), CELLS, checked=False) as found:
        yield found


def attempts(got: Got) -> tuple[int, str | None]:
    return got.status, got.header("x-detour-attempts")


async def send(matrix: Matrix, stage: Stage, line: str, *fields: str, body: bytes = b"") -> Got:
    method, path = line.split(" ")
    lines = [f"{method} /{stage.provider('a')}{path} HTTP/1.1", "Host: localhost", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return await ask(matrix.detour.port, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)


@pytest.mark.parametrize(
    ("script", "status", "tries"),
    [
        ("reset-before", 502, 2),  # first: on a connection that was used before it would be no attempt at all
        ("fail-503", 503, 2),
        ("bad-key", 401, 1),
        ("once@fault=fail-500", 200, 2),
        ("ok", 200, 1),
    ],
)
async def test_a_list_is_asked_for_again_and_nowhere_else(matrix: Matrix, script: str, status: int, tries: int) -> None:
    stage = matrix.stages["lists"]
    since = asyncio.get_running_loop().time()
    got = await send(matrix, stage, "GET /v1/models", f"X-Fake-Script: {script}")
    assert attempts(got) == (status, str(tries))
    seen = stage.seen(since)
    assert [stage.seen_at(one) for one in seen] == ["a"] * tries
    assert {(one.method, one.target) for one in seen} == {("GET", b"/v1/models")}
    # It says nothing of any model, and is in no list of them.
    _, page = await matrix.detour.get(f"/v1/model-health?provider={stage.provider('a')}")
    assert page["total"] == 0
    status, said = await post_admin(matrix.detour, f"/circuit-breakers/{stage.provider('a')}/reset")
    assert (status, said["success"]) == (200, True)


@pytest.mark.parametrize(
    ("script", "status", "tries"), [("fail-500", 500, 1), ("fail-503", 503, 2), ("reset-before", 502, 1)]
)
async def test_a_file_is_sent_again_only_where_it_was_refused(
    matrix: Matrix, script: str, status: int, tries: int
) -> None:
    stage = matrix.stages["files"]
    since = asyncio.get_running_loop().time()
    got = await send(matrix, stage, "POST /v1/files", f"X-Fake-Script: {script}", "Content-Type: a/b", body=b"\x00\xff")
    assert attempts(got) == (status, str(tries))
    assert [(stage.seen_at(one), one.body) for one in stage.seen(since)] == [("a", b"\x00\xff")] * tries
    await post_admin(matrix.detour, f"/circuit-breakers/{stage.provider('a')}/reset")


@pytest.mark.parametrize("name", ["chunked, chat", "chunked, audio"])
async def test_a_chunked_request_is_carried_elsewhere_whole(matrix: Matrix, name: str) -> None:
    stage = matrix.stages[name]
    status, _ = await post_admin(matrix.detour, f"/circuit-breakers/{stage.target('a')}/open?for=5m")
    assert status == 200
    since = asyncio.get_running_loop().time()
    body = stage.body("a")
    head = stage.request(Turn(saw="b")).partition(b"\r\n\r\n")[0]
    head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    got = await ask(matrix.detour.port, head + b"\r\n\r\n" + chunks + b"0\r\n\r\n")
    assert attempts(got) == (200, "1")
    [seen] = stage.seen(since)
    assert (stage.letter_of(seen), seen.body, seen.complete) == ("b", stage.body("b"), True)
    framing = [seen.header(name) for name in (b"transfer-encoding", b"content-length")]
    assert framing in ([b"chunked", None], [None, b"%d" % len(seen.body)])


async def test_where_all_are_open_the_answer_says_when_the_next_trial_is(matrix: Matrix) -> None:
    stage = matrix.stages["open"]
    for letter, minutes in (("a", 9), ("b", 3)):
        await post_admin(matrix.detour, f"/circuit-breakers/{stage.target(letter)}/open?for={minutes}m")
    got = await ask(matrix.detour.port, stage.request(Turn(saw="")))
    assert attempts(got) == (503, "0")
    assert stage.target("a") in own_message("openai", got)
    assert 170 <= int(got.header("retry-after") or 0) <= 180
    assert got.header("x-should-retry") == "false"
    await post_admin(matrix.detour, f"/circuit-breakers/{stage.target('b')}/close")
    got = await ask(matrix.detour.port, stage.request(Turn(saw="b")))
    assert (*attempts(got), got.header("x-detour-rerouted-from")) == (200, "1", stage.target("a"))


async def test_a_providers_breaker_stands_for_all_that_is_there(matrix: Matrix) -> None:
    stage = matrix.stages["provider"]
    await post_admin(matrix.detour, f"/circuit-breakers/{stage.provider('a')}/open?for=5m")
    since = asyncio.get_running_loop().time()
    got = await send(matrix, stage, "GET /v1/models")
    assert attempts(got) == (503, "0")
    assert 290 <= int(got.header("retry-after") or 0) <= 300
    got = await ask(matrix.detour.port, stage.request(Turn(saw="b")))
    assert attempts(got) == (200, "1")
    unknown = stage.request(Turn(saw="")).replace(stage.model("a").encode(), b"a" * len(stage.model("a")))
    got = await ask(matrix.detour.port, unknown)
    assert attempts(got) == (503, "0")
    assert [stage.letter_of(one) for one in stage.seen(since)] == ["b"]
    _, page = await matrix.detour.get("/health/providers")
    states = {row["provider"]: row["circuit_breaker_state"] for row in page["providers"]}
    assert states.get(stage.provider("a"), "open") == "open"
