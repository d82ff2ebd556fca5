"""What Detour is told in the benchmark is a configuration of its own kind, with breakers and rerouting switched on."""

from __future__ import annotations

from pathlib import Path

from bench.load import wire
from bench.peers import CONFIGS, PEERS, _write
from config.load import load_text
from config.settings import Breakers, Routing


def test_detour_runs_as_a_careful_user_has_it(tmp_path: Path) -> None:
    detour = next(peer for peer in PEERS if peer.name == "detour")
    text = _write(detour.config, tmp_path, PORT=8080, ADMIN=9090, UPSTREAM=9, STORE="memory:").read_text(
        encoding="utf-8"
    )
    config = load_text(text, {})
    assert config.warnings == ()
    assert (config.settings.breakers, config.settings.routing) == (Breakers(), Routing())
    assert all(provider.configured for provider in config.providers.values())
    provider = detour.path.split("/")[1]
    model = wire.ANSWER.partition('"model":"')[2].partition('"')[0]
    assert f'"model":"{model}"'.encode() in wire.post(detour.path, stream=True)
    assert [target.provider for target in config.stand_ins[provider, model]] == ["spare"]


def test_every_peer_has_its_file() -> None:
    assert all((CONFIGS / peer.config).is_file() for peer in PEERS)
