"""`detour audit-keys`: which keys are there, and how the running sidecar has seen them judged, where one runs."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from config import audit
from config.audit import Key, KeyRow
from config.effective import Config
from proxy.adminport import NoAnswerError, ask

PATH: Final = "/v1/providers"

TIMEOUT: Final = 5.0
"""Seconds for which the sidecar's answer is waited for."""


class Audit(Struct, frozen=True):
    """The rows, and why it is not known how keys were judged, None where it is."""

    rows: list[KeyRow]
    unknown: str | None


class _Account(Struct, frozen=True):
    name: str
    key: Key


class _Accounts(Struct, frozen=True):
    providers: list[_Account]


def look(config: Config) -> Audit:
    """Look at the keys here, and ask the sidecar that runs with this configuration how they were judged."""
    rows = audit.audit(config)
    if all(row.key.state != audit.UNKNOWN for row in rows):
        return Audit(rows, None)
    listen, token = config.settings.admin.listen, config.settings.admin.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    try:
        answer = ask(listen, "GET", PATH, headers, TIMEOUT, config.settings.admin.tls)
    except NoAnswerError as error:
        return Audit(rows, f"nothing listens on {listen} (admin.listen)" if error.nobody else str(error))
    if answer.status in (401, 403):
        return Audit(rows, f"the sidecar on {listen} wants another admin.token (DETOUR_ADMIN_TOKEN)")
    try:
        found = msgspec.json.decode(answer.body, type=_Accounts) if answer.status == 200 else None
    except msgspec.DecodeError:
        found = None
    if found is None:
        return Audit(rows, f"what answers on {listen} is not a Detour that knows of keys")
    keys = {account.name: account.key for account in found.providers}
    return Audit([audit.judged(row, keys.get(row.provider)) for row in rows], None)
