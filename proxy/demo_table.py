"""What `detour demo` prints: the URLs to look at, and the health of every model as the admin port tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

COLUMNS: Final = (
    *("provider", "model", "goes wrong", "calls", "ok", "health", "breaker", "elsewhere"),
    *("first byte", "average", "last error"),
)
_WIDTHS: Final = (10, 24, 26, 5, 5, 9, 9, 9, 10, 8)
_NUMBERS: Final = frozenset({3, 4, 7, 8, 9})

_COLOURS: Final = {"healthy": "32", "degraded": "33", "unhealthy": "31"}
_WORST_FIRST: Final = ("open", "half_open")

Target = tuple[str, str]
"""Provider and model."""


class Said(Struct, frozen=True):
    """What the admin port said: of the system, of each model, its live status, breakers, and what went elsewhere."""

    system: Mapping[str, Any] = {}
    records: Sequence[Mapping[str, Any]] = ()
    """Those of `/v1/model-health`."""
    live: Mapping[Target, str] = {}
    breakers: Mapping[str, Mapping[str, Any]] = {}
    """Those of `/circuit-breakers`."""
    elsewhere: Mapping[Target, int] = {}
    """Requests for each target that another one answered."""


def introduction(proxy: str, admin: str, providers: int) -> str:
    """Return what is printed first."""
    return f"""
Detour demo: {providers} scripted providers, steady traffic, and a real `detour serve` between them.
No key, no network beyond this machine; everything ends with it.

  health of all models   {admin}/v1/model-health
  what is wrong          {admin}/v1/model-health/unhealthy?error_threshold=0.1
  breakers, as they move {admin}/circuit-breakers   {admin}/v1/events
  one model              {admin}/v1/model-health/stalling/claude-haiku
  providers, system      {admin}/health/providers   {admin}/health/system
  metrics                {admin}/metrics
  through the proxy      curl --json '{{"model": "fail-503"}}' {proxy}/steady/v1/chat/completions

  (every script's name works as a model there: docs/scripted-provider.md)
"""


def table(said: Said, shows: Mapping[Target, str], *, width: int = 160, colours: bool = False) -> list[str]:
    """Return the lines of the table: a line for the system, a head, a line for each record, in the order of `shows`.

    `shows` is what each target of the demo does. No line is longer than `width` characters.
    """
    by_target = {(str(record["provider"]), str(record["model"])): record for record in said.records}
    known = [target for target in shows if target in by_target]
    rest = [target for target in by_target if target not in shows]
    lines = [_system(said.system)[:width], _line(COLUMNS)[:width]]
    for target in [*known, *rest]:
        status = said.live.get(target, "unknown")
        line = _line(_cells(by_target[target], said, shows.get(target, "")))[:width]
        colour = _COLOURS.get(status)
        lines.append(line.replace(status, f"\x1b[{colour}m{status}\x1b[0m", 1) if colours and colour else line)
    return lines


def breaker(target: Target, breakers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what keeps traffic from a target: the worst breaker of it, its provider and its keys, or a hold-off."""
    over = [row for row in breakers.values() if row["provider"] == target[0] and row.get("model") in (target[1], None)]
    for state in _WORST_FIRST:
        if found := [row for row in over if row["state"] == state]:
            wait = max(float(row["seconds_until_retry"] or 0) for row in found)
            return f"open {wait:.0f} s" if state == "open" else "half-open"
    held = max((float(row["hold_off_seconds"] or 0) for row in over), default=0.0)
    return f"held {held:.0f} s" if held else "closed"


def elsewhere(metrics: str) -> dict[Target, int]:
    """Return how many requests for each target were answered by another, out of the text of `/metrics`."""
    found: dict[Target, int] = {}
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "detour_reroutes_total":
                target = (sample.labels["from_provider"], sample.labels["from_model"])
                found[target] = found.get(target, 0) + int(sample.value)
    return found


def _system(system: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{system.get(f'{word}_models', 0)} {word}" for word in _COLOURS)
    return printable(f"system: {system.get('overall_status', 'unknown')} ({counts} models)")


def _cells(record: Mapping[str, Any], said: Said, shows: str) -> tuple[str, ...]:
    target = (str(record["provider"]), str(record["model"]))
    return (
        *target,
        shows,
        str(record["call_count"]),
        str(record["success_count"]),
        said.live.get(target, "unknown"),
        breaker(target, said.breakers),
        str(said.elsewhere.get(target, "")),
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
