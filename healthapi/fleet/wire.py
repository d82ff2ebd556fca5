"""MessagePack as the Lua of Redis reads it: it knows one kind of string, and refuses the kind msgspec writes for bytes.

Names are any bytes, so they cannot go as text either: they go as the one kind, unchecked. Answers need nothing of the
sort. They come as what Redis itself has (numbers, bytes, lists), and only what lies in a key is packed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

_ENCODE: Final = msgspec.msgpack.Encoder().encode


def binary(data: bytes) -> msgspec.Raw:
    """Bytes as they go into a payload."""
    size = len(data)
    if size < 32:
        head = bytes((0xA0 | size,))
    elif size < 1 << 8:
        head = bytes((0xD9, size))
    elif size < 1 << 16:
        head = b"\xda" + size.to_bytes(2, "big")
    else:
        head = b"\xdb" + size.to_bytes(4, "big")
    return msgspec.Raw(head + data)


def entries(told: Iterable[Sequence[Any]]) -> bytes:
    """Entries of a flush (see `lua/flush.lua`), packed; their identities are bytes, errors valid text."""
    return _ENCODE([[*entry[:2], binary(entry[2]), *entry[3:]] for entry in told])


def windows(told: Iterable[Sequence[Any]]) -> bytes:
    """Windows of a flush, packed; their identities and models are bytes."""
    return _ENCODE(
        [
            [binary(name), step, epoch, counts, [binary(model) for model in models], last]
            for name, step, epoch, counts, models, last in told
        ]
    )


def payload(packed_entries: bytes, packed_windows: bytes) -> bytes:
    """Both together: what `lua/flush.lua` is given."""
    return b"\x92" + packed_entries + packed_windows
