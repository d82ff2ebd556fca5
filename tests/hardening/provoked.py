"""Everything that can go wrong beside a secret: in requests, answers, files and what administrators do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from msgspec import Struct

from healthapi.table import TABLE
from tests.e2e.connectproxy import ConnectProxy
from tests.e2e.secured import client as tls_client
from tests.e2e.test_commands import command
from tests.e2e.world import Peer, client
from tests.hardening.lair import WILLS, Lair, Parrot, secrets, status_of
from tests.healthapi.alerts.sinks import HttpSink, MailSink

SECRETS = secrets()


def value(name: str) -> str:
    return SECRETS[name].value


CALLERS = {
    "bearer": f"Authorization: Bearer {value('caller bearer')}",
    "x-api-key": f"x-api-key: {value('caller x-api-key')}",
    "goog": f"x-goog-api-key: {value('caller goog key')}",
    "cookie": f"Authorization: Bearer {value('caller bearer')}\r\nCookie: s={value('caller cookie')}",
    "basic": f"Authorization: Basic {value('caller basic')}",
    "wordy": f"Authorization: Bearer {value('caller wordy key')}",
    "none": f"x-detour-token: {value('client token')}",
    "token": f"Authorization: Bearer {value('client token')}",
    "proxy": f"Authorization: Bearer detour\r\nProxy-Authorization: Basic {value('caller proxy password')}",
    "protocol": f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{value('caller protocol')}",
}
"""How callers bring a key, or none."""

PATHS = {
    "openai": "/openai/v1/chat/completions",
    "anthropic": "/anthropic/v1/messages",
    "gemini": "/gemini/v1beta/models/m:generateContent",
    "lab": "/lab/v1/chat/completions",
    "proxied": "/proxied/v1/chat/completions",
    "refused": "/refused/v1/chat/completions",
    "nobody": "/nobody/v1/chat/completions",
}

OWN = {
    "openai": {"own key by value"},
    "anthropic": {"own key by variable"},
    "gemini": {"own key by file"},
    "lab": {"own key in the query", "own header"},
    "proxied": {"own key by value"},
}
"""The secrets of ours that each provider may hear."""


class World(Struct):
    """All of it: the process, the providers by name, what alerts were sent, and what the store was told."""

    running: Lair
    parrots: dict[str, Parrot]
    hooks: HttpSink
    mails: MailSink
    proxy: ConnectProxy
    store: Any
    monitored: bytearray
    tls: Any

    @contextlib.asynccontextmanager
    async def traffic(self) -> AsyncIterator[Peer]:
        """A connection to the port of traffic."""
        made = client(self.running.port) if self.tls is None else tls_client(self.running.port, self.tls.client())
        async with made as peer:
            yield peer

    async def ask(self, admin: bool, raw: bytes) -> bytes:
        """Send bytes, whatever they are, and read to the end."""
        async with client(self.running.admin) if admin else self.traffic() as peer:
            with contextlib.suppress(ConnectionError):
                await peer.send(raw)
                return await peer.rest()
        return b""


def document(parrots: dict[str, Parrot], hooks: HttpSink, mails: MailSink, proxy: ConnectProxy, folder: Path) -> Any:
    """A file with a canary wherever one can be."""
    providers: dict[str, Any] = {
        "openai": {"base_url": f"{parrots['openai'].url}/v1", "api_key": value("own key by value")},
        "anthropic": {"base_url": f"{parrots['anthropic'].url}/v1"},
        "gemini": {"base_url": f"{parrots['gemini'].url}/v1beta", "api_key": "${file:gemini.key}"},
        "lab": {
            "base_url": f"{parrots['lab'].url}/v1",
            "api_key": value("own key in the query"),
            "auth": "query",
            "headers": {"X-Lab-Token": value("own header")},
        },
        "nobody": {"base_url": "http://127.0.0.1:9/v1", "api_key": value("own key by value")},
    }
    password = quote(value("own proxy password"), safe="")
    for name, port in (("proxied", proxy.port), ("refused", parrots["lab"].port)):
        providers[name] = {
            "base_url": "http://api.test/v1",
            "api_key": value("own key by value"),
            "proxy": f"http://me:{password}@127.0.0.1:{port}",
        }
    (folder / "gemini.key").write_text(value("own key by file") + "\n")
    path = value("webhook path")
    mail = quote(value("mail password"), safe="")
    return {
        "client_token": value('client token'),
        "admin": {"token": value('admin token')},
        "providers": providers,
        "models": {"m": {"tier": "critical", "targets": ["openai/m", "anthropic/m", "gemini/m", "lab/m"]}},
        "breakers": {"mode": "observe"},
        "retries": {"budget": 1.0},
        "timeouts": {"connect": "1s", "first_byte": "2s", "answer": "2s"},
        "probes": {"enabled": False},
        "log": {"level": "debug", "access": True, "format": "json"},
        "alerts": {
            "channels": {
                "hook": {"type": "webhook", "url": f"{hooks.url}/{path}", "secret": value('webhook secret')},
                "slack": {"type": "slack", "url": f"{hooks.url}/services/{value('slack path')}"},
                "sentry": {"type": "sentry", "url": f"http://{value('sentry key')}@127.0.0.1:{hooks.port}/7"},
                "mail": {"type": "email", "url": f"smtp://me:{mail}@127.0.0.1:{mails.port}/?to=a@b.example&tls=off"},
                "dead": {"type": "slack", "url": f"http://127.0.0.1:9/{value('slack path')}"},
            },
            "rules": {
                name: {"for": "0s", "clear": "0s"}
                for name in ("credential", "critical_model", "provider_offline", "health", "error_budget", "store")
            },
        },
    }  # fmt: skip


def chat(path: str, will: str, caller: str, query: str = "", model: str = "m") -> bytes:
    body = json.dumps({"model": model, "stream": "sse" in will, "messages": [{"role": "user", "content": "x"}]})
    return (
        f"POST {path}{query} HTTP/1.1\r\nHost: localhost\r\nX-Will: {will}\r\n{caller}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def provoke(world: World, config: dict[str, Any], env: dict[str, str]) -> None:
    """Everything that can go wrong beside a secret."""
    await exchanges(world)
    await malformed(world)
    await administration(world)
    await mistakes(world, config)
    await commands(world, env)


async def exchanges(world: World) -> None:
    """Every way to bring a key, to every provider, whatever that does with it."""
    query = f"?key={quote(value('caller query key'), safe='')}&alt=json"
    jobs = [
        (name, will, caller, query if caller == "none" and index % 3 == 0 else "")
        for name in PATHS
        for index, will in enumerate(WILLS)
        for caller in (CALLERS if name in ("openai", "gemini") else ("none", "wordy"))
    ]
    limit = asyncio.Semaphore(16)

    async def one(name: str, will: str, caller: str, query: str) -> None:
        async with limit:
            # Some a model of their own, which keeps the error that is the last one of it; `m` goes on elsewhere.
            model = f"{will}-{caller}" if caller in ("none", "wordy", "token") else "m"
            path = PATHS[name].replace("/m:", f"/{model}:")
            raw = await world.ask(False, chat(path, will, CALLERS[caller], query, model))
        if b"x-detour-error" in raw.lower() or name in ("nobody", "refused"):
            world.running.answers[f"{name} {will} {caller}{query[:4]}"] = raw  # of our own making

    await asyncio.gather(*(one(*job) for job in jobs))


MALFORMED = [
    "GET /openai/v1/models?key=KEY HTTP/9.9|Host: localhost||",
    "GET /KEY HTTP/1.1|Host: localhost|Connection: close||",
    "GET /v1/alerts?key=KEY HTTP/1.1|Host: localhost|AUTH|Connection: close||",
    "KEY / HTTP/1.1|Host: localhost||",
    "GET / HTTP/1.1|Host: KEY|AUTH|Connection: close||",
    "GET / HTTP/1.1|Host: localhost|Origin: http://KEY|AUTH|Connection: close||",
    "GET / HTTP/1.1|Host: localhost|AUTH\0||",
    "GET / HTTP/1.1|Host: localhost|AUTH\rX: KEY||",
    "GET / HTTP/1.1|Host: localhost| AUTH||",
    "GET / HTTP/1.1|Host: localhost|Bearer KEY||",
    "GET / HTTP/1.1|Host: localhost|KEY\1: x||",
    "GET / HTTP/1.1|Host: localhost|AUTH" + "x" * 70_000 + "||",
    "GET /" + "KEY" * 3000 + " HTTP/1.1|Host: localhost||",
    "POST / HTTP/1.1|Host: localhost|Content-Length: KEY||",
    "POST / HTTP/1.1|Host: localhost|Transfer-Encoding: KEY||",
    "POST /openai/v1/x HTTP/1.1|Host: localhost|AUTH|Transfer-Encoding: chunked|Connection: close||KEY|",
    "POST /openai/v1/x HTTP/1.1|Host: localhost|AUTH|Content-Length: 9|Connection: close||{KEY{{{{",
    "GET /openai/v1/x HTTP/1.1|Host: localhost|AUTH|Expect: KEY|Connection: close||",
    "GET /openai/v1/x HTTP/1.1|Host: localhost|AUTH|x-detour-route: KEY|Connection: close||",
    "GET /openai/v1/x HTTP/1.1|Host: localhost|AUTH|x-detour-token: KEY|Connection: close||",
    "\x16\3\1KEY",
]
"""Requests that are wrong, with a key in what is wrong about them; a bar ends a line."""


async def malformed(world: World) -> None:
    """Send each to both ports. The admin port says which page there is none of, and a token is no part of its path."""
    for admin, key in ((False, value("caller bearer")), (True, value("wrong admin token"))):
        for number, text in enumerate(MALFORMED):
            if admin and text.startswith("GET /KEY"):
                continue
            raw = text.replace("|", "\r\n").replace("AUTH", f"Authorization: Bearer {key}").replace("KEY", key)
            got = await world.ask(admin, raw.encode("latin-1"))
            if status_of(got) >= 400:
                world.running.answers[f"malformed {admin} {number}"] = got


async def administration(world: World) -> None:
    """Every route of the admin port, with the token, a wrong one and none; and what only a POST does."""
    right, wrong = (f"Authorization: Bearer {value(name)}" for name in ("admin token", "wrong admin token"))
    stream = asyncio.create_task(events(world, right))
    for route in TABLE:
        path = route.path.replace("{provider}", "openai").replace("{model...}", "m").replace("{id}", "s-1")
        if path == "/v1/events":
            continue
        body = json.dumps({"for": "1h", "rule": "store", "comment": "x"}) if path == "/v1/alerts/silences" else ""
        for auth, query in (
            (right, ""),
            (right, "?verbose&format=csv"),
            *([(right, "?verbose"), (right, "?limit=1000")] if path in ("/readyz", "/v1/model-health") else ()),
            (wrong, ""),
            ("X: y", ""),
        ):
            head = f"{route.method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n{auth}\r\nConnection: close\r\n"
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            world.running.answers[f"{route.method} {path}{query} {auth[:1]}"] = await world.ask(
                True, (head + fields).encode()
            )
    world.running.answers["events"] = await stream


async def events(world: World, auth: str) -> bytes:
    """The beginning of the stream of events, from the first one that is remembered."""
    async with client(world.running.admin) as peer:
        await peer.send(f"GET /v1/events?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n\r\n".encode())
        told = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while piece := await peer.reader.read(1 << 16):
                    told += piece
        return told


async def mistakes(world: World, config: dict[str, Any]) -> None:
    """Files that cannot be used, for what stands at a key's place or beside it; each is read by the running process."""
    path, lines = world.running.folder / "detour.yaml", yaml.safe_dump(config)
    key, token = value("own key by value"), value("client token")
    broken = [
        lines.replace(f"api_key: {key}", f"api_key: [{key}]"),
        lines.replace(f"api_key: {key}", f"api_key: {{a: {key}}}"),
        lines.replace(f"api_key: {key}", f"api_key: *{key}"),
        lines.replace(f"api_key: {key}", f"api_key: '{key}"),
        lines.replace(f"api_key: {key}", f"api_key:{key}"),
        lines.replace(f"api_key: {key}", f'api_key: "{key}\\n"'),
        lines.replace(f"api_key: {key}", f"api_key_env: {key}"),
        lines.replace(f"client_token: {token}", f"client_token: [{token}, x"),
        lines.replace(f"client_token: {token}", f"client_token: ${{{token}}}"),
        lines.replace("${file:gemini.key}", "${file:gone.key}"),
        lines.replace("http://me:", "socks5://me:"),
        lines.replace(f"http://{value('sentry key')}@", f"ftp://{value('sentry key')}@"),
    ]
    for number, text in enumerate(broken, 1):
        assert text != lines
        path.write_text(text)
        world.running.process.send_signal(signal.SIGHUP)
        await world.running.said("the changed configuration cannot be used", number)
        for query in ("", "?verbose"):
            raw = f"GET /readyz{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            world.running.answers[f"readyz{query} {number}"] = await world.ask(True, raw)
    path.write_text(lines)
    world.running.process.send_signal(signal.SIGHUP)
    await world.running.said("configuration read again")


async def commands(world: World, env: dict[str, str]) -> None:
    """What people run beside it."""
    folder = world.running.folder
    more = ("-c", "detour.yaml", "--admin-listen", f"127.0.0.1:{world.running.admin}")

    async def run(*arguments: str) -> None:
        _, out, err = await command(*arguments, env=env, cwd=folder)
        world.running.answers[f"$ {' '.join(arguments[:2])} {len(arguments)}"] = out.encode() + err.encode()

    await asyncio.gather(
        *(run(name, *more) for name in ("check", "audit-keys", "healthcheck", "cleanup")),
        *(run(name, "--json", *more) for name in ("check", "audit-keys", "cleanup")),
        run("check", *more, "--set", "store=redis://:{}@a b".replace("{}", value("redis password"))),
    )
