"""Sentry: every alert is an issue of its own, whatever is told of it an event of that.

The SDK knows what a DSN means and how an event is written down. It is not started: it would watch the whole process and
send behind our back, without telling what became of it.
"""

from __future__ import annotations

import uuid
from typing import Any

from config.alerts import Channel as Settings
from config.alerts import Severity
from healthapi.alerts.channels.http import post
from healthapi.alerts.message import Message, State
from healthapi.text import iso

_LEVELS = {Severity.CRITICAL: "fatal", Severity.WARNING: "warning"}


class Sentry:
    """Sends events to a project."""

    def __init__(self, settings: Settings) -> None:
        """Send to the project of the configured DSN.

        Raises:
            ImportError: sentry-sdk is not installed.
            ValueError: it is no DSN.
        """
        from sentry_sdk.envelope import Envelope
        from sentry_sdk.utils import Dsn

        self._envelope = Envelope
        try:
            self._auth = Dsn(settings.url.reveal()).to_auth("detour")
        except ValueError:  # whose words hold the key
            raise ValueError("must be a DSN: https://KEY@HOST/PROJECT, the project a number") from None

    async def send(self, message: Message) -> None:
        """Send one event. Raises ChannelError."""
        made = event(message)
        envelope = self._envelope(headers={"event_id": made["event_id"], "sent_at": iso(message.at)})
        envelope.add_event(made)
        headers = {"Content-Type": "application/x-sentry-envelope", "X-Sentry-Auth": self._auth.to_header()}
        await post(self._auth.get_api_url(), envelope.serialize(), headers)


def event(message: Message) -> Any:
    """The event. Its id follows from the message's key: sent twice it is still one."""
    over = message.state is State.RESOLVED
    return {
        "event_id": uuid.uuid5(uuid.NAMESPACE_URL, f"detour:{message.key}").hex,
        "timestamp": message.at,
        "platform": "other",
        "logger": "detour.alerts",
        "level": "info" if over else _LEVELS[message.severity],
        "message": {"formatted": f"{message.title}: {message.message}"},
        "fingerprint": ["detour", message.id],
        "server_name": message.instance,
        "tags": {
            "rule": message.rule,
            "state": message.state.value,
            "severity": message.severity.value,
            "fleet": message.fleet,
            "alert": message.id,
        },
        "extra": {
            "subject": message.subject,
            "value": message.value,
            "threshold": message.threshold,
            "since": iso(message.since),
        },
    }
