"""What a request's head decides: where it goes, whose credential it carries, or why it goes nowhere. Pure.

It is worked out once for the heads of a connection that differ in their Content-Length alone: `proxy.known`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from config.hosts import allowed_host, foreign_origin
from proxy import credentials, headers
from proxy.answers import RefusedError
from proxy.credentials import Placement
from proxy.errors import Refusal
from proxy.headers import Scan
from proxy.paths import Endpoint, find
from proxy.route import Route, route
from proxy.wishes import NONE, wishes

if TYPE_CHECKING:
    from config.effective import Config
    from proxy.errand import Errand
    from proxy.head import Head

_NO_ERRANDS: Final[Mapping[bytes, Errand]] = {}

NOTHING_ASKED: Final = Refusal(204, "", "")
"""The answer to `OPTIONS *`, which asks about a server as a whole: that there is one (RFC 9110 section 9.3.7)."""


class Way:
    """Everything about a request but its body.

    `refusal` says why the request must not be forwarded; it comes after what is known of the request all the same, so
    that its answer has the right dialect. `heads` holds the upstream request head up to its framing, by whether the
    answer is to be streamed. `key` is the fingerprint of the credential that goes along.
    """

    __slots__ = ("endpoint", "heads", "key", "placed", "provider", "refusal", "route", "scan", "wishes")

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.provider = ""
        self.route: Route | None = None
        self.endpoint: Endpoint | None = None
        self.placed: Placement | None = None
        self.refusal: Refusal | None = None
        self.heads: dict[bool, bytes] = {}
        self.key = ""
        self.wishes = NONE


def find_way(
    head: Head,
    config: Config,
    instance: bytes,
    errands: Mapping[bytes, Errand] = _NO_ERRANDS,
) -> Way:
    """Work out what a head decides; `instance` is our own name in Via, `errands` are the probes that are out."""
    method, scan = head.method, head.scan
    way = Way(scan)
    try:
        _check(scan, method, head.version10, instance)
        if method == "OPTIONS" and head.path == "*":
            raise RefusedError(NOTHING_ASKED)
        _route(way, head.path, method, config, errands)
    except RefusedError as stop:
        way.refusal = stop.refusal
    return way


def _check(scan: Scan, method: str, version10: bool, instance: bytes) -> None:
    """Refuse what must not be forwarded at all (proxy-rules 4, 6, 11)."""
    if method in ("CONNECT", "TRACE"):
        raise _refused(405, "invalid_request_error", f"{method} is not served here")
    if scan.bad is not None:
        raise _refused(400, "invalid_request_error", scan.bad)
    if scan.hosts != 1 and not (scan.hosts == 0 and version10):
        raise _refused(400, "invalid_request_error", "a request needs exactly one Host field")
    if not headers.HOST.fullmatch(scan.host):
        raise _refused(400, "invalid_request_error", "a Host field must hold a name or an address, and a port perhaps")
    if headers.loops(scan, instance):
        message = "this request has come through here before; a provider's base URL points back at Detour"
        raise _refused(508, "loop_detected", message)


def _route(way: Way, path: str, method: str, config: Config, errands: Mapping[bytes, Errand]) -> None:
    found = route(path, config)
    if isinstance(found, Refusal):
        raise RefusedError(found)
    way.route = found
    way.provider = found.provider.name
    way.endpoint = find(method, found.path, found.provider)
    placed = credentials.credential(way.scan, found.target, found.provider, way.endpoint, config)
    if placed.problem is not None:
        raise RefusedError(placed.problem)
    if placed.own and spends_for_a_page(way.scan, config):
        message = "a request that spends this sidecar's key must name it by address, localhost or one of its `hosts`"
        raise _refused(403, "permission_error", message)
    way.placed = placed
    way.key = credentials.fingerprint(way.scan, placed)
    way.wishes = wishes(way.scan, errands)
    errand = way.wishes.errand
    if errand is not None and errand.at is not None:
        way.route = replace(found, provider=errand.at)
        way.placed = credentials.credential(way.scan, found.target, errand.at, way.endpoint, config)


def spends_for_a_page(scan: Scan, config: Config) -> bool:
    """Whether a browser's page may be behind a request that our own key would go along with (semantics section 7)."""
    if not allowed_host(scan.host, config.hosts):
        return True
    return foreign_origin(scan.origin, scan.host, config.settings.admin.origins)


def _refused(status: int, kind: str, message: str) -> RefusedError:
    return RefusedError(Refusal(status, kind, message))
