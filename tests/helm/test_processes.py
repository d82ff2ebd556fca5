"""What the manifests start, started: Detour with its file, the pod of `helm test`, and Redis with its options."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.e2e.test_commands import command
from tests.e2e.world import PATIENCE, client, detour, eventually, split
from tests.helm.chart import NAME, config, container, feature, one, placed
from tests.redis_server import PROGRAM, free_port
from tests.redis_server import eventually as answered

PLAIN = feature("deployment")
ELSEWHERE = ("listen", "store")
"""What the command line says here."""


async def asked(port: int, host: str, path: str = "/readyz") -> int:
    async with client(port) as peer:
        await peer.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        return split(await peer.rest())[0]


def probe(kind: str) -> str:
    return str(container(PLAIN)[f"{kind}Probe"]["httpGet"]["path"])


async def test_probes_and_the_service_are_answered(tmp_path: Path) -> None:
    async with detour(more=("-c", str(placed(PLAIN, tmp_path, *ELSEWHERE)))) as running:
        for kind in ("startup", "liveness", "readiness"):
            assert await asked(running.admin_port, "10.1.2.3:9090", probe(kind)) == 200, "the kubelet asks an address"
        for host in config(PLAIN)["hosts"]:
            assert await asked(running.admin_port, f"{host}:9090", "/metrics") == 200
        assert await asked(running.admin_port, "rebound.example.com:9090", "/metrics") == 403


@pytest.mark.parametrize("name", ["deployment", "tls"])
async def test_the_pod_of_helm_test_tells_ready_from_not(name: str, tmp_path: Path) -> None:
    (tested,) = one(feature(name), "Pod")["spec"]["containers"]
    file = placed(feature(name), tmp_path, *ELSEWHERE)

    def arguments(port: int) -> list[str]:
        names = {"/etc/detour/detour.yaml": str(file), f"{NAME}:9090": f"localhost:{port}"}
        assert set(names) <= set(tested["args"])
        return [names.get(word, word) for word in tested["args"]]

    async with detour(more=("-c", str(file))) as running:
        code, said, wrong = await command(*arguments(running.admin_port))
        assert code == 0, said + wrong
        port = running.admin_port
    code, said, wrong = await command(*arguments(port))
    assert code == 1
    assert "not ready" in said + wrong


@contextlib.contextmanager
def started(arguments: list[str]) -> Iterator[redis.Redis]:
    """A client of the server with these arguments, on a free port of the loopback."""
    assert PROGRAM is not None, "no redis-server on the PATH"
    port = free_port()
    words = [PROGRAM, *arguments, "--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        with contextlib.closing(redis.Redis(port=port, decode_responses=True, socket_timeout=PATIENCE)) as asking:
            answered(asking.ping, "the server answers")
            yield asking
    finally:
        process.terminate()
        process.wait(PATIENCE)


async def test_redis_is_a_store_that_writes_nothing(tmp_path: Path) -> None:
    documents = feature("redis-trial")
    (server,) = one(documents, "Deployment", f"{NAME}-redis")["spec"]["template"]["spec"]["containers"]
    assert server["command"][0] == "redis-server"
    folder = tmp_path / "redis"
    folder.mkdir()
    arguments = [str(folder) if word == "/tmp" else word for word in server["command"][1:]]
    assert str(folder) in arguments
    with started(arguments) as asking:
        assert asking.config_get("save") == {"save": ""}
        store = ("--store", f"redis://127.0.0.1:{asking.connection_pool.connection_kwargs['port']}")
        async with detour(more=("-c", str(placed(documents, tmp_path, *ELSEWHERE)), *store)) as running:
            await eventually(lambda: asking.dbsize() > 0)
            async with asyncio.timeout(PATIENCE):  # a busy machine may be late once
                while await running.metric("detour_store_trouble"):  # noqa: ASYNC110 - another process's event
                    await asyncio.sleep(0.1)
    assert list(folder.iterdir()) == []
