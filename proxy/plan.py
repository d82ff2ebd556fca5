"""Where an exchange goes: the ordered steps it may take. Pure.

Today a request goes to the target it asked for and nowhere else; groups, breakers and strategies add their steps behind
the first one here, and nothing else has to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from config.effective import Config, Provider
    from config.settings import Timeouts
    from proxy.peek import Peek
    from proxy.route import Route


class Step(Struct, frozen=True):
    """One target an exchange may try, with the limits that hold there (seconds)."""

    provider: Provider
    model: str
    timeouts: Timeouts


def plan(route: Route, peek: Peek, config: Config) -> tuple[Step, ...]:
    """The targets to try, best first; never empty."""
    name = route.provider.name
    return (Step(route.provider, peek.model, config.timeouts(name, peek.model)),)
