"""What is declared, what is locked and what is shipped say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HOOK = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
LOCKED = ("runtime", "build", "compile", "dev")
LOCKS = [*(f"requirements/{name}.txt" for name in LOCKED), "bench/requirements.txt"]
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)(?: ;.*)? \\$")


def inputs(name: str) -> set[str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith(("#", "-r "))}


def pins(name: str) -> dict[str, str]:
    """Project name to locked version; every line of a lock file must be a pin, a hash or a comment."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith(("#", "    --hash=sha256:")):
            continue
        match = PIN.match(line)
        assert match, f"{name}: {line}"
        found[match[1]] = match[2]
    return found


def test_runtime_input_is_what_the_project_depends_on() -> None:
    assert inputs("requirements/runtime.in") == set(PROJECT["project"]["dependencies"])


def test_extras_are_there_for_the_tests() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(extras) == {"email", "sentry"}
    assert {one for wanted in extras.values() for one in wanted} <= inputs("requirements/dev.in")


def test_build_input_is_the_declared_backend() -> None:
    assert inputs("requirements/build.in") == set(PROJECT["build-system"]["requires"])


def test_compiling_input_is_what_the_hook_asks_for() -> None:
    assert inputs("requirements/compile.in") == set(HOOK["compile-requires"])


@pytest.mark.parametrize("name", ["requirements/runtime.txt", "requirements/build.txt", "requirements/compile.txt"])
def test_dev_lock_holds_the_same_versions(name: str) -> None:
    assert pins(name).items() <= pins("requirements/dev.txt").items()


@pytest.mark.parametrize("name", LOCKS)
def test_lock_is_hashed_and_names_no_place(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert pins(name)
    assert not re.search(r"://|--(?:extra-)?index|--find-links|--trusted| @ |/(?:home|root|tmp|opt|usr)/", text)
    assert all(block.count("--hash=sha256:") for block in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:])


def test_packages_are_the_four_and_typed() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["packages"]
    assert packages == ["config", "breaker", "healthapi", "proxy"]
    assert all((ROOT / package / "py.typed").is_file() for package in packages)


def test_command_is_named_after_the_product() -> None:
    assert PROJECT["project"]["scripts"] == {"detour": "proxy.cli:main"}


def test_readme_shows_commands_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    shown = set(re.findall(r"\bmake ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert {"run", "demo", "test"} <= shown <= targets
