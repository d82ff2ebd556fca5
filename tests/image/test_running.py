"""The image at work, with nothing allowed: it serves, keeps its store in the volume, and stops when told to."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable

import pytest

from tests.image.boxes import LONGEST, Box

TOKEN = "token-of-the-check"
ENV = {
    "DETOUR_ADMIN_TOKEN": TOKEN,
    "DETOUR_PROBES_ENABLED": "false",
    "DETOUR_PROVIDERS_LAB_BASE_URL": "http://127.0.0.1:18000/v1",
    "DETOUR_PROVIDERS_LAB_DIALECT": "openai",
}

EXCHANGE = """
import asyncio, json, urllib.request
from proxy.fake import FakeProvider

def post():
    body = json.dumps({"model": "ok", "messages": [{"role": "user", "content": "hello"}]}).encode()
    head = {"Authorization": "Bearer of-the-check", "Content-Type": "application/json"}
    request = urllib.request.Request("http://127.0.0.1:8080/lab/v1/chat/completions", body, head)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, json.load(answer)["object"]

async def main():
    async with FakeProvider(port=18000):
        print(json.dumps(await asyncio.to_thread(post)))

asyncio.run(main())
"""

RECORDS = f"""
import json, urllib.request
request = urllib.request.Request("http://127.0.0.1:9090/v1/model-health", headers={{"Authorization": "Bearer {TOKEN}"}})
print(urllib.request.urlopen(request, timeout=20).read().decode())
"""

SELF = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
def refused(path):
    try:
        open(path, "w")
    except OSError as error:
        return error.strerror
places = ["/x", "/etc/detour/detour.yaml", "/opt/detour/x", "/tmp/x"]
print(json.dumps({
    "user": [os.getuid(), os.getgid()], "capabilities": [status["CapEff"], status["CapBnd"]],
    "privileges": status["NoNewPrivs"], "refused": {path: refused(path) for path in places},
    "volume": sorted(os.listdir("/var/lib/detour")),
}))
"""

IMPORTS = """
import importlib, pkgutil, sys
import breaker, config, healthapi, proxy
for package in (config, breaker, healthapi, proxy):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(found.name)
import aiohttp, ctypes, hiredis, redis.asyncio, sqlite3, ssl, uvloop, zoneinfo
print(len(sys.modules), len(ssl.create_default_context().get_ca_certs()))
"""


def until(true: Callable[[], bool], box: Box) -> None:
    deadline = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < deadline, box.said()
        time.sleep(0.2)


def serve(box: Box, **more: str) -> None:
    box.start({**ENV, **more})
    until(lambda: box.run("detour", "healthcheck").returncode == 0, box)


def stop(box: Box) -> None:
    box.signal(signal.SIGTERM)
    assert box.ended() == 0, box.said()


@pytest.fixture
def serving(box: Box) -> Box:
    serve(box)
    return box


def test_it_serves_keeps_its_store_in_the_volume_and_stops_when_told(serving: Box) -> None:
    done = serving.run("python", "-c", EXCHANGE)
    assert done.stdout.splitlines()[-1:] == ['[200, "chat.completion"]'], done.stdout + serving.said()
    stop(serving)
    assert '"stopped"' in serving.said()

    serve(serving)
    records = serving.run("python", "-c", RECORDS)
    assert records.returncode == 0, records.stdout
    assert json.loads(records.stdout)
    assert '"lab"' in records.stdout
    state = json.loads(serving.run("python", "-c", SELF).stdout)
    assert "detour.db" in state["volume"]
    assert all(name.startswith("detour.db") for name in state["volume"])
    stop(serving)
    levels = [json.loads(line)["level"] for line in serving.said().splitlines()]
    assert set(levels) == {"info"}, serving.said()


def test_it_has_no_rights_at_all(serving: Box) -> None:
    done = serving.run("python", "-c", SELF)
    state = json.loads(done.stdout)
    assert state["user"] == [65532, 65532]
    assert int(state["capabilities"][0], 16) == 0
    assert state["privileges"] == "1"
    assert set(state["refused"].values()) == {"Read-only file system"}
    stop(serving)


def test_every_module_finds_its_libraries_and_certificates(serving: Box) -> None:
    done = serving.run("python", "-c", IMPORTS)
    assert done.returncode == 0, done.stdout
    modules, certificates = map(int, done.stdout.split())
    assert modules > 500
    assert certificates > 50
    stop(serving)


def test_health_is_asked_for_from_inside(serving: Box) -> None:
    assert serving.run("detour", "healthcheck").returncode == 0
    elsewhere = serving.run("detour", "healthcheck", "--admin-listen", "127.0.0.1:1")
    assert elsewhere.returncode == 1
    assert "not ready" in elsewhere.stdout
    stop(serving)


def test_nobodys_money_is_offered_to_whoever_reaches_the_port(box: Box) -> None:
    box.start({"GROQ_API_KEY": "gsk-canary-0123456789abcdef"})
    assert box.ended() == 1
    assert "client_token" in box.said()
    assert "canary" not in box.said()


def test_it_still_serves_where_the_volume_is_not_its_own(box: Box) -> None:
    """A volume that somebody else owns is trouble of the store, which touches no traffic."""
    serve(box, DETOUR_STORE="sqlite:////detour.db")
    assert box.run("python", "-c", EXCHANGE).stdout.splitlines()[-1:] == ['[200, "chat.completion"]']
    stop(box)
    assert "store" in box.said()


def test_a_command_of_its_own_can_be_given(box: Box) -> None:
    box.start({}, "version")
    assert box.ended() == 0
    assert box.said().startswith("detour ")
