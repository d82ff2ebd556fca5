from __future__ import annotations

import time
from pathlib import Path

import pytest

from breaker.outcome import Status
from healthapi import offline
from healthapi.store import StoreError
from tests.healthapi.sidecar import Sidecar, sidecar
from tests.redis_server import redis_server

MONTH = 30 * 86400.0


async def filled(store: str) -> Sidecar:
    async with sidecar(store) as one:
        one.attempt(model="fine")
        one.attempt(model="old", at=time.time() - 2 * MONTH)
        for _ in range(10):
            one.attempt(Status.ERROR, model="dead")
    return one


async def cleaned(one: Sidecar) -> None:
    listed = await offline.clean_up(one.config, MONTH, "cleaner", live=False)
    assert {row["model"]: row["reason"] for row in listed["models"]} == {"old": "unused", "dead": "always_failing"}
    assert (listed["live"], listed["removed"]) == (False, 0)
    done = await offline.clean_up(one.config, MONTH, "cleaner", live=True)
    assert (done["live"], done["total"], done["removed"]) == (True, 2, 2)
    again = await offline.clean_up(one.config, MONTH, "cleaner", live=False)
    assert again["models"] == []


async def test_a_file_is_cleaned_up_without_a_sidecar(tmp_path: Path) -> None:
    one = await filled(f"sqlite:///{tmp_path / 'detour.db'}")
    await cleaned(one)


async def test_a_fleets_store_is_too(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        one = await filled(f"redis://{server.address}")
        await cleaned(one)


async def test_a_file_that_a_sidecar_has_is_left_alone(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'detour.db'}"
    async with sidecar(store) as one:
        with pytest.raises(StoreError, match="in use"):
            await offline.clean_up(one.config, MONTH, "cleaner", live=True)


async def test_a_store_that_is_away_is_an_error(tmp_path: Path) -> None:
    one = Sidecar("redis://127.0.0.1:9")
    with pytest.raises(StoreError, match="refused"):
        await offline.clean_up(one.config, MONTH, "cleaner", live=True)
