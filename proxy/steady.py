"""The frame that the content events of one running stream share, so that the next one need not be parsed. Pure.

The events of a stream differ in little more than their text. Once one was read as content, what stands around its text
is remembered, with gaps where other known things change from event to event (a sequence number, a token count, the
filler OpenAI adds against eavesdroppers). The next bytes that fit are the same JSON but for one string that is not
empty and values no reader asks for, so they are content as well. Only strings that readers ask nothing of but whether
they are empty are taken as the text, and that the event is content by this string alone is tried, not assumed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from proxy.readers import Reader
from proxy.sight import CONTENT

_TEXT: Final = re.compile(
    rb'"(?:content|text|delta|thinking|partial_json|arguments|reasoning(?:_content)?)"\s*:\s*"([^"\\\r\n]+)"'
)
_NUMBER: Final = re.compile(rb'"(?:sequence_number|[A-Za-z]{1,40}TokenCount)"\s*:\s*(0|[1-9][0-9]{0,14})(?![0-9.eE])')
_FILLER: Final = re.compile(rb'"obfuscation"\s*:\s*"([^"\\\r\n]*)"')
# A quote inside a JSON string is escaped, so none of these can begin inside one.

Gap = Callable[[bytes, int], "re.Match[bytes] | None"]
"""What may stand in a gap, from a position on."""

_SOME: Final[Gap] = re.compile(rb'[^"\\\r\n]+').match
_ANY: Final[Gap] = re.compile(rb'[^"\\\r\n]*').match
_SPECIAL: Final = re.compile(rb'["\\\r\n]').search
"""What no text may have: a third of what finding out by `_SOME` costs."""
_SPACE: Final = 0x20
_DIGITS: Final[Gap] = re.compile(rb"0|[1-9][0-9]{0,14}").match


class Frame:
    """What content events of a stream look like: constant bytes with gaps between."""

    __slots__ = ("_begin", "_behind", "_first", "_last", "_rest")

    def __init__(self, first: bytes, rest: tuple[tuple[Gap, bytes], ...]) -> None:
        """`first` is how it begins, `rest` what follows: each a gap and the constant bytes behind it."""
        self._first = first
        self._begin = len(first)
        self._rest = rest
        self._last = rest[-1][1]
        self._behind = len(self._last) if len(rest) == 1 else 0
        """Bytes behind the text where that is the only gap, as in most streams."""

    def fits(self, data: bytes) -> bool:
        """Whether `data` is exactly such an event."""
        if not data.startswith(self._first) or not data.endswith(self._last):
            return False
        at = self._begin
        if self._behind:
            end = len(data) - self._behind
            if end <= at:
                return False
            # Most texts are one word, perhaps behind a space: a quarter of what `_SPECIAL` costs.
            word = at + 1 if data[at] == _SPACE else at
            return data[word:end].isalnum() or _SPECIAL(data, at, end) is None
        for gap, constant in self._rest:
            found = gap(data, at)
            if found is None:
                return False
            at = found.end()
            if not data.startswith(constant, at):
                return False
            at += len(constant)
        return at == len(data)


def learn(head: bytes, name: bytes, payload: bytes, end: bytes, read: Reader) -> Frame | None:
    """The frame of a content event, None when it has none that can be told.

    The event came as `head + payload + end`, was found to have this name, and is read by `read`.
    """
    texts = list(_TEXT.finditer(payload))
    if not texts:
        return None
    start, stop = texts[-1].span(1)
    before, after = payload[:start], payload[stop:]
    if read(name, before + b"." + after) is not CONTENT or read(name, before + after).content:
        return None
    gaps = [(start, stop, _SOME)]
    gaps += [(*found.span(1), _DIGITS) for found in _NUMBER.finditer(payload)]
    gaps += [(*found.span(1), _ANY) for found in _FILLER.finditer(payload)]
    gaps.sort(key=lambda gap: gap[0])
    ends = [*(begin for begin, _, _ in gaps[1:]), len(payload)]
    rest = [(gap, payload[stop:until]) for (_, stop, gap), until in zip(gaps, ends, strict=True)]
    rest[-1] = (rest[-1][0], rest[-1][1] + end)
    return Frame(head + payload[: gaps[0][0]], tuple(rest))
