"""Which keys are there and which are not: the rows of `detour audit-keys`. Never a key itself."""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from config.effective import Config, Provider


class KeyRow(Struct, frozen=True):
    """One provider's key.

    `variables` are those it may stand in; `found` is the one that is set, `api_key` when the file has it, None when
    there is none. `missing` names what has to be set: the key's variable and those of its URL. `targets` counts the
    targets of model groups that depend on it.
    """

    provider: str
    variables: tuple[str, ...]
    found: str | None
    missing: tuple[str, ...]
    targets: int


def audit(config: Config) -> list[KeyRow]:
    """A row for every provider served, in their order."""
    targets = Counter(provider for provider, _ in config.targets)
    return [_row(provider, targets[provider.name]) for provider in config.providers.values()]


def complete(rows: list[KeyRow]) -> bool:
    """Whether nothing is missing: the command's exit status says so."""
    return not any(row.missing for row in rows)


def render(rows: list[KeyRow]) -> str:
    """The rows as a table for people."""
    head = ("PROVIDER", "KEY", "VARIABLES", "TARGETS")
    lines = [(row.provider, _state(row), " or ".join(row.variables) or "-", str(row.targets)) for row in rows]
    return table([head, *lines])


def table(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as text in columns, without blanks at the ends."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _row(provider: Provider, targets: int) -> KeyRow:
    key = () if provider.configured else provider.key_variables[:1] or ("api_key",)
    return KeyRow(
        provider.name, provider.key_variables, provider.key_source, (*key, *provider.missing_variables), targets
    )


def _state(row: KeyRow) -> str:
    if row.missing:
        return f"missing: {', '.join(row.missing)}"
    return f"set: {row.found}" if row.found else "none needed"
