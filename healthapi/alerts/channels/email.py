"""E-mail by SMTP.

The address says all: `smtp://user:password@host:587/?from=detour@example.com&to=ops@example.com`, `to` as often as
wanted; `smtps://` speaks TLS from the first byte (port 465). Over `smtp://` the connection turns to TLS where the
server offers it, and has to before a password is sent; `tls=require` asks for it always, `tls=off` never.

Header fields are made by the standard library's policy for SMTP, which encodes what is not ASCII and refuses line ends:
no text can begin a field of its own.
"""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from config.alerts import Channel as Settings
from config.secret import Secret
from healthapi.alerts.channels.contract import ChannelError
from healthapi.alerts.message import Message
from healthapi.text import iso

LIMIT: Final = 10.0
"""Seconds for everything."""

_PORTS: Final = {"smtp": 587, "smtps": 465}
_TLS: Final = {"auto": None, "require": True, "off": False}


class Email:
    """Sends mail over one server."""

    def __init__(self, settings: Settings) -> None:
        """Send over the configured server.

        Raises:
            ImportError: aiosmtplib is not installed.
            ValueError: the address says what is not understood.
        """
        import aiosmtplib

        self._library = aiosmtplib
        parts = urlsplit(settings.url.reveal())
        asked = parse_qs(parts.query)
        self._recipients = [_address(address) for address in asked.get("to", ())]
        self._sender = _address(asked.get("from", [f"detour@{parts.hostname}"])[0])
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._user = unquote(parts.username) if parts.username else None
        self._password = Secret(unquote(parts.password)) if parts.password else None
        self._implicit = parts.scheme == "smtps"
        self._upgrade = _upgrade(asked.get("tls", [""])[0], authenticated=self._user is not None)

    async def send(self, message: Message) -> None:
        """Send one mail to all recipients. Raises ChannelError."""
        library = self._library
        try:
            await library.send(
                mail(message, self._sender, self._recipients),
                sender=self._sender,
                recipients=self._recipients,
                hostname=self._host,
                port=self._port,
                username=self._user,
                password=None if self._password is None else self._password.reveal(),
                use_tls=self._implicit,
                start_tls=False if self._implicit else self._upgrade,
                local_hostname="detour",
                timeout=LIMIT,
            )
        except library.SMTPTimeoutError:
            raise ChannelError(f"no answer within {LIMIT:g} s") from None
        except library.SMTPResponseException as error:
            raise ChannelError(f"the server answered {error.code}", again=error.code < 500) from None
        except library.SMTPRecipientsRefused:
            raise ChannelError("the server takes mail for none of the recipients", again=False) from None
        except (library.SMTPException, OSError, ValueError) as error:
            raise ChannelError(f"cannot be reached ({type(error).__name__})") from None


def mail(message: Message, sender: str, recipients: list[str]) -> EmailMessage:
    """The mail. All mails about one alert are one conversation to a mail program."""
    made = EmailMessage(policy=SMTP)
    made["From"] = sender
    made["To"] = ", ".join(recipients)
    made["Subject"] = message.title
    made["Date"] = formatdate(message.at)
    made["Message-ID"] = f"<{message.key}@detour.invalid>"
    made["References"] = f"<{message.id}@detour.invalid>"
    made["Auto-Submitted"] = "auto-generated"
    lines = [
        message.message,
        "",
        f"rule:      {message.rule}",
        f"state:     {message.state}",
        f"severity:  {message.severity}",
        f"subject:   {message.subject}",
        f"value:     {_number(message.value)}",
        f"threshold: {_number(message.threshold)}",
        f"since:     {iso(message.since)}",
        f"fleet:     {message.fleet}",
        f"instance:  {message.instance}",
        f"alert:     {message.id}",
    ]
    text = "\n".join(lines) + "\n"
    made.set_content(text, cte=None if text.isascii() else "base64")  # not every server takes eight bits
    return made


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _address(text: str) -> str:
    """A mail address.

    Raises:
        ValueError: it is none.
    """
    _, found = parseaddr(text)
    if found != text or not text.isascii() or not text.isprintable() or " " in text or text.count("@") != 1:
        raise ValueError("what it says after from= or to= is not a mail address")
    return text


def _upgrade(word: str, *, authenticated: bool) -> bool | None:
    """Whether the connection has to turn to TLS; None where it does if the server offers it.

    Raises:
        ValueError: it is none of the words.
    """
    if not word:
        return True if authenticated else None
    if word not in _TLS:
        raise ValueError("tls= is one of auto, require, off")
    return _TLS[word]
