"""Whether a list is wanted as CSV: `format` decides, else the header Accept (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re
from typing import Final

from healthapi.parameters import Parameters

FORMATS: Final = ("json", "csv")

_RANGE: Final = re.compile(r"\s*([\w.+*-]+/[\w.+*-]+)\s*((?:;[^,]*)?)", re.ASCII)
_WEIGHT: Final = re.compile(r";\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*(?:;|$)", re.ASCII | re.IGNORECASE)


def wants_csv(query: Parameters, accept: str) -> bool:
    """Whether a request for a list asks for CSV.

    Raises:
        Problem: 400 for a format that is neither.
    """
    asked = query.choice("format", FORMATS)
    return asked == "csv" if asked else prefers_csv(accept)


def prefers_csv(accept: str) -> bool:
    """Whether an Accept field names CSV and wants nothing more: it wins over wildcards, JSON by name wins over it."""
    weights: dict[str, float] = {}
    for part in accept.split(","):
        if (found := _RANGE.fullmatch(part)) is not None:
            weight = _WEIGHT.search(found[2])
            weights.setdefault(found[1].lower(), float(weight[1]) if weight else 1.0)
    csv = weights.get("text/csv", 0.0)
    if "application/json" in weights:
        return csv > weights["application/json"]
    return csv > 0 and csv >= weights.get("application/*", weights.get("*/*", 0.0))
