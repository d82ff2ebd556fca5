"""requirements/find-helm: what it takes, what it passes over, and what it says when there is nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helm.chart import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with the script in it, and a PATH on which there is no more than what it uses itself."""
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "find-helm", tmp_path / "requirements")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "dirname", "mkdir", "mv", "rm", "tail"):
        found = shutil.which(name)
        assert found
        (tmp_path / "bin" / name).symlink_to(os.path.realpath(found))
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def find(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tree / "requirements" / "find-helm"], capture_output=True, text=True, env={"PATH": str(tree / "bin")}
    )


def test_the_one_on_the_path_is_taken(tree: Path) -> None:
    there = program(tree / "bin" / "helm", "echo v3.18.4+g1")
    assert find(tree).stdout.strip() == str(there)


def test_another_version_is_passed_over_for_the_one_that_was_built(tree: Path) -> None:
    program(tree / "bin" / "helm", "echo v4.0.0+g1")
    built = program(tree / ".venv" / "bin" / "helm", "echo v3.22.0")
    assert Path(find(tree).stdout.strip()).resolve() == built


def test_without_helm_and_go_it_says_what_to_install(tree: Path) -> None:
    program(tree / "bin" / "helm", "exit 1")
    done = find(tree)
    assert done.returncode == 1
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert "helm 3 is missing, and Go to build it with: install either first" in line


def test_it_builds_inside_the_tree_and_leaves_nothing_but_helm(tree: Path) -> None:
    seen = tree / "seen"
    program(tree / "bin" / "go", f'echo "$@" >>{seen}; mkdir -p $GOPATH $GOCACHE; echo made >$GOBIN/helm')
    done = find(tree)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == tree / ".venv" / "bin" / "helm"
    assert Path(done.stdout.strip()).read_text() == "made\n"
    assert "k8sVersionMinor" in seen.read_text()
    assert [found.name for found in (tree / ".venv").iterdir()] == ["bin"]


def test_a_build_that_fails_is_one_line(tree: Path) -> None:
    program(tree / "bin" / "go", "echo downloading; echo no such module >&2; exit 1")
    done = find(tree)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "helm cannot be built: no such module"
    assert [found.name for found in (tree / ".venv").iterdir()] == ["bin"]
