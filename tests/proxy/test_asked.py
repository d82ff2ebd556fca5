"""What may be sent again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from config.load import load_text
from proxy.asked import Asked
from proxy.body import Body
from proxy.credentials import Placement
from proxy.headers import scan
from proxy.incoming import Incoming
from proxy.memory import ReplayMemory
from proxy.paths import CHAT, IMAGES, Endpoint
from proxy.peek import peek
from proxy.route import Route, route
from proxy.watch import Watch
from tests.proxy.recording import Line


class Asker:
    connection = None

    def __init__(self) -> None:
        self.payload = Incoming(Line(), ReplayMemory(9), b"{}", 0)


@pytest.mark.parametrize(
    ("endpoint", "background", "whole", "again"),
    [
        (CHAT, False, True, True),
        (CHAT, True, True, False),
        (CHAT, False, False, False),
        (IMAGES, False, True, False),
    ],
)
async def test_replayable(endpoint: Endpoint, background: bool, whole: bool, again: bool) -> None:
    config = load_text(None, {})
    found = route("/openai/v1/x", config)
    assert isinstance(found, Route)
    asker = Asker()
    watch = Watch(asyncio.get_running_loop())
    body = Body(asker, ReplayMemory(9), watch, expects=False, limit=0)  # type: ignore[arg-type]
    body.take(9)
    body.complete = whole
    seen = replace(peek(endpoint, "/v1/x", b"", b"{}"), background=background)
    asked = Asked("POST", found, endpoint, Placement(b"/v1/x"), scan([]), {}, 2, body, config, seen)
    assert asked.replayable() is again
