"""Server-sent events out of bytes that may be split anywhere (WHATWG HTML, section 9.2.6). Sans-I/O.

LF, CR LF and CR end a line, a byte order mark at the start is skipped, `data:` lines are joined by LF, comments and
unknown fields are ignored. Two things are looser than the specification, because clients are: an event without a
single `data:` line is given when it is named `error`, and at the end of a body an event whose closing blank line is
missing counts. Events that arrive whole, in the forms every provider uses, take a short cut with the same result.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.bounded import Pile, bounded

Event = tuple[bytes, bytes]
"""One event: its name (empty when it has none) and its data."""

NAME_LIMIT: Final = 128
"""Most bytes kept of an event's name."""

_SMALL: Final = 4096
_BOM: Final = b"\xef\xbb\xbf"
_LINE_END: Final = re.compile(rb"\r\n?|\n")


def _single(data: bytes) -> Event | None:
    """The event when `data` is exactly one in a usual form: a `data:` line, or an `event:` line before it; LF only."""
    name = b""
    line, _, rest = data.partition(b"\n")
    if rest != b"\n" and line[:7] == b"event: ":
        name = line[7:]
        line, _, rest = rest.partition(b"\n")
    return (name[:NAME_LIMIT], line[6:]) if rest == b"\n" and line[:6] == b"data: " else None


class Splitter:
    """Turns the bytes of an event stream into events; `open` while an event, or its line end, may be incomplete."""

    __slots__ = ("_after_cr", "_data", "_first", "_has_data", "_line", "_name", "open")

    def __init__(self) -> None:
        """A splitter at the start of a body."""
        self._line = Pile()
        self._data = Pile()
        self._has_data = False
        self._name = b""
        self._first = True
        self._after_cr = False
        self.open = True  # not at an event boundary; the first line may begin with a byte order mark

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes."""
        if not data:
            return []  # a decoder may have nothing to give; a CR before it is still the last byte
        if not self.open and 13 not in data:
            if len(data) <= _SMALL and (event := _single(data)):
                return [event]
            if data.endswith(b"\n\n"):
                return self._blocks(data[:-2])
        events: list[Event] = []
        rest = data[self._resume(data, events) :] if self.open else data
        if not rest:
            return events
        unix = rest.replace(b"\r\n", b"\n")
        if 13 in unix:  # lone CR: line by line
            self._resume(rest, events, through=True)
            return events
        cut = unix.rfind(b"\n\n")
        if cut >= 0:
            events += self._blocks(unix[:cut])
            unix = unix[cut + 2 :]
        if unix:
            self._resume(unix, events, through=True)
        return events

    def close(self) -> list[Event]:
        """The event that the end of the body completes, if any."""
        events: list[Event] = []
        self._take(self._line.take(), events)
        self._take(b"", events)
        return events

    def _blocks(self, text: bytes) -> list[Event]:
        """The events of whole blocks, LF line ends only, the last blank line taken off; starts at a boundary."""
        events: list[Event] = []
        for block in text.split(b"\n\n"):
            event = _single(block + b"\n\n") if len(block) <= _SMALL else None
            if event:
                events.append(event)
                continue
            for line in block.split(b"\n"):
                self._take(bounded(line), events)
            self._take(b"", events)
        return events

    def _resume(self, data: bytes, events: list[Event], *, through: bool = False) -> int:
        """Read lines to the next event boundary, or `through` to the end of `data`; returns how far it came."""
        at = 1 if self._after_cr and data.startswith(b"\n") else 0
        self._after_cr = False
        self.open = True
        while self.open and (found := _LINE_END.search(data, at)):
            self._line.add(data[at : found.start()])
            at = found.end()
            self._after_cr = at == len(data) and found.group() == b"\r"
            line = self._line.take()
            self._take(line, events)
            self.open = bool(line) or self._after_cr or (through and at < len(data))
        if self.open:
            self._line.add(data[at:])
            return len(data)
        return at

    def _take(self, line: bytes, events: list[Event]) -> None:
        """One line, without its end; a blank one completes the event."""
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            self._dispatch(events)
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            if self._has_data:
                self._data.add(b"\n")
            self._has_data = True
            self._data.add(value)
        elif field == b"event":
            self._name = value[:NAME_LIMIT]

    def _dispatch(self, events: list[Event]) -> None:
        if self._has_data or self._name == b"error":
            events.append((self._name, self._data.take()))
        self._has_data = False
        self._name = b""
