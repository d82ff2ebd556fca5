"""What a caller asks of Detour itself, in header fields: how long it waits, and whether it may be sent elsewhere. Pure.

`x-detour-deadline-ms` bounds the whole exchange. The official SDKs say how long they wait in `x-stainless-read-timeout`
and `x-stainless-timeout` (seconds, 0 for no limit): for the answer's head, and between two reads of its body. A moment
before such an SDK gives up it still gets an answer that says why (semantics section 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from proxy.answers import RefusedError
from proxy.errors import Refusal

if TYPE_CHECKING:
    from proxy.errand import Errand
    from proxy.headers import Scan

AHEAD: Final = 0.25
"""Seconds by which we are quicker than the client's own limit."""

LEAST: Final = 0.05
"""Seconds that must be left of a client's patience; a limit too short for that is for the client alone to keep."""

LONGEST_DEADLINE: Final = 86_400_000
"""Milliseconds of the longest deadline; more is a mistake of the caller's."""

_PATIENCE: Final = frozenset((b"x-stainless-read-timeout", b"x-stainless-timeout"))
_LENGTHS: Final = frozenset(len(name) for name in _PATIENCE)


@dataclass(frozen=True)
class Wishes:
    """What a head asks for.

    `deadline` are seconds for the whole exchange, `patience` seconds to the head and between two reads, None where
    nothing is said. `stay`: the request is for the target it names alone. `errand` is set for a probe of ours.
    """

    deadline: float | None = None
    patience: float | None = None
    stay: bool = False
    errand: Errand | None = None


NONE: Final = Wishes()
_NO_ERRANDS: Final[Mapping[bytes, Errand]] = {}


def wishes(scan: Scan, errands: Mapping[bytes, Errand] = _NO_ERRANDS) -> Wishes:
    """Read the fields; `errands` are the probes that are out, by their words.

    Raises:
        RefusedError: a field of ours makes no sense (400).
    """
    patience = None
    for name, value in scan.kept:
        if len(name) in _LENGTHS and name.lower() in _PATIENCE:
            seconds = _number(value)
            if seconds is not None and seconds - AHEAD >= LEAST:
                patience = min(patience or seconds, seconds)
    if patience is None and not scan.detour:
        return NONE
    errand = errands.get(scan.detour.get(b"probe", b""))
    if errand is not None:
        return Wishes(stay=True, errand=errand)
    return Wishes(_deadline(scan), None if patience is None else patience - AHEAD, _stays(scan))


def _deadline(scan: Scan) -> float | None:
    given = scan.detour.get(b"deadline-ms")
    if given is None:
        return None
    milliseconds = _number(given)
    if milliseconds is None or not 0 < milliseconds <= LONGEST_DEADLINE:
        raise _refused(f"x-detour-deadline-ms must be milliseconds from 1 to {LONGEST_DEADLINE}, such as 2500")
    return milliseconds / 1000


def _stays(scan: Scan) -> bool:
    given = scan.detour.get(b"route", b"on").strip().lower()
    if given not in (b"on", b"off"):
        raise _refused("x-detour-route must be `off` (ask the named target alone) or `on`")
    return given == b"off"


def _number(value: bytes) -> float | None:
    text = value.strip()
    if not text or len(text) > 20 or text.strip(b"0123456789."):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _refused(message: str) -> RefusedError:
    return RefusedError(Refusal(400, "invalid_request_error", message))
