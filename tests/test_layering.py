"""Imports run one way: config <- breaker <- healthapi, proxy on top; only three files wire healthapi in.

Every import counts, wherever it stands: inside a function, under TYPE_CHECKING, or by name through importlib.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT = {
    "config": {"config"},
    "breaker": {"config", "breaker"},
    "healthapi": {"config", "breaker", "healthapi"},
    "proxy": {"config", "breaker", "proxy"},
}
"""Of our own packages; everything else of ours, tests and bench too, stays out."""

WIRING = {"proxy/app.py", "proxy/assembly.py", "proxy/office.py"}
"""The composition root, the story of the process and what it is made of: the only files of proxy that may import
healthapi."""

BESIDE = {"tests", "bench", "hatch_build.py"}
"""What has Python in it and is no package of the product: two folders, and how a wheel is built."""

NEVER = {
    "config": {"aiohttp", "redis"},
    "breaker": {"aiohttp", "httptools", "http"},
    "healthapi": {"httptools"},
    "proxy": {"sqlite3", "redis", "pybreaker"},
}
"""What a package has no business with: no HTTP where judging is done, no SQL or Redis where traffic flows."""

FILES = sorted(path.relative_to(ROOT).as_posix() for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


def imported(name: str, source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of all that the file `name` imports."""
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, found) for found in _from(name, node))
        elif isinstance(node, ast.Call) and (found := _by_name(node)):
            yield node.lineno, found


def _from(name: str, node: ast.ImportFrom) -> list[str]:
    """`from . import x` names modules below the folder of the file, `from .. import x` one further up."""
    if not node.level:
        return [node.module or ""]
    folder = name.split("/")[:-1]
    base = folder[: len(folder) - node.level + 1]
    if node.module:
        return [".".join([*base, node.module])]
    return [".".join([*base, alias.name]) for alias in node.names]


def _by_name(node: ast.Call) -> str | None:
    """The module that `__import__("x")`, `import_module("x")` or `importlib.import_module("x")` asks for."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    if called in {"__import__", "import_module"} and isinstance(first, ast.Constant) and isinstance(first.value, str):
        return first.value
    return None


def offences(name: str, source: str) -> list[str]:
    """One line for each import that the file `name` (relative to the project) must not have."""
    package = name.partition("/")[0]
    allowed = MAY_IMPORT[package] | ({"healthapi"} if name in WIRING else set())
    found = []
    for line, module in sorted(imported(name, source)):
        top = module.partition(".")[0]
        if top in (MAY_IMPORT.keys() | BESIDE) - allowed:
            found.append(f"{name}:{line}: {module}: {package} imports only {', '.join(sorted(allowed))} of ours")
        elif top in NEVER[package]:
            found.append(f"{name}:{line}: {module}: {package} never imports {top}")
    return found


def packages(files: list[str]) -> set[str]:
    """Top-level packages and modules among these Python files, hidden folders and build results left out."""
    tops = {file.partition("/")[0] for file in files if not file.startswith(".")}
    return tops - BESIDE - {"build", "dist"}


def test_there_is_something_to_look_at() -> None:
    assert {name.partition("/")[0] for name in FILES} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", FILES)
def test_imports_run_one_way(name: str) -> None:
    found = offences(name, (ROOT / name).read_text(encoding="utf-8"))
    assert not found, "\n".join(found)


def test_the_data_plane_does_without_aiohttp() -> None:
    """It takes long to import, and nothing of it is on the way of a request."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, proxy.plane; print(*sys.modules)"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    assert "proxy.client" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.partition(".")[0] == "aiohttp"]


def test_there_is_no_fifth_package() -> None:
    files = [path.relative_to(ROOT).as_posix() for pattern in ("*.py", "*/*.py") for path in ROOT.glob(pattern)]
    assert packages(files) == set(MAY_IMPORT), "code lives in config, breaker, healthapi and proxy alone"


@pytest.mark.parametrize(
    ("name", "source", "line", "what"),
    [
        ("config/x.py", "import os\nimport breaker", 2, "breaker"),
        ("config/x.py", "import aiohttp.web", 1, "aiohttp.web"),
        ("config/x.py", "from redis.asyncio import Redis", 1, "redis.asyncio"),
        ("config/x.py", "def f():\n    import proxy.app", 2, "proxy.app"),
        ("breaker/x.py", "from healthapi.store import Store", 1, "healthapi.store"),
        ("breaker/x.py", "from http import HTTPStatus", 1, "http"),
        ("breaker/x.py", "import http.client", 1, "http.client"),
        ("breaker/x.py", "import httptools", 1, "httptools"),
        ("breaker/deep/x.py", "from ...proxy import route", 1, "proxy"),
        ("breaker/x.py", "from .. import proxy", 1, "proxy"),
        ("breaker/x.py", "if TYPE_CHECKING:\n    from proxy.app import App", 2, "proxy.app"),
        ("healthapi/x.py", "import httptools", 1, "httptools"),
        ("healthapi/x.py", "import config, proxy", 1, "proxy"),
        ("proxy/x.py", "import healthapi.app", 1, "healthapi.app"),
        ("proxy/sub/app.py", "import healthapi.app", 1, "healthapi.app"),
        ("proxy/reload.py", "import healthapi.metrics", 1, "healthapi.metrics"),
        ("proxy/x.py", "from sqlite3 import connect", 1, "sqlite3"),
        ("proxy/app.py", "import redis", 1, "redis"),
        ("proxy/x.py", "import pybreaker", 1, "pybreaker"),
        ("proxy/x.py", "from importlib import import_module\nimport_module('healthapi.app')", 2, "healthapi.app"),
        ("proxy/x.py", "import importlib\nimportlib.import_module('redis')", 2, "redis"),
        ("proxy/x.py", "__import__('sqlite3')", 1, "sqlite3"),
        ("proxy/x.py", "from tests.proxy import helpers", 1, "tests.proxy"),
        ("proxy/x.py", "import bench", 1, "bench"),
    ],
)
def test_an_import_against_the_arrows_is_named(name: str, source: str, line: int, what: str) -> None:
    (found,) = offences(name, source)
    assert found.startswith(f"{name}:{line}: {what}: ")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("proxy/app.py", "import healthapi.app\nfrom healthapi import store\nimport breaker.registry, config.load"),
        ("proxy/office.py", "from healthapi.admin import Admin"),
        ("proxy/x.py", "import aiohttp, httptools, http\nfrom proxy import route\nfrom . import paths"),
        ("healthapi/x.py", "import sqlite3, redis, aiohttp\nfrom breaker.latency import Latencies"),
        ("breaker/x.py", "import pybreaker\nfrom config.effective import Target\nfrom .window import Window"),
        ("breaker/x.py", "from redis.asyncio import Redis"),
        ("config/x.py", "import yaml, msgspec\nfrom .. import something_else\nimport_module(name)\nimport_module()"),
        ("config/x.py", "import configparser\nimport breakers_of_somebody_else"),
    ],
)
def test_what_is_allowed_is_not_named(name: str, source: str) -> None:
    assert offences(name, source) == []


@pytest.mark.parametrize(
    ("file", "counted"),
    [
        ("fifth/__init__.py", {"fifth"}),
        ("fifth/without_init.py", {"fifth"}),
        ("setup.py", {"setup.py"}),
        ("tests/test_x.py", set()),
        ("bench/run.py", set()),
        (".venv/x.py", set()),
        ("build/x.py", set()),
    ],
)
def test_a_fifth_package_is_seen(file: str, counted: set[str]) -> None:
    assert packages([file]) == counted
