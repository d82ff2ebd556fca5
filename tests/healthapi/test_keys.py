from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import load_text
from healthapi.keeper import Keeper
from healthapi.keys import AHEAD, FRESH, MARKS, NOTE, Judged, KeyLog, KeyState, mark
from healthapi.store import StoreError
from tests.healthapi.sidecar import Sidecar, eventually, sidecar
from tests.redis_server import redis_server

NOW = 1_767_225_600.0
CONFIG = """
providers:
  groq: {api_key: sk-canary-one}
  openai: {}
  lab: {base_url: "http://127.0.0.1:1/v1"}
"""


def log(config: str = CONFIG, now: float = NOW + 3600) -> KeyLog:
    return KeyLog(load_text(config, {}), lambda: now)


def test_what_is_known_before_anything_happened() -> None:
    made = log()
    assert [made.state(name) for name in ("groq", "openai", "lab", "nobody")] == [
        KeyState.NEVER_TRIED,
        KeyState.MISSING,
        KeyState.NONE_NEEDED,
        KeyState.MISSING,
    ]
    assert made.refusals() == {}
    assert made.judged("groq") is None


def test_the_last_verdict_counts() -> None:
    made = log()
    made.tell("groq", True, 200, NOW)
    assert (made.state("groq"), made.refused("groq")) == (KeyState.ACCEPTED, False)
    made.tell("groq", False, 401, NOW + 1)
    assert (made.state("groq"), made.refused("groq")) == (KeyState.REFUSED, True)
    assert made.judged("groq") == Judged(False, NOW + 1, 401)
    assert made.refusals() == {"groq": Judged(False, NOW + 1, 401)}
    made.tell("groq", True, 200, NOW + 2)
    assert made.refusals() == {}


def test_a_verdict_from_before_the_last_one_comes_too_late() -> None:
    made = log()
    made.tell("groq", False, 402, NOW + 1)
    made.tell("groq", True, 200, NOW)
    assert made.state("groq") is KeyState.REFUSED


@pytest.mark.parametrize("name", ["openai", "lab", "nobody"])
def test_where_no_key_is_configured_none_is_judged(name: str) -> None:
    made = log()
    before = made.state(name)
    made.tell(name, False, 401, NOW)
    assert (made.state(name), made.judged(name)) == (before, None)


def test_a_mark_tells_keys_apart_and_nothing_else() -> None:
    config = load_text(CONFIG.replace("openai: {}", "openai: {api_key: sk-canary-one}"), {})
    groq, openai = config.providers["groq"], config.providers["openai"]
    assert len(mark(groq)) == 8
    assert mark(groq) != mark(openai), "the same key at two providers has two marks"
    assert mark(config.providers["lab"]) == ""
    other = load_text(CONFIG.replace("one", "two"), {}).providers["groq"]
    assert mark(other) != mark(groq)


class Notes:
    """A keeper's notes, and nothing else of it."""

    def __init__(self, fleet: bool = True) -> None:
        self.fleet = fleet
        self.kept: dict[str, bytes] = {}
        self.writes = 0
        self.reads = 0
        self.broken = False

    async def note(self, name: str) -> bytes | None:
        self.reads += 1
        if self.broken:
            raise StoreError("away")
        return self.kept.get(name)

    async def put_note(self, name: str, text: bytes, duty: str = "", number: int = 0) -> bool:
        if self.broken:
            raise StoreError("away")
        self.writes += 1
        self.kept[name] = text
        return True

    @property
    def keeper(self) -> Keeper:
        return self  # type: ignore[return-value]


async def test_news_are_written_once_and_what_says_the_same_seldom() -> None:
    notes, made = Notes(), log()
    await made.sync(notes.keeper)
    assert notes.writes == 0
    made.tell("groq", True, 200, NOW)
    for _ in range(3):
        await made.sync(notes.keeper)
    assert notes.writes == 1
    made.tell("groq", True, 200, NOW + FRESH)
    await made.sync(notes.keeper)
    assert notes.writes == 1
    made.tell("groq", True, 200, NOW + FRESH + 1)
    await made.sync(notes.keeper)
    assert notes.writes == 2
    made.tell("groq", False, 401, NOW + FRESH + 2)
    await made.sync(notes.keeper)
    assert notes.writes == 3


async def test_sidecars_that_write_over_each_other_agree_in_the_end() -> None:
    notes = Notes()
    one = log()
    other = log(CONFIG.replace("openai: {}", "openai: {api_key: k}"))
    one.tell("groq", False, 401, NOW)
    other.tell("openai", False, 402, NOW)
    await one.sync(notes.keeper)
    lost = dict(notes.kept)
    await other.sync(notes.keeper)
    notes.kept = lost  # as if both had written at once
    for _ in range(2):
        await other.sync(notes.keeper)
        await one.sync(notes.keeper)
    assert other.refusals().keys() == {"groq", "openai"}
    assert one.refusals().keys() == {"groq"}, "it has no key for the other"
    assert msgspec.json.decode(notes.kept[NOTE]).keys() == {"groq", "openai"}
    writes = notes.writes
    await one.sync(notes.keeper)
    await other.sync(notes.keeper)
    assert notes.writes == writes


async def test_a_verdict_from_the_future_is_of_a_clock_that_was_wrong() -> None:
    """It must not count until that time has come: whoever hears of it, and whose own clock it was."""
    notes, wrong, right = Notes(), log(now=NOW + 1e6), log()
    wrong.tell("groq", False, 401, NOW + 1e6)
    await wrong.sync(notes.keeper)
    await right.sync(notes.keeper)
    assert right.state("groq") is KeyState.NEVER_TRIED
    right.tell("groq", True, 200, NOW + 3600)
    await right.sync(notes.keeper)
    assert msgspec.json.decode(notes.kept[NOTE])["groq"].popitem()[1]["accepted"] is True
    clock = [NOW + 1e6]
    jumped = KeyLog(load_text(CONFIG, {}), lambda: clock[0])
    jumped.tell("groq", False, 401, clock[0])
    clock[0] = NOW
    jumped.tell("groq", True, 200, NOW)
    assert jumped.state("groq") is KeyState.ACCEPTED


async def test_clocks_may_be_a_little_apart() -> None:
    notes, ahead, behind = Notes(), log(now=NOW + AHEAD), log(now=NOW)
    ahead.tell("groq", False, 401, NOW + AHEAD)
    await ahead.sync(notes.keeper)
    await behind.sync(notes.keeper)
    assert behind.state("groq") is KeyState.REFUSED


async def test_a_key_that_was_replaced_was_not_judged_yet() -> None:
    notes, old, new = Notes(), log(), log(CONFIG.replace("one", "two"))
    old.tell("groq", False, 401, NOW)
    await old.sync(notes.keeper)
    await new.sync(notes.keeper)
    assert new.state("groq") is KeyState.NEVER_TRIED
    new.tell("groq", True, 200, NOW + 1)
    await new.sync(notes.keeper)
    await old.sync(notes.keeper)
    assert (old.state("groq"), new.state("groq")) == (KeyState.REFUSED, KeyState.ACCEPTED)
    assert b"canary" not in notes.kept[NOTE]


async def test_few_keys_of_a_provider_are_remembered() -> None:
    notes = Notes()
    for number in range(3 * MARKS):
        made = log(CONFIG.replace("one", str(number)))
        made.tell("groq", True, 200, NOW + number)
        await made.sync(notes.keeper)
    assert len(msgspec.json.decode(notes.kept[NOTE])["groq"]) <= MARKS
    assert made.state("groq") is KeyState.ACCEPTED


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b"null", b'{"groq":{"x":{"accepted":1}}}', b'{"groq":7}'])
async def test_a_note_that_is_none_of_ours_is_written_anew(text: bytes) -> None:
    notes, made = Notes(), log()
    notes.kept[NOTE] = text
    await made.sync(notes.keeper)
    made.tell("groq", True, 200, NOW)
    await made.sync(notes.keeper)
    assert msgspec.json.decode(notes.kept[NOTE])["groq"]


async def test_a_store_in_trouble_is_tried_again() -> None:
    notes, made = Notes(), log()
    notes.broken = True
    made.tell("groq", False, 401, NOW)
    await made.sync(notes.keeper)
    assert notes.kept == {}
    notes.broken = False
    await made.sync(notes.keeper)
    assert b"401" in notes.kept[NOTE]


async def test_a_store_of_ones_own_is_read_once() -> None:
    notes, made = Notes(fleet=False), log()
    for _ in range(5):
        await made.sync(notes.keeper)
    assert notes.reads == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 20)), max_size=30))
def test_however_verdicts_arrive_the_latest_counts(told: list[tuple[int, bool, int]]) -> None:
    names = ("groq", "openai", "lab")
    made = log(CONFIG.replace("openai: {}", "openai: {api_key: k}"))
    last: dict[str, tuple[int, bool]] = {}
    for which, accepted, at in told:
        name = names[which]
        made.tell(name, accepted, None, float(at))
        if name != "lab" and at >= last.get(name, (-1, False))[0]:
            last[name] = (at, accepted)
    for name in names:
        found = made.judged(name)
        assert (None if found is None else (int(found.at), found.accepted)) == last.get(name)


# -- real stores -----------------------------------------------------------------------------------------------------


async def test_verdicts_survive_a_restart(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/detour.db"
    async with sidecar(store) as first:
        made = KeyLog(first.config)
        await made.sync(first.keeper)
        made.tell("groq", False, 403, NOW)
        await made.sync(first.keeper)
    async with sidecar(store) as second:
        made = KeyLog(second.config)
        await made.sync(second.keeper)
        assert made.judged("groq") == Judged(False, NOW, 403)
    assert b"sk-" not in (tmp_path / "detour.db").read_bytes()


async def test_a_fleet_knows_what_one_found_out(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        sidecars = [Sidecar(f"redis://{server.address}", name) for name in "ab"]
        for one in sidecars:
            await one.keeper.start()
        logs = [KeyLog(one.config) for one in sidecars]

        async def synced() -> None:
            for one, made in zip(sidecars, logs, strict=True):
                await made.sync(one.keeper)

        logs[0].tell("groq", False, 401, NOW)
        logs[1].tell("openai", True, 200, NOW)

        async def agree() -> bool:
            await synced()
            return all(
                made.state("groq") is KeyState.REFUSED and made.state("openai") is KeyState.ACCEPTED for made in logs
            )

        await eventually(agree)
        for one in sidecars:
            await one.keeper.stop()
