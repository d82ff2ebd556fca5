"""What is measured: Detour, nginx and Envoy, each one process on one core in front of the same provider."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Final

from msgspec import Struct

from bench.children import ROOT, BenchError, free_port, running
from bench.load.wire import ANSWER

CONFIGS: Final = Path(__file__).parent / "configs"


class Peer(Struct, frozen=True):
    """A proxy under test."""

    name: str
    config: str
    """Its file in configs/."""
    command: Callable[[Path], list[str]]
    """What starts it, given its configuration file."""
    path: str = "/v1/chat/completions"
    """Where a chat completion is asked for."""


class Server(Struct, frozen=True):
    """Something that listens: a running peer, or the provider itself."""

    port: int
    path: str
    pids: list[int]
    admin: int = 0
    """A peer's admin port."""


def envoy() -> str:
    """Envoy's binary inside its wheel. Raises BenchError when it is not installed."""
    spec = importlib.util.find_spec("envoy")
    binary = Path(spec.origin).parent / "_bin" / "envoy" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise BenchError("Envoy is not installed: pip install --require-hashes -r bench/requirements.txt")
    return str(binary)


def nginx() -> str:
    """The binary of nginx, which distributions keep in sbin."""
    return shutil.which("nginx") or "/usr/sbin/nginx"


def _detour(config: Path) -> list[str]:
    command = Path(sys.executable).parent / "detour"
    if not command.is_file():
        raise BenchError("Detour is not installed beside this Python: run `make bench`")
    return [str(command), "serve", "-c", str(config)]


DETOUR: Final = Peer("detour", "detour.yaml", _detour, "/bench/v1/chat/completions")

PEERS: Final = (
    DETOUR,
    Peer("envoy", "envoy.yaml", lambda config: [
        envoy(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", str(config),
    ]),
    Peer("nginx", "nginx.conf", lambda config: [nginx(), "-e", "stderr", "-c", str(config)]),
)  # fmt: skip


def _write(name: str, folder: Path, **values: object) -> Path:
    text = Template((CONFIGS / name).read_text(encoding="utf-8")).safe_substitute(FOLDER=folder, **values)
    target = folder / name
    target.write_text(text, encoding="utf-8")
    return target


@contextmanager
def peer_running(peer: Peer, upstream: Server, folder: Path, core: int, store: str = "memory:") -> Iterator[Server]:
    """A peer in front of `upstream`; Detour keeps its health in `store`."""
    port, admin = free_port(), free_port()
    config = _write(peer.config, folder, PORT=port, UPSTREAM=upstream.port, ADMIN=admin, STORE=store)
    with running(peer.command(config), core=core, port=port, log=folder / f"{peer.name}.out") as pids:
        yield Server(port, peer.path, pids, admin)


@contextmanager
def answering(folder: Path, core: int) -> Iterator[Server]:
    """The provider of the request runs: nginx with a fixed answer."""
    port = free_port()
    config = _write("upstream.conf", folder, PORT=port, ANSWER=ANSWER.replace("'", "\\'"))
    command = [nginx(), "-e", "stderr", "-c", str(config)]
    with running(command, core=core, port=port, log=folder / "upstream.out") as pids:
        yield Server(port, "/v1/chat/completions", pids)


@contextmanager
def streaming(folder: Path, core: int, gap: float) -> Iterator[Server]:
    """The provider of the stream runs: one event per stream each `gap` seconds."""
    port = free_port()
    command = [sys.executable, "-m", "bench.load.provider", "--port", str(port), "--gap", str(gap)]
    with running(command, core=core, port=port, log=folder / "provider.out") as pids:
        yield Server(port, "/v1/chat/completions", pids)


def versions() -> dict[str, str]:
    """What was measured, and with what."""
    found = {"python": _python(), **{name: metadata.version(name) for name in ("aiohttp", "uvloop", "httptools")}}
    return {
        "detour": _detour_version(),
        "envoy": _say([envoy(), "--version"]).partition("version:")[2].strip().split("/")[1],
        "nginx": _say([nginx(), "-v"]).rpartition("/")[2],
        "wrk": _say(["wrk", "-v"]).split()[1],
        **found,
    }


def store_versions() -> dict[str, str]:
    """The same for a run of the stores."""
    redis = _say(["redis-server", "--version"]).partition("v=")[2].split()[0]
    return {"detour": _detour_version(), "redis": redis, "SQLite": sqlite3.sqlite_version, "python": _python()}


def _python() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _detour_version() -> str:
    git = ["git", "-C", str(ROOT)]
    commit = _say([*git, "rev-parse", "--short", "HEAD"])
    changed = _say([*git, "status", "--porcelain", "--", "proxy", "breaker", "config", "healthapi"])
    where = f" ({commit}{' with changes' if changed else ''})" if commit.isalnum() else ""
    return metadata.version("detour") + where


def _say(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""
