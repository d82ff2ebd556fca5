"""An outage at a real process: who is told of it, and how often, whatever the channels and the process go through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from healthapi.alerts.rules import TABLE
from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import act, kill, sidecar
from tests.e2e.test_commands import command
from tests.e2e.world import Detour, client, lab, post
from tests.healthapi.alerts.sinks import HttpSink, http_sink, mail_sink, until

CHAT = "/openai/v1/chat/completions"
QUICK = {"for": "1s", "clear": "1s"}
OFF: dict[str, Any] = {"enabled": False}
MINE = "critical_model"


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def config(fake: FakeProvider, channels: dict[str, Any], **rules: dict[str, Any]) -> dict[str, Any]:
    """One model of the tier `critical` that everything hangs on, and rules that have little patience."""
    names = ("health", "critical_model", "provider_offline", "error_budget", "credential", "store")
    return lab(
        fake.url,
        admin={"token": TOKEN},
        models={"main": {"tier": "critical", "targets": ["openai/main"]}},
        breakers={"open_for": "1s", "jitter": 0, "success_threshold": 1, "failure_threshold": 5},
        probes={"enabled": False},
        alerts={"channels": channels, "rules": {name: QUICK | rules.get(name, {}) for name in names}},
    )


def webhook(sink: HttpSink, **more: str) -> dict[str, str]:
    return {"type": "webhook", "url": f"{sink.url}/hook/canary-secret", **more}


async def ask(running: Detour, script: str, times: int) -> list[int]:
    """Ask the model, which does as the script says."""
    statuses = []
    async with client(running.port) as peer:
        for _ in range(times):
            extra = f"Authorization: Bearer detour\r\nX-Fake-Script: {script}\r\n"
            await peer.send(post(CHAT, b'{"model":"main"}', extra=extra, close=False))
            statuses.append((await peer.answer())[0])
    return statuses


async def recover(running: Detour) -> None:
    """Ask until the breaker is closed, and then so often that the outage is forgotten."""
    async with asyncio.timeout(20):
        while (await ask(running, "ok", 1)) != [200]:  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.1)
    assert set(await ask(running, "ok", 300)) == {200}


def told(sink: HttpSink, rule: str = "") -> list[tuple[str, str]]:
    """Which rules were told in which state, in order."""
    return [(one["rule"], one["state"]) for one in sink.documents if rule in ("", one["rule"])]


GROUP = [f"m{number}" for number in range(4)]
"""Models that both providers have."""


def several(fake: FakeProvider, sink: HttpSink, **rules: dict[str, Any]) -> dict[str, Any]:
    """Two providers with four models each, one of them of the tier `critical`, and every rule."""
    made = config(fake, {"ops": webhook(sink)})
    made["providers"]["spare"] = {"base_url": f"{fake.url}/v1", "dialect": "openai", "api_key": "sk-configured-spare"}
    made["models"] = {"main": {"tier": "critical", "targets": ["openai/m0"]}}
    made["alerts"]["rules"] = {name: QUICK | rules.get(name, {}) for name in TABLE}
    return made


async def round_of(running: Detour, provider: str, script: str, times: int, models: Sequence[str] = GROUP) -> set[int]:
    """Ask each of the models, one after the other, again and again; with which statuses they answer."""
    statuses = set()
    async with client(running.port) as peer:
        for _ in range(times):
            for model in models:
                extra = f"Authorization: Bearer detour\r\nX-Fake-Script: {script}\r\n"
                path = f"/{provider}/v1/chat/completions"
                await peer.send(post(path, f'{{"model":"{model}"}}'.encode(), extra=extra, close=False))
                statuses.add((await peer.answer())[0])
    return statuses


async def comes(running: Detour, rules: set[str]) -> dict[str, Any]:
    """The alerts that fire, once those of these rules do, by rule and subject."""
    async with asyncio.timeout(30):
        while True:
            status, found = await running.get("/v1/alerts?state=firing")
            assert status == 200
            active = {f"{one['rule']}:{one['subject']}": one for one in found["active"]}
            if rules <= {one["rule"] for one in found["active"]}:
                return active
            await asyncio.sleep(0.2)


async def well(running: Detour, provider: str, models: Sequence[str] = GROUP) -> None:
    """Ask until all breakers are closed, and then so often that the outage is forgotten."""
    async with asyncio.timeout(30):
        while await round_of(running, provider, "ok", 1, models) != {200}:  # noqa: ASYNC110 - another process is asked
            await asyncio.sleep(0.1)
    assert await round_of(running, provider, "ok", 200, models) == {200}


async def test_an_outage_of_a_provider_is_one_message_and_its_end_another(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as sink:
        made = several(fake, sink, breaker_open={"longer_than": "1s"})
        async with sidecar(tmp_path, made) as running:
            for provider in ("openai", "spare"):
                await round_of(running, provider, "ok", 8)
            await asyncio.sleep(2)
            assert sink.posted == [], "nothing is wrong"
            await round_of(running, "openai", "fail-503", 12)
            active = await comes(
                running, {"provider_offline", "critical_model", "breaker_open", "health", "error_budget"}
            )
            await asyncio.sleep(2)
            assert told(sink) == [("provider_offline", "firing")]
            assert active.pop("provider_offline:openai")["inhibited_by"] == []
            assert {tuple(one["inhibited_by"]) for one in active.values()} == {("provider_offline:openai",)}
            assert {one["messages"] for one in active.values()} == {0}
            assert active["health:system"]["severity"] == "critical"
            await well(running, "openai")
            await until(lambda: len(sink.posted) == 2)
            await asyncio.sleep(4)
            assert told(sink) == [("provider_offline", "firing"), ("provider_offline", "resolved")]
            first, second = sink.documents
            assert (first["id"], first["subject"]) == (second["id"], "openai")
            delivered = await running.metric("detour_alert_messages_total", channel="ops", result="delivered")
            assert delivered == 2
            _, found = await running.get("/v1/alerts")
            assert {one["rule"] for one in found["recent"]} >= {"provider_offline", "critical_model", "health"}
            assert "canary" not in str(found) + str(running.lines)


async def test_what_an_outage_leaves_behind_is_told_when_it_lasts(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as sink, sidecar(tmp_path, several(fake, sink, error_budget=OFF)) as running:
        await round_of(running, "openai", "ok", 8)
        await round_of(running, "spare", "ok", 8)
        await round_of(running, "openai", "fail-503", 12)
        await until(lambda: told(sink))
        await comes(running, {"critical_model"})
        await well(running, "openai", GROUP[1:])
        await round_of(running, "openai", "fail-503", 12, GROUP[:1])
        await until(lambda: ("critical_model", "firing") in told(sink))
        messages = told(sink)
        assert messages.index(("provider_offline", "resolved")) < messages.index(("critical_model", "firing"))
        assert messages.count(("critical_model", "firing")) == 1
        await well(running, "openai")
        await until(lambda: ("critical_model", "resolved") in told(sink))


async def test_one_trouble_that_worsens_is_one_alert_that_escalates(fake: FakeProvider, tmp_path: Path) -> None:
    only = {name: OFF for name in TABLE if name not in ("health", "provider_offline")}
    async with http_sink() as sink, sidecar(tmp_path, several(fake, sink, **only)) as running:
        for provider in ("openai", "spare"):
            await round_of(running, provider, "ok", 8)
        await round_of(running, "spare", "fail-503", 12, GROUP[:1])
        await until(lambda: told(sink))
        await round_of(running, "openai", "fail-503", 12, GROUP[:1])
        await until(lambda: len(sink.posted) == 2)
        for provider in ("openai", "spare"):
            await well(running, provider)
        await until(lambda: len(sink.posted) == 3)
        await asyncio.sleep(3)
        assert [(one["rule"], one["state"], one["severity"]) for one in sink.documents] == [
            ("health", "firing", "warning"), ("health", "firing", "critical"), ("health", "resolved", "critical"),
        ]  # fmt: skip
        assert len({one["id"] for one in sink.documents}) == 1
        assert [one["value"] for one in sink.documents[:2]] == [87.5, 75.0]


async def test_it_survives_kill_and_restart(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as sink:
        made = config(fake, {"ops": webhook(sink)}, provider_offline=OFF)
        async with sidecar(tmp_path, made) as running:
            await ask(running, "fail-503", 10)
            await until(lambda: told(sink, MINE))
            await asyncio.sleep(1.5)
            await kill(running)
        async with sidecar(tmp_path, made) as running:
            await asyncio.sleep(3)
            status, found = await running.get("/v1/alerts?state=firing")
            assert status == 200
            assert MINE in {one["rule"] for one in found["active"]}
            assert told(sink, MINE) == [(MINE, "firing")], "nobody is told twice"
        async with sidecar(tmp_path, made) as running:
            await recover(running)
            await until(lambda: len(told(sink, MINE)) == 2)
            await asyncio.sleep(2)
        assert told(sink, MINE) == [(MINE, "firing"), (MINE, "resolved")]
        first, second = (one for one in sink.documents if one["rule"] == MINE)
        assert first["id"] == second["id"]
        assert first["instance"] != second["instance"]


async def test_channels_that_are_dead_delay_no_other_and_no_traffic(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as dead, http_sink() as ill, http_sink() as alive, mail_sink() as mute, mail_sink() as mail:
        dead.silent = mute.silent = True
        ill.answers = [500, 503, 200]
        channels = {
            "dead": webhook(dead),
            "ill": {"type": "slack", "url": f"{ill.url}/canary-secret"},
            "mute": {"type": "email", "url": f"smtp://127.0.0.1:{mute.port}/?to=ops@example.com"},
            "mail": {"type": "email", "url": f"smtp://127.0.0.1:{mail.port}/?to=ops@example.com"},
            "issues": {"type": "sentry", "url": f"http://canarykey@127.0.0.1:{alive.port}/7"},
            "alive": webhook(alive, secret="canary-secret"),
        }
        only = {name: {"enabled": False} for name in ("health", "provider_offline", "error_budget")}
        async with sidecar(tmp_path, config(fake, channels, **only)) as running:
            await ask(running, "fail-503", 10)
            await until(lambda: dead.posted and ill.posted)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await recover(running)
            taken = loop.time() - began
            await until(lambda: len(alive.posted) == 4, "two events and two messages")
            await until(lambda: len(mail.mails) == 2)
            await until(lambda: len(ill.posted) == 4, "the first only at the third attempt")
            assert taken < 10, "the time limit of a channel"
            assert len(dead.posted) == 1
            assert await running.metric("detour_alert_messages_total", channel="ill", result="failed") == 2
            assert await running.metric("detour_alert_messages_total", channel="dead", result="delivered") == 0
            status, answer = await act(running, "/v1/alerts/test?channel=ill")
            assert (status, answer["success"]) == (200, True)
            _, found = await running.get("/v1/alerts")
            assert "canary" not in str(found) + str(answer) + str(running.lines)
        assert {one.path for one in alive.posted} == {"/api/7/envelope/", "/hook/canary-secret"}


async def test_mail_that_cannot_be_sent_is_tried_again(fake: FakeProvider, tmp_path: Path) -> None:
    async with mail_sink() as mail:
        mail.answers["MAIL"] = "451 not now"
        channels = {"mail": {"type": "email", "url": f"smtp://127.0.0.1:{mail.port}/?to=ops@example.com"}}
        only = {name: {"enabled": False} for name in ("health", "provider_offline", "error_budget")}
        async with sidecar(tmp_path, config(fake, channels, **only)) as running:
            await ask(running, "fail-503", 10)
            await until(lambda: sum(one.startswith("MAIL") for one in mail.commands) >= 2)
            assert mail.mails == []
            del mail.answers["MAIL"]
            await until(lambda: mail.mails)
            assert b"openai/main is unhealthy" in mail.mails[0]


@pytest.mark.parametrize("kind", ["email", "sentry"])
async def test_an_address_that_cannot_be_used_stops_it_from_starting(kind: str, tmp_path: Path) -> None:
    url = {"email": "smtp://host/?to=canary", "sentry": "https://canary@host/name"}[kind]
    path = tmp_path / "d.yaml"
    path.write_text(f"alerts: {{channels: {{ops: {{type: {kind}, url: '{url}'}}}}}}\nstore: 'memory:'\n")
    code, out, err = await command("serve", "-c", str(path), "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
    assert code == 3
    assert "alerts.channels.ops.url: " in out + err
    assert "canary" not in out + err
