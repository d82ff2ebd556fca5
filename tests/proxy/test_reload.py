"""Whoever reads the configuration again: when it does, what it tells, and that it holds up nobody."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from config.effective import Config
from config.reloads import Reloads
from config.source import Source
from proxy.reload import Reloader

PATIENCE = 10.0
FILE = "providers: {openai: {api_key: sk-canary}}\n"


class House:
    """A reloader of one file, and what it had taken over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = Source(path, {}, {})
        self.config = self.source.load()
        self.reloads = Reloads()
        self.taken: list[Config] = []
        self.threads: set[str] = set()
        self.refusal = ""
        self.reloader = Reloader(self.source, self.config, self.reloads, self.prepare, self.taken.append, period=0.01)

    def prepare(self, config: Config) -> Config:
        self.threads.add(threading.current_thread().name)
        if self.refusal:
            raise ValueError(self.refusal)
        return config


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.005)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    path = tmp_path / "d.yaml"
    path.write_text(FILE)
    made = House(path)
    made.reloader.start()
    yield made
    made.reloader.stop()
    made.reloader._thread.join(PATIENCE)
    assert not made.reloader._thread.is_alive()


async def test_a_change_is_taken_over_by_itself(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "detour.config")
    began = house.reloads.at
    house.path.write_text(FILE + "limits: {replay: 1MiB}\n")
    await until(lambda: house.taken)
    assert house.taken[0].settings.limits.replay == 1 << 20
    assert house.threads == {"config"}, "made ready where it holds up nobody"
    assert (house.reloads.applied, house.reloads.refused, house.reloads.trouble) == (1, 0, None)
    assert began is not None
    assert house.reloads.at is not None
    assert house.reloads.at >= began
    assert [record.getMessage() for record in caplog.records] == ["configuration read again: limits.replay"]


async def test_asked_to_it_reads_at_once_and_takes_over_what_is_new(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "detour.config")
    house.reloader.ask()
    await until(lambda: house.reloads.applied == 1)
    assert house.taken == []
    assert caplog.records[-1].getMessage() == "configuration read again: nothing has changed"


@pytest.mark.parametrize("how", ["file", "prepared"])
async def test_what_cannot_be_used_changes_nothing(house: House, caplog: pytest.LogCaptureFixture, how: str) -> None:
    if how == "file":
        house.path.write_text(FILE + "limits: {replay: none}\nretries: {max_attempts: 0}\n")
        wrong = {"limits.replay", "retries.max_attempts"}
    else:
        house.refusal = "alerts.channels.ops: sentry needs a package"
        house.path.write_text(FILE + "limits: {replay: 1MiB}\n")
        wrong = {"alerts.channels.ops"}
    await until(lambda: house.reloads.refused)
    assert {problem.partition(":")[0] for problem in house.reloads.problems} == wrong
    assert (house.taken, house.reloads.applied) == ([], 0)
    assert house.reloads.trouble is not None
    assert {record.getMessage().partition(":")[0] for record in caplog.records[1:]} == wrong
    assert "canary" not in caplog.text
    await asyncio.sleep(0.1)
    assert house.reloads.refused == 1, "told once"
    house.refusal = ""
    house.path.write_text(FILE)
    await until(lambda: house.reloads.applied == 1)
    assert (house.taken, house.reloads.trouble) == ([], None)


async def test_what_needs_a_restart_is_told_until_it_is_taken_back(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.path.write_text("listen: 127.0.0.1:1\nlimits: {replay: 1MiB}\n" + FILE)
    await until(lambda: house.taken)
    assert house.taken[0].settings.listen == house.config.settings.listen
    assert house.reloads.trouble == "changed, and needs a restart: listen"
    assert [record.getMessage() for record in caplog.records] == ["changed and not in force before a restart: listen"]
    house.path.write_text(FILE)
    await until(lambda: len(house.taken) == 2)
    assert house.reloads.trouble is None


async def test_one_after_the_other_is_compared_with_the_last(house: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "detour.config")
    for number, key in enumerate(("replay", "pool_wait"), 1):
        house.path.write_text(FILE + f"limits: {{{key}: {'1MiB' if key == 'replay' else '1s'}}}\n")
        await until(lambda number=number: house.reloads.applied == number)
    assert caplog.records[-1].getMessage() == "configuration read again: limits.replay, limits.pool_wait"


async def test_a_bug_is_told_and_not_the_end(house: House, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> bool:
        raise RuntimeError("a bug")

    whole, house.source.changed = house.source.changed, broken  # type: ignore[method-assign]
    await until(lambda: caplog.records)
    house.source.changed = whole  # type: ignore[method-assign]
    house.path.write_text(FILE + "limits: {replay: 1MiB}\n")
    await until(lambda: house.taken)


async def test_where_there_is_no_file_it_says_so(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(None, {}, {})
    reloader: Reloader[Any] = Reloader(source, source.load(), Reloads(), lambda config: config, lambda config: None)
    reloader.ask()
    assert "no file that can be read twice" in caplog.text


def test_many_mistakes_are_cut_short_where_they_are_shown() -> None:
    told = Reloads(problems=tuple(f"key{number}: wrong" for number in range(9))).trouble
    assert told is not None
    assert told.endswith("key3: wrong; key4: wrong; and 4 more")
