"""Reads the configuration again when its files change or a SIGHUP asks for it, and has it taken over.

A thread of its own looks at the files: a slow disk holds up nobody, and not the end of the process either. There too a
new configuration is validated and made ready; what is left to the event loop is the swap. One that cannot be used
changes nothing but what is told of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from config.problems import ConfigError

if TYPE_CHECKING:
    from config.effective import Config
    from config.reloads import Reloads
    from config.source import Fresh, Source

log: Final = logging.getLogger("detour.config")

PERIOD: Final = 1.0
"""Seconds between two looks at the files."""

SHOWN: Final = 20
"""Most changed settings that a line of the log names."""

P = TypeVar("P")


class Reloader(Generic[P]):
    """Sees to the configuration of one process from `start` to `stop`."""

    def __init__(
        self,
        source: Source,
        config: Config,
        reloads: Reloads,
        prepare: Callable[[Config], P],
        adopt: Callable[[P], None],
        period: float = PERIOD,
    ) -> None:
        """Begin with `config`.

        Args:
            source: where it came from.
            config: what was read there.
            reloads: where it is told how things stand; touched on the event loop alone.
            prepare: makes ready for another one, in a thread; raises ConfigError or ValueError where it cannot be used.
            adopt: takes over what was prepared, on the event loop; must not raise.
            period: seconds between two looks at the files.
        """
        self._source = source
        self._running = config
        self._reloads = reloads
        self._prepare = prepare
        self._adopt = adopt
        self._period = period
        self._asked = threading.Event()
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="config", daemon=True)
        reloads.at = time.time()

    def start(self) -> None:
        """Look at the files from now on; to be called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def ask(self) -> None:
        """Read everything again now, changed or not."""
        if self._source.lasting:
            log.info("asked to read the configuration again")
            self._asked.set()
        else:
            log.warning("asked to read the configuration again, and there is no file that can be read twice")

    def stop(self) -> None:
        """Look no more. A look that hangs is left alone."""
        self._stopped = True
        self._asked.set()

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            asked = self._asked.wait(self._period)
            self._asked.clear()
            if self._stopped:
                return
            try:
                if asked or self._source.changed():
                    self._again()
            except Exception:
                log.exception("reading the configuration again failed in a way nobody thought of")

    def _again(self) -> None:
        try:
            fresh = self._source.again(self._running)
            prepared = self._prepare(fresh.config) if fresh.changed else None
        except ConfigError as error:
            self._tell(self._refused, tuple(map(str, error.problems)))
        except ValueError as error:
            self._tell(self._refused, (str(error),))
        else:
            if fresh.changed:
                self._running = fresh.config
            self._tell(self._applied, fresh, prepared)

    def _tell(self, what: Callable[..., None], *about: object) -> None:
        """Have the event loop do something; where it is closed by now, nothing is to be done."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(what, *about)

    # -- on the event loop -----------------------------------------------------------------------------------------

    def _refused(self, problems: tuple[str, ...]) -> None:
        self._reloads.refused += 1
        self._reloads.problems = problems
        log.error("the changed configuration cannot be used, and what was before stays in force")
        for problem in problems:
            log.error("%s", problem)

    def _applied(self, fresh: Fresh, prepared: P | None) -> None:
        reloads = self._reloads
        if prepared is not None:
            self._adopt(prepared)
        reloads.applied += 1
        reloads.at = time.time()
        reloads.problems, reloads.restart = (), fresh.restart
        log.info("configuration read again: %s", _named(fresh.changed) if fresh.changed else "nothing has changed")
        if fresh.restart:
            log.warning("changed and not in force before a restart: %s", _named(fresh.restart))


def _named(paths: tuple[str, ...]) -> str:
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return ", ".join(paths[:SHOWN]) + more
