"""Large requests and large answers: bytes per second through one core."""

from __future__ import annotations

from collections.abc import Callable

from bench import proc
from bench.measure import Bench, Load, Run, wrk
from bench.peers import Server, sinking

SMALL = 383


def upload(bench: Bench, name: str) -> Run:
    """Bytes per second of large requests; the answers are small."""

    def load(server: Server, seconds: float) -> Run:
        run = wrk(bench, server, seconds, Load(bench.plan.bulk_connections, bench.plan.body))
        return run | {"bytes": (run["requests"] - run["failed"]) * bench.plan.body}

    return _measured(bench, name, SMALL, load)


def download(bench: Bench, name: str) -> Run:
    """Bytes per second of large answers; the requests are small."""

    def load(server: Server, seconds: float) -> Run:
        return bench.load(
            "pull", "--port", server.port, "--path", server.path, "--connections", bench.plan.bulk_connections,
            "--seconds", seconds, seconds=seconds,
        )  # fmt: skip

    return _measured(bench, name, bench.plan.body, load)


def _measured(bench: Bench, name: str, answer: int, load: Callable[[Server, float], Run]) -> Run:
    with sinking(bench.folder, bench.load_core, answer) as upstream, bench.server(name, upstream) as server:
        load(server, bench.plan.warm)
        before, others = proc.cpu_seconds(server.pids), proc.core_seconds(bench.load_core)
        run = load(server, bench.plan.bulk_seconds)
        cpu, busy = proc.cpu_seconds(server.pids) - before, proc.core_seconds(bench.load_core) - others
    return run | {
        "bytes_per_second": run["bytes"] / run["seconds"],
        "bytes_per_cpu_second": run["bytes"] / max(cpu, 0.01),
        "core": cpu / run["seconds"],
        "load_core": busy / run["seconds"],
    }
