"""A document as a run of the stores leaves it, with figures that are easy to reckon with."""

from __future__ import annotations

from typing import Any

import msgspec

from bench import costs, stores, troubles
from bench.keeping import PROVIDERS
from bench.storerun import Plan

CALL, ENTRY = 20e-6, 50e-6
"""Seconds of a Redis for a script and for an entry."""


def _redis(calls: int, entries: int) -> dict[str, float]:
    seconds = calls * CALL + entries * ENTRY
    return {
        "cpu_seconds": seconds, "received": calls * 140.0 + entries * 170.0, "sent": calls * 50.0 + entries * 60.0,
        "memory": 0.0, "calls": calls, "script_seconds": seconds / 2,
    }  # fmt: skip


def _flushes(touched: int) -> dict[str, Any]:
    redis = _redis(calls=touched // 4, entries=touched + PROVIDERS)
    run = {
        "clean": True, "seconds": redis["cpu_seconds"] + (touched + PROVIDERS) * 60e-6, "cpu_seconds": touched * 90e-6,
        "loop_cpu_seconds": touched * 40e-6, "written": touched * 180, "redis": redis,
    }  # fmt: skip
    return {
        "first": run, "memory": 1e6, "again": [run, run | {"clean": False, "seconds": 9.0}, run],
        "held": [{"seconds": touched * 2e-5, "cpu_seconds": touched * 1e-5}],
        "connections": 2, "connection_bytes": 44_000, "connections_read": 3,
    }  # fmt: skip


def _half(scale: float) -> dict[str, float]:
    return {"p50_ms": 0.5 * scale, "p99_ms": 2.0 * scale}


def store_document() -> dict[str, Any]:
    """A new one."""
    holdings = {
        "t": {"keys": 64, "bytes": 40_000, "fields": costs.DAY_TARGETS},
        "g": {"keys": 100, "bytes": 190_000, "fields": 0},
        "m": {"keys": 1600, "bytes": 80 * 158_400, "fields": 158_400},
        "h": {"keys": 128, "bytes": 200 * 2_640, "fields": 2_640},
        "q": {"keys": 64, "bytes": 64 * 100, "fields": 0},
        "v": {"keys": 64, "bytes": 5_000, "fields": 0},
    }
    return {
        "taken_at": "2026-01-01 00:00 UTC",
        "machine": {
            "processor": "P", "cores": 2, "memory_gib": 4.0, "kernel": "6", "distribution": "D", "load_before": 0.1,
        },
        "versions": {"detour": "0", "redis": "7"},
        "plan": msgspec.to_builtins(Plan()),
        "requests": {
            name: [
                {"per_second": 1000.0 * factor * scale, "per_cpu_second": 900.0 * factor * scale} | _half(scale)
                for factor in (1, 3, 2)
            ]
            for name, scale in zip(stores.STORES, (1, 0.9, 0.99), strict=True)
        },
        "troubles": {
            name: [
                {"undisturbed": _half(scale), "troubled": _half(scale * 1.5), "said": "", "keys": 3}
                for scale in (1, 3, 2)
            ]
            for name in troubles.TROUBLES
        },
        "flushes": {kind: {str(many): _flushes(many) for many in costs.TOUCHED} for kind in costs.FLUSHED},
        "idle": {
            "beats": 640, "beating": _redis(calls=640, entries=0),
            "polls": 100, "polling": {"cpu_seconds": 100 * 15e-6, "received": 10_000.0, "sent": 3_000.0},
            "heard": 1000, "hearing": {"cpu_seconds": 1000 * 4e-6, "received": 0.0, "sent": 236_000.0},
        },
        "day": {"holdings": holdings, "memory": 1e7},
    }  # fmt: skip
