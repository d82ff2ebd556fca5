"""Semantics section 1, last rows, and section 8: what Detour itself refuses is no attempt and changes no figure."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.caller import ask, connect, request
from tests.e2e.court import PREFIXES, Court, open_court
from tests.e2e.kinds import KINDS, Kind
from tests.e2e.lanes import instance
from tests.e2e.said import own_message
from tests.e2e.world import PATIENCE, detour, eventually, lab

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND = 1 << 20
FEW = dict.fromkeys(PREFIXES, 20)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    # With a file, the named providers are served: these have no credential here, and one of them not even an address.
    providers: dict[str, Any] = {name: {} for name in ("groq", "anthropic", "gemini", "fal", "cloudflare-workers-ai")}
    limits = {"request_body": "1MiB", "connections": 2, "pool_wait": "300ms"}
    async with open_court(tmp_path_factory.mktemp("own"), many=FEW, limits=limits, providers=providers) as found:
        yield found


async def refused(court: Court, data: bytes, kind: Kind, status: int, says: str, provider: str = "") -> dict[str, str]:
    """Send a request that is refused here; returns the fields of the answer."""
    before = len(court.fake.log)
    got = await ask(court.detour.port, data)
    assert (got.status, got.end) == (status, "clean"), got
    said = own_message(kind.dialect, got)
    assert re.search(says, said), said
    assert len(court.fake.log) == before
    if provider:
        await court.untouched(provider, kind.model)
    return {name.decode().lower(): value.decode() for name, value in got.fields}


EACH = ["chat", "chat/s", "messages", "generate", "generate/a", "fal"]


@pytest.mark.parametrize("name", EACH)
async def test_a_body_that_is_too_large(court: Court, name: str) -> None:
    kind = KINDS[name]
    provider = court.provider(kind)
    large = b"x" * (BOUND + 1)
    whole = request(kind, provider=provider, body=large)
    fields = await refused(court, whole, kind, 413, "larger than 1 MiB.*limits.request_body", provider)
    assert fields["connection"] == "close"
    chunked = request(kind, provider=provider, body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    fields = await refused(
        court, chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large), kind, 413, "larger than 1 MiB", provider
    )
    assert fields["connection"] == "close"
    # Before the body was looked into nobody knows whether a stream is asked for, unless the path says so.
    got = read_streamed(await metrics(court), provider)
    assert got == {("413", "false"): 2}
    court.answers[provider, "413", "false"] += 2


@pytest.mark.parametrize("name", ["chat", "messages", "generate", "fal"])
async def test_a_body_of_the_largest_size_is_not(court: Court, name: str) -> None:
    kind = KINDS[name]
    provider = court.provider(kind)
    body = kind.body[:-1] + b', "filler": "' + b"x" * (BOUND - len(kind.body) - 14) + b'"}'
    assert len(body) in range(BOUND - 2, BOUND + 1)
    got = await court.ask(kind, provider=provider, body=body)
    assert got.status == 200
    court.book(provider, kind, "success", 200)
    assert [seen.body for seen in court.seen(provider)] == [body]


@pytest.mark.parametrize("name", ["chat", "messages", "generate"])
async def test_a_provider_nobody_configured(court: Court, name: str) -> None:
    kind = KINDS[name]
    fields = await refused(
        court, request(kind, provider="grok"), kind, 404, "no provider is called 'grok'; did you mean groq"
    )
    assert fields["x-detour-request-id"]
    court.answers["~unknown", "404", "false"] += 1


async def test_a_provider_whose_address_is_not_complete(court: Court) -> None:
    kind, provider = KINDS["chat"], "cloudflare-workers-ai"
    fields = await refused(court, request(kind, provider=provider), kind, 503, "CLOUDFLARE_ACCOUNT_ID", provider)
    assert fields["x-should-retry"] == "false"
    court.answers["~unknown", "503", "false"] += 1


@pytest.mark.parametrize(
    ("provider", "name", "variables"),
    [
        ("groq", "chat", "GROQ_API_KEY"),
        ("groq", "chat/s", "GROQ_API_KEY"),
        ("anthropic", "messages", "ANTHROPIC_API_KEY"),
        ("gemini", "generate", "GEMINI_API_KEY or GOOGLE_API_KEY"),
        ("fal", "fal", "FAL_KEY or FAL_API_KEY"),
    ],
)
@pytest.mark.parametrize("field", [b"X-None: 1", b"Authorization: Bearer detour"])
async def test_a_credential_that_nobody_has(
    court: Court, provider: str, name: str, variables: str, field: bytes
) -> None:
    kind = KINDS[name]
    says = f"{provider} needs a credential .* {variables}\\b"
    await refused(court, request(kind, field, provider=provider), kind, 401, says, provider)
    court.answers[provider, "401", "false"] += 1


async def test_a_loop(court: Court) -> None:
    own = f"Via: 1.1 detour-{instance(court.detour)}".encode()
    others = b"Via: 1.1 detour-a, 1.1 detour-b, 1.1 detour-c, 1.1 detour-d"
    for name in EACH:
        for via in (own, others):
            kind = KINDS[name]
            provider = court.provider(kind)
            await refused(
                court, request(kind, via, provider=provider), kind, 508, "has come through here before", provider
            )
            court.answers["~unknown", "508", "false"] += 1


async def test_no_connection_comes_free(court: Court) -> None:
    chat = KINDS["chat"]
    busy = [court.provider(chat), court.provider(chat)]
    wires = [await connect(court.detour.port) for _ in busy]
    for wire, provider in zip(wires, busy, strict=True):
        wire.transport.write(request(chat, provider=provider, script="silent"))
    await eventually(lambda: all(court.seen(provider) for provider in busy))
    for name in EACH:
        kind = KINDS[name]
        provider = court.provider(kind)
        says = f"{provider}: all 2 connections to .* were busy for 0.3 s"
        fields = await refused(court, request(kind, provider=provider), kind, 503, says, provider)
        assert fields["retry-after"] == "1"
        assert fields["x-detour-attempts"] == "0"
        court.book(provider, kind, None, 503)
    for wire, provider in zip(wires, busy, strict=True):
        wire.transport.abort()
        court.book(provider, chat, "cancelled", 0)
    got = await court.ask(chat, provider=busy[0])
    assert got.status == 200
    court.book(busy[0], chat, "success", 200)


async def metrics(court: Court) -> str:
    return str((await court.detour.get("/metrics"))[1])


def read_streamed(text: str, provider: str) -> dict[tuple[str, str], int]:
    """A provider's requests by status and whether a stream was asked for."""
    found = re.findall(rf'^detour_requests_total{{([^}}]*provider="{provider}"[^}}]*)}} (\S+)$', text, re.MULTILINE)
    labels = [(dict(re.findall(r'(\w+)="([^"]*)"', one)), float(value)) for one, value in found]
    return {(one["status"], one["streamed"]): int(value) for one, value in labels}


# -- draining --------------------------------------------------------------------------------------------------------


async def test_while_draining_requests_are_served_and_connections_close(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    kind = KINDS["chat/s"]
    async with (
        FakeProvider() as fake,
        detour(lab(fake.url), path=tmp_path_factory.mktemp("drain") / "detour.yaml") as running,
    ):
        kept, streaming = await connect(running.port), await connect(running.port)
        streaming.transport.write(request(kind, provider="openai", script="ok@gap=0.15,events=8"))
        await eventually(lambda: b"Detour" in streaming.raw)
        running.process.send_signal(signal.SIGTERM)
        await eventually(
            lambda: any("drain" in line["message"] or "stopping" in line["message"] for line in running.lines)
        )
        kept.transport.write(request(KINDS["chat"], provider="openai"))
        served = await kept.result()
        assert (served.status, served.end, served.header("connection")) == (200, "clean", "close")
        streamed = await streaming.result()
        assert (streamed.status, streamed.end) == (200, "clean")
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        assert await asyncio.wait_for(running.process.wait(), PATIENCE) == 0
