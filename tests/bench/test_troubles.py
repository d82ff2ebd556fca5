"""Troubles are made on real servers, and undone."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bench import children, stores, troubles
from bench.children import BenchError, running
from bench.measure import Bench
from bench.plan import Plan
from bench.redisserver import RedisServer, redis_server
from bench.troubles import TROUBLES, Course, Scene, Trouble
from tests.redis_server import PROGRAM, eventually

pytestmark = pytest.mark.skipif(
    PROGRAM is None or not hasattr(os, "sched_setaffinity"), reason="needs redis-server, and Linux's processor affinity"
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path, core()) as found:
        yield found


def core() -> int:
    return min(os.sched_getaffinity(0))


def answers(port: int, *words: str, seconds: float = 0.5) -> bool:
    """Whether a command is carried out within that time."""
    client = redis.Redis(port=port, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))
    with contextlib.closing(client):
        try:
            client.execute_command(*(words or ("PING",)))
        except redis.RedisError:
            return False
    return True


@pytest.mark.parametrize("name", ["killed", "frozen"])
def test_it_answers_nothing_until_it_is_over(server: RedisServer, name: str) -> None:
    trouble = TROUBLES[name]
    assert answers(server.port, seconds=10)
    trouble.comes(Scene(server))
    assert not answers(server.port)
    trouble.goes(Scene(server))
    assert answers(server.port, seconds=10)


def test_out_of_memory_it_takes_nothing(server: RedisServer) -> None:
    trouble = TROUBLES["out of memory"]
    trouble.comes(Scene(server))
    assert not answers(server.port, "SET", "a", "b", seconds=10)
    trouble.goes(Scene(server))
    assert answers(server.port, "SET", "a", "b", seconds=10)
    assert server.keys() == 1
    TROUBLES["flushed"].comes(Scene(server))
    assert server.keys() == 0


def test_the_slow_way_is_slow_while_it_is_told_to_be(server: RedisServer, tmp_path: Path) -> None:
    port = children.free_port()
    command = [sys.executable, "-m", "bench.load.slow", "--port", str(port), "--to", str(server.port)]
    with running(command, core=core(), port=port, log=tmp_path / "slow.out") as pids:
        assert answers(port, seconds=10)
        scene, trouble = Scene(server, pids[0]), TROUBLES[troubles.SLOW]
        trouble.comes(scene)
        eventually(lambda: not answers(port), "it became slow")
        began = time.monotonic()
        assert answers(port, seconds=30), "it answers all the same"
        assert time.monotonic() - began > 0.9
        trouble.goes(scene)
        eventually(lambda: answers(port), "it became fast again")


def test_trouble_that_cannot_be_made_is_told(server: RedisServer) -> None:
    def fail(scene: Scene) -> None:
        raise OSError("no such thing")

    course = Course(Trouble(fail, fail), Scene(server), 9, wait=0)
    with pytest.raises(BenchError, match="trouble could not be made: no such thing"), course:
        pass


def test_a_server_that_was_stopped_by_signal_is_ended(tmp_path: Path) -> None:
    with redis_server(tmp_path, core()) as server:
        server.freeze()
        port = server.port
    assert not answers(port)


def test_stores_are_empty_each_time(tmp_path: Path) -> None:
    bench = Bench(Plan({}), tmp_path, core(), core())
    with stores.store(bench, "sqlite") as url:
        assert url == f"sqlite:///{tmp_path}/detour.db"
        (tmp_path / "detour.db-wal").write_text("x")
    assert not list(tmp_path.glob("detour.db*"))
    with stores.store(bench, "redis") as url:
        assert answers(int(url.rpartition(":")[2]), seconds=10)
    assert not answers(int(url.rpartition(":")[2]))
    with stores.store(bench, "memory") as url:
        assert url == "memory:"
