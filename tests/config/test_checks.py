from __future__ import annotations

import pytest

from config.checks import check
from config.decode import decode
from config.problems import Problem
from config.tree import parse


def problems_of(text: str) -> list[str]:
    tree, problems = parse(text)
    settings = decode(tree, problems)
    assert problems == []
    found: list[Problem] = []
    check(settings, found)
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: 127.0.0.1:9090",
         "admin.listen: 127.0.0.1:9090 is taken by listen (127.0.0.1:9090); give it another port"),
        ("listen: :9090", "admin.listen: 127.0.0.1:9090 is taken by listen (:9090); give it another port"),
        ("client_token: detour", 'client_token: must not be the word "detour": that stands for having no key'),
        ("breakers: {open_for: 10m}", "breakers.max_open_for: must be at least open_for"),
        ("providers: {groq: {breakers: {open_for: 10m}}}",
         "providers.groq.breakers: max_open_for must be at least open_for"),
        ("limits: {replay: 1GiB}", "limits.replay_total: must be at least limits.replay"),
        ("alerts: {rules: {health: {warning: 50}}}",
         "alerts.rules.health: critical must not be above warning: health falls"),
        ("alerts: {rules: {drop: {warning: 50}}}", "alerts.rules.drop: critical must not be below warning"),
        ("alerts: {channels: {ops: {type: sentry, url: 'https://k@h/1'}}, rules: {store: {channels: [opps]}}}",
         'alerts.rules.store.channels[0]: there is no channel "opps"; did you mean "ops"?'),
        ("alerts: {channels: {ops: {type: sentry, url: 'https://k@h/1', secret: s}}}",
         "alerts.channels.ops.secret: only what a webhook is sent is signed"),
        ("alerts: {rules: {drop: {within: 25h}}}", "alerts.rules.drop.within: must be at most 24h"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "listen: 127.0.0.1:0\nadmin: {listen: '127.0.0.1:0'}",
        "listen: 127.0.0.2:9090",
        "providers: {groq: {breakers: {open_for: 10m, max_open_for: 20m}, timeouts: {idle: 1s}}}",
        "alerts: {channels: {a: {type: slack, url: 'https://h/x'}}, rules: {health: {channels: [a]}}}",
    ],
)
def test_what_goes_together(text: str) -> None:
    assert problems_of(text) == []


@pytest.mark.parametrize(
    ("kind", "url", "message"),
    [
        ("slack", "https://hooks.example/x", ""),
        ("webhook", "http://10.0.0.1/x", ""),
        ("webhook", "ftp://secret/x", "must be a URL that starts with https:// or http://"),
        ("webhook", "https:///secret", "must be a URL that starts with"),
        ("webhook", "https://secret:port/", "is not a URL"),
        ("sentry", "https://secret.example/1", "must be a DSN"),
        ("sentry", "https://secret@h", "must be a DSN"),
        ("sentry", "https://key@h/1", ""),
        ("email", "smtp://u:secret@h:587/?from=a@b", "must say whom to write to"),
        ("email", "smtps://u:p@h/?from=a@b&to=c@d", ""),
        ("email", "https://h", "must be a URL that starts with smtp:// or smtps://"),
    ],
)
def test_channel_addresses(kind: str, url: str, message: str) -> None:
    problems = problems_of(f"alerts: {{channels: {{ops: {{type: {kind}, url: '{url}'}}}}}}")
    assert len(problems) == bool(message)
    assert all(problem.startswith(f"alerts.channels.ops.url: {message}") for problem in problems)
    assert "secret" not in str(problems)
