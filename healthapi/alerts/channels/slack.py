"""Slack, by an incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).

Slack gives three characters a meaning: `<!channel>` calls everybody, `<https://…|text>` is a link that says something
else. They are written as entities, so that nothing from outside can be either. An at sign before the words that call
people loses its meaning by an invisible character behind it.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from config.alerts import Channel as Settings
from config.alerts import Severity
from healthapi.alerts.channels.http import post
from healthapi.alerts.message import Message, State
from healthapi.text import iso

_MENTION: Final = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)
_ENTITIES: Final = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;"}
_MARKS: Final = {Severity.CRITICAL: ":red_circle:", Severity.WARNING: ":large_yellow_circle:"}
_OVER: Final = ":large_green_circle:"


class Slack:
    """Posts to a channel."""

    def __init__(self, settings: Settings) -> None:
        """Post to the configured webhook."""
        self._url = settings.url

    async def send(self, message: Message) -> None:
        """Post one message. Raises ChannelError."""
        body = msgspec.json.encode(document(message))
        await post(self._url.reveal(), body, {"Content-Type": "application/json; charset=utf-8"})


def document(message: Message) -> dict[str, Any]:
    """What is posted. `verbatim`: Slack makes no links, names or calls of what looks like them."""
    mark = _OVER if message.state is State.RESOLVED else _MARKS[message.severity]
    title, text = escaped(message.title), escaped(message.message)
    context = escaped(f"since {iso(message.since)} · fleet {message.fleet} · {message.instance} · alert {message.id}")
    return {
        "text": f"{title}: {text}",
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "section", "text": _text(f"{mark} *{title}*")},
            {"type": "section", "text": _text(text)},
            {"type": "context", "elements": [_text(context)]},
        ],
    }


def escaped(text: str) -> str:
    """Text that means nothing but itself to Slack."""
    return _MENTION.sub("@\u200b", text.translate(_ENTITIES))


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}
