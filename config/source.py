"""Where the configuration of a process comes from: read once to start, and again whenever what it says has changed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from config.effective import Config
from config.held import changes, hold
from config.load import load
from config.reading import Seen, look, read, read_again
from config.settings import Settings


class Fresh(Struct, frozen=True):
    """The configuration read again: what it has that is new, and what of that only a restart can bring into force."""

    config: Config
    changed: tuple[str, ...]
    restart: tuple[str, ...]


class Source:
    """A file with the files it names, the variables of the process and its command line; the file may be none.

    Not for several threads at once.
    """

    def __init__(self, path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str]) -> None:
        """Read nothing yet. The variables are those of this moment, whatever becomes of them."""
        self.path = path
        self._environ = dict(environ)
        self._overrides = dict(overrides)
        self._seen: Seen = {}
        self._last: Seen = {}

    def load(self) -> Config:
        """Read it. Raises ConfigError."""
        self._seen = {}
        try:
            return load(self.path, self._environ, self._overrides, reader=partial(read, seen=self._seen))
        finally:
            self._last = self._seen

    def again(self, running: Config) -> Fresh:
        """Read it again, for a process that runs with another configuration. Raises ConfigError."""
        restart: tuple[str, ...] = ()

        def held(settings: Settings) -> Settings:
            nonlocal restart
            settings, restart = hold(settings, running.settings)
            return settings

        self._seen = {}
        try:
            reader = partial(read_again, seen=self._seen)
            config = load(self.path, self._environ, self._overrides, reader=reader, held=held)
        finally:
            self._last = self._seen
        changed = tuple(changes(running.settings, config.settings))
        if not changed and config.providers.keys() != running.providers.keys():
            changed = ("providers",)  # whether the file has any decides whether the whole catalog is served
        return Fresh(config, changed, restart)

    @property
    def lasting(self) -> bool:
        """Whether it can be read again: there is a file, and not a pipe."""
        return self.path is not None and self.path in self._seen

    def changed(self) -> bool:
        """Whether the files hold something else than when they were read, and have done so since the last question.

        Who writes a file in place does so in pieces, and half a file may be a valid one.
        """
        found = look(self._seen)
        settled, self._last = found == self._last, found
        return settled and found != self._seen
