"""An outage at a real process: who is told of it, and how often, whatever the channels and the process go through."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import act, kill, sidecar
from tests.e2e.test_commands import command
from tests.e2e.world import Detour, client, lab, post
from tests.healthapi.alerts.sinks import HttpSink, http_sink, mail_sink, until

CHAT = "/openai/v1/chat/completions"
QUICK = {"for": "1s", "clear": "1s"}
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


async def test_an_outage_is_one_alert_and_one_resolved_message_a_rule(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as sink, sidecar(tmp_path, config(fake, {"ops": webhook(sink)})) as running:
        assert set(await ask(running, "ok", 30)) == {200}
        await asyncio.sleep(2)
        assert sink.posted == [], "nothing is wrong"
        await ask(running, "fail-503", 40)
        await until(lambda: {rule for rule, _ in told(sink)} >= {"health", "critical_model", "provider_offline"})
        status, found = await running.get("/v1/alerts?state=firing")
        assert status == 200
        assert {one["rule"] for one in found["active"]} >= {"critical_model", "health"}
        assert await running.metric("detour_alerts_firing", rule="critical_model", severity="critical") == 1
        await recover(running)
        firing = {rule for rule, state in told(sink) if state == "firing"}
        await until(lambda: {rule for rule, state in told(sink) if state == "resolved"} >= firing)
        await asyncio.sleep(3)
        counts = Counter(told(sink))
        ill = [one for one in sink.documents if one["rule"] == "health" and one["state"] == "firing"]
        assert len(ill) <= 2, "once, and once more at most because it got worse"
        assert len({one["id"] for one in ill}) == 1
        for rule in firing:
            assert counts[rule, "resolved"] == 1, rule
            if rule != "health":
                assert counts[rule, "firing"] == 1, rule
        assert await running.metric("detour_alert_messages_total", channel="ops", result="delivered") == len(
            sink.posted
        )
        _, found = await running.get("/v1/alerts")
        assert found["active"] == []
        assert {one["rule"] for one in found["recent"]} >= firing
        assert "canary" not in str(found) + str(running.lines)


async def test_it_survives_kill_and_restart(fake: FakeProvider, tmp_path: Path) -> None:
    async with http_sink() as sink:
        made = config(fake, {"ops": webhook(sink)})
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
