"""No secret is in anything that the process ever wrote, and none went to anybody but whom it is for.

Every place of a secret holds a canary; providers repeat all they hear in every part of an answer; requests, files and
administrators make mistakes right beside the keys. Then all that came out is searched: as it is, and in disguise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.authority import Authority
from tests.e2e.connectproxy import ConnectProxy
from tests.e2e.world import PATIENCE
from tests.hardening.canaries import found_in, guilty
from tests.hardening.lair import Parrot, lair
from tests.hardening.provoked import OWN, SECRETS, World, document, provoke, value
from tests.healthapi.alerts.sinks import http_sink, mail_sink
from tests.redis_server import redis_server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


async def watch(port: int, heard: bytearray) -> None:
    """Everything that a Redis is told, as it says itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"AUTH {value('redis password')}\r\nMONITOR\r\n".encode())
    try:
        while told := await reader.read(1 << 16):
            heard += told
    finally:
        writer.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["redis", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("secrets")
    heard = bytearray()
    async with contextlib.AsyncExitStack() as stack:
        parrots = {name: await stack.enter_async_context(Parrot()) for name in (*OWN, "elsewhere")}
        for parrot in parrots.values():
            parrot.elsewhere = parrots["elsewhere"].url
        hooks, mails = await stack.enter_async_context(http_sink()), await stack.enter_async_context(mail_sink())
        hooks.answers = [500, 200, 500, 200]
        password = f"me:{value('own proxy password')}"
        ways = {"api.test:80": parrots["proxied"].port}
        proxy = await stack.enter_async_context(ConnectProxy(ways, password=password))
        config = document(parrots, hooks, mails, proxy, folder)
        store = tls = None
        if request.param == "redis":
            store = stack.enter_context(redis_server(folder, requirepass=value("redis password")))
            config["store"] = f"redis://:{value('redis password')}@{store.address}/0"
            watching = asyncio.create_task(watch(store.port, heard))
            stack.callback(watching.cancel)
        else:
            tls = Authority(folder, "authority")
            config["tls"] = {"cert": str(tls.issue("localhost").rename(folder / "tls.pem"))}
        env = {"ANTHROPIC_API_KEY": value("own key by variable"), "HTTP_PROXY": "http://127.0.0.1:9"}
        running = await stack.enter_async_context(lair(folder, config, env))
        made = World(running, parrots, hooks, mails, proxy, store, heard, tls)
        await provoke(made, config, env)
        yield made


def kept(world: World) -> dict[str, bytes]:
    """What lies in the store, and what it was told."""
    if world.store is None:
        return {path.name: path.read_bytes() for path in world.running.folder.glob("detour.db*")}
    found = {}
    with contextlib.closing(world.store.client()) as link:
        for key in link.scan_iter(count=1000):
            kind = link.type(key).decode()
            held = {
                "string": link.get,
                "hash": link.hgetall,
                "list": lambda name: link.lrange(name, 0, -1),
                "set": link.smembers,
                "zset": lambda name: link.zrange(name, 0, -1, withscores=True),
                "stream": link.xrange,
            }[kind](key)
            found[repr(key)] = key + repr(held).encode()
    return found | {"MONITOR": bytes(world.monitored), "log": world.store.log.encode()}


async def test_it_did_all_that(world: World) -> None:
    """Nothing below is proved by silence."""
    assert all(parrot.said > 10 for name, parrot in world.parrots.items() if name in OWN)
    assert len(world.running.answers) > 150
    assert sum(line["logger"] == "detour.access" for line in world.running.lines) > 200
    assert world.proxy.through
    async with asyncio.timeout(PATIENCE):
        while len(world.hooks.posted) < 6 or not world.mails.mails:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    stored = kept(world)
    assert sum(map(len, stored.values())) > 1000
    assert any(b"openai" in content for content in stored.values())


async def test_what_was_said_holds_no_secret(world: World) -> None:
    """Answers of Detour's own, on both ports, and what its commands print."""
    assert not guilty(world.running.answers, SECRETS.values())


async def test_what_was_logged_holds_no_secret(world: World) -> None:
    lines = {
        f"{number} {line['message']}": json.dumps(line).encode() for number, line in enumerate(world.running.lines)
    }
    assert not guilty(lines, SECRETS.values())
    assert not found_in(world.running.written, SECRETS.values())


async def test_what_was_kept_holds_no_secret(world: World) -> None:
    assert not guilty(kept(world), SECRETS.values())


async def test_what_was_told_to_people_holds_no_secret(world: World) -> None:
    """Messages say nothing; the addresses and proofs that they go with are in their places and nowhere else."""
    for mail in world.mails.mails:
        assert not found_in(mail, SECRETS.values())
    for posted in world.hooks.posted:
        assert not found_in(posted.body, SECRETS.values())
        fields = {name: text for name, text in posted.headers.items() if name.lower() != "x-sentry-auth"}
        assert not found_in(json.dumps(fields), SECRETS.values())


async def test_a_key_on_disk_is_nowhere_else(world: World) -> None:
    if world.tls is None:
        return
    lines = [line for line in (world.running.folder / "tls.pem").read_text().splitlines() if len(line) > 40]
    pieces = [line[at : at + 16].encode() for line in lines for at in range(0, len(line) - 16, 8)]
    assert len(pieces) > 50
    for name, raw in {"log": world.running.written, **world.running.answers, **kept(world)}.items():
        assert not any(piece in raw for piece in pieces), name


async def test_each_provider_heard_its_own_key_alone(world: World) -> None:
    """Of ours, whoever was asked first; of the caller, where something else was asked than the caller meant."""
    ours = {name: canary for name, canary in SECRETS.items() if not name.startswith("caller")}
    for provider, parrot in world.parrots.items():
        others = [canary for name, canary in ours.items() if name not in OWN.get(provider, ())]
        if provider == "lab":  # it was a proxy, too, which is told its password
            others.remove(SECRETS["own proxy password"])
        assert not found_in(parrot.heard, others), provider
        for name in OWN.get(provider, ()):
            assert found_in(parrot.heard, [SECRETS[name]]), (provider, name)
    assert not world.parrots["elsewhere"].heard, "a redirect was followed"


async def test_a_callers_key_goes_where_it_was_meant_for(world: World) -> None:
    """To the provider that was asked, and not to the one that stands in for it; the password of a proxy to nobody."""
    assert b'"model": "m"' in world.parrots["lab"].heard, "nothing was asked in another's place"
    theirs = {name: canary for name, canary in SECRETS.items() if name.startswith("caller ")}
    for provider, parrot in world.parrots.items():
        meant = theirs if provider in ("openai", "gemini") else ("caller wordy key", "caller query key")
        others = [canary for name, canary in theirs.items() if name not in meant or name == "caller proxy password"]
        assert not found_in(parrot.heard, others), provider
    for name in theirs.keys() - {"caller proxy password", "caller query key"}:
        assert found_in(world.parrots["openai"].heard, [theirs[name]]), name
