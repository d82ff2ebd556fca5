"""What lies in the image: little, all of it somebody else's to change, and nothing to change it with."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath

import pytest

from tests.image.archive import Archive
from tests.image.locks import ROOT, pins

MOST = 120_000_000
"""Bytes an image may weigh, unpacked."""

CALLABLE = re.compile(r"usr/(?:local/)?bin/python3\.\d+|opt/detour/bin/\w+|(?:\S+/)?ld-linux\S+")
"""Programs: Python, what pip has made in the environment, and the loader."""

PACKED = re.compile(r"opt/detour/lib/python3\.\d+/site-packages/([\w.]+)-([\w.]+)\.dist-info/METADATA")


def test_it_is_small(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nimage: {archive.size / 1e6:.1f} MB, {archive.packed / 1e6:.1f} MB compressed")
    assert archive.size < MOST


def test_how_it_runs_is_said_in_it(archive: Archive) -> None:
    config = archive.config
    assert config["User"] == "65532:65532"
    assert (config["Entrypoint"], config["Cmd"]) == (["detour"], ["serve"])
    assert config["WorkingDir"] == "/var/lib/detour"
    assert list(config["Volumes"]) == ["/var/lib/detour"]
    assert set(config["ExposedPorts"]) == {"8080/tcp", "9090/tcp"}
    assert config["StopSignal"] in ("SIGTERM", "15")
    assert config["Healthcheck"]["Test"] == ["CMD", "detour", "healthcheck"]


def test_labels_say_which_release_it_is(archive: Archive) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = archive.config["Labels"]
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    assert re.fullmatch(r"[0-9a-f]{40}|", labels["org.opencontainers.image.revision"])


def test_there_is_nothing_to_call_but_python_and_detour(archive: Archive) -> None:
    programs = [
        path
        for path, entry in archive.files.items()
        if entry.isfile() and entry.mode & 0o111 and not re.search(r"\.so(?:\.|$)|\.py$", path)
    ]
    assert [path for path in programs if not CALLABLE.fullmatch(path)] == []
    assert any(path.endswith("bin/detour") for path in programs)
    assert not [path for path in archive.files if re.search(r"-packages/(?:pip|setuptools|wheel)(?:/|-)", path)]


def test_nothing_in_it_can_be_changed_by_its_user_but_the_volume(archive: Archive) -> None:
    owned = {path for path, entry in archive.files.items() if (entry.uid, entry.gid) != (0, 0)}
    assert owned == {"var/lib/detour"}
    assert archive.files["var/lib/detour"].uid == 65532
    loose = {path for path, entry in archive.files.items() if not entry.issym() and entry.mode & 0o002}
    assert loose == {"tmp"}
    assert not [path for path, entry in archive.files.items() if entry.mode & 0o6000]


def test_everything_is_compiled_and_never_looked_at_again(archive: Archive) -> None:
    sources = [path for path in archive.files if path.endswith(".py")]
    assert len(sources) > 500
    compiled = {
        re.sub(r"__pycache__/(.+)\.cpython-\d+\.pyc$", r"\1.py", path)
        for path in archive.files
        if path.endswith(".pyc")
    }
    assert not set(sources) - compiled
    (ours,) = (path for path in archive.files if re.search(r"/proxy/__pycache__/app\.cpython-\d+\.pyc$", path))
    content = archive.read(ours)
    assert content[4:8] == b"\x01\x00\x00\x00", "by its hash, and unchecked"
    assert b"/rootfs" not in content


def test_what_is_installed_is_what_is_locked(archive: Archive) -> None:
    found = {
        match[1].lower().replace("_", "-"): match[2] for path in archive.files if (match := PACKED.fullmatch(path))
    }
    ours = found.pop("detour")
    assert ours == archive.config["Labels"]["org.opencontainers.image.version"]
    wanted = pins("requirements/runtime.txt")
    every = {**wanted, **pins("requirements/email.txt"), **pins("requirements/sentry.txt")}
    assert found.items() <= every.items()
    for_older = {"async-timeout", "typing-extensions"}
    assert wanted.keys() - for_older <= found.keys()


def test_every_package_comes_with_its_licence(archive: Archive) -> None:
    packages = {PurePosixPath(path).name for path in archive.files if path.startswith("var/lib/dpkg/status.d/")}
    assert {"libc6", "libsqlite3-0"} <= packages
    assert packages - {path.split("/")[3] for path in archive.files if path.startswith("usr/share/doc/")} == set()
    assert archive.read("usr/share/doc/detour/copyright") == (ROOT / "LICENSE").read_bytes()


def test_nothing_of_the_builder_is_left_in_it(archive: Archive) -> None:
    assert not [path for path in archive.files if re.match(r"(?:root|home|src|rootfs|run|var/cache)(?:/|$)", path)]
    assert "etc/pip.conf" not in archive.files
    history = " ".join(step.get("created_by", "") for step in archive.settings["history"])
    assert "://" not in history
