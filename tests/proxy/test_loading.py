"""What is loaded when: a start is quick by what it leaves for later, and a command by what it leaves out."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LATER = {
    "aiohttp", "aiosmtplib", "csv", "difflib", "healthapi.alerts.desk", "healthapi.app", "healthapi.exposition",
    "healthapi.fleet.fleet", "healthapi.slabook", "healthapi.table", "healthapi.views", "http.client",
    "importlib.metadata", "importlib.resources", "prometheus_client", "redis", "sentry_sdk", "shtab", "smtplib", "yaml",
    "zipfile",
}  # fmt: skip
"""What no request needs: nothing of it is loaded before requests are served."""

NEVER = {"aiohttp", "asyncio", "breaker", "healthapi", "prometheus_client", "pybreaker", "redis", "sqlite3", "uvloop"}
"""What a command has no business with that serves nothing."""

SERVE = """
import sys
from proxy import app, cli

async def instead(self, sockets):
    print(*sys.modules)
    raise SystemExit

app.App._open_office = instead
cli.main(sys.argv[1:])
"""
"""Serves, tells what is loaded when requests are served, and ends instead of opening the admin port."""

COMMAND = """
import sys
from proxy import cli

try:
    cli.main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""

USUAL = ("serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without settings and keys of ours."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("DETOUR_", "COVERAGE_"))}
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def served(*arguments: str) -> set[str]:
    done = run(SERVE, *USUAL, *arguments)
    loaded = set(done.stdout.split())
    assert {"uvloop", "proxy.plane", "healthapi.keeper", "sqlite3"} <= loaded, done.stderr
    return loaded


def test_these_modules_exist() -> None:
    assert [name for name in LATER | NEVER if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
def test_requests_are_served_before_anything_else_is_loaded(tmp_path: Path, store: str) -> None:
    url = store if store == "memory:" else f"sqlite:///{tmp_path}/health.db"
    assert served("--store", url) & LATER == set()


def test_what_is_configured_is_loaded_at_once(tmp_path: Path) -> None:
    file = tmp_path / "detour.yaml"
    file.write_text(
        "redis: {timeout: 1s}\nalerts: {channels: {ops: {type: email, url: 'smtp://mail.example/?to=a@mail.example'}}}\n"
    )
    loaded = served("-c", str(file), "--store", "redis://127.0.0.1:1/0")
    assert loaded >= {"yaml", "redis", "aiosmtplib"}, "so that what is wrong with it is found out"
    assert "healthapi.app" not in loaded


@pytest.mark.parametrize("arguments", ["version", "--help", "serve --help", "completion bash", "schema", "check"])
def test_a_command_loads_what_it_needs(arguments: str) -> None:
    done = run(COMMAND, *arguments.split())
    assert done.stdout
    loaded = set(done.stderr.split())
    assert "proxy.cli" in loaded
    assert loaded & NEVER == set()
