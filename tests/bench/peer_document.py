"""A result of a run as `bench.report` keeps it, with round numbers: everything three times, as 1, 3 and 2."""

from __future__ import annotations

from typing import Any

from bench.measurements import MEASUREMENTS

FIGURES: dict[str, dict[str, float]] = {
    "requests": {
        "per_second": 10_000, "core": 1.0, "load_core": 0.5, "per_cpu_second": 10_000, "p50_ms": 2.0, "p99_ms": 4.0,
    },
    "events": {"cpu_us": 15.0, "core": 0.4, "delivered": 1.0, "per_read": 1.0, "clean": 1.0, "added_gap_ms": 5.0},
    "latency": {"p50_ms": 0.25, "p99_ms": 1.0},
    "memory": {"one": 30 * 2**20, "all": 60 * 2**20, "per_stream": 31457.28},
    "upload": {"bytes_per_second": 2**29, "bytes_per_cpu_second": 2**29, "core": 1.0, "load_core": 0.5},
    "start": {"seconds": 0.1},
    "settle": {"us": 1.5, "p90_us": 2.0, "least_us": 1.0},
    "list": {
        "targets": 5000, "page_ms": 2.0, "page_most_ms": 3.0, "writing_ms": 2.5, "poll_ms": 4.0,
        "during_ms": 1.0, "between_ms": 0.75, "added_ms": 0.25,
    },
}  # fmt: skip
FIGURES |= {
    "crowd": FIGURES["events"],
    "secure": FIGURES["requests"],
    "download": FIGURES["upload"],
}

SCALES = {"direct": 1, "detour": 2, "envoy": 4, "nginx": 8, "haproxy": 8, "portkey": 0.02, "litellm": 0.01}
"""A peer's figures are those times this."""

SOAK = {
    "minutes": 30.0, "requests": 1_800_000, "failed": 3, "per_second": 1000.0, "most_per_second": 1600.0, "core": 0.6,
    "samples": [], "provider": {"answered": 980, "error": 10, "cut": 6, "torn": 4},
    "detour": {"success": 979, "error": 10, "network_error": 10, "cancelled": 1}, "unaccounted": 0,
    "memory_mib_per_10min": 0.5, "descriptors_per_10min": -0.25, "tasks_per_10min": 2.0,
}  # fmt: skip


def rounds(measurement: str, scale: float) -> list[dict[str, Any]]:
    figures = FIGURES.get(measurement)
    if figures is None:
        points = [{"at": at, "per_second": 1000 * scale / at} for at in (1, 10)]
        return [
            {"points": [{**one, "per_second": one["per_second"] * factor} for one in points]} for factor in (1, 3, 2)
        ]
    return [{figure: value * scale * factor for figure, value in figures.items()} for factor in (1, 3, 2)]


def peer_document() -> dict[str, Any]:
    return {
        "taken_at": "2026-01-01 00:00 UTC",
        "machine": {
            "processor": "P", "cores": 2, "memory_gib": 4.0, "kernel": "6", "distribution": "D", "load_before": 0.1,
        },
        "versions": {"detour": "0", "envoy": "1"},
        "plan": {
            "rounds": dict.fromkeys(MEASUREMENTS, 3), "connections": 32, "streams": 500, "gap": 0.02, "crowd": 2000,
            "crowd_gap": 0.08, "rate": 1000, "idle_streams": 2000, "body": 2**20, "bulk_connections": 8,
            "settlings": 1000, "list_targets": 10_000,
        },
        **{
            name: {peer: rounds(name, SCALES[peer]) for peer in measurement.peers}
            for name, measurement in MEASUREMENTS.items()
        },
        "soak": SOAK,
    }  # fmt: skip
