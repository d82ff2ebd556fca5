"""Which names and which web pages the admin port answers to (semantics, section 7).

A page in somebody's browser can reach loopback, and with DNS rebinding even read it. So the Host has to be an address,
`localhost` or a configured name, an Origin has to be this port's own or in `admin.origins`; only the latter get CORS.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from config.hosts import allowed_host, foreign_origin
from healthapi.errors import Problem

_EXPOSED: Final = "ETag, Retry-After, X-Detour-Request-Id, X-Detour-Stale"
_REQUEST_HEADERS: Final = "Authorization, Content-Type, If-None-Match, Last-Event-ID"
_PREFLIGHT_AGE: Final = "600"


def check(hosts: Sequence[bytes], origins: Sequence[bytes], names: frozenset[str], allowed: Collection[str]) -> None:
    """Let a request with these Host and Origin fields pass, or not.

    Raises:
        Problem: 400 for several Host fields (RFC 9112 §3.2), 403 for a strange Host or a foreign Origin.
    """
    if len(hosts) > 1:
        raise Problem(400, "double_host", "a request has one Host field")
    host = hosts[0] if hosts else None
    if not allowed_host(host, names):
        message = "this Host is neither an address nor localhost; if it is a name of this sidecar, add it to hosts"
        raise Problem(403, "unknown_host", message)
    if any(foreign_origin(origin, host, allowed) for origin in origins):
        message = "this Origin may not read the admin port; if it should, add it to admin.origins"
        raise Problem(403, "foreign_origin", message)


def cors(origin: bytes | None) -> dict[str, str]:
    """Headers of an answer to a page that `check` let pass: it may read this."""
    headers = {"Vary": "Origin"}
    if origin is not None:
        headers["Access-Control-Allow-Origin"] = origin.decode("latin-1")
        headers["Access-Control-Expose-Headers"] = _EXPOSED
    return headers


def preflight(methods: Collection[str]) -> dict[str, str]:
    """Further headers of the answer to a preflight request (Fetch, section 3.2.2)."""
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": _PREFLIGHT_AGE,
    }
