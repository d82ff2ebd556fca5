"""Semantics section 5: each time limit, set in each place; the nearest wins.

A limit that fired is known by what is said, and by its order of magnitude: an answer comes no sooner than the limit
that counts, which is longer the nearer it is set, and soon after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from msgspec import Struct
from msgspec.structs import replace

from tests.e2e.caller import connect, request
from tests.e2e.court import Court, deaf, open_court, together
from tests.e2e.kinds import KINDS, Kind
from tests.e2e.said import cut_event, event_message, own_message
from tests.e2e.world import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEVELS = {"global": 0.3, "provider": 0.6, "group": 0.9, "target": 1.2}
"""Where a limit is set, with the seconds it has there."""
LATE = 1.5
"""Seconds after which a limit that has not fired is not kept."""
OUT_OF_THE_WAY = dict.fromkeys(("connect", "first_byte", "idle", "answer", "total", "stream_total"), "15s")


class Trial(Struct, frozen=True):
    """A request for which one limit has to fire, and what is said then; `{}` is the limit in seconds."""

    kind: str
    script: str
    says: str
    status: int = 504


TRIALS: dict[str, list[Trial]] = {
    "connect": [Trial("chat", "ok", "no connection within {} s"), Trial("chat/s", "ok", "no connection within {} s")],
    "first_byte": [
        Trial("chat/s", "silent", "no content within {} s"),
        Trial("chat/s", "slow-comments@first=20", "no content within {} s"),
    ],
    "idle": [
        Trial("chat/s", "stall-comments", r"stalled after \d events: silent for {} s", 200),
        Trial("chat", "stall", "stalled after part of the body: silent for {} s"),
    ],
    "answer": [Trial("chat", "silent", "no answer within {} s")],
    "total": [
        Trial("chat", "silent", "not finished within {} s"),
        Trial("chat", "ok@gap=0.25,events=300", "not finished within {} s"),
    ],
    "stream_total": [
        Trial("chat/s", "silent", "not finished within {} s"),
        Trial("chat/s", "ok@gap=0.1,events=300", "not finished within {} s", 200),
    ],
}


def entry(limit: str, level: str, *up_to: str) -> dict[str, str]:
    """The limits set at `level` for a case that is decided at one of `up_to`."""
    return {limit: f"{LEVELS[level]}s"} if level in up_to else {}


def case(limit: str, level: str) -> str:
    return f"{limit.replace('_', '-')}-{level}"


GLOBAL = [("connect", "first_byte", "idle", "answer"), ("total", "stream_total")]
"""Limits that do not get in each other's way, so that they can be set globally in one process."""


def sections(url: str, limits: tuple[str, ...], port: int) -> dict[str, Any]:
    """A configuration in which each of `limits` is set in every place."""
    providers, models = {}, {}
    for limit in limits:
        origin = f"http://127.0.0.1:{port}" if limit == "connect" else url
        for number, level in enumerate(LEVELS):
            reached = list(LEVELS)[: number + 1]
            name = case(limit, level)
            limits_here = entry(limit, "provider", *reached)
            providers[name] = {"base_url": f"{origin}/v1", "dialect": "openai", "timeouts": limits_here}
            if number >= 2:
                target = {"target": f"{name}/m", "timeouts": entry(limit, "target", *reached)}
                models[f"group-{name}"] = {"targets": [target], "timeouts": entry(limit, "group", *reached)}
    everywhere = dict.fromkeys(limits, f"{LEVELS['global']}s")
    return {"timeouts": OUT_OF_THE_WAY | everywhere, "providers": providers, "models": models}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def courts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Court]]:
    """The court in which a limit is set globally as well, by limit."""
    async with contextlib.AsyncExitStack() as stack:
        port = stack.enter_context(deaf())
        found: dict[str, Court] = {}
        for limits in GLOBAL:
            folder = tmp_path_factory.mktemp("limits")
            one = await stack.enter_async_context(
                open_court(folder, partial(sections, limits=limits, port=port), many={})
            )
            found |= dict.fromkeys(limits, one)
        yield found


async def fires(court: Court, provider: str, model: str, trial: Trial, seconds: float) -> None:
    kind = KINDS[trial.kind]
    kind = replace(kind, model=model, body=kind.body.replace(b'"model": "m"', f'"model": "{model}"'.encode()))
    loop = asyncio.get_running_loop()
    began = loop.time()
    got = await court.ask(kind, provider=provider, script=trial.script)
    took = got.at - began
    assert got.status == trial.status, got
    says = trial.says.format(re.escape(f"{seconds:g}"))
    if trial.status == 200:
        assert got.end == "fin"
        said = event_message(kind, cut_event(kind, got.body)[1], 504)
    else:
        assert got.end == "clean"
        said = own_message(kind.dialect, got)
    assert re.match(f"{provider}/{model}: {says}", said), said
    assert seconds * 0.95 < took < seconds + LATE, (trial, took)
    court.book(provider, kind, "timeout", trial.status)


async def test_the_nearest_limit_wins(courts: dict[str, Court]) -> None:
    await together(
        *(
            fires(courts[limit], case(limit, level), "m", trial, seconds)
            for limit, trials in TRIALS.items()
            for level, seconds in LEVELS.items()
            for trial in trials
        )
    )
    # A model of the same provider that stands in no group has the provider's.
    others = ((limit, case(limit, "target"), trials[0]) for limit, trials in TRIALS.items())
    await together(*(fires(courts[limit], name, "x", trial, LEVELS["provider"]) for limit, name, trial in others))
    for limit, court in courts.items():
        for level in LEVELS:
            record = await court.record(case(limit, level), "m", len(TRIALS[limit]))
            assert record["last_status"] == "timeout"
            assert record["average_response_time_ms"] < (LEVELS[level] + LATE) * 1000


# -- what has another limit ------------------------------------------------------------------------------------------

FEW = {"openai": 20, "anthropic": 9, "gemini": 20, "fal": 3}
SEPARATE = {
    "connect": "9s",
    "first_byte": "400ms",
    "idle": "400ms",
    "answer": "1200ms",
    "total": "9s",
    "stream_total": "9s",
}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def court(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Court]:
    with deaf() as port:
        far = {"base_url": f"http://127.0.0.1:{port}/v1", "timeouts": {"total": "500ms", "stream_total": "500ms"}}
        far["dialect"] = "openai"
        async with open_court(
            tmp_path_factory.mktemp("limits"), many=FEW, timeouts=SEPARATE, providers={"far": far}
        ) as found:
            yield found


REASONING: list[tuple[str, str]] = [
    ("chat/s", '"reasoning_effort": "high"'),
    ("chat/s", '"reasoning": {"effort": "low"}'),
    ("responses/s", '"reasoning": {"effort": "high"}'),
    ("messages/s", '"thinking": {"type": "enabled", "budget_tokens": 1024}'),
    ("generate/s", '"generationConfig": {"thinkingConfig": {"thinkingBudget": 1024}}'),
    ("generate/a", '"generationConfig": {"thinkingConfig": {"includeThoughts": true}}'),
]
NOT_REASONING: list[tuple[str, str]] = [
    ("chat/s", '"reasoning_effort": "none"'),
    ("messages/s", '"thinking": {"type": "disabled"}'),
    ("generate/s", '"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}'),
]


async def waits(court: Court, kind: Kind, script: str, says: str, seconds: float, status: int) -> None:
    provider = court.provider(kind)
    loop = asyncio.get_running_loop()
    began = loop.time()
    got = await court.ask(kind, provider=provider, script=script)
    assert got.status == status, got
    said = own_message(kind.dialect, got) if status != 200 else event_message(kind, cut_event(kind, got.body)[1], 504)
    assert re.match(f"{provider}/{kind.model}: {says}", said), said
    assert seconds * 0.95 < got.at - began < seconds + LATE
    court.book(provider, kind, "timeout", status)


async def test_requests_that_ask_for_reasoning_have_the_patience_of_an_answer(court: Court) -> None:
    def asking(name: str, extra: str) -> Kind:
        body = KINDS[name].body[:-1] + b", " + extra.encode() + b"}"
        assert json.loads(body)
        return replace(KINDS[name], body=body)

    thinking = [asking(*one) for one in REASONING]
    plain = [asking(*one) for one in NOT_REASONING]
    await together(
        *(waits(court, kind, "silent", r"no content within 1\.2 s", 1.2, 504) for kind in thinking),
        *(waits(court, kind, "slow-comments@first=20", r"no content within 1\.2 s", 1.2, 504) for kind in thinking),
        *(waits(court, kind, "stall", r"stalled after \d+ events: silent for 1\.2 s", 1.2, 200) for kind in thinking),
        *(waits(court, kind, "silent", r"no content within 0\.4 s", 0.4, 504) for kind in plain),
        *(waits(court, kind, "stall", r"stalled after \d+ events: silent for 0\.4 s", 0.4, 200) for kind in plain),
    )


async def test_the_total_bounds_connecting_too(court: Court) -> None:
    for name in ("chat", "chat/s"):
        loop = asyncio.get_running_loop()
        began = loop.time()
        got = await court.ask(KINDS[name], provider="far")
        assert got.status == 504
        assert re.match(r"far/m: not finished within 0\.5 s", own_message("openai", got))
        assert loop.time() - began < 0.5 + LATE
        court.book("far", KINDS[name], "timeout", 504)


async def test_content_events_move_the_idle_limit_and_nothing_else_does(court: Court) -> None:
    """Ten events, each later than half the limit; and a body that is no stream, read by read."""
    kinds = (KINDS["chat/s"], KINDS["messages/s"], KINDS["generate/a"], KINDS["fal/s"], KINDS["chat"])

    async def passes(kind: Kind) -> None:
        provider = court.provider(kind)
        got = await court.ask(kind, provider=provider, script="ok@gap=0.22,events=8")
        assert (got.status, got.end) == (200, "clean")
        court.book(provider, kind, "success", 200)

    await together(*(passes(kind) for kind in kinds))


async def test_a_client_that_reads_slowly_is_not_the_providers_fault(court: Court) -> None:
    kind = KINDS["chat/s"]
    provider = court.provider(kind)
    wire = await connect(court.detour.port)
    wire.transport.write(request(kind, provider=provider, script="ok@events=60000,size=400"))
    await eventually(lambda: len(wire.raw) > 100_000)
    wire.transport.pause_reading()
    (seen,) = court.seen(provider)
    # Longer than two idle limits, with the provider held back all the while.
    await asyncio.sleep(1.0)
    assert seen.ended == "open"
    wire.parse = False
    wire.transport.resume_reading()
    await eventually(lambda: wire.raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n"))
    wire.transport.close()
    court.book(provider, kind, "success", 200)
    assert (await court.record(provider, kind.model))["last_status"] == "success"
