"""How the image is made: hadolint has nothing to say, and what it installs is what is locked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.image.locks import ROOT, pins

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
FINAL = DOCKERFILE[DOCKERFILE.index("\nFROM scratch\n") :]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def hadolint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("hadolint")
    command: list[str | Path] = [program, "--config", ROOT / ".hadolint.yaml", "--no-color", dockerfile]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_hadolint_has_nothing_to_say() -> None:
    done = hadolint(ROOT / "Dockerfile")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("was", "becomes", "rule"),
    [
        ("ARG BASE=docker.io/library/python:3.13-slim-trixie\n", "ARG BASE=python\n", ""),
        ("FROM ${BASE} AS build", "FROM python AS build", "DL3006"),
        ("FROM ${BASE} AS build", "FROM python:latest AS build", "DL3007"),
        ('CMD ["serve"]', "CMD serve", "DL3025"),
        ('licenses="Apache-2.0"', 'licenses="Apache"', "DL3054"),
        ('org.opencontainers.image.title="Detour"', 'title="Detour"', "DL3049"),
        ("WORKDIR /src", "WORKDIR src", "DL3000"),
    ],
)
def test_hadolint_would_say_it(was: str, becomes: str, rule: str, tmp_path: Path) -> None:
    assert was in DOCKERFILE
    spoilt = tmp_path / "Dockerfile"
    spoilt.write_text(DOCKERFILE.replace(was, becomes), encoding="utf-8")
    done = hadolint(spoilt)
    assert rule in done.stdout
    assert (done.returncode == 0) is (not rule)


def test_everything_installed_is_locked() -> None:
    installs = re.findall(r"pip --python \S+ install ((?:.|\\\n)*?)(?: &&|\\\n    &&| \|\||;)", DOCKERFILE)
    assert len(installs) == 3
    for install in installs:
        locked = "--require-hashes --only-binary :all:" in install
        assert locked or "--no-deps --no-index" in install, install


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_each_extra_has_a_lock(extra: str) -> None:
    lines = (ROOT / "requirements" / f"{extra}.in").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == set(EXTRAS[extra])
    locked = pins(f"requirements/{extra}.txt")
    assert locked
    assert locked.items() <= pins("requirements/dev.txt").items()
    text = (ROOT / "requirements" / f"{extra}.txt").read_text(encoding="utf-8")
    assert text.count("\n    --hash=sha256:") >= len(locked)
    assert f"requirements/{extra}.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_nobody_is_root_and_signals_arrive() -> None:
    assert re.search(r"^USER 65532:65532$", FINAL, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["detour"\]$', FINAL, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", FINAL, re.MULTILINE)
    assert 'CMD ["detour", "healthcheck"]' in FINAL


def test_no_setting_of_the_image_beats_the_file_of_its_user() -> None:
    """The environment beats the file, so the image sets only which file that is; defaults stand in the file itself."""
    assert re.findall(r"\bDETOUR_[A-Z_]+", FINAL) == ["DETOUR_CONFIG"]


def test_only_what_is_copied_reaches_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert let_in == {"breaker", "config", "healthapi", "proxy", "image", "requirements", "pyproject.toml",
                      "hatch_build.py", "CHANGELOG.md", "LICENSE", "README.md"}  # fmt: skip
    assert {"**/__pycache__", "**/*.py[cod]"} <= set(lines)
