"""What one event of a stream was seen to be."""

from __future__ import annotations

from typing import Final

from config.bases import Frozen
from proxy.inband import InBandError


class Sight(Frozen):
    """One event, looked at.

    `ping` marks keep-alives, which are not even counted as events. `terminal` marks the end that the event's kind of
    stream promises. `finish` is the reason a model stopped, `blocked` the reason it did not begin.
    """

    content: bool = False
    terminal: bool = False
    ping: bool = False
    finish: str | None = None
    blocked: str | None = None
    error: InBandError | None = None


NOTHING: Final = Sight()
CONTENT: Final = Sight(content=True)
PING: Final = Sight(ping=True)
TERMINAL: Final = Sight(terminal=True)
