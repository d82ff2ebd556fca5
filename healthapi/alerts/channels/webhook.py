"""A webhook: one JSON object, signed where a secret is set."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import msgspec

from config.alerts import Channel as Settings
from healthapi.alerts.channels.http import post
from healthapi.alerts.message import Message
from healthapi.text import iso

SIGNATURE: Final = "X-Detour-Signature"
"""`sha256=` and the HMAC-SHA256 of the body in hexadecimal digits."""

TIMESTAMP: Final = "X-Detour-Timestamp"
"""When the message was written, in Unix seconds: the body's `at`, which the signature covers."""

MESSAGE: Final = "X-Detour-Message"
"""The message's own key, the same however often it is sent."""


class Webhook:
    """Sends JSON to an address."""

    def __init__(self, settings: Settings) -> None:
        """Send to the configured address."""
        self._url = settings.url
        self._secret = settings.secret

    async def send(self, message: Message) -> None:
        """POST one message. Raises ChannelError."""
        body = msgspec.json.encode(document(message))
        headers = {
            "Content-Type": "application/json",
            TIMESTAMP: str(int(message.at)),
            MESSAGE: message.key,
        }
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret.reveal(), body)
        await post(self._url.reveal(), body, headers)


def document(message: Message) -> dict[str, Any]:
    """What is sent. Keys may be added, none is ever taken away."""
    return {
        "rule": message.rule,
        "state": message.state.value,
        "severity": message.severity.value,
        "subject": message.subject,
        "value": message.value,
        "threshold": message.threshold,
        "message": message.message,
        "since": iso(message.since),
        "fleet": message.fleet,
        "instance": message.instance,
        "id": message.id,
        "key": message.key,
        "at": iso(message.at),
        "again": message.again,
    }


def signature(secret: str, body: bytes) -> str:
    """The signature of a body."""
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
