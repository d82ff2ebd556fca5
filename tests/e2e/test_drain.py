"""Processes that end while everybody goes on asking: no request is lost, and what takes too long ends visibly.

The rolling restarts take longer with `DRAIN_STREAM` seconds a stream set in the environment (20 is what is promised).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.balancer import LATE, Balancer
from tests.e2e.crowd import Crowd
from tests.e2e.world import PATIENCE, Detour, client, detour, eventually, lab, post, split

STREAM = float(os.environ.get("DRAIN_STREAM", "3"))
"""Seconds of a stream."""
CLIENTS = 200
RESTARTS = 10
CHAT = "/openai/v1/chat/completions"
KEY = "Authorization: Bearer sk-caller\r\n"

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120 + RESTARTS * (STREAM + 15)),
]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def draining(running: Detour) -> bool:
    return any(line["message"] == "draining" for line in running.lines)


# -- rolling restarts --------------------------------------------------------------------------------------------------


async def test_rolling_restarts_lose_no_request(fake: FakeProvider, tmp_path: Path) -> None:
    linger = {"timeout": f"{STREAM + 30}s", "linger": f"{5 * LATE}s"}
    config = lab(fake.url, timeouts={}, drain=linger)
    events = int(STREAM / 0.25)
    scripts = [("ok", False), (f"ok@events={events},gap=0.25", True)]
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(Balancer())

        async def begin(number: int) -> tuple[AsyncExitStack, Detour]:
            own = await stack.enter_async_context(AsyncExitStack())
            running = await own.enter_async_context(detour(config, path=tmp_path / f"{number}.yaml"))
            balancer.backends.append(running)
            await eventually(lambda: running in balancer.ready)
            return own, running

        async def end(own: AsyncExitStack, old: Detour) -> None:
            old.process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(old.process.wait(), STREAM + 60)
            balancer.backends.remove(old)
            await own.aclose()  # says that it ended with 0 and complained of nothing
            assert [line["message"] for line in old.lines] == ["serving", "draining", "stopped"]

        fleet = [await begin(number) for number in range(2)]
        crowd = Crowd(balancer.port, CHAT, scripts, CLIENTS, pause=0.25)
        ends = []
        for number in range(RESTARTS):
            before = crowd.answers
            fleet.append(await begin(2 + number))
            ends.append(asyncio.create_task(end(*fleet.pop(0))))
            await asyncio.sleep(STREAM / 3)
            assert crowd.answers > before
        await asyncio.gather(*ends)
        await crowd.stop(STREAM + 60)
        print(f"{crowd.answers} answers {dict(crowd.counts)}, {crowd.closed} of them the last on a connection")
        assert crowd.failures == []
        assert balancer.refused == 0
        assert crowd.closed >= RESTARTS
        assert len(crowd.counts) == len(scripts)


# -- one process -------------------------------------------------------------------------------------------------------


async def test_while_it_lingers_it_serves_and_says_goodbye(fake: FakeProvider, tmp_path: Path) -> None:
    config = lab(fake.url, drain={"timeout": "20s", "linger": "2s"})
    async with (
        detour(config, path=tmp_path / "d.yaml") as running,
        client(running.port) as kept,
        client(running.port) as silent,
    ):
        await kept.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
        status, fields, _ = await kept.answer()
        assert (status, (b"Connection", b"close") in fields) == (200, False)
        running.process.send_signal(signal.SIGTERM)
        await eventually(lambda: draining(running))
        assert (await running.get("/readyz"))[0] == 503
        async with client(running.port) as fresh:
            for peer in (kept, fresh):
                await peer.send(post(CHAT, b'{"model":"ok"}', extra=KEY, close=False))
                status, fields, _ = split(await peer.rest())
                assert (status, (b"Connection", b"close") in fields) == (200, True)
        assert running.process.returncode is None
        assert await silent.rest() == b"", "closed in the end, without a word"
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", running.port)


async def test_what_was_asked_in_one_go_is_answered_before_goodbye(fake: FakeProvider, tmp_path: Path) -> None:
    async with detour(lab(fake.url, timeouts={}), path=tmp_path / "d.yaml") as running, client(running.port) as peer:
        requests = [post(CHAT, b'{"model":"ok@delay=%d"}' % delay, extra=KEY, close=False) for delay in (1, 0, 0)]
        await peer.send(b"".join(requests))
        await fake.until(lambda: bool(fake.log) and b"delay=1" in fake.log[-1].body)
        running.process.send_signal(signal.SIGTERM)
        answers = [await peer.answer() for _ in requests]
        assert [status for status, _, _ in answers] == [200, 200, 200]
        assert [(b"Connection", b"close") in fields for _, fields, _ in answers] == [False, False, True]
        assert await peer.rest() == b""


async def test_an_answer_that_begins_after_the_signal_closes_its_connection(fake: FakeProvider, tmp_path: Path) -> None:
    async with detour(lab(fake.url, timeouts={}), path=tmp_path / "d.yaml") as running, client(running.port) as peer:
        await peer.send(post(CHAT, b'{"model":"ok@delay=1"}', extra=KEY, close=False))
        await fake.until(lambda: bool(fake.log) and b"delay=1" in fake.log[-1].body)
        running.process.send_signal(signal.SIGTERM)
        status, fields, _ = split(await peer.rest())
        assert (status, (b"Connection", b"close") in fields) == (200, True)


async def test_a_head_that_is_on_its_way_is_waited_for(fake: FakeProvider, tmp_path: Path) -> None:
    async with detour(lab(fake.url), path=tmp_path / "d.yaml") as running, client(running.port) as peer:
        raw = post(CHAT, b'{"model":"ok"}', extra=KEY, close=False)
        await peer.send(raw[:40])
        await peer.settled()
        await asyncio.sleep(0.2)
        running.process.send_signal(signal.SIGTERM)
        await eventually(lambda: draining(running))
        await asyncio.sleep(0.3)
        await peer.send(raw[40:])
        status, fields, _ = split(await peer.rest())
        assert (status, (b"Connection", b"close") in fields) == (200, True)


@pytest.mark.parametrize(
    ("path", "event"),
    [(CHAT, b'data: {"error":'), ("/anthropic/v1/messages", b"event: error\ndata: ")],
)
async def test_what_takes_too_long_ends_visibly(fake: FakeProvider, tmp_path: Path, path: str, event: bytes) -> None:
    config = lab(fake.url, timeouts={}, drain={"timeout": "300ms"})
    async with (
        detour(config, path=tmp_path / "d.yaml") as running,
        client(running.port) as stream,
        client(running.port) as plain,
    ):
        extra = "" if "anthropic" in path else KEY
        await stream.send(post(path, b'{"model":"ok@events=1000,gap=0.1","stream":true}', extra=extra, close=False))
        begun = await stream.until(b"\n\n")
        await plain.send(post(path, b'{"model":"ok@delay=600"}', extra=extra, close=False))
        await fake.until(lambda: b"delay=600" in fake.log[-1].body)
        running.process.send_signal(signal.SIGTERM)
        rest = begun + await stream.rest()
        assert not rest.endswith(b"0\r\n\r\n"), "no clean end"
        assert event in rest
        assert b"drain.timeout" in rest
        status, fields, body = split(await plain.rest())
        assert status == 503
        assert {(b"Connection", b"close"), (b"Retry-After", b"1")} <= set(fields)
        assert "error" in json.loads(body)
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        assert any(line["message"] == "drain time is over" and line["ended"] == 2 for line in running.lines)


async def test_who_never_hears_of_it_has_short_requests_ended_by_themselves(fake: FakeProvider, tmp_path: Path) -> None:
    """Nobody looks at `/readyz` here: what comes all the time is served, until no more connections are taken."""
    config = lab(fake.url, timeouts={}, drain={"timeout": "10s"})
    async with detour(config, path=tmp_path / "d.yaml") as running:
        crowd = Crowd(running.port, CHAT, [("ok@delay=0.1", False)], 10, pause=0.0)
        await eventually(lambda: crowd.answers > 20)
        running.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
        await crowd.stop()
    asked = sum(b"delay=0.1" in one.body for one in fake.log)
    assert asked == crowd.answers, "whatever came in was answered; the others were not let in"
    assert not any(line["message"] == "drain time is over" for line in running.lines)


async def test_counts_up_to_the_last_request_outlive_the_process(fake: FakeProvider, tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'kept.db'}")
    config = lab(fake.url)
    async with detour(config, path=tmp_path / "d.yaml", more=store) as running:
        async with client(running.port) as peer:
            await peer.send(post(CHAT, b'{"model":"ok@delay=0.5"}', extra=KEY))
            await fake.until(lambda: b"delay=0.5" in fake.log[-1].body)
            running.process.send_signal(signal.SIGTERM)
            assert split(await peer.rest())[0] == 200
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
    async with detour(config, path=tmp_path / "d.yaml", more=store) as running:
        assert (await running.record("openai", "ok@delay=0.5"))["call_count"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_at_once_also_with_a_store_that_is_away(
    fake: FakeProvider, tmp_path: Path, number: signal.Signals
) -> None:
    config = lab(fake.url, timeouts={}, drain={"timeout": "10m", "linger": "5m"})
    more = ("--store", "redis://127.0.0.1:9/0")
    complaints: list[Any] = []
    with contextlib.suppress(AssertionError):
        async with detour(config, path=tmp_path / "d.yaml", more=more) as running, client(running.port) as stream:
            await stream.send(post(CHAT, b'{"model":"ok@events=1000,gap=0.1","stream":true}', extra=KEY, close=False))
            await stream.until(b"\n\n")
            running.process.send_signal(number)
            await eventually(lambda: draining(running))
            running.process.send_signal(number)
            began = asyncio.get_running_loop().time()
            assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
            took = asyncio.get_running_loop().time() - began
            with contextlib.suppress(ConnectionResetError):
                assert not (await stream.rest()).endswith(b"0\r\n\r\n")
            complaints = [line for line in running.complaints if "exception" in line]
    assert complaints == []
    assert took < 10.0
