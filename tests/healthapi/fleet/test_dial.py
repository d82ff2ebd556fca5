from __future__ import annotations

import pytest
from redis.asyncio.connection import Connection, SSLConnection

from config.storeurl import StoreUrl
from healthapi.fleet.dial import Dial, shown


def dial(url: str) -> Dial:
    return Dial.parse(StoreUrl.parse(url))


@pytest.mark.parametrize(
    ("url", "nodes", "rest"),
    [
        ("redis://h", (("h", 6379),), (None, None, 0, "")),
        ("redis://u:p%40%2F@h:1/3", (("h", 1),), ("u", "p@/", 3, "")),
        ("redis://:p@[::1]:7/", (("::1", 7),), (None, "p", 0, "")),
        ("redis://[::1]", (("::1", 6379),), (None, None, 0, "")),
        ("redis+sentinel://a,b:9/s", (("a", 26379), ("b", 9)), (None, None, 0, "s")),
        ("redis+sentinel://u:p@a/s/4", (("a", 26379),), ("u", "p", 4, "s")),
        ("redis+cluster://a,b:9", (("a", 6379), ("b", 9)), (None, None, 0, "")),
        ("redis+cluster://a/0", (("a", 6379),), (None, None, 0, "")),
    ],
)
def test_what_an_address_says(url: str, nodes: object, rest: object) -> None:
    found = dial(url)
    assert found.nodes == nodes
    assert (found.username, found.password, found.database, found.service) == rest
    assert found.tls is None


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("redis://h?ssl=false", False),
        ("rediss://h", True),
        ("redis+sentinel://h/s?ssl=true", True),
        ("redis+cluster://h?ssl=yes", True),
    ],
)
def test_tls_is_asked_for(url: str, tls: bool) -> None:
    found = dial(url)
    connection = found.connection(found.nodes[0])
    assert type(connection) is (SSLConnection if tls else Connection)
    if tls:
        context = connection.ssl_context.get()
        assert (context.check_hostname, context.verify_mode.name) == (True, "CERT_REQUIRED")


def test_a_password_can_be_left_out() -> None:
    found = dial("redis://u:p@h/3")
    assert found.connection(("h", 1)).password == "p"
    bare = found.connection(("h", 1), sentinel=True, password=False)
    assert (bare.username, bare.password, bare.db) == (None, None, 0)


def test_nothing_is_repeated_by_the_driver() -> None:
    assert dial("redis://h").connection(("h", 1)).retry.get_retries() == 0


@pytest.mark.parametrize(("node", "text"), [(("h", 1), "h:1"), (("::1", 1), "[::1]:1")])
def test_addresses_for_people(node: tuple[str, int], text: str) -> None:
    assert shown(node) == text
