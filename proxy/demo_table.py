"""What `detour demo` prints: the URLs to look at, and the health of every model as the admin port tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

COLUMNS: Final = ("provider", "model", "goes wrong", "calls", "ok", "health", "first byte", "average", "last error")
_WIDTHS: Final = (10, 24, 29, 5, 5, 9, 10, 8)
_NUMBERS: Final = frozenset({3, 4, 6, 7})

_COLOURS: Final = {"healthy": "32", "degraded": "33", "unhealthy": "31"}


def introduction(proxy: str, admin: str, providers: int) -> str:
    """Return what is printed first."""
    return f"""
Detour demo: {providers} scripted providers, steady traffic, and a real `detour serve` between them.
No key, no network beyond this machine; everything ends with it.

  health of all models   {admin}/v1/model-health
  what is wrong          {admin}/v1/model-health/unhealthy?error_threshold=0.1
  one model              {admin}/v1/model-health/stalling/claude-haiku
  providers, system      {admin}/health/providers   {admin}/health/system
  metrics                {admin}/metrics
  through the proxy      curl --json '{{"model": "fail-503"}}' {proxy}/steady/v1/chat/completions

  (every script's name works as a model there: docs/scripted-provider.md)
"""


def table(
    system: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    live: Mapping[tuple[str, str], str],
    shows: Mapping[tuple[str, str], str],
    *,
    width: int = 160,
    colours: bool = False,
) -> list[str]:
    """Return the lines of the table: a line for the system, a head, a line for each record, in the order of `shows`.

    `records` are those of `/v1/model-health`, `live` the live status by (provider, model), `shows` what each target of
    the demo does. No line is longer than `width` characters.
    """
    by_target = {(str(record["provider"]), str(record["model"])): record for record in records}
    known = [target for target in shows if target in by_target]
    rest = [target for target in by_target if target not in shows]
    lines = [_system(system)[:width], _line(COLUMNS)[:width]]
    for target in [*known, *rest]:
        status = live.get(target, "unknown")
        line = _line(_cells(by_target[target], status, shows.get(target, "")))[:width]
        colour = _COLOURS.get(status)
        lines.append(line.replace(status, f"\x1b[{colour}m{status}\x1b[0m", 1) if colours and colour else line)
    return lines


def _system(system: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{system.get(f'{word}_models', 0)} {word}" for word in _COLOURS)
    return printable(f"system: {system.get('overall_status', 'unknown')} ({counts} models)")


def _cells(record: Mapping[str, Any], status: str, shows: str) -> tuple[str, ...]:
    return (
        str(record["provider"]),
        str(record["model"]),
        shows,
        str(record["call_count"]),
        str(record["success_count"]),
        status,
        _milliseconds(record.get("p50_first_byte_ms")),
        _milliseconds(record.get("average_response_time_ms")),
        str(record.get("last_error_message") or ""),
    )


def _milliseconds(value: object) -> str:
    return f"{value:.0f} ms" if isinstance(value, int | float) else "-"


def _line(cells: Iterable[str]) -> str:
    padded = []
    for index, cell in enumerate(map(printable, cells)):
        if index >= len(_WIDTHS):
            padded.append(cell)
            continue
        width = _WIDTHS[index]
        short = cell if len(cell) <= width else cell[: width - 1] + "…"
        padded.append(short.rjust(width) if index in _NUMBERS else short.ljust(width))
    return "  ".join(padded).rstrip()


def printable(text: str) -> str:
    """Return `text` with everything a terminal would act on replaced."""
    return "".join(character if character.isprintable() else "?" for character in text)
