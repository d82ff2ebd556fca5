"""What is no request is answered in the shape of all mistakes, and nothing of it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from healthapi.app import build
from healthapi.runner import Runner
from tests.healthapi.admin_world import World

CANARY = b"sk-canary-of-a-caller"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A port that is served as the process serves it."""
    runner = Runner(build(World().admin()), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def raw(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
        await writer.wait_closed()


HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n",
        b"G<T /%b HTTP/1.1\r\nHost: localhost\r\n" % CANARY,
        b"\x16\x03\x01\x02\x00\x01\x00\r\n",
        b"GET /livez HTTP/9.9\r\nHost: localhost\r\n",
        HEAD + b"Authorization: Bearer %b\x00\r\n" % CANARY,
        HEAD + b"Authorization Bearer %b\r\n" % CANARY,
        HEAD + b"X: %b\r\n" % (CANARY * 1000),
        HEAD + b"X: y\r\n" * 3000,
        HEAD + b"Content-Length: -1\r\n",
        HEAD + b"Expect: %b\r\n" % CANARY,
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        b"GET /%b HTTP/1.1\r\nHost: localhost\r\n" % (CANARY * 1000),
    ],
    ids=lambda sent: repr(sent[:40]),
)
async def test_what_is_no_request(port: int, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    head, _, body = (await raw(port, sent + b"\r\n")).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    names = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    assert status.split()[1] == "400"
    assert names["server"] == "detour"
    assert names["content-type"] == "application/json"
    assert names["x-content-type-options"] == "nosniff"
    assert names["cache-control"] == "no-store"
    document = json.loads(body)
    assert set(document) == {"detail", "error"}
    assert (document["error"]["code"], document["error"]["status"]) == ("bad_request", 400)
    assert document["error"]["request_id"] == names["x-detour-request-id"]
    assert CANARY not in head + body
    assert CANARY.decode() not in caplog.text


async def test_requests_are_served_as_ever(port: int) -> None:
    answer = await raw(port, HEAD + b"\r\n" + HEAD + b"Connection: close\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answer.endswith(b'{"status":"ok"}')


async def test_who_waits_for_leave_to_send_a_body_gets_it(port: int) -> None:
    answer = await raw(port, HEAD + b"Connection: close\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_bug_of_the_server_is_a_500_without_its_words(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(self: web.Application, request: web.Request) -> web.StreamResponse:
        raise RuntimeError(CANARY.decode())

    monkeypatch.setattr(web.Application, "_handle", broken)
    runner = Runner(build(World().admin()), access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        answer = await raw(runner.addresses[0][1], HEAD + b"Accept: text/html\r\n\r\n")
    finally:
        await runner.cleanup()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"application/json" in answer
    assert CANARY not in answer
    (line,) = caplog.records
    assert line.__dict__["request_id"].encode() in answer
