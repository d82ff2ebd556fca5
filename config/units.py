"""Durations and sizes as people write them: `250ms`, `1h30m`, `64KiB`."""

from __future__ import annotations

import re
from typing import Final

from config.problems import shortened

LONGEST: Final = 366 * 86400.0
"""Longest duration accepted, in seconds: timers of the event loop cannot be trusted with much more."""

LARGEST: Final = 1 << 40
"""Largest size accepted, in bytes."""

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_BYTES: Final = {
    "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
_NUMBER: Final = r"[0-9]{1,15}(?:\.[0-9]{1,9})?"
_PARTS: Final = re.compile(rf"({_NUMBER})(ms|[dhms])", re.ASCII)
_DURATION: Final = re.compile(
    rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?(?:{_NUMBER}ms)?", re.ASCII
)
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds from `250ms`, `30s`, `5m`, `1h30m`, `30d`; a bare `0` too.

    Raises ValueError saying what is wrong, with a suggestion where there is one.
    """
    if text == "0":
        return 0.0
    if re.fullmatch(_NUMBER, text):
        raise ValueError(f'"{text}" has no unit; did you mean "{text}s"?')
    if not text or not _DURATION.fullmatch(text):
        raise ValueError(f'"{shortened(text)}" is not a duration such as 250ms, 30s, 5m or 1h30m')
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))
    if seconds > LONGEST:
        raise ValueError(f'"{shortened(text)}" is longer than {show_duration(LONGEST)}')
    return round(seconds, 9)


def show_duration(seconds: float) -> str:
    """The shortest way to write `seconds`: 5400 is `1h30m`, 0.25 is `250ms`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms" if seconds else "0s"
    shown, rest = "", seconds
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        whole, rest = divmod(rest, size)
        shown += f"{whole:g}{unit}" if whole else ""
    return shown + (f"{rest:g}s" if rest else "")


def parse_size(text: str) -> int:
    """Bytes from `64KiB`, `8MiB`, `1GiB`, `10MB`, or a plain number of bytes. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    factor = _BYTES.get(match[2] or "B") if match else None
    if match is None or factor is None:
        raise ValueError(f'"{shortened(text)}" is not a size such as 64KiB, 8MiB or 1GiB')
    size = float(match[1]) * factor
    if size != int(size):
        raise ValueError(f'"{text}" is not a whole number of bytes')
    if size > LARGEST:
        raise ValueError(f'"{text}" is larger than {show_size(LARGEST)}')
    return int(size)


def show_size(size: int) -> str:
    """The shortest exact way to write `size` bytes: 65536 is `64KiB`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"
