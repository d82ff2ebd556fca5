"""What became of the configuration since the process started: for the log, the admin port and metrics."""

from __future__ import annotations

from msgspec import Struct

SHOWN = 5
"""Most mistakes that a line tells; all of them are in the log."""


class Reloads(Struct):
    """How often it was read again, and how it stands.

    `at` is the Unix time at which the one in force was read, None until that is told. `problems` are the mistakes
    because of which what the file says now is not in force; `restart` are the settings that it changes and that only a
    restart can change.
    """

    applied: int = 0
    refused: int = 0
    at: float | None = None
    problems: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()

    @property
    def trouble(self) -> str | None:
        """What is not in force of what the file says, in a line; None when all of it is."""
        if self.problems:
            more = f"; and {len(self.problems) - SHOWN} more" if len(self.problems) > SHOWN else ""
            return (
                f"the file as it is now cannot be used, what it was before is in force: {_listed(self.problems)}{more}"
            )
        if self.restart:
            return f"changed, and needs a restart: {', '.join(self.restart)}"
        return None


def _listed(problems: tuple[str, ...]) -> str:
    return "; ".join(problems[:SHOWN])
