from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from config.load import load_text
from proxy.demo_lanes import LANES, Lane, client, configuration, drive, shown
from proxy.fake import FakeProvider
from proxy.fake_faults import find
from proxy.fake_script import Script

URLS = {lane.provider: "http://127.0.0.1:9" for lane in LANES}


def test_the_configuration_is_one() -> None:
    config = load_text(json.dumps(configuration(URLS)), {}, {})
    assert config.warnings == ()
    assert list(config.providers) == [lane.provider for lane in LANES]
    assert all(provider.configured for provider in config.providers.values())
    assert config.adds_credentials


def test_what_stands_in_is_in_the_configuration() -> None:
    config = load_text(json.dumps(configuration(URLS)), {}, {})
    groups = {
        tuple(f"{target.provider}/{target.model}" for target in group.targets) for group in config.groups.values()
    }
    assert groups == {(lane.target, lane.stand_in) for lane in LANES if lane.stand_in}
    dialects = {lane.provider: lane.dialect for lane in LANES}
    assert groups
    for asked, stand_in in groups:
        assert dialects[asked.partition("/")[0]] == dialects[stand_in.partition("/")[0]]


def test_the_table_names_every_target() -> None:
    texts = shown()
    assert [*texts][: len(LANES)] == [(lane.provider, lane.model) for lane in LANES]
    assert texts["steady", "microsoft/phi-4"] == "stands in for hanging"
    assert texts["steady", LANES[0].model] == LANES[0].shows
    assert ("", "") not in texts
    assert shown(LANES[:1]) == {("steady", LANES[0].model): "answers"}


def test_the_lanes_cover_what_can_go_wrong() -> None:
    assert {lane.dialect for lane in LANES} == {"openai", "anthropic", "gemini", "fal"}
    assert len({lane.provider for lane in LANES}) == len(LANES)
    for lane in LANES:
        script, _ = find(lane.script)
        assert script.name == lane.script.partition("@")[0]
        assert find(script.word("fault", "ok"))[0].name != "ok" or script.word("fault", "ok") == "ok"


async def test_every_call_is_what_the_scripted_provider_takes_it_for() -> None:
    """Straight at a scripted provider, without Detour: the model is found and the dialect is the lane's."""
    for lane in LANES:
        prefix = f"/{lane.provider}"
        async with FakeProvider(models={lane.model: "ok"}) as fake, client() as session:
            wanted = len(lane.calls) + 1
            task = asyncio.create_task(drive(session, fake.url, _hurried(lane)))
            await _reached(fake, wanted)
            task.cancel()
            for seen in fake.log[: len(lane.calls)]:
                assert seen.target.decode().startswith(prefix)
                assert seen.header(b"accept-encoding") is None
                if lane.dialect != "fal":
                    assert (seen.dialect, seen.model, seen.script) == (lane.dialect, lane.model, "ok")


def _hurried(lane: Lane) -> Lane:
    return msgspec.structs.replace(lane, pause=0.0)


@pytest.mark.parametrize("model", ["reset", "close-before", "fail-503"])
async def test_traffic_goes_on_whatever_comes_back(model: str) -> None:
    lane = _hurried(LANES[0])
    async with FakeProvider(models={lane.model: model}) as fake, client() as session:
        task = asyncio.create_task(drive(session, fake.url, lane))
        await _reached(fake, 6)
        assert not task.done()
        task.cancel()
    assert find(model)[0] != Script("ok")


async def _reached(fake: FakeProvider, requests: int) -> None:
    await fake.until(lambda: fake.requests >= requests)
