"""The usual faults, turns and words of the cells of the fault matrix."""

from __future__ import annotations

from typing import Any

from tests.e2e.faults import Cell, Place, Turn, but

GOOD = Place()
ELSEWHERE = but(GOOD, same=True)
"""Another model of the provider before it."""
ILL = Place(script="fail-503", result="error", message=r"503 .*")
BROKEN_KEY = Place(script="bad-key", result="error", message=r"40[01] .*")
SHORT = {"timeouts": dict.fromkeys(("first_byte", "idle", "answer"), "400ms")}
SILENT = Place(script="silent", result="timeout", message=r"no (answer|content) within 0.4 s", more=SHORT)
LIMITED = Place(script="rate-limit-30", result="rate_limited", message=r"429 .*")
REFUSED = Place(script=None, result="network_error", message=r"cannot connect: .*")
GONE = Place(script="reset-before", result="network_error", message=r"connection closed before an answer: .*")
LONG = Place(script="context-length", result="caller_error")
POLICY = Place(script="policy", result="policy")

MOVED = Turn(saw="aab", by="b", cause="error")
STAYED = Turn(saw="aa", by="a", status=503)
STRAIGHT = Turn(saw="b", by="b", cause="open", opens="target", opened=True)
SHUT = Turn(saw="", status=503, body="own", says=".", cause="open", opens="target", opened=True, wait=(500, 600))


def cell(name: str, places: tuple[Place, ...], *turns: Turn, kind: str = "chat", **more: Any) -> Cell:
    return Cell(name=name, kind=kind, places=places, turns=turns, **more)


def windows(*places: tuple[Place, int | None]) -> tuple[Place, ...]:
    """Targets with context windows."""
    return tuple(but(place, window=window) for place, window in places)
