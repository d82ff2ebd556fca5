"""Probes at scripted providers of every dialect; what health, metrics and the access log know of them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from breaker.outcome import Kind, Neutral, Status
from breaker.registry import Registry
from breaker.transitions import State
from config.baseurl import parse_base_url
from config.load import load_text
from healthapi.lag import Lag
from healthapi.memory import MemoryStore
from healthapi.metrics import Metrics
from healthapi.record import Record
from healthapi.recorder import Recorder
from proxy.access import AccessLog
from proxy.connect import Connector
from proxy.fake import FakeProvider
from proxy.plane import DataPlane
from proxy.pool import Pools
from proxy.probe import NO_REQUEST
from proxy.prober import Prober
from tests.e2e.world import client, detour, lab, post, split

FILE = """
providers:
  openai: {{base_url: "{url}/v1", api_key: k}}
  anthropic: {{base_url: "{url}/v1", api_key: k}}
  gemini: {{base_url: "{url}/v1beta", api_key: k}}
  fal-queue: {{base_url: "{url}/queue", api_key: k}}
  fal: {{base_url: "http://127.0.0.1:1", api_key: sk-fal}}
breakers: {{failure_threshold: 3, jitter: 0}}
"""
DIALECTS = ["openai", "anthropic", "gemini"]
CALL = b'{"model":"ok","messages":[{"role":"user","content":"x"}]}'


class Sidecar:
    """A data plane, a prober and everything that is told of what they do."""

    def __init__(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        config = load_text(FILE.format(url=url), {})
        fal, (there, _) = config.providers["fal"], parse_base_url(url)
        config.routes["fal"] = config.providers["fal"] = replace(fal, queue=replace(fal, origin=there))
        self.store = MemoryStore()
        self.pools = Pools(Connector(loop), loop)
        self.registry = Registry(tracked=100, per_provider={n: p.breakers for n, p in config.providers.items()})
        self.metrics = Metrics(
            config=config,
            version="0",
            instance="abc",
            lag=Lag(),
            in_flight=lambda: self.plane.in_flight,
            connections=self.pools.counts,
            open_permits=lambda: self.registry.open_permits,
        )
        recorder = AccessLog(Recorder(self.store, self.metrics))
        self.plane = DataPlane(config, self.registry, recorder, self.pools, loop, instance="abc")
        self.prober = Prober(self.plane)

    async def probe(self, provider: str, model: str) -> Status | Any:
        return (await self.prober.probe(provider, model, timeout=10.0, max_tokens=5)).status

    def record(self, provider: str, model: str) -> Record:
        found = self.store.get(provider, model)
        assert found is not None
        return found

    @property
    def requests(self) -> int:
        """Requests of clients that the metrics count."""
        return sum(sum(series.requests.values()) for _, series in self.metrics.series())


@contextlib.asynccontextmanager
async def sidecar() -> AsyncIterator[tuple[Sidecar, FakeProvider, int]]:
    """A sidecar at a scripted provider, and the port that callers use."""
    async with FakeProvider() as fake:
        found = Sidecar(fake.url)
        server = await asyncio.get_running_loop().create_server(found.plane.server, "127.0.0.1", 0)
        found.plane.watch.start()
        try:
            yield found, fake, server.sockets[0].getsockname()[1]
        finally:
            server.close()
            found.plane.watch.stop()
            await found.plane.server.shutdown(1.0)
            found.pools.close()


@pytest.mark.parametrize("provider", DIALECTS)
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("ok", Status.SUCCESS),
        ("fail-401", Status.ERROR),
        ("fail-403", Status.ERROR),
        ("rate-limit", Status.RATE_LIMITED),
        ("bad-key", Status.ERROR),
        ("fail-500", Status.ERROR),
        ("fail-503", Status.ERROR),
        ("fail-504", Status.TIMEOUT),
        ("error-200", Status.ERROR),
        ("reset-before", Status.NETWORK_ERROR),
    ],
)
async def test_what_each_vendor_says_is_recorded_as_a_probe(provider: str, script: str, expected: Status) -> None:
    async with sidecar() as (found, fake, _):
        assert await found.probe(provider, script) is expected
        record = found.record(provider, script)
        assert record.live is None
        assert record.probe is not None
        assert (record.sums().calls, record.last.last_status) == (1, expected)
        assert (len(fake.log), found.requests) == (1, 0)


@pytest.mark.parametrize("provider", DIALECTS)
async def test_a_mistake_of_the_probes_own_is_on_no_record(provider: str) -> None:
    async with sidecar() as (found, _, __):
        assert not isinstance(await found.probe(provider, "fail-400"), Status)
        assert found.store.get(provider, "fail-400") is None


@pytest.mark.parametrize(("provider", "model"), [("fal-queue", "fal-ai/flux/dev"), ("gemini", "imagen-4")])
async def test_free_questions_are_on_the_models_own_record(provider: str, model: str) -> None:
    async with sidecar() as (found, fake, _):
        assert await found.probe(provider, model) is Status.SUCCESS
        assert found.record(provider, model).sums(Kind.PROBE).successes == 1
        assert [(seen.method, seen.body) for seen in fake.log] == [("GET", b"")]


@pytest.mark.parametrize(
    ("script", "expected", "recorded"),
    [
        ("ok", Status.SUCCESS, True),
        ("bad-key", Status.ERROR, True),
        ("rate-limit", Status.RATE_LIMITED, True),
        ("fail-503", Neutral.CALLER_ERROR, False),
        ("reset-before", Neutral.CALLER_ERROR, False),
    ],
)
async def test_fal_is_asked_at_its_queue_with_its_own_key(script: str, expected: Any, recorded: bool) -> None:
    """Whose own host nobody reaches: what the queue says of key and application counts, its own trouble does not."""
    async with FakeProvider() as fake:
        found = Sidecar(fake.url)
        model = f"{script}/app/path"
        fake.models[f"{script}/app"] = script
        assert await found.probe("fal", model) is expected
        found.pools.close()
    (seen,) = fake.log
    assert (seen.method, seen.target) == ("GET", f"/{script}/app/requests/{NO_REQUEST}/status".encode())
    assert seen.header(b"authorization") == b"Key sk-fal"
    assert seen.header(b"host") == fake.url.removeprefix("http://").encode()
    assert (found.store.get("fal", model) is not None) is recorded
    breaker = found.registry.breaker("fal")
    assert breaker is None or breaker.closed


async def test_probes_and_calls_are_apart_and_together(caplog: pytest.LogCaptureFixture) -> None:
    async with sidecar() as (found, _, port):
        with caplog.at_level(logging.INFO, "detour.access"):
            assert await found.probe("openai", "ok") is Status.SUCCESS
            assert caplog.records == []
            assert found.requests == 0
            async with client(port) as caller:
                await caller.send(post("/openai/v1/chat/completions", CALL))
                assert split(await caller.rest())[0] == 200
            assert len(caplog.records) == 1
        record = found.record("openai", "ok")
        assert [record.sums(kind).calls for kind in (Kind.LIVE, Kind.PROBE, None)] == [1, 1, 2]
        assert found.requests == 1
        ((_, series),) = found.metrics.series()
        assert sum(series.attempts.values()) == 2


async def test_probes_open_a_breaker_and_turn_callers_away() -> None:
    async with sidecar() as (found, fake, port):
        for _ in range(3):
            await found.probe("openai", "fail-503")
        breaker = found.registry.breaker("openai", "fail-503")
        assert breaker is not None
        assert breaker.state is State.OPEN
        async with client(port) as caller:
            await caller.send(post("/openai/v1/chat/completions", CALL.replace(b'"ok"', b'"fail-503"')))
            status, _, body = split(await caller.rest())
        assert (status, b"circuit_open" in body, len(fake.log)) == (503, True, 3)


async def test_a_running_sidecar_takes_nobodys_word_for_a_probe(tmp_path: Path) -> None:
    async with FakeProvider() as fake, detour(lab(fake.url), path=tmp_path / "detour.yaml") as running:
        extra = f"x-detour-probe: {'0' * 32}\r\nAuthorization: Bearer sk-callers-own\r\n"
        async with client(running.port) as caller:
            await caller.send(post("/openai/v1/chat/completions", CALL, extra=extra))
            assert split(await caller.rest())[0] == 200
        (seen,) = fake.log
        assert seen.header(b"authorization") == b"Bearer sk-callers-own"
        assert seen.header(b"x-detour-probe") is None
        assert await running.metric("detour_requests_total", provider="openai") == 1
        assert await running.metric("detour_attempts_total", kind="live") == 1
        assert await running.metric("detour_attempts_total", kind="probe") == 0
