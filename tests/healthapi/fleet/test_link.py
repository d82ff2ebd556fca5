"""The link against real servers, and what it makes of each trouble."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from config.storeurl import StoreUrl
from healthapi.fleet import line, listener, route, scripts, wire
from healthapi.fleet.keys import SHARDS, identity, prefix
from healthapi.fleet.link import Call, Link, LinkError, open_link
from tests.e2e.authority import Authority
from tests.redis_server import PATIENCE, SERVICE, RedisServer, eventually, redis_cluster, redis_sentinel, redis_server

LONG = 20.0
"""Time enough on any machine."""

SHORT = 0.15
LLAMA = identity("groq", "llama")
ALL_SHARDS = [prefix("f", number) for number in range(SHARDS)]
SECRET = "hunter2 with: @/?ß"
QUOTED = "hunter2%20with%3A%20%40%2F%3F%C3%9F"


@contextlib.asynccontextmanager
async def linked(url: str, timeout: float = LONG) -> AsyncIterator[Link]:  # noqa: ASYNC109
    link = open_link(StoreUrl.parse(url), timeout)
    try:
        yield link
    finally:
        await link.close()


async def until(holds: Callable[[], Awaitable[Any]], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while True:
        found = await holds()
        if found:
            return found
        assert time.monotonic() < end, f"not in time: {what}"
        await asyncio.sleep(0.05)


def ask(name: bytes, instance: bytes = b"a", key: bytes = ALL_SHARDS[0]) -> Call:
    return Call(scripts.LEASE, key, (instance, 60_000, name, b"ask"))


def flush(number: int = 1, key: bytes = ALL_SHARDS[0]) -> Call:
    now = time.time_ns() // 1_000_000
    entry = [1, "l", LLAMA, now // 60_000, [1, 0, 0, 0, 0, 0, 9, [1, 1], []], now, now, 0, 9, False, now, 0, 1]
    return Call(scripts.FLUSH, key, (b"a", number, 0, wire.payload(wire.entries([entry]), wire.windows([])), 512))


def read(key: bytes = ALL_SHARDS[0]) -> Call:
    return Call(scripts.READ, key, (0, 10), readonly=True)


def said(answers: list[Any]) -> list[str]:
    """What was wrong, in all places."""
    assert all(isinstance(answer, LinkError) for answer in answers), answers
    texts = [str(answer) for answer in answers]
    assert not any("\n" in text or "hunter2" in text for text in texts)
    return texts


async def ok(link: Link, calls: list[Call]) -> bool:
    return not any(isinstance(answer, LinkError) for answer in await link.run(calls))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(shared: RedisServer) -> RedisServer:
    shared.command("FLUSHALL")
    shared.command("SCRIPT", "FLUSH")
    shared.command("CONFIG", "RESETSTAT")
    return shared


def calls_of(server: RedisServer) -> dict[bytes, int]:
    """How often each command was called."""
    lines = server.command("INFO", "commandstats").splitlines()[1:]
    return {name[8:]: int(rest.split(b",")[0][6:]) for name, rest in (line.split(b":") for line in lines if line)}


# -- one server ----------------------------------------------------------------------------------------------------


async def test_each_call_has_its_answer_in_its_place(server: RedisServer) -> None:
    names = [b"t%d\nm" % number for number in range(300)]
    async with linked(f"redis://{server.address}/0") as link:
        assert await link.run([ask(name) for name in names[::2]]) == [[1]] * 150
        assert await link.run([ask(name, b"b") for name in names]) == [[0], [1]] * 150
        assert await link.run([]) == []
    called = calls_of(server)
    assert called[b"evalsha"] >= 450
    assert not called.keys() & {b"multi", b"exec"}


async def test_scripts_are_told_once_and_again_when_they_are_forgotten(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        for _ in range(3):
            assert await link.run([ask(b"x"), read(), ask(b"y"), ask(b"x", b"b")]) == [[1], [0, 0, [], 0], [1], [0]]
        assert calls_of(server)[b"script|load"] == 2
        server.command("SCRIPT", "FLUSH")
        assert await ok(link, [ask(b"x"), ask(b"z")])
        assert calls_of(server)[b"script|load"] == 3


async def test_a_call_that_fails_is_the_only_one(server: RedisServer) -> None:
    server.command("SET", ALL_SHARDS[1] + b"x", "something else")
    async with linked(f"redis://{server.address}") as link:
        answers = await link.run([ask(b"x"), read(ALL_SHARDS[1]), ask(b"y")])
    assert answers[::2] == [[1], [1]]
    assert said(answers[1:2]) == ["a key is used by something else (WRONGTYPE)"]


async def test_two_runs_at_a_time_take_turns(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        runs = [link.run([ask(b"%d-%d" % (one, two)) for two in range(20)]) for one in range(20)]
        assert await asyncio.gather(*runs) == [[[1]] * 20] * 20
    clients = server.command("CLIENT", "LIST").splitlines()
    assert len(clients) <= 2


async def test_a_turn_that_does_not_come_is_no_answer(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        assert await ok(link, [ask(b"x")])
        server.freeze()
        try:
            long = asyncio.create_task(link.run([ask(b"x")]))
            await asyncio.sleep(0)
            said(await link.run([ask(b"y")], timeout=SHORT))
        finally:
            server.thaw()
        assert await long == [[1]]


async def test_databases_are_apart(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}/3") as link:
        assert await link.set_many([(b"k", b"v")], 60) is None
    assert server.command("GET", "k") is None
    assert b"db3:keys=1" in server.command("INFO", "keyspace")


async def test_plain_keys_live_as_long_as_they_were_given(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        assert await link.set_many([(b"health:system", b"{}"), (b"health:models", b"\xff\0")], 360) is None
        assert await link.set_many([], 360) is None
        assert 350 < server.command("TTL", "health:models") <= 360
        assert server.command("GET", "health:models") == b"\xff\0"
        server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            assert str(await link.set_many([(b"k", b"v")], 9)) == "out of memory (OOM)"
        finally:
            server.command("CONFIG", "SET", "maxmemory", "0")


async def test_closing_leaves_no_connection(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        await link.run([ask(b"x")])
        heard = asyncio.Event()
        task = asyncio.create_task(link.listen(b"news", print, heard.set))
        await asyncio.wait_for(heard.wait(), LONG)
        task.cancel()
        await asyncio.wait([task])
    await until(lambda: asyncio.to_thread(lambda: len(server.command("CLIENT", "LIST").splitlines()) == 1), "all gone")


# -- trouble -------------------------------------------------------------------------------------------------------


async def test_nobody_there(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with linked(f"redis://{server.address}") as link:
        assert said(await link.run([ask(b"x"), read()])) == [f"connection refused: {server.address}"] * 2
        assert str(await link.set_many([(b"k", b"v")], 9)) == f"connection refused: {server.address}"
        with redis_server(tmp_path / "other") as other:
            link = open_link(StoreUrl.parse(f"redis://{other.address}"), LONG)
            assert await ok(link, [ask(b"x")])
            other.kill()
            said(await link.run([ask(b"x")]))
            other.start()
            assert await link.run([ask(b"x", b"b")]) == [[1]]
            await link.close()


async def test_a_server_that_restarted_between_two_runs_costs_nothing(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with linked(f"redis://{server.address}") as link:
            assert await ok(link, [ask(b"x")])
            server.stop()
            server.start()
            await asyncio.sleep(0.01)
            assert await link.run([ask(b"x", b"b")]) == [[1]]


async def test_a_frozen_server_is_waited_for_so_long_and_its_late_answers_are_nobodys(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}", SHORT) as link:
        assert await until(lambda: ok(link, [ask(b"x"), flush()]), "it answers")
        server.freeze()
        try:
            began = time.monotonic()
            assert said(await link.run([ask(b"x"), read()])) == [f"no answer within 150 ms: {server.address}"] * 2
            assert SHORT * 0.9 < time.monotonic() - began < LONG
            assert str(await link.set_many([(b"k", b"v")], 9)).startswith("no answer within 150 ms")
        finally:
            server.thaw()
        answers = await until(lambda: _good(link, [read(), ask(b"x", b"b")]), "it answers again")
        assert answers[0][2][0][0] == LLAMA
        assert answers[1] == [0]


async def _good(link: Link, calls: list[Call]) -> list[Any]:
    answers = await link.run(calls)
    return [] if any(isinstance(answer, LinkError) for answer in answers) else answers


async def test_who_gives_up_waiting_leaves_no_answer_to_the_next_one(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        assert await ok(link, [ask(b"x")])
        server.freeze()
        try:
            run = asyncio.create_task(link.run([ask(b"x")]))
            await asyncio.sleep(0.05)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
        finally:
            server.thaw()
        assert await link.run([read(), ask(b"x", b"b")]) == [[0, 0, [], 0], [0]]


async def test_a_server_that_dies_while_it_is_waited_for(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        async with linked(f"redis://{server.address}") as link:
            assert await ok(link, [ask(b"x")])
            server.freeze()
            run = asyncio.create_task(link.run([ask(b"x")]))
            await asyncio.sleep(0.05)
            server.kill()
            (text,) = said(await run)
            assert text.startswith("connection ")


@pytest.mark.parametrize(
    ("userinfo", "password", "error"),
    [
        (f":{QUOTED}@", SECRET, ""),
        (f"default:{QUOTED}@", SECRET, ""),
        (":wrong@", SECRET, "wrong password (WRONGPASS)"),
        ("", SECRET, "a password is needed (NOAUTH)"),
        (f":{QUOTED}@", "", "a password is given, but the server has none"),
        (f"nobody:{QUOTED}@", SECRET, "wrong password (WRONGPASS)"),
    ],
)
async def test_passwords(server: RedisServer, userinfo: str, password: str, error: str) -> None:
    server.command("CONFIG", "SET", "requirepass", password)
    server.options["requirepass"] = password
    try:
        async with linked(f"redis://{userinfo}{server.address}") as link:
            answers = await link.run([ask(b"x"), ask(b"y")])
    finally:
        server.command("CONFIG", "SET", "requirepass", "")
        del server.options["requirepass"]
    assert (said(answers) if error else answers) == ([f"{error}: {server.address}"] * 2 if error else [[1], [1]])


async def test_a_password_that_comes_back_in_an_error_is_hidden() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"-ERR unknown command 'AUTH', with args beginning with: 'hunter2-and-more'\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as fake:
        port = fake.sockets[0].getsockname()[1]
        async with linked(f"redis://:hunter2-and-more@127.0.0.1:{port}") as link:
            (text,) = said(await link.run([ask(b"x")]))
    assert "beginning with: '***'" in text, text


async def test_something_else_that_listens_there() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as fake:
        port = fake.sockets[0].getsockname()[1]
        async with linked(f"redis://127.0.0.1:{port}") as link:
            assert said(await link.run([ask(b"x")])) == [f"does not speak the Redis protocol: 127.0.0.1:{port}"]


@pytest.mark.parametrize("url", ["redis+sentinel://{}/s", "redis+cluster://{}"])
@pytest.mark.parametrize(
    "reply",
    [
        b":1",
        b"*1\r\n:1",
        b"*2\r\n:1\r\n:2",
        b"*2\r\n$1\r\nh\r\n$1\r\n?",
        b"*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$1\r\nh\r\n:1",
    ],
)
async def test_an_answer_that_makes_no_sense(url: str, reply: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply + b"\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as fake:
        address = f"127.0.0.1:{fake.sockets[0].getsockname()[1]}"
        async with linked(url.format(address)) as link:
            assert said(await link.run([read()])) == [f"says nothing that is understood: {address}"]


async def test_a_host_that_does_not_exist() -> None:
    async with linked("redis://no-such-host.invalid") as link:
        (text,) = said(await link.run([ask(b"x")]))
    assert text.endswith(": no-such-host.invalid:6379")


async def test_a_connection_that_takes_longer_than_an_answer_may_is_still_made(server: RedisServer) -> None:
    connections = 0

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await asyncio.sleep(3 * SHORT)
        theirs, ours = await asyncio.open_connection("127.0.0.1", server.port)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, ours), pump(theirs, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as slow:
        port = slow.sockets[0].getsockname()[1]
        async with linked(f"redis://127.0.0.1:{port}/1", SHORT) as link:
            said(await link.run([ask(b"x")]))
            await until(lambda: ok(link, [ask(b"x")]), "the connection is made")
        await asyncio.sleep(0.05)
    assert connections == 1


async def test_a_full_server_takes_nothing_and_still_tells(server: RedisServer) -> None:
    async with linked(f"redis://{server.address}") as link:
        assert await ok(link, [flush(1)])
        before = server.command("DUMP", ALL_SHARDS[0] + b"t")
        server.command("CONFIG", "SET", "maxmemory", "1")
        try:
            answers = await link.run([flush(2), read()])
        finally:
            server.command("CONFIG", "SET", "maxmemory", "0")
        assert said(answers[:1]) == ["out of memory (OOM)"]
        assert answers[1][2][0][0] == LLAMA
        assert server.command("DUMP", ALL_SHARDS[0] + b"t") == before
        assert await ok(link, [flush(2)])


async def test_a_replica_takes_nothing(server: RedisServer, tmp_path: Path) -> None:
    with redis_server(tmp_path, replicaof=f"127.0.0.1 {server.port}") as replica:
        eventually(lambda: b"master_link_status:up" in replica.command("INFO", "replication"), "it follows")
        async with linked(f"redis://{replica.address}") as link:
            answers = await link.run([ask(b"x"), read()])
        assert said(answers[:1]) == ["read-only replica (READONLY)"]
        assert answers[1] == [0, 0, [], 0]


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("redis://h?timeout=3", "unknown option"),
        ("redis://h?password=hunter2", "unknown option"),
        ("redis://h?ssl_ca_certs=x", "need rediss"),
        ("rediss://h?ssl_cert_reqs=maybe", "none, optional or required"),
        ("redis+cluster://h/4", "database 0"),
    ],
)
def test_an_address_that_is_not_understood(url: str, error: str) -> None:
    with pytest.raises(ValueError, match=error) as raised:
        open_link(StoreUrl.parse(url), 1.0)
    assert "hunter2" not in str(raised.value)


# -- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[RedisServer, Path]]:
    authority = Authority(tmp_path, "trusted")
    authority.server("127.0.0.1", "elsewhere.example")
    (pem,) = (file for file in tmp_path.glob("*.pem") if file != authority.file)
    options = {"tls_cert_file": pem, "tls_key_file": pem, "tls_ca_cert_file": authority.file, "tls_auth_clients": "no"}
    with redis_server(tmp_path, **{name: str(value) for name, value in options.items()}) as server:
        yield server, authority.file


async def test_tls_with_a_certificate_that_is_trusted(secure: tuple[RedisServer, Path]) -> None:
    server, trusted = secure
    async with linked(f"rediss://{server.address}?ssl_ca_certs={trusted}") as link:
        assert await link.run([ask(b"x")]) == [[1]]
    async with linked(f"rediss://{server.address}?ssl_cert_reqs=none") as link:
        assert await link.run([ask(b"x")]) == [[1]]


async def test_tls_with_a_certificate_that_is_not(secure: tuple[RedisServer, Path]) -> None:
    server, trusted = secure
    async with linked(f"rediss://{server.address}") as link:
        (text,) = said(await link.run([ask(b"x")]))
        assert text.startswith("its certificate is not trusted (")
    async with linked(f"rediss://localhost:{server.port}?ssl_ca_certs={trusted}") as link:
        (text,) = said(await link.run([ask(b"x")]))
        assert text.startswith("its certificate is not trusted (Hostname mismatch")
    async with linked(f"redis://{server.address}") as link:
        (text,) = said(await link.run([ask(b"x")]))
        assert text.startswith("connection ")


async def test_tls_where_there_is_none(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "CONNECT", 0.5)
    async with linked(f"rediss://{server.address}") as link:
        (text,) = said(await link.run([ask(b"x")]))
    assert text == f"no connection in time: {server.address}"


# -- Sentinel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", ["", "hunter2"])
async def test_a_failover_is_followed(tmp_path: Path, password: str) -> None:
    options = {"requirepass": password} if password else {}
    userinfo = f":{password}@" if password else ""
    with redis_sentinel(tmp_path, **options) as (master, replica, sentinel):
        url = f"redis+sentinel://{userinfo}127.0.0.1:1,{sentinel.address}/{SERVICE}/0"
        async with linked(url, 2.0) as link:
            heard: list[bytes] = []
            up = asyncio.Event()
            task = asyncio.create_task(link.listen(b"news", heard.append, up.set))
            assert await ok(link, [flush(1)])
            await asyncio.wait_for(up.wait(), LONG)
            eventually(lambda: replica.command("EXISTS", ALL_SHARDS[0] + b"t"), "the replica has it too")
            up.clear()
            master.kill()
            said(await link.run([read()]))
            await until(lambda: ok(link, [flush(2)]), "the replica took over")
            answers = await link.run([read()])
            assert answers[0][2][0][0] == LLAMA
            assert replica.command("GET", ALL_SHARDS[0] + b"q:a") == b"2"
            await asyncio.wait_for(up.wait(), LONG)
            replica.command("PUBLISH", "news", "hello")
            await until(lambda: asyncio.sleep(0, heard == [b"hello"]), "the news are heard")
            task.cancel()
            await asyncio.wait([task])


async def test_a_master_that_became_a_replica_is_left(tmp_path: Path) -> None:
    with redis_sentinel(tmp_path) as (_, replica, sentinel):
        async with linked(f"redis+sentinel://{sentinel.address}/{SERVICE}", 2.0) as link:
            assert await ok(link, [flush(1)])
            eventually(lambda: replica.command("EXISTS", ALL_SHARDS[0] + b"t"), "the replica has it too")

            def begun() -> bool:
                """It takes the Sentinel a moment to find the replica good enough."""
                with contextlib.suppress(redis.ResponseError):
                    return bool(sentinel.command("SENTINEL", "FAILOVER", SERVICE))
                return False

            eventually(begun, "the failover begins")
            eventually(lambda: replica.command("ROLE")[0] == b"master", "the replica is the master")
            numbers = itertools.count(2)

            async def there() -> bool:
                """What the old master still took on its last legs is lost with it."""
                number = next(numbers)
                await link.run([flush(number)])
                with contextlib.suppress(redis.ConnectionError):
                    return bool(replica.command("GET", ALL_SHARDS[0] + b"q:a") == b"%d" % number)
                return False

            await until(there, "the link goes to the new master")


async def test_sentinels_that_are_gone_or_know_nothing(tmp_path: Path) -> None:
    with redis_sentinel(tmp_path) as (master, _, sentinel):
        async with linked(f"redis+sentinel://{sentinel.address}/{SERVICE}/2") as link:
            assert await link.set_many([(b"k", b"v")], 60) is None
            assert b"db2:keys=1" in master.command("INFO", "keyspace")
        async with linked(f"redis+sentinel://{sentinel.address}/other") as link:
            assert said(await link.run([read()])) == [f"no such service, or no master of it: {sentinel.address}"]
        sentinel.freeze()
        async with linked(f"redis+sentinel://127.0.0.1:1,{sentinel.address}/{SERVICE}") as link:
            assert said(await link.run([read()])) == [f"no answer within 500 ms: {sentinel.address}"]
        async with linked(f"redis+sentinel://{sentinel.address}/{SERVICE}", SHORT) as link:
            assert said(await link.run([read()])) == ["no answer within 150 ms"]
        sentinel.thaw()


@contextlib.asynccontextmanager
async def sentinel_that_says(where: list[RedisServer]) -> AsyncIterator[int]:
    """Its port; what it says can be changed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        port = b"%d" % where[0].port
        writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n" % (len(port), port))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as fake:
        yield fake.sockets[0].getsockname()[1]


async def test_a_sentinel_that_is_late(server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes for a master is asked whether it is one; and one that is goes on only until another one is."""
    monkeypatch.setattr(route, "FRESH", 0.05)
    with redis_sentinel(tmp_path) as (master, replica, _):
        where = [replica]
        async with (
            sentinel_that_says(where) as port,
            linked(f"redis+sentinel://127.0.0.1:{port}/{SERVICE}") as link,
        ):
            assert said(await link.run([read()])) == [f"read-only replica (READONLY): {replica.address}"]
            where[0] = master
            await until(lambda: ok(link, [ask(b"x")]), "the master is found")
            where[0] = server
            await until(lambda: _is(link.run([ask(b"x", b"b")]), [[1]]), "the other master is found")


async def _is(found: Awaitable[Any], expected: Any) -> bool:
    return bool(await found == expected)


# -- Cluster -------------------------------------------------------------------------------------------------------


async def test_a_cluster_is_one_store(tmp_path: Path) -> None:
    with redis_cluster(tmp_path, cluster_require_full_coverage="no", cluster_allow_reads_when_down="yes") as servers:
        nodes = ",".join(server.address for server in servers)
        async with linked(f"redis+cluster://127.0.0.1:1,{nodes}") as link, linked(f"redis+cluster://{nodes}") as other:
            await _spreads(link, servers)
            await _hears(link, other, servers)
            await _follows(link, servers)
            await _goes_on_with_the_rest(link, servers)


async def _spreads(link: Link, servers: list[RedisServer]) -> None:
    everywhere = [flush(1, key) for key in ALL_SHARDS]
    assert [answer[0] for answer in await link.run(everywhere)] == [b"ok"] * SHARDS
    assert all(server.command("DBSIZE") > SHARDS for server in servers)
    for server in servers:
        assert calls_of(server)[b"script|load"] == 1
        server.command("SCRIPT", "FLUSH")
    answers = await link.run([read(key) for key in ALL_SHARDS])
    assert [answer[2][0][0] for answer in answers] == [LLAMA] * SHARDS
    assert await link.set_many([(b"health:%d" % number, b"{}") for number in range(20)], 60) is None


async def _hears(link: Link, other: Link, servers: list[RedisServer]) -> None:
    """What is published on any node."""
    heard: list[bytes] = []
    up = asyncio.Event()
    task = asyncio.create_task(other.listen(b"news", heard.append, up.set))
    await asyncio.wait_for(up.wait(), LONG)
    for server in servers:
        server.command("PUBLISH", "news", server.address)
    await until(lambda: asyncio.sleep(0, len(heard) == 3), "each node's news are heard")
    task.cancel()
    await asyncio.wait([task])


async def _follows(link: Link, servers: list[RedisServer]) -> None:
    """A slot that has moved."""
    empty = prefix("elsewhere", 0)
    slot = servers[0].command("CLUSTER", "KEYSLOT", empty)
    home = next(s for s in servers if any(f <= slot <= t for f, t, n, *_ in _slots(s) if n[1] == s.port))
    away = next(server for server in servers if server is not home)
    name = away.command("CLUSTER", "MYID")
    # The new owner of a slot that it imports has a newer epoch, so that what the old one still claims, and may have
    # said a moment ago, is not believed (Redis Cluster specification, "slot configuration").
    away.command("CLUSTER", "SETSLOT", slot, "IMPORTING", home.command("CLUSTER", "MYID"))
    home.command("CLUSTER", "SETSLOT", slot, "MIGRATING", name)
    for server in (away, home):
        server.command("CLUSTER", "SETSLOT", slot, "NODE", name)
    answers = await link.run([flush(1, empty), flush(1, ALL_SHARDS[0])])
    assert said(answers[:1]) == ["another node has that slot now (MOVED)"]
    assert answers[1][0] == b"ok"
    await until(lambda: ok(link, [flush(1, empty)]), "the slot is found again")
    assert away.command("EXISTS", empty + b"t") == 1


def _slots(server: RedisServer) -> list[Any]:
    return server.command("CLUSTER", "SLOTS")


async def _goes_on_with_the_rest(link: Link, servers: list[RedisServer]) -> None:
    """While one node is frozen, and after it died."""
    reads = [read(key) for key in ALL_SHARDS]
    servers[1].freeze()
    answers = await link.run(reads, timeout=1.0)
    late = [answer for answer in answers if isinstance(answer, LinkError)]
    assert 0 < len(late) < SHARDS
    assert set(said(late)) == {f"no answer within 1000 ms: {servers[1].address}"}
    servers[1].kill()
    answers = await link.run(reads)
    assert [isinstance(answer, LinkError) for answer in answers].count(False) == SHARDS - len(late)


@pytest.mark.parametrize("end", [RedisServer.kill, RedisServer.freeze])
async def test_what_a_lost_node_had_is_found_where_it_is_then(
    tmp_path: Path, end: Callable[[RedisServer], None]
) -> None:
    with redis_cluster(tmp_path, cluster_require_full_coverage="no") as servers:
        lost, heir, other = servers
        async with linked(f"redis+cluster://{heir.address},{other.address},{lost.address}", 1.0) as link:
            reads = [read(key) for key in ALL_SHARDS]
            await until(lambda: ok(link, reads), "all answer")
            end(lost)
            first, last, *_ = next(part for part in _slots(heir) if part[2][1] == lost.port)
            for server in (heir, other):
                server.command("CLUSTER", "DELSLOTSRANGE", first, last)
            heir.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            await until(lambda: ok(link, reads), "all answer again")


async def test_a_cluster_that_is_not_whole_or_none(server: RedisServer, tmp_path: Path) -> None:
    with redis_server(tmp_path, cluster_enabled="yes") as lonely:
        async with linked(f"redis+cluster://{lonely.address}") as link:
            (text,) = said(await link.run([read()]))
            assert text.startswith("nobody has 16384 of")
        async with linked(f"redis://{lonely.address}") as link:
            assert said(await link.run([read()])) == ["the cluster is down (CLUSTERDOWN)"]
    async with linked(f"redis+cluster://{server.address}") as link:
        (text,) = said(await link.run([read()]))
        assert "cluster" in text


# -- listening -----------------------------------------------------------------------------------------------------


async def test_news_are_heard_again_after_a_restart_and_after_a_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "QUIET", 0.1)
    monkeypatch.setattr(listener, "PATIENCE", 1.0)
    heard: list[bytes] = []
    ups: list[None] = []
    with redis_server(tmp_path) as server:
        async with linked(f"redis://{server.address}") as link:
            task = asyncio.create_task(link.listen(b"n\xff", heard.append, lambda: ups.append(None)))
            await until(lambda: asyncio.sleep(0, len(ups) == 1), "it listens")
            await asyncio.sleep(0.3)  # quiet, with somebody there
            for number in range(3):
                server.command("PUBLISH", b"n\xff", b"\0%d" % number)
            await until(lambda: asyncio.sleep(0, heard == [b"\x000", b"\x001", b"\x002"]), "all is heard")
            assert len(ups) == 1
            server.kill()
            server.start()
            await until(lambda: asyncio.sleep(0, len(ups) == 2), "it listens again")
            server.freeze()
            await asyncio.sleep(2.0)  # longer than silence is borne
            server.thaw()
            await until(lambda: asyncio.sleep(0, len(ups) == 3), "it listens once more")
            server.command("PUBLISH", b"n\xff", b"last")
            await until(lambda: asyncio.sleep(0, heard[-1] == b"last"), "the last is heard")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_whoever_listens_is_not_told_of_trouble(tmp_path: Path) -> None:
    """Nobody there for a while is a pause, no more."""
    server = RedisServer(tmp_path)
    up = asyncio.Event()
    async with linked(f"redis://{server.address}") as link:
        task = asyncio.create_task(link.listen(b"news", print, up.set))
        await asyncio.sleep(0.3)
        assert not task.done()
        server.start()
        try:
            await asyncio.wait_for(up.wait(), LONG)
        finally:
            task.cancel()
            await asyncio.wait([task])
            server.stop()


def test_the_servers_of_tests_are_real(server: RedisServer) -> None:
    with pytest.raises(redis.ResponseError):
        server.command("NO-SUCH-COMMAND")
