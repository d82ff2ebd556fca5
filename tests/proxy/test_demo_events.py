from __future__ import annotations

import asyncio
import json

import pytest

from proxy import demo_events
from proxy.demo_events import LINES, Story, told
from proxy.demo_lanes import client
from proxy.fake import Conversation, FakeProvider

MOVED = {
    "at": "2026-01-01T12:30:05.250Z",
    "breaker": "ailing/m",
    "was": "closed",
    "state": "open",
    "reason": "3 failures in a row, last: 503: overloaded",
}
TOLD = "12:30:05  ailing/m  closed -> open: 3 failures in a row, last: 503: overloaded"


def event(**more: str) -> bytes:
    return f"event: transition\nid: a-1\ndata: {json.dumps(MOVED | more)}\n\n".encode()


def test_a_line() -> None:
    assert told(json.dumps(MOVED).encode()) == TOLD
    assert " open -> half-open: " in told(json.dumps(MOVED | {"was": "open", "state": "half_open"}).encode())


async def test_events_are_followed_and_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_events, "AGAIN", 0.0)
    asked: list[bytes] = []

    async def by_hand(talk: Conversation) -> None:
        asked.append(talk.seen.target)
        if len(asked) == 1:
            return talk.reset()
        talk.send(talk.head(200, [(b"content-type", b"text/event-stream")]))
        talk.send(talk.chunk(b"event: outcomes\ndata: {}\n\n: here\n\n" + event(breaker=str(len(asked)))))
        if len(asked) == 2:
            return talk.finish()
        await talk.forever()

    story = Story()
    async with FakeProvider() as fake, client() as session:
        fake.scripts[""] = by_hand
        task = asyncio.create_task(story.follow(session, fake.url))
        await fake.until(lambda: len(story.lines) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [line.split()[1] for line in story.lines] == ["2", "3"]
    assert set(asked) == {b"/v1/events"}


def test_the_oldest_go() -> None:
    story = Story()
    story.lines.extend(map(str, range(LINES + 3)))
    assert next(iter(story.lines)) == "3"
