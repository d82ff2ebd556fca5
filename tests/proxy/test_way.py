"""What a head decides."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from config.effective import Config
from config.load import load_text
from proxy.errand import Errand
from proxy.head import Head
from proxy.headers import Pair, scan
from proxy.paths import CHAT
from proxy.probe import Asks
from proxy.way import Way, find_way

KEYS = {"OPENAI_API_KEY": "own"}
LOCAL = "listen: 127.0.0.1:0\nhosts: [side.test]\nadmin: {origins: [https://ops.test]}\n"
HOST = (b"Host", b"localhost:8080")
KEY = (b"Authorization", b"Bearer sk-caller")
PATH = "/openai/v1/chat/completions"


@functools.cache
def config(text: str = LOCAL) -> Config:
    return load_text(text, KEYS)


def head(raw: list[Pair], method: str = "POST", path: str = PATH, *, version10: bool = False) -> Head:
    return Head(method, path, version10, True, raw, scan(raw, version10=version10))


def find(raw: list[Pair], method: str = "POST", path: str = PATH, **more: Any) -> Way:
    return find_way(head(raw, method, path, **more), config(), b"me")


def test_a_request_that_may_pass() -> None:
    way = find([HOST, KEY, (b"X-A", b"b")])
    assert way.refusal is None
    assert way.route is not None
    assert (way.route.provider.name, way.route.path, way.endpoint) == ("openai", "/v1/chat/completions", CHAT)
    assert way.placed is not None
    assert (way.placed.own, way.placed.drop) == (False, frozenset())
    assert way.scan.kept == [KEY, (b"X-A", b"b")]
    assert way.heads == {}


@pytest.mark.parametrize(
    ("raw", "method", "path", "status", "word"),
    [
        ([HOST, KEY], "CONNECT", PATH, 405, "CONNECT is not served"),
        ([HOST, KEY], "TRACE", PATH, 405, "TRACE is not served"),
        ([HOST, KEY, (b"Content-Length", b"1, 2")], "POST", PATH, 400, "a malformed Content-Length"),
        ([KEY], "POST", PATH, 400, "exactly one Host"),
        ([HOST, HOST, KEY], "POST", PATH, 400, "exactly one Host"),
        ([HOST, KEY, (b"Via", b"1.1 detour-me")], "POST", PATH, 508, "points back at Detour"),
        ([HOST, KEY, (b"Via", b"1 detour-a, 1 detour-b, 1 detour-c, 1 detour-d")], "POST", PATH, 508, "base URL"),
        ([HOST], "OPTIONS", "*", 204, ""),
        ([HOST], "GET", "*", 400, "not a path"),
        ([HOST, KEY], "POST", "/nobody/v1/chat/completions", 404, "nobody"),
        ([HOST, KEY], "POST", PATH + "#x", 400, "fragment"),
    ],
)
def test_refusals_before_a_route(raw: list[Pair], method: str, path: str, status: int, word: str) -> None:
    way = find(raw, method, path)
    assert way.refusal is not None
    assert way.refusal.status == status
    assert word in way.refusal.message
    assert (way.route, way.endpoint, way.placed) == (None, None, None)


@pytest.mark.parametrize(("raw", "refused"), [([KEY], False), ([HOST, KEY], False), ([HOST, HOST, KEY], True)])
def test_http_1_0_needs_no_host(raw: list[Pair], refused: bool) -> None:
    assert (find(raw, version10=True).refusal is not None) is refused


def test_http_1_0_has_no_chunks() -> None:
    way = find([HOST, KEY, (b"Transfer-Encoding", b"chunked")], version10=True)
    assert way.refusal is not None
    assert (way.refusal.status, way.refusal.message) == (400, "Transfer-Encoding in HTTP/1.0")


def test_a_missing_credential_is_told_in_the_dialect_of_the_path() -> None:
    way = find([HOST], path="/anthropic/v1/messages")
    assert way.refusal is not None
    assert way.refusal.status == 401
    assert "ANTHROPIC_API_KEY" in way.refusal.message
    assert way.endpoint is not None
    assert way.endpoint.dialect == "anthropic"
    assert way.placed is None


@pytest.mark.parametrize("asked", [(), ((b"Authorization", b"Bearer detour"),)])
@pytest.mark.parametrize(
    ("host", "origin", "served"),
    [
        (b"localhost", None, True),
        (b"127.0.0.1:8080", None, True),
        (b"[::1]:8080", None, True),
        (b"side.test", None, True),
        (b"SIDE.test:1", None, True),
        (b"localhost:8080", b"http://localhost:8080", True),
        (b"localhost:8080", b"https://ops.test", True),
        (b"evil.test", None, False),
        (b"", None, False),
        (b"localhost:8080", b"http://localhost:9", False),
        (b"localhost:8080", b"https://evil.test", False),
        (b"localhost:8080", b"null", False),
    ],
)
def test_a_page_does_not_spend_the_sidecars_key(
    asked: tuple[Pair, ...], host: bytes, origin: bytes | None, served: bool
) -> None:
    raw = [(b"Host", host), *asked]
    if origin is not None:
        raw.append((b"Origin", origin))
    way = find(raw)
    if served:
        assert way.refusal is None
        assert way.placed is not None
        assert way.placed.own
    else:
        assert way.refusal is not None
        assert way.refusal.status == 403
        assert way.placed is None
    with_own_key = find([(b"Host", host), KEY, *raw[1 + len(asked) :]])
    assert with_own_key.refusal is None, "a caller's own key is nobody else's to spend"


# -- probes -----------------------------------------------------------------------------------------------------------


def test_a_probe_is_known_by_its_word_and_its_word_goes_no_further() -> None:
    errand = Errand("m", Asks.GENERATION, 1.0)
    asked = head([HOST, (b"X-Detour-Probe", b"word")])
    way = find_way(asked, config(), b"me", {b"word": errand})
    assert way.wishes.errand is errand
    assert way.scan.kept == []
    assert find_way(asked, config(), b"me").wishes.errand is None
