"""The processes of a benchmark: started on one core, waited for, ended by their own id."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import proc

ROOT = Path(__file__).parent.parent


class BenchError(Exception):
    """A run that cannot go on; the message says what to do."""


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int,
    port: int,
    log: Path,
    more: Mapping[str, str] | None = None,
    patience: float = 20,
) -> Iterator[list[int]]:
    """A server on one core, listening on `port`; gives its process ids (its own first) and ends it afterwards."""
    child = start(command, core=core, log=log, more=more)
    try:
        wait(child, port, log, patience)
        yield proc.family(child.pid)
    finally:
        end(child)


def start(
    command: Sequence[str], *, core: int, log: Path, more: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A server on one core, which may not listen yet; to be given to `end` whatever happens. `more` is environment."""
    with log.open("wb") as out:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )


def end(child: subprocess.Popen[bytes]) -> None:
    """End a server, by force when it takes longer than 3 s."""
    child.terminate()
    try:
        child.wait(3)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def wait(child: subprocess.Popen[bytes], port: int, log: Path, patience: float = 20) -> None:
    """Until it listens on `port`. Raises BenchError when it ends before or takes longer than so many seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if child.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    tail = log.read_text(errors="replace")[-2000:]
    raise BenchError(f"{child.args!r} does not listen on {port}:\n{tail}")


def result(command: Sequence[str], *, core: int, seconds: float) -> dict[str, Any]:
    """Run a load program on one core for at most that long; what its last line says, as JSON."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr[-1000:] or done.stdout[-1000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
