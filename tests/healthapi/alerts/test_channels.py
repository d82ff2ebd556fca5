"""Every channel over a real socket: what arrives there, and what becomes of a place that does not take it."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
from email import message_from_bytes
from email.policy import default
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentry_sdk.envelope import Envelope

from config.alerts import Channel as Settings
from config.alerts import ChannelType
from config.secret import Secret
from healthapi.alerts.channels import KINDS, channels, email, http, slack
from healthapi.alerts.channels.contract import Channel, ChannelError
from tests.healthapi.alerts.sinks import HttpSink, MailSink, http_sink, mail_sink, message

PATH = "/hook/T0/B0/canary-secret"


def made(kind: str, url: str, secret: str | None = None) -> Channel:
    settings = Settings(type=ChannelType(kind), url=Secret(url), secret=None if secret is None else Secret(secret))
    return channels({"ops": settings})["ops"]


def over_http(kind: str, sink: HttpSink) -> Channel:
    return made(kind, f"http://canarykey@127.0.0.1:{sink.port}/7" if kind == "sentry" else f"{sink.url}{PATH}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_every_kind_has_a_channel() -> None:
    assert set(KINDS) == set(ChannelType)


# -- over HTTP ---------------------------------------------------------------------------------------------------------

OVER_HTTP = ["slack", "webhook", "sentry"]


@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_it_sends_once_and_says_no_more_than_it_has_to(kind: str) -> None:
    async with http_sink() as sink:
        sink.headers = {"Set-Cookie": "a=b"}
        channel = over_http(kind, sink)
        await channel.send(message())
        await channel.send(message())
        assert len(sink.posted) == 2
        for one in sink.posted:
            assert one.headers["User-Agent"] == "detour"
            assert int(one.headers["Content-Length"]) == len(one.body)
            assert not {"Cookie", "Accept-Encoding", "Expect", "Authorization"} & set(one.headers)


@pytest.mark.parametrize("kind", OVER_HTTP)
@pytest.mark.parametrize(
    ("status", "again"),
    [(500, True), (503, True), (429, True), (408, True), (301, False), (302, False), (400, False), (404, False)],
)
async def test_what_is_not_taken(kind: str, status: int, again: bool) -> None:
    async with http_sink() as sink:
        sink.answers = [status]
        sink.headers = {"Location": f"{sink.url}/elsewhere"}
        with pytest.raises(ChannelError, match=f"^it answered {status}$") as raised:
            await over_http(kind, sink).send(message())
        assert raised.value.again is again
        assert len(sink.posted) == 1, "redirects are not followed"


@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_who_does_not_answer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LIMIT", 0.2)
    async with http_sink() as sink:
        sink.silent = True
        with pytest.raises(ChannelError, match=r"^no answer within 0\.2 s$") as raised:
            await over_http(kind, sink).send(message())
        assert raised.value.again


@pytest.mark.parametrize("kind", OVER_HTTP)
async def test_who_is_not_there(kind: str) -> None:
    sink = HttpSink()
    sink.port = free_port()
    with pytest.raises(ChannelError, match=r"^cannot be reached \(") as raised:
        await over_http(kind, sink).send(message())
    assert raised.value.again
    assert "canary" not in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)


async def test_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    async with http_sink() as sink:
        await over_http("webhook", sink).send(message())
        assert len(sink.posted) == 1


async def test_the_path_of_an_address_stays_as_it_is() -> None:
    async with http_sink() as sink:
        await made("webhook", f"{sink.url}/a%2Fb").send(message())
        assert sink.posted[0].path == "/a%2Fb"


# -- the webhook -------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_sent_json() -> None:
    async with http_sink() as sink:
        await over_http("webhook", sink).send(message())
        (one,) = sink.posted
        assert one.path == PATH
        assert one.headers["Content-Type"] == "application/json"
        assert one.document == {
            "rule": "provider_offline",
            "state": "firing",
            "severity": "critical",
            "subject": "groq",
            "value": 72.5,
            "threshold": 80,
            "message": "groq is offline",
            "since": "2026-01-01T00:00:00.000Z",
            "fleet": "default",
            "instance": "a1b2",
            "id": "0123456789abcdef",
            "key": "0123456789abcdef-1",
            "at": "2026-01-01T00:02:00.250Z",
            "again": False,
        }
        assert one.headers["X-Detour-Timestamp"] == "1767225720"
        assert one.headers["X-Detour-Message"] == "0123456789abcdef-1"
        assert "X-Detour-Signature" not in one.headers


async def test_a_webhook_with_a_secret_is_signed() -> None:
    async with http_sink() as sink:
        await made("webhook", sink.url, "canary-secret").send(message(subject="gröq/\u200b?"))
        (one,) = sink.posted
        expected = hmac.new(b"canary-secret", one.body, hashlib.sha256).hexdigest()
        assert one.headers["X-Detour-Signature"] == f"sha256={expected}"
        assert b"canary" not in one.body


# -- Slack -------------------------------------------------------------------------------------------------------------


def texts(document: Any) -> list[str]:
    """Every text in a document, wherever it stands."""
    if isinstance(document, dict):
        return [text for value in document.values() for text in texts(value)]
    if isinstance(document, list):
        return [text for value in document for text in texts(value)]
    return [document] if isinstance(document, str) else []


async def test_slack_is_sent_blocks() -> None:
    async with http_sink() as sink:
        await over_http("slack", sink).send(message())
        await over_http("slack", sink).send(message(state="resolved", message="over: groq is offline"))
        first, second = sink.documents
        assert first["text"] == "[CRITICAL] provider offline: groq: groq is offline"
        assert [block["type"] for block in first["blocks"]] == ["section", "section", "context"]
        assert first["blocks"][0]["text"] == {
            "type": "mrkdwn",
            "text": ":red_circle: *[CRITICAL] provider offline: groq*",
            "verbatim": True,
        }
        assert second["blocks"][0]["text"]["text"] == ":large_green_circle: *[RESOLVED] provider offline: groq*"


HOSTILE = [
    "<!channel>",
    "<!here|x>",
    "<@U123>",
    "<#C1>",
    "@here",
    "@Channel",
    "@everyone",
    "<https://evil|text>",
    "a&b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_slack_calls_nobody_whatever_a_caller_writes(text: str) -> None:
    made = slack.document(message(subject=f"groq/{text}", message=text))
    for found in texts(made):
        assert "<" not in found
        assert ">" not in found
        for word in ("here", "channel", "everyone"):
            assert f"@{word}" not in found.lower()


@given(st.text())
def test_slack_shows_what_was_written(text: str) -> None:
    shown = slack.escaped(text)
    assert "<" not in shown
    back = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert back.replace("@\u200b", "@") == text.replace("@\u200b", "@")


# -- Sentry ------------------------------------------------------------------------------------------------------------


async def test_sentry_is_sent_an_event_in_an_envelope() -> None:
    async with http_sink() as sink:
        channel = over_http("sentry", sink)
        await channel.send(message())
        await channel.send(message(state="resolved", key="0123456789abcdef-2"))
        await channel.send(message())
        first, second, third = (Envelope.deserialize(one.body).get_event() for one in sink.posted)
        one = sink.posted[0]
        assert one.path == "/api/7/envelope/"
        assert "sentry_key=canarykey" in one.headers["X-Sentry-Auth"]
        assert first is not None
        assert second is not None
        assert third is not None
        assert first["fingerprint"] == second["fingerprint"] == ["detour", "0123456789abcdef"]
        assert (first["level"], second["level"]) == ("fatal", "info")
        assert first["message"] == {"formatted": "[CRITICAL] provider offline: groq: groq is offline"}
        assert first["event_id"] == third["event_id"] != second["event_id"]
        assert "canarykey" not in json.dumps(first)


# -- mail --------------------------------------------------------------------------------------------------------------


def over_smtp(sink: MailSink, more: str = "", user: str = "") -> Channel:
    query = "from=detour@example.com&to=ops@example.com&to=dev@example.com"
    return made("email", f"smtp://{user}127.0.0.1:{sink.port}/?{query}{more}")


async def test_mail_is_delivered() -> None:
    async with mail_sink() as sink:
        await over_smtp(sink).send(message(subject="groq/größe", message="groq/größe is unhealthy"))
        (raw,) = sink.mails
        assert "MAIL FROM:<detour@example.com>" in " ".join(sink.commands)
        assert [one for one in sink.commands if one.startswith("RCPT")] == [
            "RCPT TO:<ops@example.com>",
            "RCPT TO:<dev@example.com>",
        ]
        mail = message_from_bytes(raw, policy=default)
        assert mail["From"] == "detour@example.com"
        assert mail["To"] == "ops@example.com, dev@example.com"
        assert mail["Subject"] == "[CRITICAL] provider offline: groq/größe"
        assert mail["References"] == "<0123456789abcdef@detour.invalid>"
        assert mail["Message-ID"] == "<0123456789abcdef-1@detour.invalid>"
        assert mail["Auto-Submitted"] == "auto-generated"
        text = mail.get_content()
        assert text.startswith("groq/größe is unhealthy")
        assert "value:     72.5" in text
        assert raw.isascii()


@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\x0b", "\u2028", "\x00", "\u0085"])
def test_no_name_begins_a_field_of_its_own(break_: str) -> None:
    # What comes from outside was made one line long before; the mail itself refuses what was not.
    hostile = f"groq{break_}Bcc: victim@example.com"
    try:
        made = email.mail(message(subject=hostile), "a@example.com", ["b@example.com"])
        raw = made.as_bytes()
    except ValueError:
        return
    assert b"\nBcc" not in raw
    assert b"\rBcc" not in raw
    assert message_from_bytes(raw, policy=default)["Bcc"] is None


async def test_a_line_of_the_text_is_no_end_of_the_mail() -> None:
    async with mail_sink() as sink:
        await over_smtp(sink).send(message(message=".\r\nMAIL FROM:<victim@example.com>"))
        assert len(sink.mails) == 1
        assert b"alert:     0123456789abcdef" in sink.mails[0]
        assert [one for one in sink.commands if one.startswith("MAIL")] == ["MAIL FROM:<detour@example.com>"]


@pytest.mark.parametrize(
    ("verb", "said", "again", "words"),
    [
        ("MAIL", "451 later", True, "the server answered 451"),
        ("DATA", "554 no canary", False, "the server answered 554"),
        ("RCPT", "550 nobody canary", False, "the server takes mail for none of the recipients"),
    ],
)
async def test_a_mail_server_that_does_not_take_it(verb: str, said: str, again: bool, words: str) -> None:
    async with mail_sink() as sink:
        sink.answers[verb] = said
        with pytest.raises(ChannelError, match=f"^{words}$") as raised:
            await over_smtp(sink).send(message())
        assert raised.value.again is again
        assert not sink.mails


async def test_a_mail_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "LIMIT", 0.2)
    async with mail_sink() as sink:
        sink.silent = True
        with pytest.raises(ChannelError, match=r"^no answer within"):
            await over_smtp(sink).send(message())


async def test_a_mail_server_that_is_not_there() -> None:
    sink = MailSink()
    sink.port = free_port()
    with pytest.raises(ChannelError, match=r"^cannot be reached \("):
        await over_smtp(sink).send(message())


async def test_a_password_is_never_sent_in_the_clear() -> None:
    async with mail_sink() as sink:
        with pytest.raises(ChannelError) as raised:
            await over_smtp(sink, user="user:canary@").send(message())
        assert not [one for one in sink.commands if one.startswith("AUTH")]
        assert "canary" not in str(raised.value)


async def test_a_password_is_sent_in_the_clear_where_somebody_insists() -> None:
    async with mail_sink() as sink:
        await over_smtp(sink, more="&tls=off", user="us%40er:can%3Aary@").send(message())
        assert len(sink.mails) == 1
        assert any(one.startswith("AUTH PLAIN") for one in sink.commands)


# -- what cannot be used -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "url", "words"),
    [
        ("sentry", "https://canary@host/project", "must be a DSN: https://KEY@HOST/PROJECT, the project a number"),
        ("email", "smtp://host/?to=canary", "what it says after from= or to= is not a mail address"),
        ("email", "smtp://host/?to=a@b%0d%0aBcc:canary", "what it says after from= or to= is not a mail address"),
        ("email", "smtp://host/?to=a@b&tls=canary", "tls= is one of auto, require, off"),
    ],
)
def test_an_address_that_says_what_is_not_understood(kind: str, url: str, words: str) -> None:
    with pytest.raises(ValueError, match=f"^alerts.channels.ops.url: {words}$") as raised:
        made(kind, url)
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    ("kind", "url", "package"),
    [("email", "smtp://h/?to=a@b.c", "aiosmtplib"), ("sentry", "https://k@h/1", "sentry_sdk.utils")],
)
def test_a_package_that_is_not_installed(kind: str, url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ValueError, match=rf"pip install 'detour\[{kind}\]'"):
        made(kind, url)
