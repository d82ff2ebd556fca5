"""The pages of alerts over HTTP, and what Prometheus hears of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from config.alerts import Rules
from healthapi.alerting import alerting, families
from healthapi.alerts.channels import channels
from healthapi.alerts.desk import Desk
from healthapi.alerts.situation import Situation
from healthapi.app import build
from tests.healthapi.admin_world import TOKEN, World
from tests.healthapi.alerts.found import situation
from tests.healthapi.alerts.sinks import HttpSink, http_sink, until

CONFIG = f"""
admin: {{token: {TOKEN}}}
providers: {{groq: {{api_key: k}}}}
alerts:
  channels:
    ops: {{type: webhook, url: "URL/canary-secret"}}
    dead: {{type: slack, url: "http://127.0.0.1:1/canary-secret"}}
"""
AUTH = {"Authorization": f"Bearer {TOKEN}"}


class Port:
    """An admin port, its desk and what that looks at."""

    def __init__(self, sink: HttpSink) -> None:
        self.world = World(CONFIG.replace("URL", sink.url))
        made = channels(self.world.config.settings.alerts.channels)
        self.desk = Desk(
            Rules(), made, self.world.keeper, fleet="f", instance="i", now=lambda: self.world.now, waits=(0.0,) * 9
        )
        self.offline: tuple[str, ...] = ()
        self.client = TestClient(TestServer(build(self.world.admin(alerts=self.desk))))

    async def __aenter__(self) -> Port:
        await self.world.keeper.flush()
        await self.client.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self.desk.stop()
        await self.world.close()

    async def look(self, within: float) -> Situation:
        return situation(at=self.world.now, offline=self.offline)

    async def pass_by(self, seconds: int) -> None:
        for _ in range(seconds):
            self.world.now += 1
            await self.desk.tick(self.look)

    async def get(self, path: str = "/v1/alerts") -> Any:
        answer = await self.client.get(path)
        text = await answer.text()
        assert "canary" not in text
        assert answer.status == 200, text
        return json.loads(text)

    async def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await self.client.request(method, path, data=data, headers=AUTH)
        return answer.status, await answer.json()


async def test_what_goes_on_and_what_is_over() -> None:
    async with http_sink() as sink, Port(sink) as port:
        empty = await port.get()
        assert (empty["total"], empty["active"], empty["recent"], empty["here"]) == (0, [], [], False)
        port.offline = ("groq",)
        await port.pass_by(10)
        (pending,) = (await port.get())["active"]
        assert (pending["state"], pending["fired_at"], pending["messages"]) == ("pending", None, 0)
        await port.pass_by(115)
        await until(lambda: sink.posted)
        found = await port.get()
        (firing,) = found["active"]
        assert firing == {
            "id": firing["id"],
            "rule": "provider_offline",
            "subject": "groq",
            "state": "firing",
            "severity": "critical",
            "value": None,
            "threshold": None,
            "message": "groq is offline: its breaker is open, or most of its known models are unhealthy",
            "since": "2026-01-01T00:00:01.000Z",
            "fired_at": "2026-01-01T00:02:01.000Z",
            "told_at": "2026-01-01T00:02:01.000Z",
            "resolved_at": None,
            "messages": 1,
            "silenced": False,
            "channels": firing["channels"],
            "inhibited_by": [],
        }
        assert (found["firing"], found["total"], found["here"]) == (1, 1, True)
        port.offline = ()
        await port.pass_by(62)
        await until(lambda: len(sink.posted) == 2)
        over = await port.get()
        assert (over["firing"], over["active"]) == (0, [])
        assert over["recent"][0]["state"] == "resolved"
        assert over["recent"][0]["resolved_at"] == "2026-01-01T00:03:06.000Z"


async def test_what_became_of_the_messages() -> None:
    async with http_sink() as sink, Port(sink) as port:
        port.offline = ("groq",)
        await port.pass_by(125)
        await until(lambda: len(port.desk.tried) == 2 and port.desk.tried["dead"].result == "dropped")
        found = await port.get()
        assert found["active"][0]["channels"] == {"ops": "delivered", "dead": "dropped"}
        ops, dead = found["channels"]
        assert (ops["channel"], ops["type"], ops["last_result"], ops["last_error"]) == (
            "ops",
            "webhook",
            "delivered",
            None,
        )
        assert (dead["channel"], dead["type"], dead["last_result"]) == ("dead", "slack", "dropped")
        assert dead["last_error"].startswith("cannot be reached (")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in families(alerting(port.desk))
            for sample in family.samples
        }
        assert samples["detour_alerts_firing", "provider_offline", "critical"] == 1
        assert samples["detour_alerts_firing", "health", "critical"] == 0
        assert samples["detour_alert_messages_total", "ops", "delivered"] == 1
        assert samples["detour_alert_messages_total", "dead", "failed"] == 10
        assert samples["detour_alert_messages_total", "dead", "dropped"] == 1
        assert samples["detour_alert_messages_total", "ops", "dropped"] == 0
        text = await (await port.client.get("/metrics")).text()
        assert 'detour_alerts_firing{rule="provider_offline",severity="critical"} 1.0' in text


async def test_one_state_and_as_csv() -> None:
    async with http_sink() as sink, Port(sink) as port:
        port.offline = ("groq",)
        await port.pass_by(5)
        assert (await port.get("/v1/alerts?state=pending"))["total"] == 1
        assert (await port.get("/v1/alerts?state=firing"))["total"] == 0
        assert (await port.client.get("/v1/alerts?state=other")).status == 400
        text = await (await port.client.get("/v1/alerts?format=csv")).text()
        head, row = text.splitlines()
        assert head.startswith("id,rule,subject,state,severity,")
        assert ",provider_offline,groq,pending,critical," in row


async def test_a_silence_from_beginning_to_end() -> None:
    async with http_sink() as sink, Port(sink) as port:
        wish = {"rule": "provider_offline", "subject": "gr*", "for": "10m", "comment": "moving\nhouse"}
        status, made = await port.send("POST", "/v1/alerts/silences", wish)
        assert status == 200
        silence = made["silence"]
        assert (silence["comment"], silence["until"]) == ("moving?house", "2026-01-01T00:10:00.000Z")
        port.offline = ("groq",)
        await port.pass_by(130)
        found = await port.get()
        assert found["active"][0]["silenced"] is True
        assert found["active"][0]["state"] == "firing"
        assert found["silences"] == [silence]
        assert sink.posted == []
        status, ended = await port.send("DELETE", f"/v1/alerts/silences/{silence['id']}")
        assert (status, ended["silence"]) == (200, silence)
        await port.pass_by(1)
        await until(lambda: sink.posted)
        assert (await port.get())["silences"] == []
        status, _ = await port.send("DELETE", f"/v1/alerts/silences/{silence['id']}")
        assert status == 404


async def test_a_silence_ends_by_itself_or_by_post() -> None:
    async with http_sink() as sink, Port(sink) as port:
        _, first = await port.send("POST", "/v1/alerts/silences", {"for": "1m"})
        _, second = await port.send("POST", "/v1/alerts/silences", {"for": "1h", "subject": "groq"})
        assert (first["silence"]["rule"], first["silence"]["subject"]) == (None, None)
        status, _ = await port.send("POST", f"/v1/alerts/silences/{second['silence']['id']}/expire")
        assert status == 200
        assert [one["id"] for one in (await port.get())["silences"]] == [first["silence"]["id"]]
        port.world.now += 61
        assert (await port.get())["silences"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "the body has to be a JSON object with `for` at least"),
        (b"{", "the body has to be"),
        (b"\xff\xfe", "the body has to be"),
        (b"[]", "the body has to be"),
        ({}, "the body has to be"),
        ({"for": 5}, "the body has to be"),
        ({"for": "1h", "Subject": "groq"}, "the body has to be"),  # it would silence everything
        ({"for": "soon"}, "for is a duration"),
        ({"for": "0s"}, "for is a duration"),
        ({"for": "31d"}, "for is a duration"),
        ({"for": "1m", "rule": "weather"}, "rule is one of health, drop"),
        (b" " * 70_000, "the body is longer than"),
    ],
)
async def test_a_silence_that_cannot_be(body: Any, words: str) -> None:
    async with http_sink() as sink, Port(sink) as port:
        status, answer = await port.send("POST", "/v1/alerts/silences", body)
        assert status == 400
        assert answer["detail"].startswith(words)


async def test_there_are_only_so_many_silences() -> None:
    async with http_sink() as sink, Port(sink) as port:
        for _ in range(200):
            await port.desk.silences.add(port.world.now, 60.0)
        status, answer = await port.send("POST", "/v1/alerts/silences", {"for": "1m"})
        assert (status, answer["error"]["code"]) == (400, "too_many")
        port.world.now += 61
        assert (await port.send("POST", "/v1/alerts/silences", {"for": "1m"}))[0] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/alerts/silences"),
        ("DELETE", "/v1/alerts/silences/x"),
        ("POST", "/v1/alerts/silences/x/expire"),
        ("POST", "/v1/alerts/test"),
    ],
)
async def test_changing_something_needs_the_token(method: str, path: str) -> None:
    async with http_sink() as sink, Port(sink) as port:
        assert (await port.client.request(method, path, data=b'{"for": "1m"}')).status == 401
        assert sink.posted == []
        assert (await port.get())["silences"] == []


async def test_a_channel_is_tried_out() -> None:
    async with http_sink() as sink, Port(sink) as port:
        status, answer = await port.send("POST", "/v1/alerts/test?channel=ops")
        assert status == 200
        assert answer == {"success": True, "results": [{"channel": "ops", "delivered": True, "error": None}]}
        (one,) = sink.documents
        assert (one["rule"], one["state"], one["subject"]) == ("test", "firing", "ops")
        status, answer = await port.send("POST", "/v1/alerts/test")
        assert status == 200
        assert answer["success"] is False
        assert [(one["channel"], one["delivered"]) for one in answer["results"]] == [("ops", True), ("dead", False)]
        assert "canary" not in str(answer)
        assert (await port.get())["active"] == []


async def test_a_channel_that_there_is_not() -> None:
    async with http_sink() as sink, Port(sink) as port:
        status, answer = await port.send("POST", "/v1/alerts/test?channel=weather")
        assert (status, answer["detail"]) == (404, 'there is no channel "weather": ops, dead')


async def test_without_a_desk_there_are_no_alerts() -> None:
    world = World()
    async with TestClient(TestServer(build(world.admin()))) as client:
        assert (await client.get("/v1/alerts")).status == 404
        assert "detour_alerts_firing" in await (await client.get("/metrics")).text()
    await world.close()
