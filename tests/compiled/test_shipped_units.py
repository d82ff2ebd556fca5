"""Tests of the source, run against what ships: judging, keeping and serving, without processes of their own."""

from __future__ import annotations

import pytest

from tests.compiled.shipped import needed, suite

pytestmark = [needed, pytest.mark.timeout(400)]


def test_breakers() -> None:
    suite("tests/breaker")


def test_health() -> None:
    names = ("archive", "cell", "delta", "exposition", "keeper", "memory", "metrics", "recorder")
    suite(*(f"tests/healthapi/test_{name}.py" for name in names))


def test_data_plane() -> None:
    names = ("chunks", "client", "errors", "exchange", "gate", "growth", "head", "headers", "incoming", "inspector",
             "peek", "plan", "pool", "prober", "readers", "reply", "sse", "steady", "upstream", "verdict",
             "way")  # fmt: skip
    suite(*(f"tests/proxy/test_{name}.py" for name in names))


def test_hostile_bytes() -> None:
    suite("tests/hardening/test_answers.py", "tests/hardening/test_requests.py")
