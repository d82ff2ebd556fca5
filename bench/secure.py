"""Requests per second when the provider speaks TLS, with a certificate made for the run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.children import BenchError
from bench.measure import Bench, Run, saturated
from bench.peers import answering


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that vouches for itself for a day, and its key. Made at most once in a folder."""
    made, key = folder / "provider.pem", folder / "provider.key"
    if not made.exists():
        extensions = (
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "keyUsage=critical,digitalSignature,keyCertSign",
        )
        command = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-days", "1", "-subj", "/CN=localhost", *(word for one in extensions for word in ("-addext", one)),
            "-keyout", str(key), "-out", str(made),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        if done.returncode:
            raise BenchError(f"no certificate could be made: {done.stderr[-500:]}")
    return made, key


def requests(bench: Bench, name: str) -> Run:
    """Most requests per second, as without TLS."""
    own = certificate(bench.folder)
    with answering(bench.folder, bench.load_core, own) as upstream, bench.server(name, upstream) as server:
        return saturated(bench, server)
