"""The process: where it listens, what it says, how it refuses to start."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from breaker.outcome import SUCCESS, Outcome
from config.effective import Config
from config.load import load_text
from healthapi.keys import KeyLog
from proxy import app, listeners, server
from proxy.access import AccessLog
from proxy.version import version

KEYS = {"OPENAI_API_KEY": "own-secret"}


def config(text: str = "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\n") -> Config:
    return load_text(text, KEYS)


def free() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def test_banner() -> None:
    text = app._banner({"proxy": "http://p:1", "admin": "http://a:2"}, config())
    assert "http://p:1/openai/v1" in text
    assert "http://a:2/v1/model-health" in text
    assert "providers, 1 with a credential" in text
    assert "own-secret" not in text


def test_a_person_gets_a_banner_and_a_machine_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = app.App(config())
    with socket.socket() as one, socket.socket() as two, caplog.at_level(logging.INFO, logger="detour"):
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        made._announce(one, two)
        (record,) = caplog.records
        assert record.getMessage() == "serving"
        assert (vars(record)["proxy"], vars(record)["admin"]) == (listeners.url(one), listeners.url(two))
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        made._announce(one, two)
        assert len(caplog.records) == 1
        assert listeners.url(one) in capsys.readouterr().err


# -- version, parts ---------------------------------------------------------------------------------------------------


def test_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} 9")
    assert version() == "detour 9"
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert version() == "0.0.0+source"


@pytest.mark.parametrize("access", [False, True])
async def test_an_access_log_only_where_asked_for(access: bool) -> None:
    made = app.App(config(f"store: 'memory:'\nlog: {{access: {str(access).lower()}}}\n"))
    made._build(asyncio.get_running_loop())
    assert isinstance(made.plane.recorder, AccessLog) is access
    assert made._listening == {}


async def test_what_is_odd_about_the_configuration_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="detour"):
        made = app.App(config("store: sqlite:///tmp/x.db\nproviders: {google-vertex: {}}\n"))
        made._build(asyncio.get_running_loop())
    said = [record.getMessage() for record in caplog.records]
    assert said == list(made.config.warnings)
    assert "its address needs" in said[0]


async def test_a_target_beyond_the_bounds_is_forgotten_by_the_store_too() -> None:
    made = app.App(config())
    made._build(asyncio.get_running_loop())
    made.parts.recorder.attempt(Outcome("openai", "m", SUCCESS, False, 1.0, 0.5, 9.0))
    assert made.parts.store.get("openai", "m") is not None
    made.parts.forget("openai", "m")
    assert made.parts.store.get("openai", "m") is None


def test_the_collector_is_kept_out_of_the_way() -> None:
    before = gc.get_threshold()
    try:
        app._quiet_collector()
        assert gc.get_threshold()[0] == app.COLLECT_AFTER
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)


# -- starting and stopping --------------------------------------------------------------------------------------------


def test_a_process_that_cannot_listen(taken: int, caplog: pytest.LogCaptureFixture) -> None:
    assert app.run(config(f"listen: 127.0.0.1:{taken}\nadmin: {{listen: 127.0.0.1:0}}\n")) == app.CANNOT_START
    assert f"listen: cannot listen on 127.0.0.1:{taken}" in caplog.text


def test_a_process_whose_admin_port_is_taken_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two may be bound to an address, and the other one begins to listen first."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

        def sync(self: KeyLog, keeper: Any) -> Any:
            other.listen()
            return synced(self, keeper)

        synced = KeyLog.sync
        monkeypatch.setattr(KeyLog, "sync", sync)
        assert app.run(config(f"listen: 127.0.0.1:0\nadmin: {{listen: 127.0.0.1:{port}}}\n")) == app.CANNOT_START
    assert f"admin.listen: cannot listen on 127.0.0.1:{port}" in caplog.text
    assert "serving" not in [record.getMessage() for record in caplog.records]


def test_a_channel_that_cannot_be_used_is_found_out_before_anything_listens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "bind", lambda *_: pytest.fail("nothing may listen"))
    text = "alerts: {channels: {ops: {type: sentry, url: 'https://key@sentry.example/no-number'}}}\n"
    assert app.run(config(text)) == app.CANNOT_START
    assert "alerts.channels.ops.url: must be a DSN" in caplog.text


async def test_requests_are_served_before_the_admin_port_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app.App(config(f"listen: 127.0.0.1:{free()}\nadmin: {{listen: 127.0.0.1:{free()}}}\n"))
    settings = made.config.settings
    asking: list[asyncio.Task[bytes]] = []

    async def asked(host: str, port: int, path: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % path)
        answer = await reader.read()
        writer.close()
        return answer[:13]

    async def beside(work: Callable[[], Any]) -> Any:
        assert await asked("127.0.0.1", settings.listen.port, b"/nobody") == b"HTTP/1.1 404 "
        asking.append(asyncio.create_task(asked("127.0.0.1", settings.admin.listen.port, b"/readyz")))
        await asyncio.sleep(0.05)
        assert not asking[0].done()
        made._signalled()  # to stop: it does so when it is up
        return work()

    monkeypatch.setattr(app, "beside", beside)
    monkeypatch.setattr(app, "_quiet_collector", lambda: None)
    async with asyncio.timeout(20):
        assert await made.serve() == app.STOPPED
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    assert await asking[0] == b"HTTP/1.1 503 ", "it drains by then"
    assert made._listening == {"proxy": False, "admin": True}


def test_a_process_without_the_right_parser(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(server.httptools, "__version__", "0.7.1")
    assert app.run(config()) == app.CANNOT_START
    assert "httptools 0.7.1 is too old; 0.8 is the oldest that works" in caplog.text


def test_an_interrupted_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(self: app.App) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(app.App, "serve", serve)
    assert app.run(config()) == app.STOPPED


async def test_the_first_signal_drains_and_the_second_ends(caplog: pytest.LogCaptureFixture) -> None:
    made = app.App(config())
    made._build(asyncio.get_running_loop())
    with caplog.at_level(logging.INFO, logger="detour"):
        made._signalled()
        assert made._stop.is_set()
        with pytest.raises(SystemExit) as caught:
            made._signalled()
    assert caught.value.code == app.STOPPED
    assert [record.getMessage() for record in caplog.records] == ["draining", "second signal: ending at once"]


@pytest.mark.parametrize("left", [0, 1])
async def test_it_serves_until_it_is_told_to_stop(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, left: int
) -> None:
    """The whole story on one loop; as a process with real signals it is told by tests/e2e."""
    monkeypatch.setattr(app, "_quiet_collector", lambda: None)
    made = app.App(config("listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\ndrain: {timeout: 50ms}\n"))
    announced = asyncio.get_running_loop().create_future()
    urls: dict[str, str] = {}

    def announce(proxy: socket.socket, admin: socket.socket) -> None:
        urls.update(proxy=listeners.url(proxy), admin=listeners.url(admin))
        announced.set_result(None)

    monkeypatch.setattr(made, "_announce", announce)
    with caplog.at_level(logging.INFO, logger="detour"):
        serving = asyncio.create_task(made.serve())
        async with asyncio.timeout(10):
            await announced
            for name, path, status in (("proxy", "/nobody", 404), ("admin", "/readyz", 200)):
                port = int(urls[name].rpartition(":")[2])
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
                writer.close()
            made.plane.in_flight += left  # somebody who does not end
            made._signalled()
            assert await serving == app.STOPPED
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().remove_signal_handler(number)
    said = [record.getMessage() for record in caplog.records if record.name == "detour"]
    assert said[-2 - left :] == ["draining", *["drain time is over"] * left, "stopped"]
    assert made._listening == {"proxy": False, "admin": True}
