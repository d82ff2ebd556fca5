"""Sidecars that send probes, and what the scripted provider saw of them."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from proxy.fake import FakeProvider, Seen
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import sidecar
from tests.e2e.world import Detour

KEY = "sk-canary-configured-0123456789abcdef"
PROBES = {"DETOUR_PROBES_ENABLED": "true"}
"""What has to be in the environment of a process of these tests, whose others send none."""

QUICK = {"pause": "100ms", "failing": "1s"}


def config(url: str, models: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A configuration with one provider, `acme`; `models` are the groups."""
    provider: dict[str, Any] = {"base_url": f"{url}/acme/v1", "dialect": "openai", "api_key": KEY}
    provider |= sections.pop("provider", {})
    return {
        "log": {"format": "json"},
        "admin": {"token": TOKEN},
        "retries": {"max_attempts": 1},
        "providers": {"acme": provider},
        "models": models,
        "probes": QUICK,
    } | sections


def group(*models: str, tier: str | None = None, **probe: Any) -> dict[str, Any]:
    """A group of `acme`'s models, each with these settings of its probes."""
    targets = [{"target": f"acme/{model}"} | ({"probe": probe} if probe else {}) for model in models]
    return {"targets": targets} | ({"tier": tier} if tier else {})


@contextlib.asynccontextmanager
async def probing(folder: Path, made: dict[str, Any]) -> AsyncIterator[Detour]:
    """One sidecar with `folder` for its working directory, where its health is kept."""
    (folder / "detour.yaml").write_text(yaml.safe_dump(made))
    async with sidecar(folder, made, env=PROBES) as running:
        yield running


def probes(fake: FakeProvider, model: str | None = None) -> list[Seen]:
    """The probes that came, of one model or of all."""
    return [one for one in fake.log if one.header(b"user-agent") == b"detour" and model in (None, one.model)]


def others(fake: FakeProvider, model: str | None = None) -> list[Seen]:
    """The requests of users that came."""
    return [one for one in fake.log if one.header(b"user-agent") != b"detour" and model in (None, one.model)]


def asked(one: Seen) -> Any:
    """What a request asked for."""
    return json.loads(one.body)


def gaps(seen: list[Seen]) -> list[float]:
    """Seconds between requests, each from the end of one to the beginning of the next."""
    return [later.at - (one.ended_at or one.at) for one, later in itertools.pairwise(seen)]
