"""What docs/runbook.md and its neighbours tell whoever is on call to type, typed during an outage."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from proxy.fake import FakeProvider
from tests.docpages import PAGES, commands
from tests.e2e.world import Detour, client, detour, environment, eventually, post, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "admin-token-of-the-tests"
MODEL = "llama-3.3-70b-versatile"
TYPED = {
    page: [line for line in commands(PAGES[f"docs/{page}.md"]) if re.match(r"(?:curl|detour) ", line)]
    for page in ("runbook", "troubleshooting", "upgrading")
}


def silenced(text: str) -> str:
    """The id of the silence that a command began."""
    return str(json.loads(text)["silence"]["id"])


def moves(command: str) -> bool:
    """Whether it moves breakers, which is done last: a reset leaves nothing to be seen."""
    return "-X POST" in command and "circuit-breakers" in command


async def ask(running: Detour, model: str) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of one answer."""
    async with client(running.port) as peer:
        await peer.send(post("/groq/v1/chat/completions", json.dumps({"model": model}).encode()))
        status, fields, _ = split(await peer.rest())
    return status, {name.lower(): value for name, value in fields}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def outage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Detour, Path]]:
    """A Detour of which one provider fails and the other one answers."""
    folder = tmp_path_factory.mktemp("runbook")
    async with FakeProvider() as ill, FakeProvider() as well:
        ill.models[MODEL] = "fail-503"
        config: dict[str, Any] = {
            "admin": {"token": TOKEN},
            "providers": {
                "groq": {"base_url": f"{ill.url}/v1", "api_key": "sk-groq-of-the-tests"},
                "openrouter": {"base_url": f"{well.url}/v1", "api_key": "sk-router-of-the-tests"},
            },
            "models": {"llama-3.3-70b": {"tier": "critical", "targets": [f"groq/{MODEL}", "openrouter/ok"]}},
        }
        store = f"sqlite:///{folder}/detour.db"
        async with detour(config, path=folder / "detour.yaml", more=("--store", store)) as running:
            for model, status in [("rate-limit-60", 429), *[(MODEL, 200)] * 12]:
                assert (await ask(running, model))[0] == status
            await eventually(lambda: any("breaker open" in line["message"] for line in running.lines))
            yield running, folder


async def typed(command: str, running: Detour, folder: Path) -> str:
    """What a command prints; it has to succeed, every part of it, and `curl` to get what it asked for."""
    shell = await asyncio.create_subprocess_exec(
        shutil.which("bash") or "bash",
        "-o",
        "pipefail",
        "-c",
        command.replace("curl -s ", "curl -sf "),
        cwd=folder,
        env=environment(
            {
                "ADMIN": running.admin,
                "AUTH": f"Authorization: Bearer {TOKEN}",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }
        ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(shell.communicate(), 60)
    assert shell.returncode == 0, (command, shell.returncode, said.decode(), complained.decode())
    assert said.strip(), command
    return said.decode()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", TYPED)
async def test_every_command_does_something(page: str, outage: tuple[Detour, Path]) -> None:
    assert TYPED[page]
    identity = ""
    for command in sorted(TYPED[page], key=moves):
        if "-X DELETE" in command:
            command = re.sub(r"(?<=/silences/)\w+", identity, command)
        said = await typed(command, *outage)
        if "/v1/alerts/silences" in command and "-X POST" in command:
            identity = silenced(said)


async def test_the_way_back_is_seen(outage: tuple[Detour, Path]) -> None:
    """The three lines for plain forwarding, taken over without a restart: each answer is the provider's own."""
    running, folder = outage
    (lines,) = (block for block in re.findall(r"```yaml\n(.*?)```", PAGES["docs/runbook.md"], re.DOTALL))
    file = folder / "detour.yaml"
    before = file.read_text()
    file.write_text(before + lines)
    await eventually(lambda: any("read again: " in line["message"] for line in running.lines))
    (told,) = (line["message"] for line in running.lines if "read again: " in line["message"])
    assert told == "configuration read again: breakers.mode, routing.enabled, retries.max_attempts"
    for _ in range(12):
        status, found = await ask(running, MODEL)
        assert (status, found[b"x-detour-provider"], found[b"x-detour-attempts"]) == (503, b"groq", b"1")
        assert b"x-detour-rerouted-from" not in found
    listed = await typed(next(line for line in TYPED["runbook"] if "cut -d, -f1,6,7" in line), running, folder)
    assert listed.splitlines()[0] == "name,mode,state"
    assert all(row.split(",")[1] == "observe" for row in listed.splitlines()[1:])
