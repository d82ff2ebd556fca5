from __future__ import annotations

import pytest

from healthapi import origins
from healthapi.errors import Problem

NAMES = frozenset({"detour.internal"})
LISTED = ("https://status.example",)


@pytest.mark.parametrize(
    ("hosts", "sent"),
    [
        ([b"127.0.0.1:9090"], []),
        ([b"detour.internal"], []),
        ([b"localhost:9090"], [b"http://localhost:9090"]),
        ([b"10.1.2.3"], [b"https://status.example"]),
    ],
)
def test_let_in(hosts: list[bytes], sent: list[bytes]) -> None:
    origins.check(hosts, sent, NAMES, LISTED)


@pytest.mark.parametrize(
    ("hosts", "sent", "status", "code"),
    [
        ([], [], 403, "unknown_host"),
        ([b"evil.example"], [], 403, "unknown_host"),
        ([b"localhost", b"localhost"], [], 400, "double_host"),
        ([b"localhost", b"evil.example"], [], 400, "double_host"),
        ([b"localhost"], [b"http://evil.example"], 403, "foreign_origin"),
        ([b"localhost"], [b"null"], 403, "foreign_origin"),
        ([b"localhost"], [b"https://status.example", b"http://evil.example"], 403, "foreign_origin"),
        ([b"evil.example"], [b"http://evil.example"], 403, "unknown_host"),
    ],
)
def test_refused(hosts: list[bytes], sent: list[bytes], status: int, code: str) -> None:
    with pytest.raises(Problem) as caught:
        origins.check(hosts, sent, NAMES, LISTED)
    assert (caught.value.status, caught.value.code) == (status, code)


def test_only_a_page_gets_cors() -> None:
    assert origins.cors(None) == {"Vary": "Origin"}
    assert origins.cors(b"https://status.example")["Access-Control-Allow-Origin"] == "https://status.example"
