"""May a browser have been tricked into sending this? The rules on Host and Origin that keep web pages away.

A page that rebinds its own name to 127.0.0.1 sends that name as Host, and any page's cross-site request carries the
page's Origin: so only names that are known to mean this sidecar are let through where a key would be spent.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

from config.address import is_ip, is_loopback

__all__ = ["allowed_host", "foreign_origin", "is_loopback"]

_LONGEST: Final = 262
"""Longest Host considered, in bytes: a name of 255, a colon, a port. Keeps the cache small against hostile ones."""

_AUTHORITY: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_ORIGIN: Final = re.compile(rb"(https?)://([^/?#@]+)", re.IGNORECASE)


def allowed_host(host_header: bytes | None, names: frozenset[str]) -> bool:
    """Whether a Host header is an IP address, `localhost`, a name below it, or one of `names` (lower-case).

    With or without a port; a name may end in a dot. A missing or malformed header is not allowed.
    """
    return host_header is not None and len(host_header) <= _LONGEST and _allowed(host_header, names)


def foreign_origin(origin: bytes | None, host_header: bytes | None, allowed: Collection[str]) -> bool:
    """Whether an Origin header names a page of another site than the one asked (Fetch §3.2, RFC 6454).

    None is no browser's cross-site request and not foreign; `null` and anything malformed are. The origin the Host
    header itself stands for is not foreign, and neither are those in `allowed` (`https://ops.example:8443`).
    """
    if origin is None:
        return False
    match = _ORIGIN.fullmatch(origin) if len(origin) <= _LONGEST + len("https://") else None
    if match is None:
        return True
    port = b"443" if match[1].lower() == b"https" else b"80"
    page = _authority(match[2], port)
    if page is None:
        return True
    if host_header is not None and len(host_header) <= _LONGEST and page == _authority(host_header, port):
        return False
    named = (entry.lower().encode("ascii", "replace").partition(b"://") for entry in allowed)
    return not any(
        scheme == match[1].lower() and page == _authority(authority, port) for scheme, _, authority in named
    )  # fmt: skip


@lru_cache(maxsize=256)
def _allowed(host_header: bytes, names: frozenset[str]) -> bool:
    found = _authority(host_header, b"")
    if found is None:
        return False
    host = found[0].decode("ascii")
    if host.startswith("["):
        return is_ip(host[1:-1])
    return is_ip(host) or host == "localhost" or host.endswith(".localhost") or host in names


def _authority(authority: bytes, port: bytes) -> tuple[bytes, bytes] | None:
    """Host in lower case and without its final dot, and port, `port` when none is given; None when malformed."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    host: bytes = match[1].lower()
    return host.removesuffix(b"."), match[2] or port
