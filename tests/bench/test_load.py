"""The programs that make load and take it, run for real against one another."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import measure, plan, secure, settling
from bench.children import ROOT, free_port, running
from bench.load import openloop, wire
from bench.measure import Bench
from bench.peers import Server, sinking

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
CORE = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@contextmanager
def sink(folder: Path, answer: int, faults: float = 0) -> Iterator[Server]:
    with sinking(folder, CORE, answer, faults) as server:
        yield server


def counts(server: Server) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.url}/counts", timeout=10) as answer:
        found: dict[str, int] = json.loads(answer.read())
        return found


def ask(server: Server, body: bytes) -> bytes:
    """Everything that comes until the other side closes, or an answer is whole."""
    head = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(head)
        connection.sendall(body)
        seen = b""
        while data := connection.recv(1 << 16):
            seen += data
            start, end, rest = seen.partition(b"\r\n\r\n")
            if end and len(rest) == int(start.rpartition(b"Content-Length: ")[2]):
                break
        return seen


@pytest.mark.parametrize("size", [0, 1, 480, 100_000, 9_000_000])
def test_sink_takes_bodies_whole_and_answers_as_many_bytes_as_asked(tmp_path: Path, size: int) -> None:
    with sink(tmp_path, 500_000) as server:
        head, _, body = ask(server, b"x" * size).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert body == wire.answer(500_000)
        assert counts(server) == {"answered": 1}


def test_sink_makes_each_sort_of_fault_in_turn_and_counts_them(tmp_path: Path) -> None:
    with sink(tmp_path, 383, 0.5) as server:
        answers = [ask(server, b"{}") for _ in range(6)]
        assert counts(server) == {"answered": 3, "error": 1, "cut": 1, "torn": 1}
    whole = len(answers[0])
    assert answers[1].startswith(b"HTTP/1.1 503 ")
    assert (len(answers[3]), len(answers[5])) == (whole // 2, 40)
    assert answers[3].startswith(b"HTTP/1.1 200 OK")
    assert b"\r\n\r\n" in answers[3]
    assert b"\r\n\r\n" not in answers[5]


def test_sink_counts_no_list_of_models(tmp_path: Path) -> None:
    """Detour asks for one every ten minutes, which is no attempt; a soak once took it for attempts that were lost."""
    with sink(tmp_path, 383) as server:
        ask(server, b"{}")
        with urllib.request.urlopen(f"{server.url}/v1/models", timeout=10) as answer:
            assert [one["id"] for one in json.loads(answer.read())["data"]] == ["bench-model"]
        assert counts(server) == {"answered": 1}


def test_pull_counts_what_was_sent(tmp_path: Path) -> None:
    size = 300_000
    bench = Bench(plan.QUICK, tmp_path, CORE, CORE)
    with sink(tmp_path, size) as server:
        run = bench.load(
            "pull", "--port", server.port, "--path", server.path, "--connections", 3, "--seconds", 0.5, seconds=20
        )
        assert counts(server) == {"answered": run["requests"]}
    assert run["bytes"] == run["requests"] * size > 0


def test_openloop_polls_another_page_meanwhile(tmp_path: Path) -> None:
    bench = Bench(plan.Plan({}, rate=20, warm=0.2), tmp_path, CORE, CORE)
    with sink(tmp_path, 383) as server:
        both = Server(server.port, server.path, server.pids, admin=server.port)
        run = measure.steady(bench, both, 6, "/counts")
    assert run["polls"] >= 2
    assert run["poll_ms"] > 0
    assert min(run["during_ms"], run["between_ms"]) >= 0


def test_the_slowest_request_of_each_poll_counts() -> None:
    times = [(0.0, 0.01), (1.0, 0.5), (1.2, 0.2), (2.0, 0.1), (2.3, 0.05)]
    assert openloop.overlap(times, [(1.1, 1.3)]) == 0.5
    assert openloop.overlap(times, [(1.1, 1.3), (2.05, 2.2), (0.005, 0.006)]) == 0.1
    assert openloop.overlap(times, [(3.0, 4.0)]) == 0


def test_settling_is_timed() -> None:
    run = settling.timed(3000)
    assert 0 < run["least_us"] <= run["us"] <= run["p90_us"]


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_a_certificate_vouches_for_itself_and_is_made_once(tmp_path: Path) -> None:
    made, key = secure.certificate(tmp_path)
    before = made.read_bytes()
    assert secure.certificate(tmp_path) == (made, key)
    assert made.read_bytes() == before
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=made)
    server_side.load_cert_chain(made, key)
    for name in ("localhost", "127.0.0.1"):
        ins, outs = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = client_side.wrap_bio(ins, outs, server_hostname=name)
        server = server_side.wrap_bio(outs, ins, server_side=True)
        for side in (client, server, client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
        assert client.version() == "TLSv1.3"


def test_detour_tells_how_many_tasks_it_has(tmp_path: Path) -> None:
    tasks, port = tmp_path / "tasks", free_port()
    config = tmp_path / "detour.yaml"
    config.write_text(f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:0}}\nstore: 'memory:'\n")
    tasks.write_text("")
    command = [sys.executable, "-m", "bench.observed", "serve", "-c", str(config)]
    more = {"BENCH_TASKS": str(tasks), "PYTHONPATH": str(ROOT)}
    with running(command, core=CORE, port=port, log=tmp_path / "out", more=more, patience=60) as pids:
        deadline = time.monotonic() + 20
        while not tasks.read_text().strip() and time.monotonic() < deadline:
            os.kill(pids[0], signal.SIGUSR1)
            time.sleep(0.2)
    assert int(tasks.read_text().split()[0]) > 1
