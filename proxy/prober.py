"""Sends one probe through the data plane, as a client of its own would (semantics section 1, records of kind `probe`).

A probe is a real request: it comes in at the same door as callers' requests, on a pair of sockets instead of a port,
and goes the same way, so that what it finds is what they would find. It is not rerouted and not repeated, it spends the
provider's configured credential and nobody else's, and it counts in no figure of clients.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from breaker.outcome import Neutral, Status
from proxy import errand as errands
from proxy.errand import Errand
from proxy.evidence import spent
from proxy.inband import complaint
from proxy.probe import Asks, Shape, shape

if TYPE_CHECKING:
    from breaker.outcome import Verdict
    from config.effective import Config, Provider
    from proxy.plane import DataPlane

MARGIN: Final = 10.0
"""Seconds that a probe may overrun its limit by: more is our own fault, and ends it without a verdict."""

READ: Final = 64 * 1024
"""Bytes of an answer read at a time, and most that are kept of an answer of our own."""


class Probed(Struct, frozen=True):
    """What a probe came to.

    `status` is None when nothing was asked; then `reason` says why, and `rejected` what stood in the way where that was
    a breaker or a hold-off (`Rejection.kind`). Otherwise `reason` is the verdict's message, empty for a success.
    `tokens` is what it cost: as the answer says, or else the most that it can have cost. `http_status` is as in
    `Verdict`.
    """

    status: Status | Neutral | None
    reason: str = ""
    tokens: int = 0
    http_status: int | None = None
    rejected: str = ""

    @property
    def counted(self) -> bool:
        """Whether records count it."""
        return isinstance(self.status, Status)


class Prober:
    """Sends probes, each when it is told to."""

    def __init__(self, plane: DataPlane) -> None:
        """Send through `plane`, whose configuration says where and with which credential."""
        self._plane = plane
        self._out: set[asyncio.StreamWriter] = set()
        self._stopped = False

    async def probe(
        self,
        provider: str,
        model: str,
        *,
        timeout: float,  # noqa: ASYNC109 - a limit of the attempt, kept by the data plane
        max_tokens: int,
    ) -> Probed:
        """Ask `model` at `provider` one thing, within `timeout` seconds and for at most `max_tokens` tokens.

        Cancelling it ends the probe without a verdict.
        """
        config = self._plane.config
        known = config.providers.get(provider)
        if self._stopped or self._plane.draining:
            return Probed(None, "Detour is draining")
        if known is None or known.missing_variables or not known.configured:
            return Probed(None, f"{provider} has no credential of its own, or no address")
        made = shape(known, model, max_tokens)
        if made is None:
            return Probed(None, f"nothing can be asked of {provider} about it without a price")
        at = known.queue if made.asks is Asks.ELSEWHERE else None
        errand, word = Errand(model, made.asks, timeout, at), errands.word()
        return _probed(errand, made, await self._send(errand, word, _request(made, word, known, config)))

    def stop(self) -> None:
        """Send no more, and end what is out without a verdict: the process drains."""
        self._stopped = True
        for writer in self._out:
            writer.transport.abort()

    async def _send(self, errand: Errand, word: bytes, request: bytes) -> bytes:
        """Send the request of an errand that goes by `word`; the beginning of what a client would have got."""
        plane = self._plane
        plane.errands[word] = errand
        try:
            async with asyncio.timeout(errand.timeout + MARGIN):
                reader, writer = await self._connect()
                self._out.add(writer)
                try:
                    writer.write(request)
                    return await _read(reader)
                finally:
                    self._out.discard(writer)
                    writer.transport.abort()
        except OSError:  # our own end: no descriptor free, a limit overrun, a connection broken off
            return b""
        finally:
            del plane.errands[word]

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the data plane."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        try:
            await self._plane.loop.connect_accepted_socket(self._plane.server, theirs)  # type: ignore[type-var]
        except BaseException:
            theirs.close()
            ours.close()
            raise
        try:
            return await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            ours.close()
            raise


def _request(made: Shape, word: bytes, provider: Provider, config: Config) -> bytes:
    """The bytes of a probe's request to the data plane, by a caller that may spend the configured credential."""
    token = config.client_token
    fields = [
        (b"Host", b"localhost"),
        (b"x-detour-probe", word),
        *(((b"x-detour-token", token.reveal().encode()),) if token is not None else ()),
        (b"User-Agent", b"detour"),
        (b"Accept", b"application/json"),
        (b"Accept-Encoding", b"identity"),
        *made.headers,
        *(((b"Content-Length", str(len(made.body)).encode()),) if made.body else ()),
        (b"Connection", b"close"),
    ]
    lines = [f"{made.method} /{provider.name}{made.path} HTTP/1.1".encode(), *(b": ".join(pair) for pair in fields)]
    return b"\r\n".join([*lines, b"", made.body])


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Read an answer to its end, and keep its beginning."""
    kept = bytearray()
    while data := await reader.read(READ):
        kept += data[: READ - len(kept)]
    return bytes(kept)


def _probed(errand: Errand, made: Shape, answer: bytes) -> Probed:
    """What an errand came to; `answer` is what its client got, which tells where no attempt was made."""
    verdict, rejection = errand.verdict, errand.rejection
    if verdict is not None:
        return Probed(verdict.status, verdict.message, _cost(errand, made, verdict), verdict.http_status)
    if rejection is not None:
        return Probed(None, rejection.reason, rejected=rejection.kind)
    return Probed(None, _refusal(answer) or "it was ended before it came to anything")


def _cost(errand: Errand, made: Shape, verdict: Verdict) -> int:
    """Tokens that a probe took: what its answer says, else the most there can be; nobody bills a request refused."""
    refused = verdict.http_status is not None and 400 <= verdict.http_status < 500
    if not made.tokens or not errand.sent or (refused and verdict.status is not Status.SUCCESS):
        return 0
    said = spent(bytes(errand.answer))
    return made.tokens if said is None else said


def _refusal(answer: bytes) -> str:
    """Why the data plane refused a request, in its own words."""
    head, _, body = answer.partition(b"\r\n\r\n")
    parts = head.split(b" ", 2)
    if len(parts) < 3 or not parts[1].isdigit():
        return ""
    return complaint(body, int(parts[1])).message
