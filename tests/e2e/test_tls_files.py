"""Certificates in files: refused at the start, taken over while running, and what commands make of the admin port's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.fake import FakeProvider
from tests.e2e.authority import Authority
from tests.e2e.secured import client, get
from tests.e2e.test_commands import command, written
from tests.e2e.world import PATIENCE, Detour, detour, eventually, post

CHAT = b'{"model":"ok","messages":[]}'


class Mounted:
    """A Secret as Kubernetes mounts it: files that are links through `..data`, which is swapped in one go."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder
        self._authority = authority
        self._turn = 0
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")
        self.serial = 0
        self.renew()

    def renew(self) -> None:
        """A new certificate and key."""
        both = self._authority.issue("localhost")
        self.serial = int(both.stem, 16)
        text = both.read_text()
        at = text.index("-----BEGIN PRIVATE")
        self.swap(text[:at], text[at:])

    def swap(self, cert: str, key: str) -> None:
        """Other content, in one go."""
        self._turn += 1
        made = self.folder / f"..{self._turn}"
        made.mkdir()
        (made / "tls.crt").write_text(cert)
        (made / "tls.key").write_text(key)
        (self.folder / "..next").symlink_to(made.name)
        os.replace(self.folder / "..next", self.folder / "..data")

    @property
    def settings(self) -> dict[str, str]:
        return {"cert": str(self.folder / "tls.crt"), "key": str(self.folder / "tls.key")}


def serial(writer: asyncio.StreamWriter) -> int:
    shown = writer.get_extra_info("peercert")
    return int(shown["serialNumber"], 16)


async def shown(running: Detour, authority: Authority) -> int:
    """The serial number of the certificate that a new connection is shown."""
    async with client(running.port, authority.client()) as peer:
        return serial(peer.writer)


async def becomes(running: Detour, authority: Authority, wanted: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await shown(running, authority) != wanted:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.1)


async def check(running: Detour, name: str) -> dict[str, Any]:
    """What `/readyz?verbose` says of one thing."""
    _, found = await running.get("/readyz?verbose")
    (told,) = (entry for entry in found["checks"] if entry["name"] == name)
    assert isinstance(told, dict)
    return told


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def mounted(tmp_path: Path, authority: Authority) -> Mounted:
    (tmp_path / "secret").mkdir()
    return Mounted(tmp_path / "secret", authority)


@contextlib.asynccontextmanager
async def serving(folder: Path, mounted: Mounted) -> AsyncIterator[Detour]:
    async with FakeProvider() as fake:
        config = {
            "providers": {"openai": {"base_url": f"{fake.url}/v1", "api_key": "sk-own"}},
            "tls": mounted.settings,
        }
        async with detour(config, path=folder / "detour.yaml") as running:
            yield running


class Load:
    """Clients that never stop asking: some on one connection each, some on a new one for every request."""

    def __init__(self, running: Detour, authority: Authority) -> None:
        self._running = running
        self._authority = authority
        self.answers = 0
        self.serials: Counter[int] = Counter()
        self.over = False

    async def kept(self) -> None:
        async with client(self._running.port, self._authority.client()) as peer:
            while not self.over:
                await peer.send(post("/openai/v1/chat/completions", CHAT, close=False))
                await self._answered(peer)

    async def renewed(self) -> None:
        context = self._authority.client()
        while not self.over:
            async with client(self._running.port, context) as peer:
                self.serials[serial(peer.writer)] += 1
                await peer.send(post("/openai/v1/chat/completions", CHAT))
                await self._answered(peer)

    async def _answered(self, peer: Any) -> None:
        status, _, body = await peer.answer()
        assert (status, body[:1]) == (200, b"{")
        self.answers += 1


async def test_rotation_under_load_fails_nothing(tmp_path: Path, authority: Authority, mounted: Mounted) -> None:
    async with serving(tmp_path, mounted) as running:
        load = Load(running, authority)
        seen = [mounted.serial]
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(load.kept())
                group.create_task(load.renewed())
            for _ in range(3):
                before = load.answers
                await eventually(lambda before=before: load.answers > before + 20)  # type: ignore[misc]
                mounted.renew()
                seen.append(mounted.serial)
                await becomes(running, authority, mounted.serial)
            before = load.answers
            await eventually(lambda: load.answers > before + 20)
            load.over = True
        assert set(load.serials) == set(seen)
        assert await running.metric("detour_requests_total", status="200") >= load.answers
        assert await running.metric("detour_tls_files_refused", setting="tls") == 0
        taken = [line for line in running.lines if line["message"] == "changed files of tls are taken over"]
        assert len(taken) == 3


async def test_new_files_that_cannot_be_used_leave_the_old_in_force(
    tmp_path: Path, authority: Authority, mounted: Mounted
) -> None:
    async with serving(tmp_path, mounted) as running:
        good = mounted.serial
        assert (await check(running, "files tls"))["ok"]
        expires = await running.metric("detour_tls_certificate_expiry_timestamp_seconds", setting="tls")
        assert expires > 1e9
        other = authority.issue("localhost").read_text()
        mounted.swap((mounted.folder / "tls.crt").read_text(), other[other.index("-----BEGIN PRIVATE") :])
        await eventually(lambda: any("not taken over" in line["message"] for line in running.lines))
        told = await check(running, "files tls")
        assert (told["ok"], told["required"]) == (False, False)
        assert told["detail"].startswith("changed, and not taken over: cert: the key in ")
        assert await running.metric("detour_tls_files_refused", setting="tls") == 1
        assert await shown(running, authority) == good
        mounted.renew()
        await becomes(running, authority, mounted.serial)
        assert await running.metric("detour_tls_files_refused", setting="tls") == 0
        assert (await check(running, "files tls"))["ok"]
        running.lines = [line for line in running.lines if line["level"] != "error"]


async def test_authorities_of_clients_are_taken_over(tmp_path: Path, authority: Authority) -> None:
    """Who had a certificate keeps the connection it made; the next one is judged by the new authorities."""
    bundle = tmp_path / "clients.pem"
    bundle.write_bytes(authority.file.read_bytes())
    tls = {"cert": str(authority.issue("localhost")), "client_ca": str(bundle)}
    (tmp_path / "next").mkdir()
    following = Authority(tmp_path / "next", "next")
    old, new = authority.issue("gateway"), following.issue("gateway")
    async with FakeProvider() as fake:
        config = {"providers": {"openai": {"base_url": f"{fake.url}/v1", "api_key": "sk-own"}}, "tls": tls}
        async with detour(config, path=tmp_path / "detour.yaml") as running:
            async with client(running.port, authority.client(certificate=old)) as peer:
                await peer.send(get())
                assert (await peer.answer())[0] == 200
                bundle.write_bytes(following.file.read_bytes())
                await eventually(lambda: any("are taken over" in line["message"] for line in running.lines))
                await peer.send(get())
                assert (await peer.answer())[0] == 200

            async def ask(certificate: Path) -> int:
                async with client(running.port, authority.client(certificate=certificate)) as peer:
                    await peer.send(get())
                    return (await peer.answer())[0]

            assert await ask(new) == 200
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await ask(old)


@pytest.mark.parametrize("verb", ["serve", "check"])
async def test_all_mistakes_in_files_are_told_at_once(tmp_path: Path, authority: Authority, verb: str) -> None:
    both = authority.issue("localhost", password=b"x")
    document = {
        "tls": {"cert": str(both)},
        "admin": {"tls": {"cert": str(tmp_path / "gone")}},
        "upstream": {"ca_bundle": str(both.parent)},
    }
    code, out, err = await command(verb, "-c", written(tmp_path, document))
    assert (code, out) == (1, "")
    assert f"  tls.key: {both} is encrypted" in err
    assert f"  admin.tls.cert: cannot read {tmp_path}/gone: No such file or directory" in err
    assert f"  upstream.ca_bundle: cannot read {both.parent}: Is a directory" in err


async def test_an_expired_certificate_is_a_warning(tmp_path: Path, authority: Authority) -> None:
    document = {"tls": {"cert": str(authority.issue("localhost", expired=True))}}
    code, out, _ = await command("check", "-c", written(tmp_path, document))
    assert code == 0
    assert "tls.cert: the certificate expired on " in out
    async with detour(document, path=tmp_path / "detour.yaml") as running:
        assert not (await check(running, "files tls"))["ok"]
        assert any(line["level"] == "warning" and "expired" in line["message"] for line in running.lines)


# -- the admin port and the commands that ask it -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def admin(folder: Path, tls: dict[str, str]) -> AsyncIterator[tuple[Detour, str]]:
    """A Detour with TLS on its admin port, and a file for commands that are to find it."""
    document: dict[str, Any] = {"admin": {"token": "canary-token", "tls": tls}}
    async with detour(document, path=folder / "serve.yaml") as running:
        document["admin"]["listen"] = f"127.0.0.1:{running.admin_port}"
        yield running, written(folder, document)


async def test_commands_ask_an_admin_port_over_tls(tmp_path: Path, authority: Authority) -> None:
    async with admin(tmp_path, {"cert": str(authority.issue("detour.example"))}) as (running, path):
        assert running.admin.startswith("https://")
        assert running.url.startswith("http://")
        code, out, err = await command("healthcheck", "-c", path)
        assert (code, out, err) == (0, '{"status":"ok"}\n', "")
        code, out, _ = await command("cleanup", "-c", path)
        assert code == 0
        assert "nothing to remove" in out
        async with client(running.admin_port, _careless(authority)) as peer:
            await peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await peer.answer())[0] == 200


async def test_an_admin_port_that_wants_certificates(tmp_path: Path, authority: Authority) -> None:
    """A certificate of the same authority does for both: that of the listener is shown to it."""
    tls = {"cert": str(authority.issue("detour.example")), "client_ca": str(authority.file)}
    async with admin(tmp_path, tls) as (running, path):
        assert (await command("healthcheck", "-c", path))[0] == 0

        async def ask() -> None:
            async with client(running.admin_port, _careless(authority)) as peer:
                await peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await peer.answer()

        with pytest.raises((ssl.SSLError, ConnectionError)):
            await ask()


async def test_the_token_goes_to_nobody_else(tmp_path: Path, authority: Authority) -> None:
    """Who listens there with another certificate is not asked, though the same authority may have issued it."""
    mine = authority.issue("detour.example")
    read = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            read.extend(await reader.read(1000))
        writer.transport.abort()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=authority.server("detour.example"))
    port = server.sockets[0].getsockname()[1]
    document = {"admin": {"listen": f"127.0.0.1:{port}", "token": "canary-token", "tls": {"cert": str(mine)}}}
    code, _, err = await command("cleanup", "-c", written(tmp_path, document))
    assert code == 1
    assert "certificate verify failed" in err
    assert not read
    server.close()


def _careless(authority: Authority) -> ssl.SSLContext:
    context = authority.client()
    context.check_hostname = False
    return context
