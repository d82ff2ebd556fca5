"""How long, how often and how large the measurements are: one plan for a look, one of ten minutes, one for the page."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

MiB: Final = 1 << 20

PAIRED: Final = ("requests", "events", "crowd", "latency", "memory", "upload", "download", "secure", "start")
"""Measurements whose figures are compared with Envoy's."""

GROWTH: Final = ("connections", "targets", "bodies")
ALONE: Final = ("settle", "list")
"""Measurements of Detour alone."""

NAMES: Final = (*PAIRED, *ALONE, *GROWTH)
"""All, in the order in which they are had."""


class Plan(Struct, frozen=True):
    """How long and how large; seconds and bytes."""

    rounds: dict[str, int]
    """How often each measurement is repeated."""
    gateways: int = 5
    """Rounds of requests in which the gateways of others take part: they start slowly."""
    requests_seconds: float = 4
    connections: int = 32
    streams: int = 500
    gap: float = 0.02
    """Between the events of one of the streams."""
    crowd: int = 2000
    crowd_gap: float = 0.08
    """The same with four times as many streams: as many events per second."""
    streams_seconds: float = 6
    rate: int = 1000
    """Requests per second of the latency runs."""
    rate_seconds: float = 5
    idle_streams: int = 2000
    body: int = MiB
    bulk_connections: int = 8
    bulk_seconds: float = 4
    settlings: int = 400_000
    list_targets: int = 10_000
    list_seconds: float = 20
    growth_seconds: float = 2
    grown_connections: tuple[int, ...] = (1, 3, 10, 32, 100, 320, 1000)
    grown_targets: tuple[int, ...] = (2, 10, 100, 1000, 10_000)
    grown_bodies: tuple[int, ...] = (512, 4 << 10, 32 << 10, 256 << 10, MiB, 8 * MiB)
    warm: float = 2


FULL: Final = Plan({**dict.fromkeys(NAMES, 5), **dict.fromkeys(GROWTH, 3), "list": 3})

SHORT: Final = Plan(
    {
        **dict.fromkeys(NAMES, 2), "requests": 3, "secure": 3,
        **dict.fromkeys(("memory", "start", *ALONE), 1), **dict.fromkeys(GROWTH, 0),
    },
    gateways=1, requests_seconds=3, streams_seconds=4, rate_seconds=4, bulk_seconds=2, list_seconds=10, warm=1,
)  # fmt: skip
"""Ten minutes: fewer rounds, and nothing of how cost grows."""

QUICK: Final = Plan(
    dict.fromkeys(NAMES, 1),
    gateways=1, requests_seconds=2, streams_seconds=2, rate_seconds=2, bulk_seconds=2, settlings=50_000,
    list_seconds=4, growth_seconds=1, grown_connections=(1, 32, 1000), grown_targets=(2, 10_000),
    grown_bodies=(512, MiB, 8 * MiB), warm=1,
)  # fmt: skip
"""One short round of each, to see that all of them work."""
