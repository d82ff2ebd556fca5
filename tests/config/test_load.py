from __future__ import annotations

from pathlib import Path

import pytest

from config.load import ConfigError, load, load_text

EXAMPLE = """
listen: 127.0.0.1:8080            # where the gateway sends provider traffic
admin:
  listen: 127.0.0.1:9090
  token: ${DETOUR_ADMIN_TOKEN}    # POSTs always need it
  open: [metrics]
store: sqlite:///detour.db
redis: {fleet: default, timeout: 100ms, publish_cache: false}

providers:
  groq: {}
  openrouter:
    timeouts: {first_byte: 20s}
  lab:
    base_url: http://127.0.0.1:8000/v1
    dialect: openai
    api_key: ${LAB_API_KEY}

models:
  llama-3.3-70b:
    tier: critical
    targets:
      - groq/llama-3.3-70b-versatile
      - target: openrouter/meta-llama/llama-3.3-70b-instruct
        context_window: 131072

breakers: {mode: enforce, failure_threshold: 5, failure_rate: 0.5, min_requests: 10, window: 60s, open_for: 60s, success_threshold: 2}
routing:  {enabled: true, strategy: uptime, when_all_open: fail}
retries:  {max_attempts: 3, on_rate_limit: reroute, max_wait: 3s, budget: 0.2}
timeouts: {connect: 5s, first_byte: 120s, idle: 120s, answer: 600s, total: 900s, stream_total: 1h}
streams:  {rescue: off}
limits:   {request_body: 64MiB, replay: 8MiB, replay_total: 256MiB, tracked_targets: 10000, pool_wait: 5s}
tiers:
  critical: {interval: 5m, timeout: 30s, max_tokens: 10}
probes:   {enabled: true, max_in_flight: 10, pause: 30s, daily_cap: {requests: 2000, tokens: 20000}}
alerts:
  channels:
    ops: {type: slack, url: ${SLACK_WEBHOOK_URL}}     # slack | webhook | email | sentry
  rules:
    health: {warning: 90, critical: 80, for: 2m, repeat: 30m}
drain:    {timeout: 60s}
"""  # noqa: E501 - as it stands in the contract
ENVIRON = {"DETOUR_ADMIN_TOKEN": "t", "LAB_API_KEY": "k", "SLACK_WEBHOOK_URL": "https://hooks.example/x"}


def test_the_example_of_the_contract() -> None:
    config = load_text(EXAMPLE, ENVIRON)
    assert list(config.providers) == ["groq", "openrouter", "lab"]
    target = config.groups["llama-3.3-70b"].targets[1]
    assert (target.provider, target.model, target.context_window) == (
        "openrouter", "meta-llama/llama-3.3-70b-instruct", 131072
    )  # fmt: skip
    assert target.timeouts.first_byte == 20
    assert config.settings.redis.timeout == 0.1
    assert config.warnings == ()


def test_what_it_says_is_what_holds_without_it() -> None:
    said, default = load_text(EXAMPLE, ENVIRON).settings, load_text(None, {}).settings
    for section in (
        "redis",
        "breakers",
        "routing",
        "retries",
        "timeouts",
        "streams",
        "limits",
        "tiers",
        "probes",
        "drain",
    ):
        assert getattr(said, section) == getattr(default, section)
    assert (said.listen, said.store, said.alerts.rules) == (default.listen, default.store, default.alerts.rules)


def test_command_line_beats_environment_beats_file_beats_default() -> None:
    file, environ, overrides = "listen: 127.0.0.1:2", {"DETOUR_LISTEN": "127.0.0.1:3"}, {"listen": "127.0.0.1:4"}
    ports = [
        load_text(None, {}).settings.listen.port,
        load_text(file, {}).settings.listen.port,
        load_text(file, environ).settings.listen.port,
        load_text(file, environ, overrides).settings.listen.port,
    ]
    assert ports == [8080, 2, 3, 4]


def test_all_mistakes_at_once_with_their_origin() -> None:
    text = EXAMPLE.replace("groq/", "grok/").replace("failure_rate: 0.5", "failure_rate: 5").replace("drain:", "drian:")
    with pytest.raises(ConfigError) as caught:
        load_text(text, {"DETOUR_ADMIN_LISTEN": "x"}, {"store": "y"})
    assert str(caught.value).splitlines() == [
        'admin.token: environment variable DETOUR_ADMIN_TOKEN is not set; did you mean "DETOUR_ADMIN_LISTEN"?',
        "providers.lab.api_key: environment variable LAB_API_KEY is not set",
        "alerts.channels.ops.url: environment variable SLACK_WEBHOOK_URL is not set",
        'drian: no such key; did you mean "drain"?',
        'admin.listen (DETOUR_ADMIN_LISTEN): "x" is not an address such as 127.0.0.1:8080, [::1]:8080 or :8080',
        "store (command line): must be memory:, sqlite:///FILE, redis://, rediss://, redis+sentinel:// or redis+cluster://",
        "breakers.failure_rate: must be at most 1",
        'models.llama-3.3-70b.targets[0]: provider "grok" is not configured; did you mean "groq"?',
    ]


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-file\n")
    path = tmp_path / "detour.yaml"
    path.write_bytes(b"\xef\xbb\xbfproviders: {groq: {api_key: '${file:key}'}}")
    provider = load(path, {}).provider("groq")
    assert provider is not None
    assert provider.credential is not None
    assert provider.credential.reveal() == "from-file"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        load(tmp_path, {})
    (tmp_path / "latin").write_bytes(b"a: \xe4")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 3\)"):
        load(tmp_path / "latin", {})


@pytest.mark.parametrize("text", ["a: [", "- x", "x", "\x00", "a: !!python/name:os.system x"])
def test_what_is_no_configuration(text: str) -> None:
    with pytest.raises(ConfigError):
        load_text(text, {})


def test_no_secret_is_seen_in_what_a_configuration_prints() -> None:
    config = load_text(EXAMPLE, {**ENVIRON, "LAB_API_KEY": "sk-verysecret", "DETOUR_STORE": "redis://:verysecret@h"})
    assert "verysecret" not in repr(config)
