"""Two ways to run the image with nothing allowed: by a container engine, or as root by namespaces of one's own.

Either way: the image's own user, entry point, environment and working folder, a read-only root, a volume that outlives
a stop, no capability, no network but a loopback of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from tests.image.archive import Archive

ENTER = str(Path(__file__).with_name("enter.py"))
LONGEST = 60.0
"""Seconds that anything may take here."""


class Box(Protocol):
    """A container that is started and stopped, its volume kept in between."""

    def start(self, env: dict[str, str], *arguments: str) -> None:
        """Run the entry point, with the image's own arguments when there are none."""

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside; its output is one text."""

    def ended(self) -> int:
        """Wait for the end: the exit status."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the entry point."""

    def said(self) -> str:
        """All that was logged since the start."""

    def remove(self) -> None:
        """Leave nothing behind."""


class Engine:
    """docker or podman."""

    def __init__(self, engine: str, image: str) -> None:
        self._engine = engine
        self._image = image
        self._name = f"detour-check-{uuid4().hex[:12]}"

    def start(self, env: dict[str, str], *arguments: str) -> None:
        self._do("rm", "-f", self._name)
        rights = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]
        if self._engine == "podman":
            rights.append("--read-only-tmpfs=false")
        given = [part for name, value in env.items() for part in ("-e", f"{name}={value}")]
        volume = ["-v", f"{self._name}:/var/lib/detour"]
        done = self._do("run", "-d", "--name", self._name, *rights, *volume, *given, self._image, *arguments)
        assert done.returncode == 0, done.stdout

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self._do("exec", self._name, *command)

    def ended(self) -> int:
        return int(self._do("wait", self._name).stdout)

    def signal(self, number: signal.Signals) -> None:
        self._do("kill", "-s", number.name, self._name)

    def said(self) -> str:
        return self._do("logs", self._name).stdout

    def remove(self) -> None:
        self._do("rm", "-f", self._name)
        self._do("volume", "rm", self._name)

    def _do(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _done([self._engine, *arguments])


class Room:
    """The image unpacked into `root`, in namespaces of its own; `folder` is for the volume. Needs root on Linux."""

    def __init__(self, archive: Archive, root: Path, folder: Path) -> None:
        config = archive.config
        self._root = root
        self._volume = folder / "volume"
        self._log = folder / "log"
        self._volume.mkdir()
        self._user = int(config["User"].partition(":")[0])
        os.chown(self._volume, self._user, self._user)
        self._entry: list[str] = config["Entrypoint"]
        self._usual: list[str] = config["Cmd"]
        self._env: dict[str, str] = dict(pair.split("=", 1) for pair in config["Env"])
        self._cwd: str = config["WorkingDir"]
        self._outer: subprocess.Popen[bytes] | None = None

    def start(self, env: dict[str, str], *arguments: str) -> None:
        way = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
        command = [*self._entry, *(arguments or self._usual)]
        with self._log.open("wb") as log:
            self._outer = subprocess.Popen(
                [*way, *self._enter("start", command, env)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        way = ["nsenter", "--target", str(self._inner()), "--mount", "--net", "--pid", "--ipc"]
        return _done([*way, *self._enter("join", list(command), {})])

    def ended(self) -> int:
        assert self._outer is not None
        return self._outer.wait(LONGEST)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self._inner(), number)

    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def remove(self) -> None:
        if self._outer is not None:
            self._outer.kill()  # and the kernel whoever is inside, and their mounts
            self._outer.wait(LONGEST)
        shutil.rmtree(self._volume)

    def _inner(self) -> int:
        """The process whose number is 1 inside; that of `unshare` until there is one."""
        assert self._outer is not None
        number = self._outer.pid
        try:
            children = Path(f"/proc/{number}/task/{number}/children").read_text(encoding="ascii").split()
        except OSError:
            children = []
        return int(children[0]) if children else number

    def _enter(self, how: str, argv: list[str], env: dict[str, str]) -> list[str]:
        settings = {"argv": argv, "env": {**self._env, **env}, "cwd": self._cwd, "user": self._user}
        return [sys.executable, ENTER, how, str(self._root), str(self._volume), json.dumps(settings)]


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LONGEST,
        check=False,
    )  # fmt: skip
