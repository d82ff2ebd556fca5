"""All that is measured of peers, and who takes part in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bench import bulk, growth, listing, measure, secure, settling, starting
from bench.measure import DIRECT, Bench, Run
from bench.peers import OTHERS, PEERS, PROXIES

PROXY_NAMES: Final = tuple(peer.name for peer in PROXIES)
OTHER_NAMES: Final = tuple(peer.name for peer in OTHERS)
PAIR: Final = PROXY_NAMES[:2]


class Measurement(Struct, frozen=True):
    """One run of one peer, and the peers; `direct` is the provider with nothing in front of it."""

    run: Callable[[Bench, str], Run]
    peers: tuple[str, ...]


MEASUREMENTS: Final = {
    "requests": Measurement(measure.requests, (DIRECT, *PROXY_NAMES, *OTHER_NAMES)),
    "events": Measurement(measure.events, (DIRECT, *PROXY_NAMES)),
    "crowd": Measurement(measure.crowd, (DIRECT, *PROXY_NAMES)),
    "latency": Measurement(measure.latency, (DIRECT, *PROXY_NAMES)),
    "memory": Measurement(measure.memory, PROXY_NAMES),
    "upload": Measurement(bulk.upload, (DIRECT, *PROXY_NAMES)),
    "download": Measurement(bulk.download, (DIRECT, *PROXY_NAMES)),
    "secure": Measurement(secure.requests, (DIRECT, *PAIR)),
    "start": Measurement(starting.start, (*PROXY_NAMES, *OTHER_NAMES)),
    "settle": Measurement(settling.settle, PROXY_NAMES[:1]),
    "list": Measurement(listing.listed, PROXY_NAMES[:1]),
    "connections": Measurement(growth.connections, (DIRECT, *PROXY_NAMES[:3])),
    "targets": Measurement(growth.targets, PAIR),
    "bodies": Measurement(growth.bodies, (DIRECT, *PROXY_NAMES[:3])),
}


def taking_part(name: str, number: int, gateways: int, some: frozenset[str]) -> list[str]:
    """Who is measured in the round of that number, and in which order.

    Detour and Envoy always follow one another, now this one first and now that. Gateways of others take part in the
    first `gateways` rounds, if they are installed. `some`, unless empty, are those wanted besides the pair.
    """
    who = [peer for peer in MEASUREMENTS[name].peers if not some or peer in {DIRECT, *PAIR, *some}]
    who = [peer for peer in who if peer not in OTHER_NAMES or (number < gateways and PEERS[peer].there())]
    return who if number % 2 == 0 else who[::-1]
