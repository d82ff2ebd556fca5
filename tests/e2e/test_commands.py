"""The commands of config.md as processes: what they print, where, and how they exit."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.world import PATIENCE, ROOT, client, environment, eventually, post

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROVIDERS = 39
"""Providers in the catalog."""


async def command(*arguments: str, env: dict[str, str] | None = None, cwd: Path = ROOT) -> tuple[int, str, str]:
    """Run a command to its end: (exit status, standard output, standard error)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.cli",
        *arguments,
        cwd=cwd,
        env=environment({"PYTHONPATH": str(ROOT)} | (env or {})),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


def written(folder: Path, document: Any) -> str:
    path = folder / "detour.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


BAD = {
    "listen": "nowhere",
    "timeouts": {"idle": "soon", "idel": "3s"},
    "providers": {"groq": {}, "lab": {"base_url": "ftp://x", "api_key": "${NOT_SET_ANYWHERE}"}},
    "models": {"m": {"targets": ["grok/llama"]}},
}


@pytest.mark.parametrize(
    "verb", [["serve"], ["check"], ["check", "--json"], ["audit-keys"], ["healthcheck"], []], ids=" ".join
)
async def test_every_command_lists_all_mistakes_of_a_bad_file_and_exits_1(tmp_path: Path, verb: list[str]) -> None:
    code, out, err = await command(*verb, "-c", written(tmp_path, BAD))
    assert (code, out) == (1, "")
    for path in ("listen", "timeouts.idle", "timeouts.idel", "providers.lab", "models.m.targets[0]"):
        assert f"  {path}" in err
    assert "NOT_SET_ANYWHERE" in err
    assert 'did you mean "groq"?' in err


async def test_a_file_that_is_not_there_is_a_bad_configuration(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    for given in (["-c", str(missing)], []):
        code, out, err = await command("serve", *given, env={"DETOUR_CONFIG": str(missing)})
        assert (code, out) == (1, "")
        assert "missing.yaml" in err


async def test_a_stop_during_the_start_is_not_lost(tmp_path: Path) -> None:
    """As process 1 of a container it would be ignored, were there no handler yet; here it would kill."""
    pipe = tmp_path / "detour.yaml"
    os.mkfifo(pipe)  # reading the configuration waits for a writer
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy.cli",
        "serve",
        "-c",
        str(pipe),
        cwd=ROOT,
        env=environment({"PYTHONPATH": str(ROOT)}),
    )
    try:
        async with asyncio.timeout(PATIENCE):
            while (writer := opened(pipe)) is None:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
            # A signal just before it begins to read would be looked at after it: it reads, once it sleeps again.
            while not asleep(process.pid):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.01)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        os.close(writer)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def asleep(pid: int) -> bool:
    """Whether a process waits for something (proc(5), the third field of `stat`)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def opened(pipe: Path) -> int | None:
    """The end to write to, once somebody reads the other one."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


async def test_a_hangup_during_the_start_ends_nothing(tmp_path: Path) -> None:
    """Whoever changes the file tells of it, whether the process is that far or not."""
    pipe = tmp_path / "detour.yaml"
    os.mkfifo(pipe)
    given = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--store", "memory:")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy.cli", "serve", "-c", str(pipe), *given, cwd=ROOT, env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        ignored = Path(f"/proc/{process.pid}/status")
        mask = 1 << signal.SIGHUP - 1
        await eventually(lambda: bool(int(re.findall(r"SigIgn:\s*(\w+)", ignored.read_text())[0], 16) & mask))
        process.send_signal(signal.SIGHUP)
        with pipe.open("w") as file:
            file.write("providers: {}\n")
        assert b'"serving"' in await asyncio.wait_for(process.stderr.readline(), PATIENCE)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("flag", ["--listen", "--admin-listen"])
async def test_serve_exits_3_when_a_port_is_taken(flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = "--admin-listen" if flag == "--listen" else "--listen"
        code, out, err = await command("serve", other, "127.0.0.1:0", "--store", "memory:", flag, address)
    assert (code, out) == (3, "")
    (line,) = map(json.loads, err.splitlines())
    assert line["level"] == "error"
    assert address in line["message"]
    assert flag in line["message"]


async def test_a_listen_beyond_loopback_with_a_key_refuses_to_start() -> None:
    key = "sk-never-printed"
    code, out, err = await command("serve", "--listen", "0.0.0.0:0", env={"OPENAI_API_KEY": key})
    assert (code, out) == (1, "")
    assert "client_token: ${DETOUR_CLIENT_TOKEN}" in err
    assert "openai" in err
    assert key not in err


async def test_check_prints_targets_and_who_lacks_a_credential(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {
            "providers": {"groq": {}, "lab": {"base_url": "http://127.0.0.1:9/v1", "api_key": "${LAB_KEY}"}},
            "models": {"llama": {"targets": ["groq/meta/llama-3", "lab/llama"]}},
        },
    )
    code, out, err = await command("check", "-c", path, env={"LAB_KEY": "sk-never-printed"})
    assert (code, err) == (0, "")
    assert re.search(r"llama +by traffic +groq/meta/llama-3 +unconfigured\n", out)
    assert re.search(r"llama +by traffic +lab/llama +ok\n?", out)
    code, text, err = await command("check", "--json", "-c", path, env={"LAB_KEY": "sk-never-printed"})
    assert (code, err) == (0, "")
    found = json.loads(text)
    assert [(row["provider"], row["credential"]) for row in found["providers"]] == [("groq", None), ("lab", "api_key")]
    assert [(row["provider"], row["model"], row["configured"]) for row in found["targets"]] == [
        ("groq", "meta/llama-3", False),
        ("lab", "llama", True),
    ]
    assert "sk-never-printed" not in out + text


async def test_command_line_beats_environment_beats_file(tmp_path: Path) -> None:
    path = written(tmp_path, {"listen": "127.0.0.1:1111", "admin": {"listen": "127.0.0.1:1112"}, "store": "memory:"})

    async def listens(*flags: str, **env: str) -> list[str]:
        code, out, err = await command("check", "--json", *flags, env=env)
        assert (code, err) == (0, "")
        found = json.loads(out)
        return [found["listen"], found["admin"], found["store"]]

    assert await listens() == ["127.0.0.1:8080", "127.0.0.1:9090", "sqlite:///detour.db"]
    assert await listens("-c", path) == ["127.0.0.1:1111", "127.0.0.1:1112", "memory:"]
    env = {"DETOUR_LISTEN": "127.0.0.1:2221", "DETOUR_ADMIN_LISTEN": "127.0.0.1:2222", "DETOUR_CONFIG": path}
    assert await listens(**env) == ["127.0.0.1:2221", "127.0.0.1:2222", "memory:"]
    flags = ["--listen", "127.0.0.1:3331", "--set", "store=sqlite:///other.db"]
    assert await listens(*flags, **env) == ["127.0.0.1:3331", "127.0.0.1:2222", "sqlite:///other.db"]


async def test_schema_describes_what_check_accepts() -> None:
    code, out, err = await command("schema")
    assert (code, err) == (0, "")
    schema = json.loads(out)
    assert {"listen", "admin", "providers", "models", "timeouts", "breakers", "log"} <= schema["properties"].keys()


async def test_audit_keys_says_what_is_set_and_never_the_key(tmp_path: Path) -> None:
    path = written(tmp_path, {"providers": {"groq": {}, "fal": {}}, "models": {"m": {"targets": ["groq/a", "groq/b"]}}})
    key = "sk-never-printed"
    code, out, err = await command("audit-keys", "--json", "-c", path, env={"FAL_API_KEY": key})
    assert (code, err) == (1, "")
    rows = {row["provider"]: row for row in json.loads(out)}
    assert (rows["groq"]["missing"], rows["groq"]["targets"]) == (["GROQ_API_KEY"], 2)
    assert (rows["fal"]["found"], rows["fal"]["missing"]) == ("FAL_API_KEY", [])
    code, text, err = await command("audit-keys", "-c", path, env={"FAL_API_KEY": key, "GROQ_API_KEY": key})
    assert (code, err) == (0, "")
    assert "GROQ_API_KEY" in text
    assert key not in out + text


async def test_version() -> None:
    code, out, err = await command("version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"detour \d+\.\d+\.\d+\S* \((?:interpreted|compiled), Python 3\.\d+\.\d+\)\n", out)


async def test_a_command_nobody_knows_is_refused() -> None:
    code, out, err = await command("sevre")
    assert (code, out) == (2, "")
    assert "serve" in err


async def test_healthcheck_finds_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    code, out, err = await command("healthcheck", "--admin-listen", f"127.0.0.1:{port}")
    assert (code, out) == (1, "")
    assert str(port) in err


async def test_no_command_serves_and_a_terminal_gets_a_banner(tmp_path: Path) -> None:
    """With no file at all, in an empty folder: both URLs on the terminal, the whole catalog behind them."""
    leader, follower = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "proxy.cli", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(ROOT), "GROQ_API_KEY": "sk-never-printed"}),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = bytearray()
    loop = asyncio.get_running_loop()
    loop.add_reader(leader, lambda: shown.extend(_read(leader)))
    try:
        await eventually(lambda: b"Ctrl-C" in shown)
        urls = re.findall(r"http://127\.0\.0\.1:(\d+)", shown.decode())
        proxy, admin = int(urls[0]), int(urls[2])
        assert f"{PROVIDERS} providers, 1 with a credential" in shown.decode()
        async with client(admin) as peer:
            await peer.send(b"GET /health/gateways HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            body = json.loads((await peer.rest()).partition(b"\r\n\r\n")[2])
        assert len(body["data"]) == PROVIDERS
        async with client(proxy) as peer:
            await peer.send(post("/openai/v1/chat/completions", b"{}"))
            answer = await peer.rest()
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"OPENAI_API_KEY" in answer
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
    finally:
        loop.remove_reader(leader)
        shown.extend(_read(leader))
        os.close(leader)
        if process.returncode is None:
            process.kill()
    text = shown.decode()
    assert '{"time"' not in text
    assert "sk-never-printed" not in text
    assert sorted(os.listdir(tmp_path)) == ["detour.db", "detour.db-lock"]  # health is kept where it ran


def _read(leader: int) -> bytes:
    """What the terminal shows; nothing once its other end is closed."""
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""
