"""Label values: what may stand in a metric's labels, and how few of them there may be.

Model names come from callers and HTTP statuses from providers; both are data, neither may grow the metrics without end
or break their syntax. Quotes, backslashes and newlines are escaped by the exposition itself; what it would pass on is
refused here: lone surrogates, which cannot be written as UTF-8 at all, control characters, endless names.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

UNKNOWN_PROVIDER: Final = "~unknown"
"""Label of exchanges whose path named no configured provider."""

LENGTH: Final = 256
"""Longest name that becomes a label value, in characters."""

# What gateways and CDNs in front of providers answer besides the registered ones.
_STATUSES: Final = {int(status) for status in HTTPStatus} | {0, 420, 498, 499, *range(520, 531), 598, 599}


def fits(name: str) -> bool:
    """Whether a model may have its own name in a label: printable, so that it can be encoded, and not too long."""
    return len(name) <= LENGTH and name.isprintable()


def http_status(status: int) -> str:
    """An HTTP status as a label value; `0` stands for none, unregistered ones go by their class (`7xx`)."""
    return str(status) if status in _STATUSES else f"{min(max(status, 0) // 100, 9)}xx"
