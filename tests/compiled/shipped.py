"""What ships, as `make compiled` has installed it, and commands run by the Python that sees it."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
HOOK: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["hooks"]["custom"]
MODULES: Final[list[str]] = HOOK["modules"]
"""Files that are compiled."""

PACKAGES: Final = ("config", "breaker", "healthapi", "proxy")
PYTHON: Final = ROOT / ".venv" / "compiled" / "bin" / "python"
MADE: Final = ROOT / ".venv" / ".compiled"
"""Touched when all of it is there."""


def name(file: str) -> str:
    """What the module in a file is called."""
    return file.removesuffix(".py").replace("/", ".")


def missing() -> str:
    """Why there is nothing to look at, empty when there is."""
    if not MADE.exists():
        return "nothing is compiled here: `make compiled` needs a C compiler"
    newest = max(file.stat().st_mtime for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return "the source has changed since it was compiled: `make compiled`" if newest > MADE.stat().st_mtime else ""


needed = pytest.mark.skipif(bool(missing()), reason=missing())


def run(*arguments: str | Path, seconds: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run its Python, to which the source comes last; coverage is of the source alone."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTEST", "DETOUR_"))}
    return subprocess.run(
        [PYTHON, *arguments], cwd=ROOT, env=clean | {"PYTHONSAFEPATH": "1"} | environment, text=True,
        capture_output=True, timeout=seconds, check=False,
    )  # fmt: skip


def said(script: str, **more: Any) -> str:
    """What a script says under its Python."""
    done = run("-W", "error", "-c", script, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def suite(*files: str) -> None:
    """Run tests of the source against what ships; those that look into the source are left out by themselves."""
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=", *files, seconds=390)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
