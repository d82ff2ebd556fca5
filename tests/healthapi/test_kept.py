from __future__ import annotations

from pathlib import Path

from healthapi.kept import families, keeping
from tests.healthapi.sidecar import Sidecar, sidecar


def told(one: Sidecar) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in families(keeping(one.keeper))
        for sample in family.samples
    }


async def test_all_is_well() -> None:
    async with sidecar("memory:") as one:
        found = told(one)
        assert (found["detour_store_trouble"], found["detour_store_waiting"]) == (0, 0)
        assert found["detour_store_flushes_totalok"] >= 1
        assert found["detour_store_flushes_totalfailed"] == 0
        assert found["detour_store_flush_seconds"] >= 0


async def test_trouble_shows_and_so_does_what_waits(tmp_path: Path) -> None:
    one = Sidecar(f"sqlite:///{tmp_path / 'missing' / 'detour.db'}")
    await one.keeper.start()
    one.attempt()
    await one.keeper.flush()
    found = told(one)
    assert (found["detour_store_trouble"], found["detour_store_flushes_totalok"]) == (1, 0)
    assert found["detour_store_waiting"] == 1
    assert found["detour_store_flushes_totalfailed"] >= 2
    await one.keeper.stop()
