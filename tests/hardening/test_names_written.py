"""Names of models, header values and providers' words in logs for people, in stores and in what alerts send."""

from __future__ import annotations

import asyncio
import contextlib
import email
import json
import re
from collections.abc import AsyncIterator
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.e2e.test_admin_names import Provider
from tests.e2e.world import PATIENCE, client, lab, post, split
from tests.hardening.hostile_names import SHOWN, UNSHOWN, harmful
from tests.hardening.lair import Lair, lair
from tests.healthapi.alerts.sinks import HttpSink, MailSink, http_sink, mail_sink
from tests.redis_server import redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LINE = re.compile(r"\d\d:\d\d:\d\d (debug|info|warning|error) +\S.*")
FIELDS = {
    *("from", "to", "subject", "date", "message-id", "references", "auto-submitted", "content-type", "mime-version"),
    *("content-transfer-encoding", "in-reply-to"),
}
"""All that a mail's head may hold."""


async def record(running: Lair, provider: str, model: str) -> Any:
    async with client(running.admin) as peer:
        path = f"/v1/model-health/{provider}/{quote(model, safe='')}"
        await peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status, _, body = split(await peer.rest())
    return json.loads(body) if status == 200 else status


async def call(running: Lair, model: str, will: str) -> int:
    """Ask a model; header values and the path hold hostile bytes too, where the protocol lets them."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "x"}]}).encode()
    hostile = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", UNSHOWN[2] + UNSHOWN[4] + UNSHOWN[7])
    extra = f"X-Will: {will}\r\nUser-Agent: {hostile}\r\nx-detour-route: {hostile}\r\nX-Odd: {SHOWN[0]}\r\n"
    async with client(running.port) as peer:
        await peer.send(post(f"/openai/v1/chat/completions?{quote(hostile)}", body, extra=extra))
        return split(await peer.rest())[0]


async def traffic(running: Lair) -> None:
    """Each name well, and then badly until its model is ill."""
    for will, times in (("ok", 1), ("fail", 6)):
        for name in [*SHOWN, *UNSHOWN]:
            for status in [await call(running, name, will) for _ in range(times)]:
                assert status in (200, 503)
    for path in (f"/{quote(name.encode('utf-8', 'surrogatepass'))}/v1/x" for name in [*SHOWN, *UNSHOWN]):
        async with client(running.port) as peer:
            await peer.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            status, _, body = split(await peer.rest())
            assert status in (404, 431)
            assert not harmful(body.decode())


@contextlib.asynccontextmanager
async def started(folder: Path, provider: Provider, store: str, channels: dict[str, Any]) -> AsyncIterator[Lair]:
    rules = {
        name: {"enabled": False}
        for name in ("health", "drop", "provider_offline", "breaker_open", "credential", "error_budget", "store")
    }
    config = lab(
        provider.url,
        store=store,
        log={"level": "debug", "access": True},
        breakers={"mode": "observe"},
        models={name: {"tier": "critical", "targets": [f"openai/{name}".replace("$", "$$")]} for name in SHOWN},
        alerts={"channels": channels, "rules": {**rules, "critical_model": {"for": "0s", "clear": "1h"}}},
    )
    async with lair(folder, config, {}) as running:
        yield running


class World:
    """What there is after it all: what was sent to whom, what the process said, and it again, started anew."""

    def __init__(self, running: Lair, hooks: HttpSink, mails: MailSink, said: str) -> None:
        self.running = running
        self.hooks = hooks
        self.mails = mails
        self.said = said


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["sqlite", "redis"])
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("written")
    async with http_sink() as hooks, mail_sink() as mails, Provider() as provider:
        with redis_server(folder) if request.param == "redis" else contextlib.nullcontext() as server:
            store = "sqlite:///kept.db" if server is None else f"redis://{server.address}/0"
            channels = {
                "hook": {"type": "webhook", "url": f"{hooks.url}/hook"},
                "slack": {"type": "slack", "url": f"{hooks.url}/slack"},
                "sentry": {"type": "sentry", "url": f"http://key@127.0.0.1:{hooks.port}/7"},
                "mail": {"type": "email", "url": f"smtp://127.0.0.1:{mails.port}/?to=a@b.example&tls=off"},
            }
            async with started(folder, provider, store, channels) as running:
                await traffic(running)
                async with asyncio.timeout(PATIENCE):
                    while len(mails.mails) < len(SHOWN) or len(hooks.posted) < 3 * len(SHOWN):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
            said = running.written.decode()
            async with started(folder, provider, store, {}) as again:
                yield World(again, hooks, mails, said)


async def test_each_name_is_kept_as_it_is(world: World) -> None:
    for name in SHOWN:
        async with asyncio.timeout(PATIENCE):
            while (found := await record(world.running, "openai", name)) == 404:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (found["model"], found["call_count"]) == (name, 7)
        assert not harmful(json.dumps(found, ensure_ascii=False))
    for name in UNSHOWN:
        assert await record(world.running, "openai", name.encode("utf-8", "replace").decode()) in (400, 404, 414, 431)


async def test_the_log_is_made_of_lines(world: World) -> None:
    lines = [json.loads(line) for line in world.said.splitlines()]
    assert not [line for line in lines if line["level"] == "error" or "exception" in line]
    assert {line["model"] for line in lines if line["logger"] == "detour.access"} >= set(SHOWN)
    assert world.said.isascii()
    assert not harmful(world.said)


async def test_messages_to_programs_are_documents(world: World) -> None:
    subjects = set()
    for posted in world.hooks.posted:
        text = posted.body.decode()
        parts = [json.loads(line) for line in text.splitlines() if line]
        assert parts
        assert not harmful(text)
        assert not harmful(json.dumps(parts, ensure_ascii=False))
        if posted.path == "/hook":
            subjects.add(parts[0]["subject"])
        if posted.path == "/slack":
            assert not re.search(r"<[!@#]|<http|@here|@channel", text)
    assert subjects >= {f"openai/{name}"[:300] for name in SHOWN if name.strip() == name and "  " not in name}


async def test_messages_to_people_are_mails(world: World) -> None:
    for raw in world.mails.mails:
        mail = email.message_from_bytes(raw, policy=default)
        assert {name.lower() for name in mail} <= FIELDS
        assert mail["To"] == "a@b.example"
        assert not mail.defects
        body = mail.get_body(("plain",))
        assert body is not None
        assert not harmful(body.get_content().replace("\r\n", "\n"))
        assert not harmful(mail["Subject"])


async def test_a_log_for_people_is_made_of_lines_too(tmp_path: Path) -> None:
    async with Provider() as provider:
        config = lab(provider.url, store="memory:", log={"level": "debug", "access": True, "format": "text"})
        async with lair(tmp_path, config, {}) as running:
            for name in [*SHOWN, *UNSHOWN]:
                for will in ("ok", "fail"):
                    await call(running, name, will)
    text = running.written.decode()
    assert len(text.splitlines()) > 40
    assert not harmful(text)
    for line in text.splitlines():
        assert LINE.fullmatch(line), line
