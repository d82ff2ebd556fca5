"""A 429 where nothing is blocked (`breakers.mode: observe` or `off`): what the provider said is kept to there too."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from proxy.fake import FakeProvider
from tests.e2e.world import client, detour, post, split


@pytest.mark.parametrize("mode", ["enforce", "observe", "off"])
async def test_a_limited_target_is_not_asked_again_before_its_time(mode: str, tmp_path: Path) -> None:
    async with FakeProvider() as fake:
        fake.models["later"] = "rate-limit-30"
        fake.models["soon"] = "once@fault=rate-limit-1"
        config = {"breakers": {"mode": mode}, "providers": {"lab": {"base_url": f"{fake.url}/v1", "api_key": "sk-lab"}}}
        async with detour(config, path=tmp_path / "detour.yaml") as running:
            for model, status, attempts in [("later", 429, 1), ("soon", 200, 2)]:
                async with client(running.port) as peer:
                    await peer.send(post("/lab/v1/chat/completions", json.dumps({"model": model}).encode()))
                    assert split(await peer.rest())[0] == status
                seen = [one for one in fake.log if json.loads(one.body)["model"] == model]
                assert len(seen) == attempts
                assert all(later.at - one.at >= 0.9 for one, later in pairwise(seen))
