"""`detour cleanup` against an admin port on a real socket, and against a store that nobody has open."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.effective import Config
from proxy import app, cli
from proxy.cleanup import Cleanup, Model, render
from tests.healthapi.admin_world import World

MODELS = [
    {
        "provider": "groq",
        "model": "old",
        "reason": "unused",
        "configured": True,
        "last_called_at": "2026-01-01T00:00:00.000Z",
        "call_count": 7,
        "error_rate": 0.0,
        "added_later": 1,
    },
    {
        "provider": "openrouter",
        "model": "a/b\x1b[31m\n" + "x" * 300,
        "reason": "always_failing",
        "configured": False,
        "last_called_at": "2026-02-01T12:34:56.000Z",
        "call_count": 12,
        "error_rate": 1.0,
    },
    {
        "provider": "openrouter",
        "model": "idle",
        "reason": "never_called",
        "configured": False,
        "last_called_at": None,
        "call_count": 0,
        "error_rate": None,
    },
]
TOKEN = "canary-admin-token-19"


def document(live: bool = False, models: list[dict[str, Any]] = MODELS) -> dict[str, Any]:
    removed = len(models) if live else 0
    return {
        "older_than_seconds": 2592000.0,
        "live": live,
        "total": len(models),
        "removed": removed,
        "models": models,
    }


def refusal(status: int, code: str, message: str = "because") -> tuple[int, bytes]:
    return status, json.dumps({"detail": message, "error": {"code": code, "message": message}}).encode()


class Sidecar(http.server.BaseHTTPRequestHandler):
    """An admin port that knows cleanup."""

    asked: list[tuple[str, str, str | None]]
    answer: tuple[int, bytes] | None

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        type(self).asked.append((self.command, self.path, self.headers.get("Authorization")))
        status, body = self.answer or (200, json.dumps(document(self.command == "POST")).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DETOUR_") or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)
    Sidecar.asked, Sidecar.answer = [], None


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Sidecar) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
    return port


def run(port: int, *arguments: str) -> int:
    return cli.main(["cleanup", "--admin-listen", f"127.0.0.1:{port}", *arguments])


def test_what_would_go_is_a_table(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(port) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["PROVIDER", "MODEL", "WHY", "LAST", "CALL", "CALLS", "ERRORS"]
    assert lines[1].split() == ["groq", "old", "unused", "(configured)", "2026-01-01", "00:00", "7", "0", "%"]
    assert "never successful" in lines[2]
    assert lines[2].endswith("2026-02-01 12:34  12     100 %")
    assert lines[3].split() == ["openrouter", "idle", "never", "called", "0"]
    assert lines[-1] == "3 records would go; --live removes them. A target that is called again has a record again."
    assert "\x1b" not in out
    assert max(map(len, lines)) < 200
    assert Sidecar.asked == [("GET", "/v1/model-health/cleanup", None)]


def test_live_removes_with_the_token(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETOUR_ADMIN_TOKEN", TOKEN)
    assert run(port, "--live", "--older-than", "1h30m") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == "removed 3 of 3 records"
    assert TOKEN not in captured.out + captured.err
    assert Sidecar.asked == [("POST", "/v1/model-health/cleanup?older_than=1h30m", f"Bearer {TOKEN}")]


def test_json(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(port, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert {name: told[name] for name in ("live", "total", "removed")} == {"live": False, "total": 3, "removed": 0}
    assert told["models"][1]["model"] == MODELS[1]["model"]


def test_nothing_to_do(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    Sidecar.answer = 200, json.dumps(document(models=[])).encode()
    assert run(port) == 0
    expected = "nothing to remove: every record was called in the last 30d, and no target fails always\n"
    assert capsys.readouterr().out == expected


ADD = 'add the line `admin: {token: "${DETOUR_ADMIN_TOKEN}"}` to the file'


@pytest.mark.parametrize(
    ("answer", "token", "said"),
    [
        (refusal(403, "token_not_configured"), "", ADD),
        (refusal(403, "token_not_configured"), TOKEN, ADD),
        (refusal(401, "token_missing"), "", ADD),
        (refusal(401, "token_wrong"), TOKEN, "has another admin.token than this configuration"),
        (refusal(403, "unknown_host", "add it to hosts"), TOKEN, "answered 403: add it to hosts"),
        (refusal(503, "store_unavailable", "later\n\x1b[0m"), "", "answered 503: later\ufffd\ufffd[0m"),
        (refusal(404, "unknown_path"), "", "is not a Detour that knows of cleanup"),
        ((200, b"<html>"), "", "is not a Detour that knows of cleanup"),
        ((200, b'{"total": 3}'), "", "is not a Detour that knows of cleanup"),
        ((200, b'{"total": "\xff"}'), "", "is not a Detour that knows of cleanup"),
        ((500, b"\xff"), "", "answered 500: no reason given"),
        ((500, b'{"error": 7}'), "", "answered 500: no reason given"),
    ],
)
@pytest.mark.parametrize("live", [[], ["--live"]])
def test_what_is_refused_says_what_to_do(
    port: int,
    answer: tuple[int, bytes],
    token: str,
    said: str,
    live: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DETOUR_ADMIN_TOKEN", token)
    Sidecar.answer = answer
    assert run(port, *live) == cli.FAILED
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("nothing was cleaned up: ")
    assert said in captured.err
    assert f"127.0.0.1:{port}" in captured.err
    assert captured.err.count("\n") == 1
    assert TOKEN not in captured.err


@pytest.mark.parametrize("age", ["30", "soon", "0", "", "7d&live=1", "400d"])
def test_an_age_that_is_none_is_asked_of_nobody(port: int, age: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(port, "--older-than", age) == cli.FAILED
    assert capsys.readouterr().err.startswith("nothing was cleaned up: --older-than: ")
    assert Sidecar.asked == []


def test_somebody_who_says_nothing_keeps_his_store(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]

        def hang_up() -> None:
            sock.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert run(port, "--store", f"sqlite:///{tmp_path}/detour.db") == cli.FAILED
        thread.join()
    assert capsys.readouterr().err.startswith(f"nothing was cleaned up: no answer on 127.0.0.1:{port}: ")
    assert list(tmp_path.iterdir()) == []


# -- without a sidecar -----------------------------------------------------------------------------------------------


def test_memory_ends_with_its_process(nobody: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(nobody, "--store", "memory:") == cli.FAILED
    said = f"nothing listens on 127.0.0.1:{nobody} (admin.listen), and memory: ends with its process"
    assert capsys.readouterr().err == f"nothing was cleaned up: {said}\n"


@pytest.mark.parametrize(
    ("arguments", "age", "live"),
    [
        ([], 30 * 86400.0, False),
        (["--set", "cleanup.older_than=7d", "--live"], 7 * 86400.0, True),
        (["--set", "cleanup.older_than=7d", "--older-than", "1h"], 3600.0, False),
    ],
)
def test_the_store_itself_is_asked_when_nobody_listens(
    nobody: int,
    arguments: list[str],
    age: float,
    live: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.db").touch()
    asked: list[tuple[str, float, bool]] = []

    async def cleanup(config: Config, older_than: float, live: bool) -> dict[str, Any]:
        asked.append((str(config.settings.store), older_than, live))
        return document(live)

    monkeypatch.setattr(app, "cleanup", cleanup)
    assert run(nobody, "--store", "sqlite:///x.db", *arguments) == 0
    assert asked == [("sqlite:///x.db", age, live)]
    assert capsys.readouterr().out.splitlines()[-1].startswith("removed 3 of 3" if live else "3 records would go")


def test_no_file_is_made_only_to_find_it_empty(nobody: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(nobody, "--store", f"sqlite:///{tmp_path}/detour.db") == cli.FAILED
    said = f"nothing listens on 127.0.0.1:{nobody} (admin.listen), and there is no file {tmp_path}/detour.db (store)"
    assert capsys.readouterr().err == f"nothing was cleaned up: {said}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_store_itself_is_cleaned_up(nobody: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--store", f"sqlite:///{tmp_path}/detour.db", "--json", "--older-than", "1d"]
    asyncio.run(_kept(str(tmp_path / "detour.db")))
    told = []
    for live in ([], ["--live"], []):
        assert run(nobody, *arguments, *live) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert [(done["live"], done["total"], done["removed"]) for done in told] == [
        (False, 1, 0),
        (True, 1, 1),
        (False, 0, 0),
    ]
    assert [(row["model"], row["reason"], row["call_count"]) for row in told[0]["models"]] == [("old/m", "unused", 1)]


async def _kept(file: str) -> None:
    """A store in which one model was called just now and one a month ago."""
    world = World(archive=file)
    world.now = time.time() - 30 * 86400
    world.attempt("groq", "old/m")
    world.now = time.time()
    world.attempt("groq", "new")
    await world.keeper.flush()
    await world.close()


def test_a_store_that_cannot_be_had(nobody: int, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "detour.db"
    file.write_text("this is no database, and much longer than the head of one would be" * 9)
    assert run(nobody, "--store", f"sqlite:///{file}") == cli.FAILED
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert captured.err.startswith("nothing was cleaned up: ")
    assert "this is no database" in file.read_text()


def test_one_record() -> None:
    done = Cleanup(60.0, False, 1, 0, [Model("p", "m", "some_new_reason")])
    assert "some_new_reason" in render(done)
    assert render(done).splitlines()[-1].startswith("1 record would go")
