"""Entity tags (RFC 9110, section 8.8.3), and whether a client already has what it asks for (section 13.1.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# What stands between the quotes may hold commas, so the field cannot be split at them.
_TAG: Final = re.compile(rb'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def tag(digest: str, *, weak: bool = False) -> str:
    """The entity tag of a body; a weak one says that two bodies mean the same, not that they are equal to the byte."""
    return f'{"W/" if weak else ""}"{digest}"'


def known(if_none_match: Sequence[bytes], tag: str) -> bool:
    """Whether these If-None-Match fields name a tag, weak or not, or say `*`: whatever there is."""
    mine = tag.removeprefix("W/").encode()
    return any(field.strip() == b"*" or mine in _TAG.findall(field) for field in if_none_match)
