"""Addresses, bound or not."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from config.address import Listen
from proxy.listeners import CannotStartError, bind, listen, url


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]


def closed(sockets: list[socket.socket]) -> list[tuple[int, str, int]]:
    """(family, host, port) of bound sockets, which are closed."""
    found = [(int(sock.family), *sock.getsockname()[:2]) for sock in sockets]
    for sock in sockets:
        assert sock.gettimeout() == 0.0
        sock.close()
    return found


def test_one_address() -> None:
    ((family, host, port),) = closed(bind("listen", Listen("127.0.0.1", 0)))
    assert (family, host) == (socket.AF_INET, "127.0.0.1")
    assert port > 0


def test_all_addresses_have_one_port() -> None:
    found = closed(bind("listen", Listen("", 0)))
    assert {host for _, host, _ in found} <= {"0.0.0.0", "::"}
    assert len({port for _, _, port in found}) == 1


def test_a_name_stands_for_its_addresses() -> None:
    assert {host for _, host, _ in closed(bind("listen", Listen("localhost", 0)))} <= {"127.0.0.1", "::1"}


@pytest.mark.parametrize(("key", "flag"), [("listen", "--listen"), ("admin.listen", "--admin-listen")])
def test_a_port_that_is_taken(taken: int, key: str, flag: str) -> None:
    with pytest.raises(CannotStartError) as caught:
        bind(key, Listen("127.0.0.1", taken))
    text = str(caught.value)
    assert text.startswith(f"{key}: cannot listen on 127.0.0.1:{taken}: ")
    assert text.endswith(f"(choose another with {flag} or `{key}` in the file)")


def test_of_two_that_are_bound_to_an_address_one_listens() -> None:
    (one,) = bind("listen", Listen("127.0.0.1", 0))
    address = Listen("127.0.0.1", one.getsockname()[1])
    (other,) = bind("admin.listen", address)
    with one, other:
        listen("listen", address, [one], 10)
        with pytest.raises(CannotStartError, match=rf"admin\.listen: cannot listen on {address}: .* --admin-listen "):
            listen("admin.listen", address, [other], 10)


def test_a_name_that_is_none() -> None:
    with pytest.raises(CannotStartError, match="listen: no such name:1 cannot be resolved: "):
        bind("listen", Listen("no such name", 1))


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, tuple[object, ...]]) -> None:
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)


def test_nothing_stays_bound_when_one_address_cannot_be_had(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port = probe.getsockname()[1]
    resolving(monkeypatch, (socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("192.0.2.1", port)))
    with pytest.raises(CannotStartError, match="cannot listen"):
        bind("listen", Listen("two.test", port))
    with socket.socket() as again:
        again.bind(("127.0.0.2", port))


def test_a_machine_without_version_6_listens_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoVersion6(socket.socket):
        def bind(self, address: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
            super().bind(address)  # type: ignore[arg-type]

    resolving(monkeypatch, (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET6, ("::1", 0, 0, 0)))
    monkeypatch.setattr(socket, "socket", NoVersion6)
    assert [host for _, host, _ in closed(bind("listen", Listen("localhost", 0)))] == ["127.0.0.1"]
    resolving(monkeypatch, (socket.AF_INET6, ("::1", 0, 0, 0)))
    with pytest.raises(CannotStartError, match="Cannot assign requested address"):
        bind("listen", Listen("::1", 0))


class Named(socket.socket):
    name: tuple[object, ...] = ()

    def getsockname(self) -> tuple[object, ...]:
        return self.name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (("127.0.0.1", 80), "http://127.0.0.1:80"),
        (("0.0.0.0", 80), "http://localhost:80"),
        (("::", 80, 0, 0), "http://localhost:80"),
        (("::1", 80, 0, 0), "http://[::1]:80"),
    ],
)
def test_urls(name: tuple[object, ...], found: str) -> None:
    with Named() as sock:
        sock.name = name
        assert url(sock) == found
