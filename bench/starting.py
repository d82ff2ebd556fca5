"""From the start of a process to the first byte of an answer it fetched from the provider."""

from __future__ import annotations

import socket
import time
from typing import Final

from bench import children
from bench.children import BenchError
from bench.load.wire import post
from bench.measure import Bench, Run
from bench.peers import PEERS, Server, answering, prepared

RETRY: Final = 0.001
"""Seconds between two tries to get an answer."""


def start(bench: Bench, name: str) -> Run:
    """One start; before the first there is one that does not count, so that nothing has to be compiled any more."""
    before = bench.folder / f"{name}.started"
    if not before.exists():
        _started(bench, name)
        before.touch()
    return {"seconds": _started(bench, name)}


def _started(bench: Bench, name: str) -> float:
    peer = PEERS[name]
    with answering(bench.folder, bench.load_core) as upstream:
        command, server = prepared(peer, upstream, bench.folder)
        log = bench.folder / f"{name}.out"
        began = time.monotonic()
        child = children.start(command, core=bench.peer_core, log=log, more=peer.environment)
        try:
            while not _answers(server):
                if child.poll() is not None or time.monotonic() > began + peer.patience:
                    raise BenchError(f"{name} does not answer:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(RETRY)
            return time.monotonic() - began
        finally:
            children.end(child)


def _answers(server: Server) -> bool:
    """Whether a request is answered well."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
            connection.sendall(post(server.path, stream=False, headers=server.headers))
            return connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False
