"""What certificates and authorities are in force, and taking over new ones when their files change.

A file is taken over once it stayed the same for two looks: writing two files takes a moment, and half of a new pair is
no pair. What cannot be used changes nothing but what is told of it. Connections keep what they were made with.
"""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from config.reading import read_regular
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
    """Files behind one setting, the context made of them, and taking over what they hold."""

    def __init__(
        self, name: str, paths: Sequence[str], load: Callable[[], tuple[ssl.SSLContext, float | None]]
    ) -> None:
        """`load` makes a context of what the files hold and tells when it expires, if it does; raises FileError."""
        self._paths = paths
        self._load = load
        self._loaded = self._seen = self._digest()
        self.context, expires = load()
        self.state = WatchedFiles(name, None, expires)

    def look(self) -> None:
        """Look at the files; blocks for as long as reading them does."""
        seen = self._digest()
        settled, self._seen = seen == self._seen, seen
        if seen == self._loaded or not settled:
            return
        self._loaded = seen
        state = self.state
        try:
            self.context, state.expires = self._load()
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
                content = read_regular(path, LARGEST)
            except (OSError, ValueError):
                content = b"cannot be read"
            digest.update(b"%d:%b" % (len(content), content))
        return digest.digest()


def trusted(config: Config) -> dict[str, Watched]:
    """What vouches for providers by `config`, by the file of the bundle; blocks for as long as reading them does.

    Raises:
        FileError: a bundle cannot be used.
    """
    return {bundle: _trust(bundle) for _, bundle in bundles(config)}


def _trust(bundle: str) -> Watched:
    return Watched(f"ca_bundle {bundle}", [bundle], lambda: (client_context(bundle), None))


class Certificates:
    """All that TLS works with in this process: a context for each listener and for each bundle of authorities.

    A thread of its own looks at the files: a slow disk holds up nobody, and not the end of the process either.
    """

    def __init__(self, config: Config, wall: Callable[[], float] = time.time) -> None:
        """Load what `config` names.

        Raises:
            FileError: a file cannot be used.
        """
        self.states: list[WatchedFiles] = []
        """How the files stand."""
        self._wall = wall
        self._servers: dict[str, ServerContext] = {}
        self._listeners = [self._serve(name, tls) for name, tls in listeners(config)]
        self._system: ssl.SSLContext | None = None
        self._making = threading.Lock()
        self._trusted = trusted(config)
        self._list()
        self._stopped = threading.Event()

    def server(self, name: str) -> ServerContext | None:
        """The context of the listener whose setting is `name` (`tls`, `admin.tls`); None where it speaks no TLS."""
        return self._servers.get(name)

    def client(self, bundle: str) -> ssl.SSLContext:
        """The context in which the authorities of `bundle` vouch for a server, the system's when it is empty.

        What began by an earlier configuration may name one that is not there any more: that one is loaded.

        Raises:
            FileError: the bundle cannot be used.
        """
        if not bundle:
            return self._of_system()
        found = self._trusted.get(bundle)
        if found is None:
            found = self._trusted[bundle] = _trust(bundle)
            self._list()
        return found.context

    def adopt(self, config: Config, made: Mapping[str, Watched]) -> None:
        """Go on with the bundles that `config` names, of which `made` holds those that are new.

        The listeners stay as they are.
        """
        self._trusted = {bundle: self._trusted.get(bundle) or made[bundle] for _, bundle in bundles(config)}
        self._list()

    def start(self) -> None:
        """Look at the files from now on."""
        threading.Thread(target=self._watch, name="certificates", daemon=True).start()

    def stop(self) -> None:
        """Look no more. A look that hangs is left alone."""
        self._stopped.set()

    def look(self) -> None:
        """Take over what has changed; blocks for as long as reading the files does."""
        for watched in (*self._listeners, *self._trusted.values()):
            watched.look()

    def _of_system(self) -> ssl.SSLContext:
        """Made by who needs it first, in any thread: to read all public authorities takes 20 ms, which a start has not.

        Not by the thread that looks at files: a process that ends while that one is at it crashes in OpenSSL.
        """
        with self._making:
            if self._system is None:
                self._system = client_context()
            return self._system

    def _watch(self) -> None:
        while not self._stopped.wait(PERIOD):
            try:
                self.look()
            except Exception:
                log.exception("looking at the files of TLS failed in a way nobody thought of")

    def _list(self) -> None:
        self.states[:] = [watched.state for watched in (*self._listeners, *self._trusted.values())]

    def _serve(self, name: str, tls: Tls) -> Watched:
        context = self._servers[name] = ServerContext(ssl.PROTOCOL_TLS_SERVER)

        def load() -> tuple[ssl.SSLContext, float]:
            made, expires = server_context(tls)
            if hasattr(context, "current") and expires <= self._wall():
                raise FileError("cert", f"{tls.cert}: {expired(expires)}")
            if expires <= self._wall():
                log.warning("%s.cert: %s", name, expired(expires))
            made.sslobject_class = Served
            context.current = made
            return made, expires

        return Watched(name, [path for path in (tls.cert, tls.key, tls.client_ca) if path is not None], load)


def options(context: ssl.SSLContext | None) -> dict[str, Any]:
    """What `create_server` is told of TLS."""
    if context is None:
        return {}
    return {"ssl": context, "ssl_handshake_timeout": HANDSHAKE, "ssl_shutdown_timeout": SHUTDOWN}
