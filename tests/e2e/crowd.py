"""Clients that ask all the time over connections they keep, as a gateway's pool does, and try nothing a second time."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tests.e2e.world import Peer, post

PAUSE = 0.05
"""Seconds that a client rests between two requests, on an open connection."""


class Crowd:
    """`scripts` are what the clients ask for, each the same again and again: (model, streamed).

    Whatever is no whole and good answer is a failure; `failures` says which and how.
    """

    def __init__(
        self,
        port: int,
        path: str,
        scripts: Sequence[tuple[str, bool]],
        count: int,
        pause: float = PAUSE,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.path = path
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.closed = 0
        """Answers that said their connection ends."""
        self._pause = pause
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": "localhost"}
        self._stopping = False
        self._tasks = [asyncio.create_task(self._client(*scripts[n % len(scripts)])) for n in range(count)]

    @property
    def answers(self) -> int:
        return sum(self.counts.values())

    async def stop(self, limit: float = 60.0) -> None:
        """Let everybody finish the request they are at."""
        self._stopping = True
        done, late = await asyncio.wait(self._tasks, timeout=limit)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        assert not late, f"{len(late)} clients did not get an answer"
        for task in done:
            task.result()

    async def _client(self, model: str, streamed: bool) -> None:
        peer: Peer | None = None
        body = json.dumps({"model": model, "messages": [], **({"stream": True} if streamed else {})}).encode()
        raw = post(self.path, body, extra="Authorization: Bearer sk-caller\r\n", close=False)
        while not self._stopping:
            step = "connecting"
            try:
                if peer is None or peer.reader.at_eof() or peer.reader.exception() is not None:
                    if peer is not None:
                        peer.close()
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20, **self._tls)
                    peer = Peer(reader, writer)
                step = "sending"
                await peer.send(raw)
                step = "reading"
                status, fields, answer = await asyncio.wait_for(peer.answer(), 120)
                whole = answer.endswith(b"data: [DONE]\n\n") if streamed else bool(json.loads(answer)["choices"])
                if status != 200 or not whole:
                    self.failures.append(f"{model}: {status} {answer[-200:]!r}")
                self.counts[model] += 1
                if (b"connection", b"close") in {(name.lower(), value.lower()) for name, value in fields}:
                    self.closed += 1
                    peer.close()
                    peer = None
            except (OSError, asyncio.IncompleteReadError, ValueError, KeyError, TimeoutError) as error:
                self.failures.append(f"{model}: {type(error).__name__} while {step}: {error}")
                if peer is not None:
                    peer.close()
                peer = None
            await asyncio.sleep(self._pause)
        if peer is not None:
            peer.close()
