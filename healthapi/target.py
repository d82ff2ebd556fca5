"""The request-target of the admin port, taken apart by hand.

aiohttp's router decodes, re-quotes and normalises before it matches; here a model's name may hold slashes, percent
signs and bytes that are no UTF-8, and has to arrive as it was meant.
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes


def split(target: str) -> tuple[str, str]:
    """Path, decoded once, and raw query of a request-target as aiohttp gives it (UTF-8 with surrogateescape).

    `%2F` and `/` are the same here: that is what lets a model be written either way, and a fixed route be hidden in
    neither. Bytes that are no UTF-8 stay as lone surrogates. The authority of an absolute-form target is ignored
    (RFC 9112 §3.2.2); a fragment, which no client sends, is cut off.
    """
    target = target.partition("#")[0]
    if not target.startswith("/"):
        _, _, rest = target.partition("://")
        _, slash, path = rest.partition("/")
        target = slash + path
    path, _, query = target.partition("?")
    return unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape"), query
