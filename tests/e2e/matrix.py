"""The fault matrix at work: plays the turns of its cells through one Detour and looks at each from all sides.

After every turn: the client's answer, what each provider saw, byte for byte, each record, each breaker. When all cells
are through, the metrics and health pages of the whole process are compared with the sum of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from proxy.fake import FakeProvider
from tests.e2e.caller import Got, ask
from tests.e2e.court import COUNTED, differences, samples
from tests.e2e.faults import MAX_WAIT, OPEN_FOR, THRESHOLD, Cell, Stage, Turn
from tests.e2e.said import cut_event, event_message, own_message, quiet
from tests.e2e.world import PATIENCE, Detour, client, detour, split

ADMIN_TOKEN = "matrix-admin"


class Matrix:
    """One Detour, all cells that run through it, and the book of what they came to."""

    def __init__(self, running: Detour, mirror: FakeProvider, stages: dict[str, Stage]) -> None:
        self.detour = running
        self.mirror = mirror
        self.stages = stages
        self.book: dict[str, Counter[tuple[str, ...]]] = {
            name: Counter() for name in ("attempts", "requests", "retries", "reroutes", "refusals", "transitions")
        }
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, names: list[str], limit: int = 12) -> None:
        """Start these cells side by side, since most of their time is waiting."""
        gate = asyncio.Semaphore(limit)

        async def one(name: str) -> None:
            async with gate:
                await self.play(self.stages[name])

        for name in names:
            self._tasks[name] = asyncio.create_task(one(name))

    async def result(self, name: str) -> None:
        """What became of a cell."""
        await self._tasks[name]

    async def end(self) -> None:
        """Let cells come to their end that nobody asked about."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @property
    def failed(self) -> bool:
        return any(task.exception() is not None for task in self._tasks.values())

    async def play(self, stage: Stage) -> None:
        """All turns of a cell, each looked at from all sides."""
        for number, turn in enumerate(stage.cell.turns):
            try:
                await self._turn(stage, turn)
            except Exception as error:
                error.add_note(f"{stage.cell.name}, {stage.target('a')}, turn {number}: {turn}")
                raise

    async def _turn(self, stage: Stage, turn: Turn) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(turn.after)
        if turn.opened:
            stage.longest = 600.0
            status, said = await post_admin(self.detour, f"/circuit-breakers/{stage.target('a')}/open?for=10m")
            assert (status, said["success"], said["state"]["state"]) == (200, True, "open"), said
        began = loop.time()
        got = await ask(self.detour.port, stage.request(turn))
        took = got.at - began
        self.write_down(stage, turn)
        self._check_client(stage, turn, got, await self._direct(stage, turn))
        assert turn.takes[0] * 0.98 <= took <= turn.takes[1], took
        await self.check_records(stage)
        seen = stage.seen(began)
        visible = "".join(letter for letter in turn.saw if stage.home(letter) in stage.fakes)
        came = "".join(map(stage.letter_of, seen))
        assert came == visible, f"{came} were asked"
        for one in seen:
            stage.check_seen(one, turn)
        await self._check_breakers(stage, turn)

    # -- the client ------------------------------------------------------------------------------------------------

    async def _direct(self, stage: Stage, turn: Turn) -> Got | None:
        """What the answering provider sends, known from asking one that is like it."""
        if not turn.by:
            return None
        body = stage.body(turn.by)
        head = f"POST {stage.path(turn.by)}?{stage.query(turn.caller, foreign=False)} HTTP/1.1\r\nHost: localhost\r\n"
        fields = f"Content-Type: {stage.kind.content_type.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
        return await ask(self.mirror.port, (head + fields).encode() + body)

    def _check_client(self, stage: Stage, turn: Turn, got: Got, direct: Got | None) -> None:
        at = turn.by or (turn.saw[-1] if turn.saw else "a")
        assert (got.status, got.end) == (turn.status, turn.end), got
        named = {name: got.header(f"x-detour-{name}") for name in ("provider", "model", "attempts", "rerouted-from")}
        assert named == {
            "provider": stage.provider(at),
            "model": stage.model(at),
            "attempts": str(len(turn.saw)),
            "rerouted-from": stage.target("a") if at != "a" else None,
        }, f"{named}, {got}"
        assert got.header("x-detour-request-id")
        wait = got.header("retry-after")
        if direct is None:
            said = own_message(stage.kind.dialect, got)
            assert re.search(turn.says, said), said
            assert stage.provider(at) in said, said
            assert (wait is not None) == (turn.wait is not None), wait
            if turn.wait is not None:
                assert wait is not None
                assert turn.wait[0] <= float(wait) <= turn.wait[1], wait
            patient = turn.wait is None or turn.status == 429
            assert got.header("x-should-retry") == (None if patient else "false")
            return
        assert got.status == direct.status
        assert got.theirs == direct.theirs, (got.theirs, direct.theirs)
        kind = stage.kind
        body, sent = quiet(kind, got.readable), quiet(kind, direct.readable)
        if turn.body == "theirs":
            assert body == sent, (body, sent)
            return
        begun, event = cut_event(kind, body)
        assert sent.startswith(begun) if turn.body == "begun" else sent == begun, (begun, sent)
        assert quiet(kind, begun)
        said = event_message(kind, event, 504 if "stalled" in turn.says else 502)
        assert re.search(turn.says, said), said

    # -- the health API --------------------------------------------------------------------------------------------

    def write_down(self, stage: Stage, turn: Turn) -> None:
        results = turn.results or tuple(stage.place(letter).result for letter in turn.saw)
        for letter, result in zip(turn.saw, results, strict=True):
            stage.spent.append(letter + result)
            self.book["attempts"][stage.provider(letter), result] += 1
        for result in results[: len(turn.saw) - 1]:
            self.book["retries"][str(stage.number), result] += 1
        self.book["requests"][stage.provider("a"), str(turn.status), str(stage.kind.streamed).lower()] += 1
        if turn.by not in ("", "a"):
            there = (stage.provider(turn.by), stage.model(turn.by))
            self.book["reroutes"][stage.provider("a"), stage.model("a"), *there, turn.cause] += 1
        if "a" not in turn.saw and turn.cause in ("open", "hold_off", "credential"):
            self.book["refusals"][stage.provider("a"), turn.cause] += 1
        moves = turn.moves
        if turn.opens and not stage.open_scope:
            moves = (("closed", "open", "manual" if turn.opened else "consecutive"), *moves)
        for move in moves:
            scope = turn.opens or stage.open_scope
            self.book["transitions"][scope, stage.provider("a"), *move] += 1
        for letter, one in turn.trips:
            self.book["transitions"][one, stage.provider(letter), "closed", "open", "consecutive"] += 1
        stage.open_scope = turn.opens

    async def check_records(self, stage: Stage) -> None:
        for letter in stage.letters:
            results = [one[1:] for one in stage.spent if one[0] == letter and one[1:] in COUNTED]
            path = f"/v1/model-health/{stage.target(letter)}"
            if not results:
                status, found = await self.detour.get(path)
                assert status == 404, found
                continue
            record = await self.record(path, len(results))
            good = results.count("success")
            assert (record["success_count"], record["error_count"]) == (good, len(results) - good), record
            assert record["last_status"] == results[-1], record
            said = record["last_error_message"]
            last = list(itertools.takewhile(lambda result: result == "success", reversed(results)))
            failures = list(itertools.takewhile(lambda result: result != "success", reversed(results)))
            assert (record["consecutive_successes"], record["consecutive_failures"]) == (len(last), len(failures)), (
                record
            )
            message = stage.place(letter).message
            assert (said is None) if last else re.fullmatch(message, said), said

    async def record(self, path: str, calls: int) -> dict[str, Any]:
        """The record once it counts `calls`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, found = await self.detour.get(path)
                if status == 200 and found["call_count"] >= calls:
                    assert found["call_count"] == calls, found
                    assert isinstance(found, dict)
                    return found
                await asyncio.sleep(0.01)

    async def _check_breakers(self, stage: Stage, turn: Turn) -> None:
        provider, target = stage.provider("a"), stage.target("a")
        status, page = await self.detour.get(f"/circuit-breakers/{provider}")
        assert status == 200, page
        rows = page["circuit_breakers"]
        assert page["total_count"] == len(rows)
        counted = [sum(row["state"] == state for row in rows.values()) for state in ("open", "half_open", "closed")]
        assert counted == [page["open_count"], page["half_open_count"], page["closed_count"]]
        open_ones = [name for name, row in rows.items() if row["state"] != "closed"]
        names = {"provider": provider, "target": target, "credential": rf"{provider}#key:\w{{8}}"}
        if not turn.opens:
            assert open_ones == [], rows
        else:
            assert len(open_ones) == 1, rows
            assert re.fullmatch(names[turn.opens], open_ones[0]), open_ones
            row = rows[open_ones[0]]
            assert (row["state"], row["provider"]) == (turn.state, provider)
            assert row["reason"]
            assert row["opened_at"] is not None
            assert (0 < row["seconds_until_retry"] <= stage.longest) == (turn.state == "open"), row
        for letter in stage.letters:
            if stage.home(letter) == "a":
                continue
            status, row = await self.detour.get(f"/circuit-breakers/{stage.target(letter)}")
            touched = any(one[0] == letter and one[1:] in COUNTED for one in stage.spent)
            assert status == 200 or not touched, row
            if status == 200:
                assert row["state"] == "closed"
                assert (row["opened_at"], row["seconds_until_retry"]) in ((None, None), (None, 0))

    async def truth(self) -> None:
        """Compare every figure of the process with the book."""
        async with asyncio.timeout(PATIENCE):
            while await self.busy():  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.05)
        _, text = await self.detour.get("/metrics")
        book = self.book
        for what, name, labels in (
            ("attempts", "detour_attempts_total", ("provider", "status")),
            ("requests", "detour_requests_total", ("provider", "status", "streamed")),
            (
                "reroutes",
                "detour_reroutes_total",
                ("from_provider", "from_model", "to_provider", "to_model", "cause"),
            ),
            ("transitions", "detour_breaker_transitions_total", ("scope", "provider", "from", "to", "cause")),
        ):
            wrong = differences(_sums(text, name, labels), book[what])
            assert not wrong, f"{name}:\n{wrong}"
        retries = Counter[tuple[str, ...]]()
        for (provider, cause), count in _sums(text, "detour_retries_total", ("provider", "cause")).items():
            retries[provider.strip("pabcd"), cause] += count
        wrong = differences(retries, book["retries"])
        assert not wrong, f"detour_retries_total:\n{wrong}"
        rejections = _sums(text, "detour_rejections_total", ("provider", "kind"))
        missing = [key for key, count in book["refusals"].items() if rejections[key] < count]
        assert not missing, f"detour_rejections_total: {missing}"
        await self._shown()

    async def _shown(self) -> None:
        """What people see: an open breaker makes ill what it stands for; a key's trouble is nobody else's."""
        _, models = await self.detour.get("/health/models")
        _, providers = await self.detour.get("/health/providers")
        health = {f"{row['provider']}/{row['model_id']}": row["status"] for row in models["models"]}
        health |= {row["provider"]: row["status"] for row in providers["providers"]}
        for stage in self.stages.values():
            tried = any(one[0] == "a" and one[1:] in COUNTED for one in stage.spent)
            seen = [health.get(stage.target("a")), health.get(stage.provider("a"))]
            if not tried:
                assert seen[0] is None, stage.cell.name
            elif stage.open_scope == "credential":
                assert seen == ["unknown", "unknown"], (stage.cell.name, seen)
            elif stage.open_scope == "target":
                assert seen == ["unhealthy", "offline"], (stage.cell.name, seen)
            elif stage.open_scope == "provider":
                assert seen[1] == "offline", (stage.cell.name, seen)
            for letter in stage.letters[1:]:
                assert health.get(stage.target(letter)) in (None, "unknown", "healthy"), (stage.cell.name, letter)

    async def busy(self) -> float:
        return await self.detour.metric("detour_in_flight_requests") + await self.detour.metric("detour_open_permits")


def _sums(text: str, name: str, labels: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """A metric's samples, added up by these labels."""
    found = Counter[tuple[str, ...]]()
    for given, value in samples(text, name):
        found[tuple(given[label] for label in labels)] += value
    return found


async def post_admin(running: Detour, path: str, token: str = ADMIN_TOKEN) -> tuple[int, Any]:
    """POST to the admin port: (status, decoded JSON)."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
    async with client(running.admin_port) as peer:
        await peer.send(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        status, _, body = split(await peer.rest())
        return status, json.loads(body)


SETTINGS: dict[str, Any] = {
    "log": {"format": "json"},
    "admin": {"token": ADMIN_TOKEN},
    "breakers": {"failure_threshold": THRESHOLD, "min_requests": 100, "open_for": f"{OPEN_FOR:g}s"},
    "retries": {"max_wait": f"{MAX_WAIT:g}s"},
    "timeouts": dict.fromkeys(("connect", "first_byte", "idle", "answer"), "10s")
    | {"total": "15s", "stream_total": "15s"},
}
"""A busy machine is slow: only those that are to run into a limit have a short one, in their provider's settings."""


@contextlib.asynccontextmanager
async def open_matrix(
    folder: Path,
    cells: list[Cell],
    *,
    only: Callable[[str], bool] = lambda name: True,
    more: tuple[str, ...] = (),
    checked: bool = True,
    **sections: Any,
) -> AsyncIterator[Matrix]:
    """A running Detour in whose configuration these cells are; `more` are further arguments of the command.

    `checked` says that everything which goes through it is in the book.
    """
    chosen = [cell for cell in cells if only(cell.name)]
    async with contextlib.AsyncExitStack() as stack:
        mirror = await stack.enter_async_context(FakeProvider())
        stages = {cell.name: Stage(cell, number) for number, cell in enumerate(chosen, 1)}
        providers: dict[str, Any] = {}
        models: dict[str, Any] = {}
        for stage in stages.values():
            await stage.open(stack, mirror)
            named, groups = stage.settings()
            providers |= named
            models |= groups
        config = _merged(SETTINGS, sections) | {"providers": providers, "models": models}
        running = await stack.enter_async_context(detour(config, path=folder / "detour.yaml", more=more))
        matrix = Matrix(running, mirror, stages)
        matrix.begin([cell.name for cell in chosen])
        yield matrix
        await matrix.end()
        if checked and not matrix.failed:
            await matrix.truth()


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return base | {
        name: {**base[name], **section} if isinstance(base.get(name), dict) else section
        for name, section in over.items()
    }
