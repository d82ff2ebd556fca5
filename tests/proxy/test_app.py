"""The process: where it listens, what it says, how it refuses to start."""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import logging
import signal
import socket
from collections.abc import Iterator

import pytest

from breaker.outcome import SUCCESS, Outcome
from config.effective import Config
from config.load import load_text
from proxy import app, listeners, server
from proxy.access import AccessLog
from proxy.version import version

KEYS = {"OPENAI_API_KEY": "own-secret"}


def config(text: str = "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\n") -> Config:
    return load_text(text, KEYS)


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
