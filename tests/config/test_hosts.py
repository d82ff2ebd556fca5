from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.hosts import allowed_host, foreign_origin

NAMES = frozenset({"detour.svc", "sidecar"})


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        (b"127.0.0.1", True),
        (b"127.0.0.1:8080", True),
        (b"10.1.2.3:80", True),
        (b"[::1]:8080", True),
        (b"[2001:db8::1]", True),
        (b"localhost", True),
        (b"LocalHost:8080", True),
        (b"localhost.", True),
        (b"app.localhost:1", True),
        (b"Detour.SVC:8080", True),
        (b"sidecar", True),
        (None, False),
        (b"", False),
        (b"evil.example", False),
        (b"localhost.evil.example", False),
        (b"evillocalhost", False),
        (b"127.0.0.1.evil.example", False),
        (b"127.1", False),
        (b"0x7f.1", False),
        (b"2130706433", False),
        (b"[::1", False),
        (b"[zz]", False),
        (b"[1.2.3.4]:80", True),
        (b"localhost:", False),
        (b"localhost:x", False),
        (b"localhost:1:2", False),
        (b"user@localhost", False),
        (b"localhost\r\nx", False),
        (b"localhost\n", False),
        (b" localhost", False),
        (b"127.0.0.1,evil", False),
        (b"\xff\xfe", False),
        (b"a" * 100_000, False),
        (b"..", False),
    ],
)
def test_hosts(host: bytes | None, allowed: bool) -> None:
    assert allowed_host(host, NAMES) is allowed


@given(st.binary(max_size=40))
def test_no_bytes_make_it_raise(host: bytes) -> None:
    allowed_host(host, NAMES)
    foreign_origin(host, host, ["https://ops.example"])
    foreign_origin(b"http://" + host, host, ["https://ops.example"])


@pytest.mark.parametrize(
    ("origin", "host", "foreign"),
    [
        (None, b"localhost", False),
        (b"http://localhost:9090", b"localhost:9090", False),
        (b"HTTP://LocalHost:9090", b"localhost:9090", False),
        (b"http://localhost", b"localhost", False),
        (b"http://localhost:80", b"localhost", False),
        (b"https://sidecar", b"sidecar:443", False),
        (b"http://localhost:3000", b"localhost:9090", True),
        (b"http://evil.example", b"localhost:9090", True),
        (b"http://evil.example", None, True),
        (b"null", b"localhost", True),
        (b"", b"localhost", True),
        (b"file://", b"localhost", True),
        (b"chrome-extension://abc", b"abc", True),
        (b"http://localhost:9090/", b"localhost:9090", True),
        (b"http://user@localhost:9090", b"localhost:9090", True),
        (b"http://localhost:9090 http://x", b"localhost:9090", True),
        (b"http://[::1:9", b"[::1:9", True),
        (b"http://" + b"a" * 100_000, b"a" * 100_000, True),
        (b"https://ops.example:8443", b"localhost", False),
        (b"http://ops.example:8443", b"localhost", True),
        (b"https://ops.example", b"localhost", True),
        (b"https://dash.example", b"localhost", False),
        (b"https://dash.example:443", b"x" * 1000, False),
    ],
)
def test_origins(origin: bytes | None, host: bytes | None, foreign: bool) -> None:
    assert foreign_origin(origin, host, ["https://ops.example:8443", "https://Dash.example"]) is foreign
