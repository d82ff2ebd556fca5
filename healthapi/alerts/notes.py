"""What outlives the sidecar that looks after alerts: as two notes, so that the small one alone is written often."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Struct, field

from healthapi.alerts.alert import Alert
from healthapi.alerts.memory import Memory
from healthapi.alerts.message import Message
from healthapi.keeper import Keeper

ACTIVE: Final = "alerts"
PAST: Final = "alerts.past"

_T = TypeVar("_T")


class Parcel(Struct, frozen=True):
    """A message for one channel, which has not been delivered yet."""

    channel: str
    message: Message


class Kept(Struct, kw_only=True):
    """What goes on. `at` is the Unix time at which somebody last looked."""

    at: float = 0.0
    alerts: list[Alert] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)


async def active(keeper: Keeper) -> Kept:
    """What goes on, as kept. Raises StoreError."""
    return _read(await keeper.note(ACTIVE), Kept) or Kept()


async def past(keeper: Keeper) -> list[Alert]:
    """What is over, as kept. Raises StoreError."""
    return _read(await keeper.note(PAST), list[Alert]) or []


def _read(text: bytes | None, kind: type[_T]) -> _T | None:
    """A note; what cannot be understood, of another version maybe, is as good as none."""
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
