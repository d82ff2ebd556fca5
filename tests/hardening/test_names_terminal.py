"""What the commands print never gives orders to a terminal: whatever a file, a variable or another process says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.test_commands import command
from tests.hardening.hostile_names import SHOWN, UNSHOWN, harmful

EVIL = "".join(text for text in UNSHOWN if "\ud800" not in text and len(text) < 100)


def models(name: str) -> list[dict[str, Any]]:
    return [
        {"provider": name, "model": name, "reason": name, "last_called_at": name, "call_count": 7, "error_rate": 0.5}
    ]


ANSWERS: dict[str, Any] = {
    "/readyz": {"status": EVIL, "checks": {EVIL: EVIL}},
    "/v1/providers": {"providers": [{"name": "openai", "key": {"state": "refused", "at": EVIL, "http_status": 401}}]},
    "/v1/model-health/cleanup": {
        "older_than_seconds": 1.0, "live": False, "total": 1, "removed": 0, "models": models(EVIL)
    },
}  # fmt: skip


@contextlib.asynccontextmanager
async def impostor(kind: str) -> AsyncIterator[int]:
    """Something that listens where a sidecar should, and says what it likes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ")[1].decode().partition("?")[0]
            evil = EVIL.encode("utf-8", "replace")
            body = json.dumps(ANSWERS.get(path, {}), ensure_ascii=False).encode()
            error = json.dumps({"error": {"code": EVIL, "message": EVIL}}).encode()
            told = {
                "well": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
                "raw": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(evil), evil),
                "no": b"HTTP/1.1 503 Not now\r\nContent-Length: %d\r\n\r\n%b" % (len(error), error),
                "status": b"HTTP/1.1 \x1b[31m\x9b31m\r\n\r\n",
                "line": b"\x1b[2J\x1b]0;t\x07\xc2\x9b31m\r\n\r\n",
                "field": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x1b[2J\r\nContent-Length: \x1b[2J\r\n\r\n",
                "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[2J\r\n",
            }
            writer.write(told[kind])
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("kind", ["well", "raw", "no", "status", "line", "field", "chunk"])
async def test_an_impostor_on_the_admin_port(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "detour.yaml"
    file.write_text(yaml.safe_dump({"store": "memory:", "providers": {"openai": {"api_key": "sk-x"}}}))
    async with impostor(kind) as port:
        more = ("-c", str(file), "--admin-listen", f"127.0.0.1:{port}")
        ran = await asyncio.gather(
            command("healthcheck", *more),
            command("audit-keys", *more),
            command("cleanup", *more),
            command("cleanup", "--json", *more),
        )
    for status, out, err in ran:
        assert out or err
        assert not harmful(out + err)
        assert status in (0, 1)


@pytest.mark.parametrize("arguments", [["check"], ["check", "--json"], ["audit-keys"], ["audit-keys", "--json"]])
async def test_a_file_of_good_names(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "detour.yaml"
    target = {name: f"groq/{name[:250]}".replace("$", "$$") for name in SHOWN}
    groups = {name: {"targets": [target[name]]} for name in SHOWN}
    file.write_text(yaml.safe_dump({"models": groups, "store": "sqlite:///\x9b31m.db"}, allow_unicode=False))
    status, out, err = await command(*arguments, "-c", str(file), env={"GROQ_API_KEY": "sk-x"})
    assert (status, err) == (0, "")
    assert not harmful(out)
    if arguments == ["check", "--json"]:
        assert [row["group"] for row in json.loads(out)["targets"]] == sorted(SHOWN)


@pytest.mark.parametrize("command_", ["serve", "check", "audit-keys", "cleanup", "healthcheck"])
async def test_a_file_of_bad_names(command_: str, tmp_path: Path) -> None:
    """In keys, values, names of files, and in what is not YAML at all."""
    names = [name for name in UNSHOWN if "\ud800" not in name]
    tree = {
        **dict.fromkeys(names, "x"),
        "listen": names[2],
        "store": "sqlite:" + names[2],
        "hosts": names,
        "models": {name: {"tier": name, "targets": [name, f"groq/{name}"]} for name in names},
        "providers": {name: {"api_key": "${file:/nowhere/" + names[2] + "}", names[2]: {}} for name in names},
        "tls": {"cert": f"/nowhere/{names[7]}"},
    }
    file = tmp_path / "\x1b[31m\u202e.yaml"
    for text in (yaml.safe_dump(tree), yaml.safe_dump(tree, allow_unicode=True), f"a: [\n{names[7]}", names[2]):
        file.write_text(text)
        status, out, err = await command(command_, "-c", str(file))
        assert (status, out) == (1, "")
        assert "cannot be used" in err
        assert not harmful(err)


async def test_variables_of_bad_names(tmp_path: Path) -> None:
    names = {f"DETOUR_{name}": "x" for name in UNSHOWN if "\0" not in name and len(name) < 100 and "\ud800" not in name}
    status, out, err = await command("check", env={**names, "DETOUR_STORE": "memory:"})
    assert (status, err) == (0, "")
    assert "names no setting" in out
    assert not harmful(out)
    for value in UNSHOWN:
        if "\0" not in value:
            name = {"DETOUR_LISTEN": value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")}
            status, out, err = await command("check", env=name)
            assert status == 1
            assert not harmful(err)
