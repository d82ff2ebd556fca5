"""`/openapi.json` against the process that serves it: schemathesis asks for whatever the document allows, and for more.

The stream of events never ends, so it is left to tests of its own.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from proxy.fake import FakeProvider
from tests.e2e.pairs import TOKEN
from tests.e2e.stored import ask
from tests.e2e.world import Detour, detour, lab

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

CONFIG = Path(__file__).with_name("schemathesis.toml")
ENDLESS = "/v1/events"
TIME = 200.0
"""Seconds for a run on a machine that is slow; a quarter of a minute for both is usual."""


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Detour]:
    """A process that has something to tell: a provider that answers, and one that does not."""
    folder = tmp_path_factory.mktemp("openapi")
    async with FakeProvider() as fake:
        config = lab(
            fake.url,
            admin={"token": TOKEN},
            breakers={},
            models={"listed": {"targets": ["openai/ok", "anthropic/ok"]}},
        )
        async with detour(config, path=folder / "detour.yaml") as process:
            await ask(process, "ok", times=10)
            await ask(process, "ok", "anthropic", times=5)
            await ask(process, "status-503", times=12)
            yield process


async def schemathesis(folder: Path, running: Detour, *more: str) -> str:
    """Run it, and give back what it says; it has to find nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *(f"{running.admin}/openapi.json", "--exclude-path", ENDLESS, "--no-color", "--warnings", "off"),
        *("--generation-deterministic", "--suppress-health-check", "all", *more),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIME)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = out.decode()
    assert process.returncode == 0, told
    return told


async def test_the_document_of_a_process_is_openapi_3_1(running: Detour) -> None:
    status, found = await running.get("/openapi.json")
    assert status == 200
    OpenAPIV31SpecValidator(found).validate()


async def test_what_anybody_may_read(tmp_path: Path, running: Detour) -> None:
    told = await schemathesis(tmp_path, running, "--include-method", "GET", "--phases", "coverage,fuzzing", "-n", "20")
    assert "No issues found" in told


async def test_everything_with_the_token(tmp_path: Path, running: Detour) -> None:
    """Whatever is opened, reset, silenced and removed meanwhile, answers stay as they are described."""
    header = f"Authorization: Bearer {TOKEN}"
    told = await schemathesis(
        tmp_path, running, "--header", header, "--phases", "coverage,fuzzing,stateful", "-n", "20"
    )
    assert "No issues found" in told
    assert not running.complaints
