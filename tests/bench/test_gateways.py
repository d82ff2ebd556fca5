"""Gateways that cannot be had are told in one line each, and nothing else goes wrong for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from bench.children import ROOT

SCRIPT = ROOT / "bench" / "gateways"
NEEDED = ("sh", "dirname", "mkdir", "rm", "cmp", "cp", "tail", "cat")


def test_what_cannot_be_installed_is_told_in_a_line(tmp_path: Path) -> None:
    copied = shutil.copytree(SCRIPT, tmp_path / "bench" / "gateways")
    tools = tmp_path / "tools"
    python = tmp_path / ".venv" / "bin" / "python"
    for folder in (tools, python.parent):
        folder.mkdir(parents=True)
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    python.write_text("#!/bin/sh\necho first; echo 'no such index'; exit 1\n")
    python.chmod(0o755)
    done = subprocess.run(
        [copied / "install"], env={"PATH": str(tools)}, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stderr.splitlines() == [
        "LiteLLM cannot be installed, going on without: no such index",
        "Portkey's gateway needs Node.js 18 or newer, with npm: going on without",
    ]
    assert done.stdout == ""
    assert not (tmp_path / ".venv" / "gateways" / "litellm" / ".lock").exists()


def test_locks_hold_hashes_and_no_address() -> None:
    python = (SCRIPT / "requirements.txt").read_text(encoding="utf-8")
    assert "litellm[proxy]==" in python
    assert "http" not in "".join(line for line in python.splitlines() if "--" in line)
    packages = json.loads((SCRIPT / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    wanted = json.loads((SCRIPT / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert all("resolved" not in one and "integrity" in one for name, one in packages.items() if name)
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
