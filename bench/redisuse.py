"""What a Redis says it did and holds: its processor time, its traffic, its memory."""

from __future__ import annotations

from typing import Any

import redis
from msgspec import Struct

_FIGURES = {
    "cpu_seconds": ("used_cpu_sys", "used_cpu_user"),
    "received": ("total_net_input_bytes",),
    "sent": ("total_net_output_bytes",),
    "memory": ("used_memory",),
}


class Use(Struct, frozen=True):
    """At one moment, or between two. `received` and `sent` are bytes on its connections; `calls` are scripts run."""

    cpu_seconds: float
    received: float
    sent: float
    memory: float
    calls: float
    script_seconds: float

    def since(self, earlier: Use) -> Use:
        """What came in between."""
        mine, theirs = (tuple(getattr(one, name) for name in self.__struct_fields__) for one in (self, earlier))
        return Use(*[one - other for one, other in zip(mine, theirs, strict=True)])


def use(client: redis.Redis) -> Use:
    """What it has done and holds by now."""
    said: dict[str, Any] = {}
    for section in ("cpu", "stats", "memory", "commandstats"):
        said |= client.info(section)  # type: ignore[operator]
    scripts = said.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
    figures = {name: float(sum(said[field] for field in fields)) for name, fields in _FIGURES.items()}
    return Use(calls=scripts["calls"], script_seconds=scripts["usec"] / 1e6, **figures)


def asking(client: redis.Redis) -> Use:
    """What being asked adds to what it did."""
    use(client)
    first = use(client)
    return use(client).since(first)


class Holding(Struct):
    """Keys of one sort: how many, how many bytes they take, and how many fields they have in all."""

    keys: int = 0
    bytes: int = 0
    fields: int = 0


def holdings(client: redis.Redis) -> dict[str, Holding]:
    """What it holds by the sort of keys (what follows the prefix of a shard, `detour:{fleet:NN}:`)."""
    found: dict[str, Holding] = {}
    for key in client.scan_iter(count=1000):
        sort = key.split(b":")[3].decode("ascii", "replace")
        holding = found.setdefault(sort, Holding())
        holding.keys += 1
        holding.bytes += int(client.memory_usage(key, samples=0) or 0)  # type: ignore[arg-type]
        if client.type(key) == b"hash":
            holding.fields += int(client.hlen(key))  # type: ignore[arg-type]
    return found


def connections(client: redis.Redis) -> tuple[int, int]:
    """How many connections it has but for this one, and the bytes they take."""
    mine = str(client.client_id())
    others = [one for one in client.client_list() if one["id"] != mine]
    return len(others), sum(int(one["tot-mem"]) for one in others)
