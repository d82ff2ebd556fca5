"""What certificates and authorities are in force, and taking over new ones when their files change.

A file is taken over once it stayed the same for two looks: writing two files takes a moment, and half of a new pair is
no pair. What cannot be used changes nothing but what is told of it. Connections keep what they were made with.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from config.watched import WatchedFiles
from proxy.certificates import LARGEST, FileError, bundles, client_context, expired, listeners, server_context

if TYPE_CHECKING:
    from config.effective import Config
    from config.settings import Tls

log = logging.getLogger("detour")

PERIOD: Final = 1.0
"""Seconds between two looks at the files."""

HANDSHAKE: Final = 10.0
"""Seconds a client's handshake may take, as a request's head may."""

SHUTDOWN: Final = 300.0
"""Seconds in which a closed connection's last bytes may be read by its client.

uvloop ends a connection that is not shut down in this time, whether it waits for the client's goodbye or for a slow
client to take what was written: without TLS there is no such limit at all.
"""


class Served(ssl.SSLObject):
    """A server's end of a connection that tells its client why a handshake fails.

    uvloop drops the connection then, before it has sent the alert. So where there is one it is told that more has to
    come: it sends what there is to send, and drops the connection when the client does, or when the time for handshakes
    is over.
    """

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    failed = False

    def do_handshake(self) -> None:
        """One step of the handshake."""
        if self.failed:
            self.incoming.read()  # nothing of it is of use, and it must not pile up
            raise ssl.SSLWantReadError
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if not self.outgoing.pending:
                raise
            self.failed = True
            raise ssl.SSLWantReadError from None


class ServerContext(ssl.SSLContext):
    """A context that stands for another, which may change: each connection is made with the one of that moment."""

    current: ssl.SSLContext

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **more: Any) -> ssl.SSLObject:
        """What event loops ask a context for, once for each connection."""
        made = self.current.wrap_bio(incoming, outgoing, *args, **more)
        if isinstance(made, Served):
            made.incoming, made.outgoing = incoming, outgoing
        return made


class Watched:
    """Files behind one setting, and taking over what they hold."""

    def __init__(
        self, name: str, paths: Sequence[str], load: Callable[[], float | None], bundle: str | None = None
    ) -> None:
        """`load` puts what the files hold into force and tells when it expires, if it does; raises FileError.

        `bundle` is the file when it holds authorities for providers.
        """
        self.bundle = bundle
        self._paths = paths
        self._load = load
        self._loaded = self._seen = self._digest()
        self.state = WatchedFiles(name, None, load())

    def look(self) -> None:
        """Look at the files; blocks for as long as reading them does."""
        seen = self._digest()
        settled, self._seen = seen == self._seen, seen
        if seen == self._loaded or not settled:
            return
        self._loaded = seen
        state = self.state
        try:
            state.expires = self._load()
        except FileError as error:
            state.trouble = f"{error.key}: {error}"
            log.error("changed files of %s are not taken over, the old ones stay in force: %s", state.name, error)
        else:
            state.trouble = None
            log.info("changed files of %s are taken over", state.name)

    def _digest(self) -> bytes:
        digest = hashlib.blake2b()
        for path in self._paths:
            try:
                with Path(path).open("rb") as file:
                    content = file.read(LARGEST)
            except (OSError, ValueError):
                content = b"cannot be read"
            digest.update(b"%d:%b" % (len(content), content))
        return digest.digest()


class Certificates:
    """All that TLS works with in this process: a context for each listener and for each bundle of authorities."""

    def __init__(self, config: Config, wall: Callable[[], float] = time.time) -> None:
        """Load what `config` names.

        Raises:
            FileError: a file cannot be used.
        """
        self.states: list[WatchedFiles] = []
        """How the files stand; grows as further ones are named."""
        self._watched: list[Watched] = []
        self._wall = wall
        self._servers: dict[str, ServerContext] = {}
        self._clients: dict[str, ssl.SSLContext] = {}
        self._task: asyncio.Task[None] | None = None
        for name, tls in listeners(config):
            self._serve(name, tls)
        for bundle in {"", *(bundle for _, bundle in bundles(config))}:
            self.client(bundle)

    def server(self, name: str) -> ServerContext | None:
        """The context of the listener whose setting is `name` (`tls`, `admin.tls`); None where it speaks no TLS."""
        return self._servers.get(name)

    def client(self, bundle: str) -> ssl.SSLContext:
        """The context in which the authorities of `bundle` vouch for a server, the system's when it is empty.

        Raises:
            FileError: the bundle cannot be used.
        """
        found = self._clients.get(bundle)
        if found is None:
            self._trust(bundle)
            found = self._clients[bundle]
        return found

    def adopt(self, config: Config) -> None:
        """Go on with the bundles that `config` names; the listeners stay as they are."""
        named = {"", *(bundle for _, bundle in bundles(config))}
        for bundle in self._clients.keys() - named:
            del self._clients[bundle]
        self._watched = [watched for watched in self._watched if watched.bundle is None or watched.bundle in named]
        self.states[:] = [watched.state for watched in self._watched]
        for bundle in named:
            with contextlib.suppress(FileError):  # who connects with it is told
                self.client(bundle)

    def start(self) -> None:
        """Look at the files from now on."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def look(self) -> None:
        """Take over what has changed; blocks for as long as reading the files does."""
        for watched in list(self._watched):
            watched.look()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(PERIOD)
            if self._watched:
                await asyncio.to_thread(self.look)

    def _serve(self, name: str, tls: Tls) -> None:
        context = self._servers[name] = ServerContext(ssl.PROTOCOL_TLS_SERVER)

        def load() -> float:
            made, expires = server_context(tls)
            if hasattr(context, "current") and expires <= self._wall():
                raise FileError("cert", f"{tls.cert}: {expired(expires)}")
            if expires <= self._wall():
                log.warning("%s.cert: %s", name, expired(expires))
            made.sslobject_class = Served
            context.current = made
            return expires

        paths = [path for path in (tls.cert, tls.key, tls.client_ca) if path is not None]
        self._watch_over(Watched(name, paths, load))

    def _trust(self, bundle: str) -> None:
        def load() -> None:
            self._clients[bundle] = client_context(bundle)

        if bundle:
            self._watch_over(Watched(f"ca_bundle {bundle}", [bundle], load, bundle))
        else:
            load()

    def _watch_over(self, watched: Watched) -> None:
        self._watched.append(watched)
        self.states.append(watched.state)


def options(context: ssl.SSLContext | None) -> dict[str, Any]:
    """What `create_server` is told of TLS."""
    if context is None:
        return {}
    return {"ssl": context, "ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": SHUTDOWN}
