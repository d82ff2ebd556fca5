"""How the nodes of a Redis are reached: what its address says, and connections made from that."""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct
from redis.asyncio.connection import Connection, RedisSSLContext, SSLConnection

from config.storeurl import StoreKind, StoreUrl

CONNECT: Final = 5.0
"""Longest time in seconds that a connection may take to be made, whoever waits for it or no longer does."""

_PORTS: Final = {StoreKind.REDIS: 6379, StoreKind.SENTINEL: 26379, StoreKind.CLUSTER: 6379}
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_FALSE: Final = frozenset({"0", "f", "false", "n", "no", ""})

Node = tuple[str, int]
"""Host and port."""


class Dial(Struct):
    """What the address of a store says. `nodes` are those it names: for Sentinel, the Sentinels."""

    kind: StoreKind
    nodes: tuple[Node, ...]
    username: str | None
    password: str | None
    database: int
    service: str
    tls: RedisSSLContext | None

    @classmethod
    def parse(cls, url: StoreUrl) -> Dial:
        """Read a `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://` address.

        After a question mark: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (files), `ssl_cert_reqs` (`none` trusts
        anybody), `ssl_check_hostname`, and `ssl=true` for TLS with Sentinel and Cluster. Raises ValueError for
        anything else, without saying what is secret.
        """
        parts = urlsplit(url.url.reveal())
        userinfo, _, nodes = parts.netloc.rpartition("@")
        username, _, password = userinfo.partition(":")
        service, _, database = parts.path.strip("/").partition("/")
        if url.kind is not StoreKind.SENTINEL:
            service, database = "", service
        if url.kind is StoreKind.CLUSTER and database.strip("0"):
            raise ValueError("a Redis Cluster has database 0 alone")
        return cls(
            url.kind,
            tuple(_node(node, _PORTS[url.kind]) for node in nodes.split(",")),
            unquote(username) or None,
            unquote(password) or None,
            int(database or 0),
            unquote(service),
            _tls(parts.scheme, dict(parse_qsl(parts.query, keep_blank_values=True))),
        )

    def connection(self, node: Node, *, sentinel: bool = False, password: bool = True) -> Connection:
        """A connection to a node, not made yet. It waits for answers for ever and repeats nothing by itself."""
        options: dict[str, Any] = {
            "host": node[0],
            "port": node[1],
            "db": 0 if sentinel else self.database,
            "username": self.username if password else None,
            "password": self.password if password else None,
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT,
            "driver_info": None,
        }
        if self.tls is None:
            return Connection(**options)
        made = SSLConnection(**options)
        made.ssl_context = self.tls  # reading the system's certificates takes a while: once is enough
        return made


def shown(node: Node) -> str:
    """A node's address for people."""
    host, port = node
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _node(text: str, port: int) -> Node:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "localhost", parts.port or port


def _tls(scheme: str, options: dict[str, str]) -> RedisSSLContext | None:
    known = {"ssl", "ssl_cert_reqs", "ssl_check_hostname", *_FILES}
    unknown = sorted(options.keys() - known)
    if unknown:
        raise ValueError(f"unknown option after the question mark: one of {', '.join(sorted(known))} is meant")
    wanted = options.get("ssl", "false").lower() not in _FALSE
    if scheme != "rediss" and not wanted:
        if options.keys() - {"ssl"}:
            raise ValueError("ssl_… options need rediss:// or ssl=true")
        return None
    checks = options.get("ssl_cert_reqs", "required").lower()
    if checks not in {"none", "optional", "required"}:
        raise ValueError("ssl_cert_reqs must be none, optional or required")
    files = [options.get(name) or None for name in _FILES]
    return RedisSSLContext(
        ca_certs=files[0],
        certfile=files[1],
        keyfile=files[2],
        cert_reqs=checks,
        check_hostname=options.get("ssl_check_hostname", "true").lower() not in _FALSE,
        min_version=ssl.TLSVersion.TLSv1_2,
    )
