"""Breakers over a restart: open for what is left of their time and not longer, for the reason they had."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import act, ask, breaker, comes, flushed, kill, said, sidecar
from tests.e2e.world import Detour, lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLACK = 0.1
"""Seconds between reading a breaker's time and writing it down."""


def moment(row: dict[str, Any]) -> float:
    """When a breaker opened, in Unix seconds."""
    return datetime.fromisoformat(row["opened_at"]).timestamp()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def config(fake: FakeProvider, open_for: str, **sections: Any) -> dict[str, Any]:
    """Trips at the second failure in a row."""
    knobs = {"failure_threshold": 2, "open_for": open_for, "jitter": 0}
    return lab(fake.url, breakers=knobs, admin={"token": TOKEN}, **sections)


def nobody() -> str:
    """An origin on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


async def trip(running: Detour, model: str, provider: str = "openai") -> None:
    await comes(lambda: ask(running, model, provider, 2), lambda statuses: statuses == [503, 503])


class Clocked:
    """Breakers, and between which two moments of the wall's clock they were looked at."""

    def __init__(self, earliest: float, latest: float, rows: dict[str, dict[str, Any]]) -> None:
        self.earliest, self.latest, self.rows = earliest, latest, rows

    @classmethod
    async def now(cls, running: Detour, *names: str) -> Clocked:
        began = time.time()
        rows = {name: await breaker(running, name) for name in names}
        return cls(began, time.time(), rows)


OPEN = ("openai/ill", "gone", "openai/held", "fal")
CLOSED = ("openai/shut", "openai/cleared")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
async def test_open_breakers_are_open_for_what_is_left(fake: FakeProvider, tmp_path: Path, end: signal.Signals) -> None:
    setup = config(fake, "50s")
    setup["providers"]["gone"] = {"base_url": f"{nobody()}/v1", "api_key": "k", "dialect": "openai"}
    for name in ("ill", "shut", "cleared"):
        fake.models[name] = "fail-503"
    fake.models["held"] = "ok"
    async with sidecar(tmp_path, setup) as running:
        for model in ("ill", "shut", "cleared"):
            await trip(running, model)
        assert await ask(running, "held") == [200]
        for path in ("openai/held/open?for=40s", "fal/open?for=10m", "openai/shut/close", "openai/cleared/reset"):
            status, found = await act(running, f"/circuit-breakers/{path}")
            assert status == 200, found
        await trip(running, "any", "gone")
        before = await Clocked.now(running, *OPEN)
        assert {name: row["state"] for name, row in before.rows.items()} == dict.fromkeys(OPEN, "open")
        if end is signal.SIGKILL:
            await flushed(running)
            await kill(running)
    asked = len(fake.log)
    fake.models.update(dict.fromkeys(("ill", "shut", "cleared"), "ok"))
    async with sidecar(tmp_path, setup) as running:
        after = await Clocked.now(running, *OPEN)
        for name, row in after.rows.items():
            was = before.rows[name]
            for key in ("state", "reason", "cause", "manual", "scope", "mode"):
                assert row[key] == was[key], (name, key)
            left, passed = was["seconds_until_retry"], (after.earliest - before.latest, after.latest - before.earliest)
            assert left - passed[1] - SLACK <= row["seconds_until_retry"] <= left - passed[0] + SLACK, name
            assert abs(moment(row) - moment(was)) <= SLACK, name
        for name in CLOSED:
            assert (await breaker(running, name))["state"] == "closed"
        assert await ask(running, "ill") == await ask(running, "held") == [503]
        assert await ask(running, "any", "gone") == [503], "refused without a try"
        assert len(fake.log) == asked
        assert await ask(running, "shut") == await ask(running, "cleared") == [200]
        record = await running.record("openai", "ill")
        assert record["circuit_breaker_state"] == "open"
        assert record["circuit_breaker_reason"] == before.rows["openai/ill"]["reason"]
        status, found = await act(running, "/circuit-breakers/openai/ill/reset")
        assert (status, found["state"]["state"]) == (200, "closed")
        assert await ask(running, "ill") == [200]
    async with sidecar(tmp_path, setup) as running:
        assert (await breaker(running, "openai/ill"))["state"] == "closed"
        assert (await breaker(running, "openai/held"))["state"] == "open"


async def test_they_are_tried_at_their_time(fake: FakeProvider, tmp_path: Path) -> None:
    setup = config(fake, "4s")
    fake.models["later"] = "fail-503"
    async with sidecar(tmp_path, setup) as running:
        await trip(running, "later")
        found = await Clocked.now(running, "openai/later")
    fake.models["later"] = "ok"
    asked = len(fake.log)
    due = found.latest + found.rows["openai/later"]["seconds_until_retry"]
    async with sidecar(tmp_path, setup) as running:
        await comes(lambda: ask(running, "later"), lambda statuses: statuses == [200])
        late = time.time() - due
        assert -SLACK <= late <= 2.5, f"tried {late:.2f} s after its time"
        assert len(fake.log) == asked + 1
        assert (await breaker(running, "openai/later"))["state"] == "half_open"
    # Ended while it was tried out: it is tried again, and what the first trial came to is asked for anew.
    async with sidecar(tmp_path, setup) as running:
        row = await breaker(running, "openai/later")
        assert (row["state"], row["seconds_until_retry"], row["trials_out"]) == ("open", 0, 0)
        assert await ask(running, "later") == [200]
        assert (await breaker(running, "openai/later"))["state"] == "half_open"
        assert await ask(running, "later") == [200]
        assert (await breaker(running, "openai/later"))["state"] == "closed"


async def test_a_time_that_passed_while_nothing_ran_has_passed(fake: FakeProvider, tmp_path: Path) -> None:
    setup = config(fake, "1s")
    fake.models["past"] = "fail-503"
    async with sidecar(tmp_path, setup) as running:
        await trip(running, "past")
        await act(running, "/circuit-breakers/fal/open?for=1s")
    fake.models["past"] = "ok"
    await asyncio.sleep(1.0)
    async with sidecar(tmp_path, setup) as running:
        assert (await breaker(running, "fal"))["seconds_until_retry"] == 0
        assert await ask(running, "past") == [200]


async def test_open_times_go_on_growing(fake: FakeProvider, tmp_path: Path) -> None:
    """Twice as long with each opening; a reset by hand begins anew, and that outlives the process as well."""
    setup = config(fake, "1s")

    async def opened(running: Detour) -> float:
        """Open it, be it by a trial that fails; how long for, as its log says."""
        await comes(lambda: failing(running), lambda row: bool(row["seconds_until_retry"]))
        return float(said(running, "breaker open")[-1]["retry_in"])

    async def failing(running: Detour) -> dict[str, Any]:
        assert await ask(running, "growing") == [503]
        return await breaker(running, "openai/growing")

    fake.models["growing"] = "fail-503"
    async with sidecar(tmp_path, setup) as running:
        assert await opened(running) == 1
        await comes(lambda: breaker(running, "openai/growing"), lambda row: row["seconds_until_retry"] == 0)
        assert await opened(running) == 2
    async with sidecar(tmp_path, setup) as running:
        await comes(lambda: breaker(running, "openai/growing"), lambda row: row["seconds_until_retry"] == 0)
        assert await opened(running) == 4
        fake.models["growing"] = "ok"
        await comes(lambda: ask(running, "growing", times=2), lambda statuses: statuses == [200, 200])
        assert (await breaker(running, "openai/growing"))["state"] == "closed"
    # Closed since, and not yet for as long as it takes to be trusted again.
    fake.models["growing"] = "fail-503"
    async with sidecar(tmp_path, setup) as running:
        assert await opened(running) == 8
        await act(running, "/circuit-breakers/openai/growing/reset")
    async with sidecar(tmp_path, setup) as running:
        assert await opened(running) == 1
