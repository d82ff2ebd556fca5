"""Header fields on their way through: what stops here, what passes, what is added (proxy-rules 1 to 6, 13, 14).

Fields are pairs of bytes in the order, case and number they came in; what passes is never re-encoded. The parsers on
both sides refuse control bytes, folded lines and a space before the colon, so no name or value here holds a line end.
One pass over a request's fields learns all that routing, credentials and framing ask for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from proxy.framing import defect, options
from proxy.names import DETOUR, Names

Pair = tuple[bytes, bytes]

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer transfer-encoding "
    b"upgrade".split()
)
"""Fields that concern one connection only (proxy-rules 1, RFC 9110 section 7.6.1)."""

CREDENTIALS: Final = (b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key")
"""Fields in which catalogued providers take a key."""

PROTECTED: Final = frozenset((*CREDENTIALS, b"host", b"content-length", b"via", b"set-cookie"))
"""Fields that a `Connection` list cannot remove."""

VIA_NAME: Final = b"detour-"
LONGEST_CHAIN: Final = 3
"""How many Detours a request may have come through."""

READABLE: Final = (b"gzip", b"deflate", b"identity")
"""Content codings that can be read here."""

HOST: Final = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")
"""What a Host field may hold (RFC 9110 section 7.2, RFC 3986 section 3.2.2); empty is allowed."""

_OWN: Final = HOP_BY_HOP | {b"host", b"via", b"expect", b"content-length"}
"""Request fields that are read here and not passed on, or passed on in a form of our own."""
_READ: Final = _OWN | {b"content-type", b"accept-encoding", b"origin", *CREDENTIALS}
_REQUEST: Final = Names(_READ)
_HARMLESS: Final = frozenset((b"keep-alive", b"close"))
_NOTHING: Final[frozenset[bytes]] = frozenset()
_NO_VALUES: Final[Sequence[bytes]] = ()


@dataclass
class Scan:
    """What one pass over a request's fields found.

    `kept` are the end-to-end fields as they came, those of `accept_encoding` and `credentials` among them. `host` is
    the value of the first of `hosts` Host fields. `accept_encoding` are the pairs as they came; `credentials` the
    catalogued auth fields with lowercased names. `detour` maps what follows `x-detour-`, lowercased, to its value.
    `upgrade` is set where `Connection` names it, and never for h2c. `bad` says what is wrong with the framing.
    """

    kept: list[Pair]
    host: bytes
    hosts: int
    content_type: bytes
    content_length: int | None
    chunked: bool
    expect: bool
    upgrade: bytes | None
    accept_encoding: list[Pair]
    via: list[bytes]
    detour: dict[bytes, bytes]
    origin: bytes | None
    credentials: list[Pair]
    bad: str | None


def scan(raw: Iterable[Pair], *, version10: bool = False) -> Scan:
    """Look once at a request's fields; `version10` says that it came as HTTP/1.0. Never raises."""
    kept: list[Pair] = []
    encodings: list[Pair] = []
    credentials: list[Pair] = []
    detour: dict[bytes, bytes] = {}
    found: dict[bytes, list[bytes]] = {}
    for pair in raw:
        name = _REQUEST[pair[0]]
        if not name:
            kept.append(pair)
            continue
        if name in _READ:
            if name in found:
                found[name].append(pair[1])
            else:
                found[name] = [pair[1]]
            if name in _OWN:
                continue
            kept.append(pair)
            if name == b"accept-encoding":
                encodings.append(pair)
            elif name in CREDENTIALS:
                credentials.append((name, pair[1]))
        else:
            detour[name[len(DETOUR) :]] = pair[1]

    get = found.get
    upgrade = None
    connection = get(b"connection")
    if connection is not None and not (len(connection) == 1 and connection[0].lower() in _HARMLESS):
        named = options(connection)
        kept = [pair for pair in kept if _passes(pair[0].lower(), named)]
        if b"accept-encoding" in named:
            encodings = []
        if b"upgrade" in named:
            upgrade = _upgrade(get(b"upgrade", []))
    hosts = get(b"host", _NO_VALUES)
    lengths = get(b"content-length", _NO_VALUES)
    transfer = get(b"transfer-encoding", _NO_VALUES)
    bad = defect(transfer, lengths, version10)
    return Scan(
        kept,
        hosts[0] if hosts else b"",
        len(hosts),
        found[b"content-type"][0] if b"content-type" in found else b"",
        int(lengths[0]) if lengths and bad is None else None,
        b"transfer-encoding" in found,
        b"expect" in found and not version10 and any(value.lower() == b"100-continue" for value in found[b"expect"]),
        upgrade,
        encodings,
        get(b"via", []),
        detour,
        found[b"origin"][0] if b"origin" in found else None,
        credentials,
        bad,
    )


def _passes(name: bytes, named: Collection[bytes]) -> bool:
    """Whether a field passes although a `Connection` list names `named`."""
    return name not in named or name in PROTECTED


def _upgrade(values: list[bytes]) -> bytes | None:
    """The protocols asked for; none when h2c is among them (proxy-rules 14)."""
    value = b", ".join(values)
    return value if value and b"h2c" not in value.lower() else None


def request_head(
    method: bytes,
    target: bytes,
    scan: Scan,
    *,
    host: bytes,
    via: bytes,
    accept_encoding: bytes | None = None,
    extra: Sequence[Pair] = (),
    drop: Collection[bytes] = _NOTHING,
    upgrade: bytes | None = None,
) -> bytes:
    """The head of the request to a provider, up to its framing.

    The caller's fields keep order and case. `accept_encoding` takes the place of the caller's; None leaves it as it
    came. `drop` are lowercased names of the caller's fields to leave out, `extra` are fields to add. Framing comes
    last, as `scan` found it.
    """
    kept = scan.kept
    if drop:
        kept = [pair for pair in kept if pair[0].lower() not in drop]
    if accept_encoding is not None and scan.accept_encoding:
        kept = _narrowed(kept, scan.accept_encoding, accept_encoding)
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (method, target, host)]
    lines += [b": ".join(pair) for pair in kept]
    if extra:
        lines += [b": ".join(pair) for pair in extra]
    lines.append(b"Via: " + via)
    if upgrade is not None:
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + upgrade)
    lines.append(b"")
    return b"\r\n".join(lines)


def _narrowed(kept: list[Pair], encodings: list[Pair], value: bytes) -> list[Pair]:
    """`kept` with one Accept-Encoding of `value` where the first of `encodings` stood."""
    changed = kept.copy()
    changed[changed.index(encodings[0])] = (encodings[0][0], value)
    for pair in encodings[1:]:
        changed.remove(pair)
    return changed


def accept_encoding(scan: Scan, streamed: bool) -> bytes | None:
    """The caller's Accept-Encoding narrowed to what can be read here (semantics section 1).

    Identity alone for streams. None when the caller sent none: any coding is then allowed by RFC 9110 section 12.5.3,
    providers send identity, and nothing is invented.
    """
    pairs = scan.accept_encoding
    if not pairs:
        return None
    if streamed:
        return b"identity"
    return _readable(pairs[0][1] if len(pairs) == 1 else b",".join(pair[1] for pair in pairs))


@functools.lru_cache(maxsize=64)
def _readable(value: bytes) -> bytes:
    """What of an Accept-Encoding list can be read here, weights as they came; identity when nothing else is left."""
    weights: dict[bytes, bytes] = {}
    for item in value.split(b","):
        coding, _, weight = item.partition(b";")
        weights[coding.strip(b" \t").lower()] = weight.strip(b" \t")
    rest = weights.get(b"*", b"q=0")
    chosen = [(coding, weights.get(coding, rest)) for coding in READABLE]
    return b", ".join(b";".join(filter(None, pair)) for pair in chosen if not _refused(pair[1])) or b"identity"


def _refused(weight: bytes) -> bool:
    """Whether a weight is `q=0`, however many zeros it has."""
    name, _, number = weight.replace(b" ", b"").lower().partition(b"=")
    return name == b"q" and not number.strip(b"0.")


def via(scan: Scan, instance: bytes) -> bytes:
    """The Via value to send on: what there was, and `instance`, which comes without `detour-` (proxy-rules 4)."""
    return b", ".join((*scan.via, b"1.1 " + VIA_NAME + instance))


def loops(scan: Scan, instance: bytes) -> bool:
    """Whether a request has come through this instance before, or through more than three Detours."""
    if not scan.via:
        return False
    entries = [entry.split() for entry in b",".join(scan.via).split(b",")]
    ours = [entry[1] for entry in entries if len(entry) > 1 and entry[1].startswith(VIA_NAME)]
    return VIA_NAME + instance in ours or len(ours) > LONGEST_CHAIN
