from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from config.schema import DRAFT, schema


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return schema()


def valid(made: dict[str, Any], text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(made).is_valid(yaml.safe_load(text)))


def test_it_is_a_schema_and_json(made: dict[str, Any]) -> None:
    assert made["$schema"] == DRAFT
    jsonschema.Draft202012Validator.check_schema(made)
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(
    "text",
    [
        "listen: 127.0.0.1:1",
        "providers: {groq: {}, xai: }",
        "providers: {lab: {base_url: http://x, prefixes: {openai: /v1}, headers: {X-A: b}, timeouts: {idle: 1s}}}",
        "models: {m: {tier: critical, targets: [groq/a, {target: groq/b, context_window: 5}]}}",
        "breakers: {failure_rate: 0.5, window: '${W}', min_requests: '${N}'}",
        "hosts: a.example\nopen: true",
        "limits: {replay: 1024, request_body: 64MiB}",
        "alerts: {rules: {health: {for: 1m}}}",
    ],
)
def test_what_is_right(made: dict[str, Any], text: str) -> None:
    assert valid(made, text)


@pytest.mark.parametrize(
    "text",
    [
        "lisen: x",
        "breakers: {failure_rate: 2}",
        "breakers: {failure_threshold: 1.5}",
        "breakers: {mode: enforced}",
        "models: {m: {}}",
        "models: {m: {targets: [{prefill: true}]}}",
        "providers: {lab: {prefixes: {klingon: /v1}}}",
        "timeouts: {idle: 5}",
        "open: maybe",
    ],
)
def test_what_is_wrong(made: dict[str, Any], text: str) -> None:
    assert not valid(made, text)


def test_every_key_is_described_and_has_its_default(made: dict[str, Any]) -> None:
    limits = made["$defs"]["Timeouts"]["properties"]["idle"]
    assert limits["default"] == "2m"
    assert limits["description"] == made["$defs"]["TimeoutOverrides"]["properties"]["idle"]["description"]
    assert made["$defs"]["Breakers"]["properties"]["failure_rate"]["default"] == 0.5
    assert made["properties"]["open"]["default"] is False
    assert "default" not in made["$defs"]["Admin"]["properties"]["token"]
