"""The command line, as functions; as processes it is in tests/e2e."""

from __future__ import annotations

import http.server
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.compiled import build
from config.effective import Config
from config.source import Source
from proxy import app, cli, log
from proxy.version import version


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DETOUR_") or name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What `serve` was given; it ends with status 7."""
    found: list[Config] = []

    def run(config: Config, source: Source) -> int:
        assert source.load() == config
        found.append(config)
        return 7

    monkeypatch.setattr(app, "run", run)
    monkeypatch.setattr(log, "set_up", lambda settings: None)
    return found


# -- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [["serve"], []])
def test_serving_is_the_default(served: list[Config], command: list[str]) -> None:
    assert cli.main([*command, "--listen", "127.0.0.1:1234", "--log-level", "debug"]) == 7
    (config,) = served
    assert str(config.settings.listen) == "127.0.0.1:1234"
    assert config.settings.log.level == "debug"


def test_arguments_of_the_process(served: list[Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["detour", "--admin-listen", "127.0.0.1:9"])
    assert cli.main() == 7
    assert str(served[0].settings.admin.listen) == "127.0.0.1:9"


def test_an_option_before_the_command_counts(served: list[Config]) -> None:
    assert cli.main(["--listen", "127.0.0.1:1", "serve"]) == 7
    assert cli.main(["--listen", "127.0.0.1:1", "serve", "--listen", "127.0.0.1:2"]) == 7
    assert [config.settings.listen.port for config in served] == [1, 2]


def test_any_setting_by_its_path(served: list[Config]) -> None:
    given = ["--set", "timeouts.idle=7s", "--set", " limits.connections =3", "--set", "log.level=error"]
    assert cli.main([*given, "--store", "memory:"]) == 7
    settings = served[0].settings
    assert (settings.timeouts.idle, settings.limits.connections, settings.log.level) == (7.0, 3, "error")


def test_a_setting_without_a_value() -> None:
    with pytest.raises(SystemExit, match=r"--set wants KEY=VALUE, and there is no"):
        cli.main(["--set", "timeouts.idle"])


def test_the_file_is_named_by_option_or_environment(
    served: list[Config], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, port in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(f"listen: 127.0.0.1:{port}\n")
    monkeypatch.setenv("DETOUR_CONFIG", str(tmp_path / "a"))
    cli.main([])
    cli.main(["-c", str(tmp_path / "b")])
    assert [config.settings.listen.port for config in served] == [1, 2]


def test_mistakes_are_listed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "detour.yaml"
    file.write_text("lisen: x\ntimeouts: {idle: soon}\n")
    assert cli.main(["check", "-c", str(file)]) == cli.BAD_CONFIG
    captured = capsys.readouterr()
    assert captured.out == ""
    first, *rest = captured.err.splitlines()
    assert first == f"{file} cannot be used:"
    assert len(rest) == 2
    assert cli.main(["check", "--set", "timeouts.idle=soon"]) == cli.BAD_CONFIG
    assert capsys.readouterr().err.startswith("the configuration cannot be used:\n  ")


def test_a_reader_that_leaves_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)

        def run(arguments: object) -> int:
            raise BrokenPipeError

        monkeypatch.setattr(cli, "_version", run)
        assert cli.main(["version"]) == cli.FAILED
        print("into nothing", file=pipe, flush=True)


# -- commands ---------------------------------------------------------------------------------------------------------


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check"]) == 0
    assert "openai" in capsys.readouterr().out
    assert cli.main(["check", "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert "listen" in json.loads(capsys.readouterr().out)["properties"]


def test_audit(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "detour.yaml"
    file.write_text("providers: {openai: {}}\nmodels: {m: {targets: [openai/gpt]}}\n")
    assert cli.main(["audit-keys", "-c", str(file)]) == cli.FAILED
    assert "OPENAI_API_KEY" in capsys.readouterr().out
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert cli.main(["audit-keys", "-c", str(file), "--json"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)
    assert "sk-very-secret" not in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    python = ".".join(str(part) for part in sys.version_info[:3])
    assert capsys.readouterr().out == f"detour {version()} ({build()}, Python {python})\n"


def test_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    from proxy import demo

    asked: list[Any] = []
    monkeypatch.setattr(demo, "run", lambda seconds: asked.append(seconds) or 0)
    assert cli.main(["demo"]) == 0
    assert cli.main(["demo", "--seconds", "2.5"]) == 0
    assert asked == [None, 2.5]


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "audit-keys" in script
    assert "admin-listen" in script or shell == "tcsh", "which completes commands alone"
    binary = shutil.which(shell)
    if binary is not None:
        checked = subprocess.run([binary, "-n"], input=script, capture_output=True, text=True, timeout=20, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["nonsense"], ["demo", "--seconds", "soon"], ["completion", "fish"], ["--nope"]])
def test_what_argparse_refuses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: detour" in capsys.readouterr().err


# -- healthcheck ------------------------------------------------------------------------------------------------------


class Ready(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        assert self.path == "/readyz"
        body = b"ready\xff\n"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def admin() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Ready) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
@pytest.mark.parametrize("host", ["127.0.0.1", "", "0.0.0.0"])
def test_healthcheck(
    admin: int, host: str, status: int, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ready, "status", status)
    monkeypatch.setenv("DETOUR_ADMIN_TOKEN", "t")
    assert cli.main(["healthcheck", "--admin-listen", f"{host}:{admin}"]) == code, capsys.readouterr().err
    assert capsys.readouterr().out == "ready\ufffd\n"


def test_healthcheck_of_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["healthcheck", "--admin-listen", "[::1]:1"]) == cli.FAILED
    assert capsys.readouterr().err.startswith("not ready: no answer on [::1]:1: ")


def test_healthcheck_of_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()

        def answer() -> None:
            accepted, _ = sock.accept()
            with accepted:
                accepted.recv(4096)
                accepted.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert cli.main(["healthcheck", "--admin-listen", f"127.0.0.1:{sock.getsockname()[1]}"]) == cli.FAILED
        thread.join()
    assert capsys.readouterr().err.startswith("not ready: ")


def test_output_is_json_for_people_too() -> None:
    out = io.StringIO()
    print(cli._as_json({"a": [1]}), file=out)
    assert out.getvalue() == '{\n  "a": [\n    1\n  ]\n}\n'
