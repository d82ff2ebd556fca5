"""Who may ask for what on the admin port.

Reading is free on a laptop (loopback) and needs the token elsewhere; changing something always needs it, because every
page a browser opens can reach loopback. Probes of an orchestrator have no token and need none.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from config.secret import Secret
from healthapi.errors import Problem

_CHALLENGE: Final = (("WWW-Authenticate", 'Bearer realm="detour"'),)
_REFUSED: Final = "send the header Authorization: Bearer <admin.token>"


class Access(enum.StrEnum):
    """What a route needs of its caller; decided by the route table alone."""

    OPEN = "open"
    """Nothing, ever: `/livez`, `/readyz`."""
    METRICS = "metrics"
    """As `READ`, unless `admin.open` names `metrics`."""
    HEALTH = "health"
    """As `READ`, unless `admin.open` names `health`."""
    READ = "read"
    """The token, unless the admin port listens on loopback only."""
    WRITE = "write"
    """The token, always."""


class Door(Struct, frozen=True):
    """The settings that decide: the token, whether the port is on loopback, what `admin.open` names."""

    token: Secret | None
    loopback: bool
    open: frozenset[str]

    def needs_token(self, access: Access) -> bool:
        """Whether a request for this needs the token."""
        if access is Access.OPEN:
            return False
        if access is Access.WRITE:
            return True
        return not self.loopback and (access is Access.READ or access.value not in self.open)

    def check(self, access: Access, authorization: Sequence[bytes]) -> None:
        """Let a request with these Authorization fields pass, or not.

        Raises:
            Problem: 403 when the token is needed and none is configured, 401 when it is missing or wrong.
        """
        if not self.needs_token(access):
            return
        if self.token is None:
            message = "this needs the admin token and none is configured; set admin.token (DETOUR_ADMIN_TOKEN)"
            raise Problem(403, "token_not_configured", message)
        if not authorization:
            raise Problem(401, "token_missing", f"this needs the admin token: {_REFUSED}", _CHALLENGE)
        if len(authorization) > 1 or not self.token.matches(_bearer(authorization[0])):
            raise Problem(401, "token_wrong", f"this is not the admin token: {_REFUSED}", _CHALLENGE)


def _bearer(field: bytes) -> bytes:
    """The credential of a Bearer Authorization field, empty for any other scheme (RFC 6750 §2.1, RFC 9110 §11.1)."""
    scheme, _, credential = field.strip().partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""
