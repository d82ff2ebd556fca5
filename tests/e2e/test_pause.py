"""A pause of the process itself is nobody's silence."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from proxy.fake import FakeProvider
from tests.e2e.world import client, detour, lab, post


async def test_a_paused_process_blames_no_provider(tmp_path: Path) -> None:
    """Stopped for far longer than its limits, with answers in flight; the bytes it finds on waking decide."""
    async with (
        FakeProvider() as fake,
        detour(lab(fake.url), path=tmp_path / "detour.yaml") as running,
        client(running.port) as plain,
        client(running.port) as streamed,
    ):
        await plain.send(post("/openai/v1/chat/completions", b'{"model":"slow-head@delay=0.2","messages":[]}'))
        await streamed.send(
            post("/openai/v1/chat/completions", b'{"model":"ok@first=0.2,gap=0.05","messages":[],"stream":true}')
        )
        await fake.until(lambda: fake.requests == 2)
        running.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(2.0)  # the length of the pause, not a wait for anything
        running.process.send_signal(signal.SIGCONT)
        assert (await plain.rest()).startswith(b"HTTP/1.1 200 OK\r\n")
        body = await streamed.rest()
        assert body.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"[DONE]" in body
        assert body.endswith(b"0\r\n\r\n")
        _, stats = await running.get("/v1/model-health/stats")
        assert (stats["total_calls"], stats["total_success"]) == (2, 2)
