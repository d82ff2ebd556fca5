"""How the configured keys were judged: by the providers, whenever one went along with a request.

What is known survives restarts and is shared by a fleet. A verdict belongs to the key it was given on, not to the
provider's name: a key that was replaced has not been judged yet, and sidecars may have different ones. So verdicts are
kept under a mark of the key, four bytes of a hash: enough to tell two keys apart, too little to find one by.
"""

from __future__ import annotations

import enum
import hashlib
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from healthapi.store import StoreError

if TYPE_CHECKING:
    from config.effective import Config, Provider
    from healthapi.keeper import Keeper

NOTE: Final = "keys"
"""The note that the verdicts are kept in."""

SYNC: Final = 3.0
"""Seconds between two looks at what the fleet knows, and between two times that news are written."""

FRESH: Final = 60.0
"""Seconds by which a verdict that says the same has to be newer to be worth writing down."""

AHEAD: Final = 60.0
"""Seconds that sidecars' clocks may be apart. A verdict from further in the future is of a clock that was wrong."""

MARKS: Final = 8
"""Most keys of one provider that are remembered: those that sidecars have now, and had before."""


class KeyState(enum.StrEnum):
    """What is known of a provider's key."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NEVER_TRIED = "never_tried"
    """It is there, and no request has told yet whether it is any good."""
    MISSING = "missing"
    NONE_NEEDED = "none_needed"


class Judged(Struct, frozen=True):
    """The last verdict on a key: when (Unix time), and by which HTTP status, if there was one."""

    accepted: bool
    at: float
    http_status: int | None = None


Marked = dict[str, dict[str, Judged]]
"""Verdicts by provider and mark of the key."""

_decode: Final = msgspec.json.Decoder(Marked).decode


class KeyLog:
    """What is known of every configured key. Told on the way of requests; used from one event loop."""

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        """Know of the keys of this configuration, and of no verdict. `now` tells Unix time."""
        self._now = now
        self.adopt(config)
        self._known: Marked = {}
        self._kept: Marked = {}
        self._read = False

    def adopt(self, config: Config) -> None:
        """Know of the keys of another configuration: one that was replaced has not been judged yet."""
        self._providers = config.providers
        self._marks = {name: mark(provider) for name, provider in config.providers.items()}

    # -- what is asked ---------------------------------------------------------------------------------------------

    @property
    def providers(self) -> Collection[str]:
        """The configured providers, whether they have a key or not."""
        return self._providers.keys()

    def judged(self, provider: str) -> Judged | None:
        """The last verdict on a provider's configured key, None where there is none yet."""
        return self._known.get(provider, {}).get(self._marks.get(provider, ""))

    def refused(self, provider: str) -> bool:
        """Whether a provider's configured key was refused the last time it was tried."""
        found = self.judged(provider)
        return found is not None and not found.accepted

    def refusals(self) -> dict[str, Judged]:
        """The providers whose configured key was refused the last time, with the verdict."""
        judged = ((name, self.judged(name)) for name in self._providers)
        return {name: found for name, found in judged if found is not None and not found.accepted}

    def state(self, provider: str) -> KeyState:
        """What is known of the key of a configured provider; `MISSING` for any other."""
        entry = self._providers.get(provider)
        if entry is None or entry.credential is None:
            return KeyState.NONE_NEEDED if entry is not None and entry.keyless else KeyState.MISSING
        found = self.judged(provider)
        if found is None:
            return KeyState.NEVER_TRIED
        return KeyState.ACCEPTED if found.accepted else KeyState.REFUSED

    # -- what is told ----------------------------------------------------------------------------------------------

    def tell(self, provider: str, accepted: bool, http_status: int | None, at: float) -> None:
        """Take a verdict on the configured key of a provider, of the Unix time `at`."""
        own = self._marks.get(provider)
        if own:
            self._take(provider, own, Judged(accepted, at, http_status))

    async def sync(self, keeper: Keeper) -> None:
        """Take in what is kept, and keep what is new. Trouble with the store is told by the keeper, and not here."""
        try:
            if keeper.fleet or not self._read:
                self._kept = await self._load(keeper)
                self._read = True
            if not self._news():
                return
            # Sidecars may write at the same time and undo each other's: whoever misses its own news writes them again.
            text = msgspec.json.encode(self._known)
            if await keeper.put_note(NOTE, text):
                self._kept = _decode(text)
        except StoreError:
            return

    async def _load(self, keeper: Keeper) -> Marked:
        text = await keeper.note(NOTE)
        try:
            kept = _decode(text) if text else {}
        except (msgspec.DecodeError, UnicodeDecodeError):
            kept = {}  # of another version, or nobody's: it is written anew
        latest = self._now() + AHEAD
        for provider, marks in kept.items():
            for name in [name for name, judged in marks.items() if judged.at > latest]:
                del marks[name]
            for name, judged in marks.items():
                self._take(provider, name, judged)
        return kept

    def _take(self, provider: str, own: str, judged: Judged) -> None:
        marks = self._known.setdefault(provider, {})
        before = marks.get(own)
        if before is None or judged.at >= before.at or before.at > self._now() + AHEAD:
            marks[own] = judged
            if len(marks) > MARKS:
                others = marks.keys() - {self._marks.get(provider)}
                del marks[min(others, key=lambda name: marks[name].at)]

    def _news(self) -> bool:
        """Whether something here is not kept yet."""
        for provider, marks in self._known.items():
            kept = self._kept.get(provider, {})
            for name, judged in marks.items():
                there = kept.get(name)
                if there is None or judged.at - there.at > FRESH:
                    return True
                if judged.accepted != there.accepted and judged.at > there.at:
                    return True
        return False


def mark(provider: Provider) -> str:
    """A name for a provider's key that says as good as nothing about it; empty where it has none."""
    if provider.credential is None:
        return ""
    key = f"{provider.name}\0{provider.credential.reveal()}".encode()
    return hashlib.blake2b(key, digest_size=4, person=b"detour-key").hexdigest()
