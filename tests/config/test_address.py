from __future__ import annotations

import pytest

from config.address import Listen, is_ip, is_loopback


@pytest.mark.parametrize(
    ("text", "host", "port", "loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.9.9.9:1", "127.9.9.9", 1, True),
        (":8080", "", 8080, False),
        ("0.0.0.0:0", "0.0.0.0", 0, False),
        ("[::1]:8080", "::1", 8080, True),
        ("[0:0::1]:8080", "::1", 8080, True),
        ("[::]:65535", "::", 65535, False),
        ("localhost:80", "localhost", 80, True),
        ("my-host.internal:80", "my-host.internal", 80, False),
    ],
)
def test_addresses(text: str, host: str, port: int, loopback: bool) -> None:
    listen = Listen.parse(text)
    assert (listen.host, listen.port, listen.loopback) == (host, port, loopback)
    assert Listen.parse(str(listen)) == listen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8080", 'did you mean ":8080"?'),
        ("::1:8080", "stands in brackets"),
        ("127.0.0.1", "is not an address"),
        ("127.0.0.1:65536", "beyond 65535"),
        ("127.0.1:80", "is not an IP address"),
        ("[::zz]:80", "is not an address"),
        ("[:::1]:80", "is not an IP address"),
        ("-x:80", "is not a host name"),
        ("", "is not an address"),
        ("http://x:80", "is not an address"),
        ("a:٣", "is not an address"),
    ],
)
def test_what_is_no_address(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"address|beyond|name") as caught:
        Listen.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("a.LOCALHOST", True), ("localhost.evil.example", False), ("", False), ("10.0.0.1", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "ip"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("127.1", False),
        ("0x7f000001", False),
        ("fe80::1%eth0", False),
        ("x", False),
    ],
)
def test_ip_addresses(host: str, ip: bool) -> None:
    assert is_ip(host) is ip
