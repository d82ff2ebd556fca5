"""Names in the shared store: which shard keeps what, and how a target is written there.

A shard is a set of keys with one hash tag, so that a script has all of it at hand on one node of a Cluster and the
shards spread over the nodes. Scripts are given the prefix alone and make the keys themselves.
"""

from __future__ import annotations

from typing import Final
from zlib import crc32

SHARDS: Final = 64
"""How many shards a fleet's health is spread over. A change of it is a change of what is stored where."""


def identity(provider: str, model: str | None) -> bytes:
    """How a target, or a provider where `model` is None, is named: any text comes back whole from `names`.

    Models may hold whatever a caller sent, lone surrogates and newlines too; providers' names hold no newline.
    """
    name = provider.encode("utf-8", "surrogatepass")
    return b"p" + name if model is None else b"t" + name + b"\n" + model.encode("utf-8", "surrogatepass")


def names(identity: bytes) -> tuple[str, str | None]:
    """Provider and model of an identity. Raises ValueError for bytes that `identity` never makes."""
    kind, text = identity[:1], identity[1:].decode("utf-8", "surrogatepass")
    if kind == b"p":
        return text, None
    provider, newline, model = text.partition("\n")
    if kind != b"t" or not newline:
        raise ValueError("neither a target nor a provider")
    return provider, model


def shard(identity: bytes) -> int:
    """The shard, 0 to 63, that keeps what belongs to an identity."""
    return crc32(identity) % SHARDS


def prefix(fleet: str, shard: int) -> bytes:
    """What all keys of a shard begin with; the braces are the hash tag of a Cluster."""
    return b"detour:{%s:%02d}:" % (fleet.encode("utf-8", "surrogatepass"), shard)
