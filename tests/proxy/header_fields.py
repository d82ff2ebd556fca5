"""Header fields as they may come, for property tests, and heads taken apart again."""

from __future__ import annotations

from hypothesis import strategies as st

from proxy.headers import HOP_BY_HOP, PROTECTED, Pair

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
KNOWN = sorted(
    HOP_BY_HOP | PROTECTED | {b"expect", b"content-type", b"accept-encoding", b"origin", b"x-detour-token", b"x-other"}
)


def cased(name: bytes, upper: int) -> bytes:
    return bytes(ord(chr(c).upper()) if upper >> i & 1 else c for i, c in enumerate(name))


names = st.builds(cased, st.sampled_from(KNOWN), st.integers(0, 2**20)) | st.lists(
    st.sampled_from(TOKEN), min_size=1, max_size=12
).map(bytes)
text = st.lists(st.sampled_from([*range(0x20, 0x7F), *range(0x80, 0x100), 0x09]), max_size=20).map(bytes)
values = (
    text | st.lists(names, max_size=4).map(b", ".join) | st.sampled_from((b"keep-alive", b"close", b"chunked", b"5"))
)
pairs = st.lists(st.tuples(names, values), max_size=16)


def parsed(made: bytes, first: bytes) -> list[Pair]:
    assert made.endswith(b"\r\n\r\n")
    lines = made[:-4].split(b"\r\n")
    assert lines[0] == first
    assert b"" not in lines
    return [(name, value) for name, _, value in (line.partition(b": ") for line in lines[1:])]


def nominated(raw: list[Pair]) -> set[bytes]:
    """What the `Connection` fields of `raw` name, written a second time and simply."""
    found = set()
    for name, value in raw:
        if name.lower() == b"connection":
            found |= {token.strip(b" \t").lower() for token in value.split(b",")}
    return found
