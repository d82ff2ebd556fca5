"""Reading the providers' own lists of models: what they offer costs nothing to ask.

The request is one of Detour's own and goes the data plane's way as far as there is one: its connections, TLS and
framing rules, the provider's credential in the provider's style. It counts in no record and feeds no breaker: a list
says nothing about how models are. What it says about the key is told, but only what is bad: some give their list to
anybody.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from breaker.outcome import Blame
from proxy import credentials, listing
from proxy.connect import ConnectTimeoutError, UnreachableError
from proxy.decode import Decoder
from proxy.headers import VIA_NAME
from proxy.mask import mask
from proxy.pool import PoolWaitError
from proxy.verdict import Ending, Facts, judge

if TYPE_CHECKING:
    from breaker.outcome import Verdict
    from config.effective import Provider
    from proxy.headers import Pair
    from proxy.plane import DataPlane
    from proxy.reply import Reply
    from proxy.upstream import Upstream

LIMIT: Final = 60.0
"""Seconds that reading a list may take, all its pages together. Featherless has some 45 (of 1000 models each)."""

PAGE: Final = 8 << 20
"""Bytes of one page."""

LARGEST: Final = 32 << 20
"""Bytes of a list, all its pages together."""

MOST: Final = 50_000
"""Names that are read of a list."""

PAGES: Final = 60
"""Pages that are read of a list."""

_SCOPE: Final = re.compile(r"missing scope|insufficient permission")
"""How a key that is good for generations alone is refused a list (OpenAI's restricted keys, with a 401)."""


class ModelList(Struct, frozen=True):
    """What was read: the names, and whether these are all. A `problem` says why there are none."""

    names: tuple[str, ...] = ()
    whole: bool = True
    problem: str | None = None


class _UnreadableError(Exception):
    """The list cannot be read: the text says why."""


class _TooLargeError(Exception):
    pass


class Lists:
    """Reads lists for one data plane."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def read(self, name: str) -> ModelList:
        """The list of a provider that has one (`Provider.list_path`). Raises nothing: what is wrong is a `problem`."""
        provider = self._plane.config.providers.get(name)
        if provider is None or provider.list_path is None:
            return ModelList(problem="it has no list of models")
        try:
            async with asyncio.timeout(LIMIT):
                return await self._read(provider, provider.list_path)
        except TimeoutError:
            return ModelList(problem=f"not read within {LIMIT:g} s")
        except (_UnreadableError, ConnectTimeoutError, UnreachableError, PoolWaitError) as error:
            return ModelList(problem=mask(str(error)))

    async def _read(self, provider: Provider, path: str) -> ModelList:
        names: dict[str, None] = {}
        left = LARGEST
        target = listing.first(path, provider.dialect)
        for _ in range(PAGES):
            try:
                body = await self._page(provider, target, min(left, PAGE))
            except _TooLargeError:
                if not names:
                    raise _UnreadableError(f"the list is larger than {PAGE >> 20} MiB") from None
                return ModelList(tuple(names), whole=False)
            left -= len(body)
            page = listing.read(body, provider.dialect)
            if page.names is None:
                raise _UnreadableError("what was answered is no list of models")
            before = len(names)
            names.update(dict.fromkeys(page.names))
            if len(names) > MOST:
                return ModelList(tuple(names)[:MOST], whole=False)
            if not page.more:
                return ModelList(tuple(names))
            if not page.next or len(names) == before:  # it says that there is more, and gives none
                break
            target = listing.following(path, provider.dialect, page)
        return ModelList(tuple(names), whole=False)

    async def _page(self, provider: Provider, target: bytes, most: int) -> bytes:
        """The body of a 2xx answer. A key stays at its provider's own origin."""
        connection = await self._connect(provider)
        fetch = _Fetch(most)
        fields: tuple[Pair, ...] = ()
        if provider.list_origin is None:
            fields, target = credentials.ours(provider, target)
        connection.begin(fetch, "GET")
        connection.write(self._head(target, provider, fields))
        try:
            await fetch.finished
        except BaseException:
            connection.abort()
            raise
        connection.detach()
        return await self._body(provider, fetch)

    def _head(self, target: bytes, provider: Provider, fields: tuple[Pair, ...]) -> bytes:
        via = b"1.1 " + VIA_NAME + self._plane.name
        usual = ((b"Accept", b"application/json"), (b"Accept-Encoding", b"gzip"), (b"User-Agent", b"detour"))
        given = {name.lower() for name, _ in fields}
        lines = [pair for pair in usual if pair[0].lower() not in given]
        lines = [(b"Host", (provider.list_origin or provider.origin).authority), *lines, *fields, (b"Via", via)]
        return b"GET %b HTTP/1.1\r\n%b\r\n\r\n" % (target, b"\r\n".join(map(b": ".join, lines)))

    async def _connect(self, provider: Provider) -> Upstream:
        """A new connection: one that has rested might be dead, and a list is read once a day."""
        limits = self._plane.config.settings.limits
        pool = self._plane.pools.of(provider.list_origin or provider.origin)
        return await pool.connect(provider.timeouts.connect, limits.connections, limits.pool_wait)

    async def _body(self, provider: Provider, fetch: _Fetch) -> bytes:
        reply = fetch.reply
        body = await fetch.plain()
        status = reply.status if reply is not None else 0
        if not 200 <= status < 300:
            verdict = judge(Facts(Ending.COMPLETE, status=status, body=body, dialect=provider.dialect))
            self._tell(provider, verdict)
            raise _UnreadableError(verdict.message or f"answered with status {status}")
        return body

    def _tell(self, provider: Provider, verdict: Verdict) -> None:
        went_along = provider.credential is not None and provider.list_origin is None
        if not went_along or not self._plane.has_key(provider) or _SCOPE.search(verdict.message.lower()):
            return
        if verdict.blame is Blame.PROVIDER_CREDENTIAL:
            self._plane.sure.pop(provider.name, None)
            self._plane.recorder.key(provider.name, False, verdict.http_status, self._plane.wall())


class _Fetch:
    """The sink of one answer: takes it all, up to so many bytes."""

    def __init__(self, most: int) -> None:
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reply: Reply | None = None
        self._most = most
        self._taken = bytearray()

    async def plain(self) -> bytes:
        """The body, decoded; with turns for others in between."""
        encoding = b"" if self.reply is None else self.reply.encoding
        if encoding in (b"", b"identity"):
            return bytes(self._taken)
        decoder = Decoder(encoding)
        plain = bytearray()
        for at in range(0, len(self._taken), _STEP):
            plain += decoder.feed(bytes(self._taken[at : at + _STEP]))
            if len(plain) > self._most:
                raise _TooLargeError
            await asyncio.sleep(0)
        if decoder.failed:
            raise _UnreadableError("the answer is encoded in a way that cannot be read")
        return bytes(plain)

    def informational(self, reply: Reply) -> None:
        """Says nothing."""

    def head(self, reply: Reply) -> None:
        """The answer's head came."""
        self.reply = reply

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Take what came."""
        self._taken += data
        if len(self._taken) > self._most:
            self._fail(_TooLargeError())
        elif done and not self.finished.done():
            self.finished.set_result(None)

    def upgraded(self, rest: bytes) -> None:
        """Nobody asked for that."""
        self._fail(_UnreadableError("the provider switched protocols"))

    def raw(self, data: bytes) -> None:
        """Nobody asked for that."""

    def malformed(self, detail: str) -> None:
        """The answer is not HTTP."""
        self._fail(_UnreadableError(f"answer is not valid HTTP: {detail}"))

    def lost(self, detail: str) -> None:
        """The connection ended first."""
        self._fail(_UnreadableError(detail))

    def writable(self) -> None:
        """The request is small: it was written at once."""

    def _fail(self, error: Exception) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)


_STEP: Final = 16 * 1024
"""Bytes of an encoded answer that are decoded at a time."""
