"""Where health is kept: the address of the store."""

from __future__ import annotations

import enum
import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from config.secret import Secret


class StoreKind(enum.StrEnum):
    """The stores there are."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    REDIS = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


_KINDS: Final = {
    "memory": StoreKind.MEMORY,
    "sqlite": StoreKind.SQLITE,
    "redis": StoreKind.REDIS,
    "rediss": StoreKind.REDIS,
    "redis+sentinel": StoreKind.SENTINEL,
    "redis+cluster": StoreKind.CLUSTER,
}
_NODE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII)


class StoreUrl(Struct, frozen=True):
    """A store's address. `url` is whole, with its password; `shown` is for people; `path` is the SQLite file."""

    kind: StoreKind
    url: Secret
    shown: str
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> StoreUrl:
        """Read `memory:`, `sqlite:///detour.db` (four slashes: an absolute path), `redis://…` and its kin.

        Raises ValueError saying what is wrong, never with the password in it.
        """
        scheme, colon, rest = text.partition(":")
        kind = _KINDS.get(scheme)
        if not colon or kind is None:
            raise ValueError(
                "must be memory:, sqlite:///FILE, redis://, rediss://, redis+sentinel:// or redis+cluster://"
            )
        if kind is StoreKind.MEMORY:
            if rest:
                raise ValueError('memory takes nothing after the colon: write "memory:"')
            return cls(kind, Secret(text), text)
        if kind is StoreKind.SQLITE:
            if not rest.startswith("///") or len(rest) < 4:
                raise ValueError("must name a file: sqlite:///detour.db here, or sqlite:////var/lib/detour.db anywhere")
            return cls(kind, Secret(text), text, rest[3:])
        _check_nodes(text, kind)
        return cls(kind, Secret(text), re.sub(r"(://)[^/]*@", r"\1***@", text))

    def __str__(self) -> str:
        return self.shown


def _check_nodes(text: str, kind: StoreKind) -> None:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("is not an address such as redis://host:6379/0") from None
    nodes = parts.netloc.rpartition("@")[2].split(",")
    if not all(map(_NODE.fullmatch, nodes)):
        raise ValueError("must name its hosts: redis://host:6379/0, redis+cluster://host:6379,host2:6379")
    if kind is StoreKind.REDIS and len(nodes) > 1:
        raise ValueError("names more than one host; did you mean redis+cluster:// or redis+sentinel://?")
    if kind is StoreKind.SENTINEL and not parts.path.strip("/"):
        raise ValueError("must name the service after the hosts: redis+sentinel://host:26379/service/0")
    database = parts.path.strip("/")
    if kind is StoreKind.SENTINEL:
        database = database.partition("/")[2]
    if database and not (database.isascii() and database.isdecimal()):
        raise ValueError("must have a number, that of the database, at the end of its path")
