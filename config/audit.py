"""Which keys are there and how they were judged: the rows of `detour audit-keys`. Never a key itself."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from config.catalog import CATALOG
from config.effective import Config, Provider
from config.problems import shortened, visible

MISSING: Final = "missing"
NONE_NEEDED: Final = "none_needed"
REFUSED: Final = "refused"
UNKNOWN: Final = "unknown"

_WORDS: Final = {"accepted": "accepted", REFUSED: REFUSED, "never_tried": "never tried", UNKNOWN: UNKNOWN}

_TOKEN: Final = re.compile(r"(?=[^0-9]*[0-9])[0-9A-Za-z_~+=.-]{20,}")
"""A part of a path that may be a secret, or the number of an account."""

HIDDEN: Final = "***"
_WIDEST: Final = 2100
"""Most characters of a cell: no URL and no name that a configuration takes is longer."""


class Key(Struct, frozen=True):
    """How a provider's key was judged: `accepted`, `refused`, `never_tried`, `missing`, `none_needed`, or `unknown`.

    `at` is when (ISO 8601 in UTC), `http_status` by which status of the provider's; both are null where it never was.
    It is unknown where no sidecar could be asked.
    """

    state: str
    at: str | None = None
    http_status: int | None = None


class KeyRow(Struct, frozen=True):
    """One provider's key.

    `variables` are those it may stand in; `found` is the one that is set, `api_key` when the file has it, None when
    there is none. `missing` names what has to be set: the key's variable and those of its URL. `targets` counts the
    targets of model groups that depend on it. `configured`: nothing is missing and the key was not refused.
    """

    provider: str
    variables: tuple[str, ...]
    found: str | None
    missing: tuple[str, ...]
    targets: int
    dialect: str
    base_url: str
    key: Key
    configured: bool


def audit(config: Config) -> list[KeyRow]:
    """A row for every provider served, in their order; how keys were judged is not known yet."""
    targets = Counter(provider for provider, _ in config.targets)
    return [_row(provider, targets[provider.name]) for provider in config.providers.values()]


def judged(row: KeyRow, key: Key | None) -> KeyRow:
    """A row with how its key was judged, where there is a key and somebody knows."""
    if key is None or row.key.state != UNKNOWN or key.state not in _WORDS:
        return row
    return replace(row, key=key, configured=row.configured and key.state != REFUSED)


def complete(rows: list[KeyRow]) -> bool:
    """Whether nothing is missing and no key is refused: the command's exit status says so."""
    return all(row.configured for row in rows)


def render(rows: list[KeyRow]) -> str:
    """The rows as a table for people."""
    head = ("PROVIDER", "KEY", "JUDGED", "VARIABLES", "TARGETS", "DIALECT", "BASE URL")
    lines = [
        (
            row.provider,
            _state(row),
            _verdict(row.key),
            " or ".join(row.variables) or "-",
            str(row.targets),
            row.dialect,
            row.base_url,
        )
        for row in rows
    ]
    return table([head, *lines])


def table(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as text in columns, without blanks at the ends; no terminal obeys what is in them."""
    lines = [tuple(visible(cell, _WIDEST) for cell in line) for line in lines]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def shown_url(provider: Provider) -> str:
    """A provider's base URL for people: what may be a secret in its path is hidden, what is missing stands there."""
    if provider.missing_variables and provider.name in CATALOG:
        return CATALOG[provider.name].base_url
    path = "/".join(HIDDEN if _TOKEN.fullmatch(part) else part for part in provider.prefix.split("/"))
    return f"{provider.origin}{path}"


def _row(provider: Provider, targets: int) -> KeyRow:
    key = () if provider.configured else provider.key_variables[:1] or ("api_key",)
    missing = (*key, *provider.missing_variables)
    state = UNKNOWN if provider.credential is not None else NONE_NEEDED if provider.keyless else MISSING
    return KeyRow(
        provider=provider.name,
        variables=provider.key_variables,
        found=provider.key_source,
        missing=missing,
        targets=targets,
        dialect=provider.dialect,
        base_url=shown_url(provider),
        key=Key(state),
        configured=not missing,
    )


def _state(row: KeyRow) -> str:
    if row.missing:
        return f"missing: {', '.join(row.missing)}"
    return f"set: {row.found}" if row.found else "none needed"


def _verdict(key: Key) -> str:
    """`refused with 401, 2026-01-01 00:00`, `never tried`, or a dash where there is no key."""
    word = _WORDS.get(key.state, "-")
    if key.at is None:
        return word
    status = "" if key.http_status is None or key.state != REFUSED else f" with {key.http_status}"
    return f"{word}{status}, {shortened(key.at)[:16].replace('T', ' ')}"
