"""The chart as `helm` renders it, and what its documents are held against."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.authority import Authority

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
"""The values files, one for each feature."""

VERSIONS = ("1.29", "1.33", "1.37")
"""Kubernetes: the first that has native sidecars, one in between, the newest whose schemas are there."""

RELEASE = "t"
NAME = "t-detour"

Document = dict[str, Any]


@functools.cache
def program() -> str:
    """The helm that `make test` has built or found."""
    found = subprocess.run([ROOT / "requirements" / "find-helm"], capture_output=True, text=True)
    if found.returncode:
        pytest.fail(found.stderr.strip())
    return found.stdout.strip()


def helm(*arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What one command prints. It sees no cluster, and no configuration but that in `home`."""
    places = {f"HELM_{kind}_HOME": str(home or "/nonexistent") for kind in ("CACHE", "CONFIG", "DATA")}
    environ = {"PATH": os.environ["PATH"], "HOME": str(home or "/nonexistent"), **places}
    return subprocess.run([program(), *map(str, arguments)], capture_output=True, text=True, env=environ)


def template(
    *arguments: str | Path, chart: Path = CHART, version: str = VERSIONS[-1]
) -> subprocess.CompletedProcess[str]:
    return helm("template", RELEASE, chart, "--kube-version", f"{version}.0", *arguments)


def rendered(*arguments: str | Path, chart: Path = CHART, version: str = VERSIONS[-1]) -> list[Document]:
    """All documents, read as a client of Kubernetes reads them."""
    done = template(*arguments, chart=chart, version=version)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


@functools.cache
def _values(name: str, version: str) -> str:
    done = template("-f", CHART / "ci" / f"{name}.yaml", version=version)
    assert done.returncode == 0, done.stderr
    return done.stdout


def feature(name: str, version: str = VERSIONS[-1]) -> list[Document]:
    """The documents of one values file."""
    return [found for found in yaml.safe_load_all(_values(name, version)) if found]


def one(documents: Iterable[Document], kind: str, name: str = "") -> Document:
    """The only document of its kind, or the one of that name."""
    (found,) = (each for each in documents if each["kind"] == kind and name in ("", each["metadata"]["name"]))
    return found


def pod(documents: Iterable[Document]) -> Document:
    """The specification of Detour's own pods."""
    return dict(one(documents, "Deployment", NAME)["spec"]["template"]["spec"])


def container(documents: Iterable[Document]) -> Document:
    (found,) = pod(documents)["containers"]
    return dict(found)


def config(documents: Iterable[Document]) -> Document:
    """The configuration file that the pods read."""
    maps = (each for each in documents if each["kind"] == "ConfigMap" and "detour.yaml" in each["data"])
    (found,) = (yaml.safe_load(each["data"]["detour.yaml"]) for each in maps)
    return dict(found)


def placed(documents: Iterable[Document], folder: Path, *without: str) -> Path:
    """The configuration file in `folder`, `without` some of its keys; files beside it where Secrets are mounted."""
    (text,) = (each["data"]["detour.yaml"] for each in documents if "detour.yaml" in each.get("data", {}))
    if without:
        text = yaml.safe_dump({key: value for key, value in yaml.safe_load(text).items() if key not in without})
    for path in set(re.findall(r"/run/(?:secrets|tls)/[\w./-]+", text)):
        file = folder / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("dummy")
    authority = Authority(folder, "chart")
    for mounted in (folder / "run" / "tls").glob("*"):
        issued = authority.issue("localhost").read_text()
        (mounted / "tls.crt").write_text(issued)
        (mounted / "tls.key").write_text(issued)
        (mounted / "ca.crt").write_text(authority.file.read_text())
    made = folder / "detour.yaml"
    made.write_text(re.sub(r"/run/(?=secrets/|tls/)", f"{folder}/run/", text))
    return made


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.fail("no promtool on the PATH: install it (Debian, Ubuntu: apt-get install prometheus)")
    return subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
