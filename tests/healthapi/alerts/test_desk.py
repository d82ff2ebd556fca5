"""The desk with a real keeper on a clock that tests move: what is kept, what is sent, what a restart makes of it."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from breaker.outcome import Status
from config.alerts import Lasting, Rule, Rules, Severity
from healthapi.alerting import alerting
from healthapi.alerts import notes
from healthapi.alerts.channels import channels
from healthapi.alerts.desk import Desk
from healthapi.alerts.message import State
from healthapi.alerts.sender import Result
from healthapi.alerts.situation import Opened, Situation, gather
from healthapi.store import StoreError
from tests.healthapi.admin_world import World
from tests.healthapi.alerts.found import situation
from tests.healthapi.alerts.sinks import HttpSink, http_sink, until

CONFIG = """
store: "memory:"
alerts: {{channels: {{ops: {{type: webhook, url: "{url}/canary"}}, dev: {{type: webhook, url: "{url}/dev"}}}}}}
providers: {{groq: {{api_key: k}}}}
"""
ONLY = Rules(provider_offline=Rule(channels=("ops",)))


class Office:
    """A desk, what it looks at, and where its messages go; `again` is what a restart makes of it."""

    def __init__(self, sink: HttpSink, archive: str = ":memory:", rules: Rules = ONLY) -> None:
        self.sink = sink
        self.rules = rules
        self.world = World(CONFIG.format(url=sink.url), archive=archive)
        self.offline: tuple[str, ...] = ()
        self.looks = 0
        self.costs = 0.0
        self.open()

    def open(self) -> None:
        made = channels(self.world.config.settings.alerts.channels)
        self.desk = Desk(
            self.rules, made, self.world.keeper, fleet="f", instance="i", now=lambda: self.world.now, waits=(0.0,) * 9
        )

    async def look(self, within: float) -> Situation:
        self.looks += 1
        assert within == self.rules.error_budget.within
        self.world.now += self.costs
        return situation(at=self.world.now, offline=self.offline)

    async def pass_by(self, seconds: float, step: float = 1.0) -> None:
        for _ in range(round(seconds / step)):
            self.world.now += step
            await self.desk.tick(self.look)

    async def close(self) -> None:
        await self.desk.stop()
        await self.world.close()

    @property
    def told(self) -> list[tuple[str, str]]:
        documents = self.sink.documents
        return [(one["state"], one["subject"]) for one in documents if one["rule"] == "provider_offline"]


async def test_an_outage_is_one_alert_and_one_resolved_message() -> None:
    async with http_sink() as sink:
        office = Office(sink)
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(119)
        assert sink.posted == []
        await office.pass_by(300)
        await until(lambda: len(sink.posted) == 1)
        office.offline = ()
        await office.pass_by(300)
        await until(lambda: len(sink.posted) == 2)
        assert office.told == [("firing", "groq"), ("resolved", "groq")]
        assert {one.path for one in sink.posted} == {"/canary"}, "to the rule's channel alone"
        first, second = sink.documents
        assert first["id"] == second["id"]
        assert first["key"] != second["key"]
        assert (first["fleet"], first["instance"]) == ("f", "i")
        assert second["message"].startswith("over: groq is offline")
        await until(lambda: not office.desk._parcels)  # what was delivered is written down a moment later
        shown = await office.desk.shown()
        assert shown.active == []
        assert [one.results for one in shown.past] == [{"ops": "delivered"}]
        await office.close()


async def test_health_is_told_by_whoever_looks_after_alerts() -> None:
    async with http_sink() as sink:
        office = Office(sink)
        assert office.desk.health is None
        await office.world.keeper.flush()
        await office.pass_by(1)
        assert office.desk.health == 100.0
        assert alerting(office.desk).health == 100.0
        await office.desk._leave()
        assert office.desk.health is None
        await office.close()


async def test_everybody_hears_of_it_where_no_channel_is_named() -> None:
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(provider_offline=Rule(for_=0.0)))
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(1)
        await until(lambda: len(sink.posted) == 2)
        assert {one.path for one in sink.posted} == {"/canary", "/dev"}
        await office.close()


async def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    async with http_sink() as sink:
        path = str(tmp_path / "detour.db")
        office = Office(sink, path)
        await office.world.keeper.flush()
        office.offline = ("groq",)
        now = office.world.now
        for _ in range(8):
            await office.pass_by(30)
            await asyncio.sleep(0.02)
            await office.close()
            now = office.world.now
            office = Office(sink, path)
            office.world.now = now + 5
            await office.world.keeper.flush()
            office.offline = ("groq",)
        office.offline = ()
        await office.pass_by(120)
        await until(lambda: len(sink.posted) == 2)
        assert office.told == [("firing", "groq"), ("resolved", "groq")]
        assert [one.state for one in (await office.desk.shown()).past] == [State.RESOLVED]
        await office.close()


async def test_what_was_not_delivered_is_sent_after_a_restart(tmp_path: Path) -> None:
    async with http_sink() as sink:
        path = str(tmp_path / "detour.db")
        office = Office(sink, path)
        await office.world.keeper.flush()
        sink.silent = True
        office.offline = ("groq",)
        await office.pass_by(121)
        await until(lambda: sink.posted)
        key = sink.documents[0]["key"]
        await office.close()
        sink.posted.clear()
        sink.silent = False
        office = Office(sink, path)
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(1)
        await until(lambda: sink.posted)
        await office.pass_by(60)
        assert [one["key"] for one in sink.documents] == [key], "the very same message, once"
        await office.close()


async def test_a_silence_holds_it_back() -> None:
    async with http_sink() as sink:
        office = Office(sink)
        await office.world.keeper.flush()
        await office.desk.silences.add(office.world.now, 300, rule="provider_offline", subject="gr*")
        office.offline = ("groq",)
        await office.pass_by(290)
        await asyncio.sleep(0.05)
        assert sink.posted == []
        await office.pass_by(20)
        await until(lambda: sink.posted)
        await office.close()


async def test_it_looks_less_often_where_that_takes_long() -> None:
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(provider_offline=Rule(for_=0.0)))
        await office.world.keeper.flush()
        await office.pass_by(10)
        assert office.looks == 10
        office.costs = 0.3
        office.looks = 0
        await office.pass_by(60)
        assert 8 <= office.looks <= 13, "a twentieth of its time"
        office.costs = 100.0
        office.looks = 0
        await office.pass_by(60)
        assert office.looks >= 2, "but never later than every twenty seconds"
        office.world.now -= 5000
        office.costs = 0.0
        office.looks = 0
        await office.pass_by(5)
        assert office.looks >= 4, "whatever becomes of the clock"
        await office.close()


async def test_who_does_not_have_the_duty_tells_nothing_and_shows_what_the_other_one_wrote() -> None:
    async with http_sink() as sink:
        office = Office(sink)
        keeper = office.world.keeper
        await keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(121)
        await until(lambda: sink.posted)
        duty = {"number": 0}
        keeper.duty = lambda name, alone=False: duty["number"]  # type: ignore[method-assign]
        await office.pass_by(1)
        assert office.desk.firing() == {}
        shown = await office.desk.shown()
        assert (shown.here, [one.subject for one in shown.active]) == (False, ["groq"])
        office.offline = ()
        await office.pass_by(600)
        assert len(sink.posted) == 1
        duty["number"] = 7
        await office.pass_by(100)
        await until(lambda: len(sink.posted) == 2)
        assert office.told == [("firing", "groq"), ("resolved", "groq")]
        await office.close()


async def test_what_cannot_be_written_in_the_name_of_a_lost_duty_is_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with http_sink() as sink:
        office = Office(sink)
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(100)

        async def refused(*_: Any) -> bool:
            return False

        monkeypatch.setattr(office.world.keeper, "put_note", refused)
        await office.pass_by(30)
        await asyncio.sleep(0.05)
        assert sink.posted == []
        await office.close()


async def test_while_the_store_is_away_it_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_sink() as sink:
        office = Office(sink)
        keeper = office.world.keeper
        await keeper.flush()
        put = keeper.put_note

        async def away(*_: Any) -> bool:
            raise StoreError("away")

        monkeypatch.setattr(keeper, "put_note", away)
        office.offline = ("groq",)
        await office.pass_by(130)
        await until(lambda: sink.posted)
        monkeypatch.setattr(keeper, "put_note", put)
        await office.pass_by(1)
        kept = await notes.active(keeper)
        assert [one.state for one in kept.alerts] == [State.FIRING]
        assert len(sink.posted) == 1
        await office.close()


async def test_what_cannot_be_understood_is_as_good_as_nothing(tmp_path: Path) -> None:
    async with http_sink() as sink:
        office = Office(sink)
        keeper = office.world.keeper
        await keeper.flush()
        for name in (notes.ACTIVE, notes.PAST, "silences"):
            await keeper.put_note(name, b'{"alerts": [{"of another": "version"}]}')
        office.offline = ("groq",)
        await office.pass_by(121)
        await until(lambda: sink.posted)
        await office.close()


async def test_it_says_in_the_log_what_it_tells(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(provider_offline=Rule(for_=0.0, clear=0.0)))
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(1)
        office.offline = ()
        await office.pass_by(2)
        await until(lambda: office.desk.counts.total() == 4)
        said = [(line.levelno, line.getMessage()) for line in caplog.records if line.name == "detour.alerts"]
        assert said[0] == (logging.WARNING, said[0][1])
        assert said[0][1].startswith("alert firing: groq is offline")
        assert said[1][0] == logging.INFO
        assert "canary" not in str([line.__dict__ for line in caplog.records])
        assert office.desk.counts == {("ops", Result.DELIVERED): 2, ("dev", Result.DELIVERED): 2}
        await office.close()


async def test_firing_alerts_are_counted_by_rule_and_severity() -> None:
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(provider_offline=Rule(for_=0.0)))
        await office.world.keeper.flush()
        office.offline = ("a", "b")
        await office.pass_by(1)
        assert office.desk.firing() == {("provider_offline", Severity.CRITICAL): 2}
        await office.close()


async def test_notes_are_small_documents() -> None:
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(provider_offline=Rule(for_=0.0)))
        keeper = office.world.keeper
        await keeper.flush()
        office.offline = tuple(f"{'p' * 295}{number}" for number in range(60))
        await office.pass_by(1)
        text = await keeper.note(notes.ACTIVE)
        assert text is not None
        assert len(text) < 300_000
        assert len(msgspec.json.decode(text)["alerts"]) == 50
        await office.close()


async def test_who_takes_over_goes_on_with_what_is_pending(tmp_path: Path) -> None:
    async with http_sink() as sink:
        path = str(tmp_path / "detour.db")
        rules = Rules(provider_offline=Rule(for_=600.0, channels=("ops",)))
        office = Office(sink, path, rules)
        await office.world.keeper.flush()

        async def no_models(within: float) -> Situation:
            return situation(0, 0, at=office.world.now, offline=("groq",))

        for _ in range(599):
            office.world.now += 1
            await office.desk.tick(no_models)
        now = office.world.now
        await office.world.close()  # killed: the desk is not asked to stop
        office = Office(sink, path, rules)
        office.world.now = now + 15
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(1)
        await until(lambda: sink.posted)
        await office.close()


async def test_breakers_that_nobody_looked_at_for_a_while_may_have_closed_meanwhile() -> None:
    async with http_sink() as sink:
        office = Office(sink, rules=Rules(breaker_open=Lasting(for_=0.0)))
        await office.world.keeper.flush()
        opened = office.world.now

        async def open_(within: float) -> Situation:
            return situation(at=office.world.now, open=(Opened("groq", opened, "x"),))

        await office.desk.tick(open_)
        office.world.now += 400
        opened = office.world.now - 10
        await office.desk.tick(open_)
        assert (await office.desk.shown()).active == []
        office.world.now += 100
        opened += 100  # a trial failed
        await office.desk.tick(open_)
        office.world.now += 100
        await office.desk.tick(open_)
        office.world.now += 100
        await office.desk.tick(open_)
        assert [one.rule for one in (await office.desk.shown()).active] == ["breaker_open"]
        await office.close()


async def test_a_message_that_arrives_while_it_ends_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with http_sink() as sink:
        path = str(tmp_path / "detour.db")
        office = Office(sink, path)
        keeper = office.world.keeper
        await keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(120)
        put, held = keeper.put_note, asyncio.Event()

        async def slow(*words: Any) -> bool:
            if sink.posted:
                held.set()
                await asyncio.sleep(60)
            return await put(*words)

        monkeypatch.setattr(keeper, "put_note", slow)
        await office.pass_by(1)
        await asyncio.wait_for(held.wait(), 20)
        monkeypatch.setattr(keeper, "put_note", put)
        now = office.world.now
        await office.close()
        office = Office(sink, path)
        office.world.now = now + 1
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(10)
        await asyncio.sleep(0.1)
        assert len(sink.posted) == 1
        assert [one.results for one in (await office.desk.shown()).active] == [{"ops": "delivered"}]
        await office.close()


async def test_attempts_of_a_real_world_become_an_alert() -> None:
    """From outcomes to a message: nothing in between is made up."""
    async with http_sink() as sink:
        office = Office(sink)
        world = office.world
        await world.keeper.flush()
        admin = world.admin(alerts=office.desk)
        look = partial(gather, admin)
        for _ in range(10):
            world.attempt("groq", "llama\nBcc: x <!channel>", Status.ERROR, message="503")
        for _ in range(125):
            world.now += 1
            await office.desk.tick(look)
        await until(lambda: office.told)
        assert office.told == [("firing", "groq")]
        world.registry.reset_all(world.monotonic)
        for _ in range(500):
            world.attempt("groq", "llama\nBcc: x <!channel>")
        for _ in range(70):
            world.now += 1
            await office.desk.tick(look)
        await until(lambda: len(office.told) == 2)
        assert office.told == [("firing", "groq"), ("resolved", "groq")]
        await office.close()


async def test_other_rules_and_channels_hold_for_alerts_that_go_on(caplog: pytest.LogCaptureFixture) -> None:
    async with http_sink() as dead, http_sink() as sink:
        dead.answers = [500] * 1000
        office = Office(dead)
        office.desk.sender._waits = (600.0,)  # so that its message waits
        await office.world.keeper.flush()
        office.offline = ("groq",)
        await office.pass_by(125)
        await until(lambda: dead.posted)
        settings = World(CONFIG.format(url=sink.url)).config.settings.alerts.channels
        office.desk.adopt(Rules(provider_offline=Rule(channels=("dev",))), channels({"dev": settings["dev"]}))
        assert office.desk.channels == ("dev",)
        assert office.desk._parcels == []
        assert "channels that are gone" in caplog.text
        office.offline = ()
        await office.pass_by(300)
        await until(lambda: len(sink.posted) == 1)
        assert [one["state"] for one in sink.documents] == ["resolved"], "of the alert that began before"
        assert {name for name, _ in alerting(office.desk).messages} == {"dev"}
        await office.close()
