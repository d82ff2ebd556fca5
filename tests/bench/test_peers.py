"""What Detour is told in the benchmark is a configuration of its own kind, with breakers and rerouting switched on."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from msgspec import structs

from bench.load import wire
from bench.peers import CONFIGS, DETOUR, PEERS, Server, _secured, models, prepared
from config.load import load_text
from config.settings import Breakers, Routing

UPSTREAM = Server(9, "/v1/chat/completions", [])


def test_detour_runs_as_a_careful_user_has_it(tmp_path: Path) -> None:
    _, server = prepared(DETOUR, UPSTREAM, tmp_path)
    config = load_text((tmp_path / DETOUR.config).read_text(encoding="utf-8"), {})
    assert config.settings.store.shown == f"sqlite:///{tmp_path}/detour-{server.port}.db"
    assert config.warnings == ()
    assert (config.settings.breakers, config.settings.routing) == (Breakers(), Routing())
    assert all(provider.configured for provider in config.providers.values())
    provider = DETOUR.path.split("/")[1]
    model = wire.ANSWER.partition('"model":"')[2].partition('"')[0]
    assert f'"model":"{model}"'.encode() in wire.post(DETOUR.path, stream=True)
    assert [target.provider for target in config.stand_ins[provider, model]] == ["spare"]


def test_every_peer_has_its_file() -> None:
    assert all((CONFIGS / peer.config).is_file() for peer in PEERS.values() if peer.config)


@pytest.mark.parametrize("groups", [1, 2, 5000])
def test_many_models_have_a_target_and_a_stand_in_each(tmp_path: Path, groups: int) -> None:
    prepared(DETOUR, UPSTREAM, tmp_path, "memory:", groups)
    config = load_text((tmp_path / DETOUR.config).read_text(encoding="utf-8"), {})
    assert len(config.targets) == 2 * groups
    assert len(config.stand_ins) == 2 * groups
    assert models(1) == "{bench-model: {targets: [bench/bench-model, spare/bench-model]}}"


def test_a_provider_that_speaks_tls_is_reached_so(tmp_path: Path) -> None:
    certificate = tmp_path / "provider.pem"
    secured = Server(9, "/v1/chat/completions", [], certificate=certificate)
    prepared(DETOUR, secured, tmp_path, "memory:")
    text = yaml.safe_load((tmp_path / DETOUR.config).read_text(encoding="utf-8"))
    assert text["upstream"] == {"ca_bundle": str(certificate)}
    assert text["providers"]["bench"]["base_url"] == "https://127.0.0.1:9/v1"
    prepared(structs.replace(PEERS["envoy"], command=lambda *_: []), secured, tmp_path)
    (cluster,) = yaml.safe_load((tmp_path / "envoy.yaml").read_text(encoding="utf-8"))["static_resources"]["clusters"]
    context = cluster["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert context["trusted_ca"] == {"filename": str(certificate)}
    assert cluster["outlier_detection"]["consecutive_5xx"] == 5
    assert _secured(None) == {"TLS": "{}", "TRANSPORT": "null"}


def test_a_gateway_is_told_of_the_provider_by_headers(tmp_path: Path) -> None:
    command, server = prepared(PEERS["portkey"], UPSTREAM, tmp_path)
    assert "x-portkey-custom-host: http://127.0.0.1:9/v1" in server.headers
    assert f"--port={server.port}" in command
    assert any(word.endswith("loopback.cjs") for word in command)
