"""The frame that the content events of one running stream share, so that the next one need not be parsed. Pure.

The events of a stream differ in little more than their text. Once one was read as content, what stands before and
after its text is remembered; the next bytes that begin and end so, with plain characters between, are the same JSON
but for one string that is not empty, so they are content as well. Only strings that readers ask nothing of but whether
they are empty are taken, and that the event is content by this string alone is tried, not assumed.
"""

from __future__ import annotations

import re
from typing import Final

from proxy.readers import Reader
from proxy.sight import CONTENT

_TEXT: Final = re.compile(
    rb'"(?:content|text|delta|thinking|partial_json|arguments|reasoning(?:_content)?)"\s*:\s*"([^"\\\r\n]+)"'
)

plain: Final = re.compile(rb'[^"\\\r\n]+').fullmatch
"""Whether bytes, not empty, may stand inside a JSON string and inside a line without changing either."""

_COUNTED: Final = (b'"sequence_number"', b'"obfuscation"')
"""Events with these differ in more than their text."""


def frame(name: bytes, payload: bytes, read: Reader) -> tuple[bytes, bytes] | None:
    """What stands before and after the text that alone makes this event content; None when that cannot be told."""
    if any(key in payload for key in _COUNTED):
        return None
    texts = list(_TEXT.finditer(payload))
    if not texts:
        return None
    before, after = payload[: texts[-1].start(1)], payload[texts[-1].end(1) :]
    with_another, without = read(name, before + b"." + after), read(name, before + after)
    return (before, after) if with_another is CONTENT and not without.content else None
