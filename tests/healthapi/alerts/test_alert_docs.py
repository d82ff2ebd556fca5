"""docs/alerts.md and docs/CREATING_CHANNELS.md say what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from config.alerts import Channel as Settings
from config.alerts import ChannelType, Rules
from config.secret import Secret
from healthapi.alerts.channels import webhook
from healthapi.alerts.rules import TABLE
from tests.healthapi.alerts.sinks import http_sink, message

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "alerts.md").read_text()
CREATING = (DOCS / "CREATING_CHANNELS.md").read_text()


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)


def test_every_rule_and_every_channel_has_its_row() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert set(TABLE) | set(ChannelType) <= set(rows)


def test_the_numbers_are_the_defaults() -> None:
    rules = Rules()
    assert f"fewer than {rules.health.warning:g} %" in PAGE
    assert f"below {rules.health.critical:g} % critical" in PAGE
    assert f"more than {rules.drop.warning:g} points" in PAGE
    assert f"above {rules.drop.critical:g} points critical" in PAGE
    assert f"more than {rules.breaker_open.longer_than / 60:g} minutes" in PAGE
    assert f"more than {rules.error_budget.warning:g} % of users' attempts" in PAGE
    assert f"of {rules.error_budget.min_requests} at least" in PAGE
    assert f"above {rules.error_budget.critical:g} % critical" in PAGE
    assert f"{rules.health.hysteresis:g} points (`error_budget`: {rules.error_budget.hysteresis:g})" in PAGE


async def test_the_webhook_is_as_it_is_shown() -> None:
    (shown,) = (json.loads(block) for block in blocks(PAGE, "json"))
    assert list(shown) == list(webhook.document(message()))
    genuine: dict[str, Any] = {}
    exec(blocks(PAGE, "python")[0], genuine)
    body = json.dumps(shown).encode()
    assert genuine["genuine"]("s", body, webhook.signature("s", body))
    assert not genuine["genuine"]("s", body + b" ", webhook.signature("s", body))


async def test_the_example_is_a_channel() -> None:
    made: dict[str, Any] = {}
    exec(blocks(CREATING, "python")[1], made)
    async with http_sink() as sink:
        settings = Settings(type=ChannelType.WEBHOOK, url=Secret(f"{sink.url}/topic"))
        await made["Ntfy"](settings).send(message())
        (one,) = sink.documents
        assert one == {
            "topic": "topic",
            "title": "[CRITICAL] provider offline: groq",
            "message": "groq is offline",
            "priority": 5,
        }
