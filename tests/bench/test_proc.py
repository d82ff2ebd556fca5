"""Figures from /proc, against what Python itself says of this process."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from bench import proc

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


def test_cpu_time_is_user_and_system() -> None:
    before = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    found = proc.cpu_seconds([os.getpid()])
    after = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    assert before - 0.03 <= found <= after + 0.03
    assert proc.cpu_seconds([]) >= found


def test_resident_memory_is_below_its_peak() -> None:
    assert 0 < proc.resident_bytes([os.getpid()]) <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 * 1.05


def test_family_holds_children() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert proc.family(child.pid) == [child.pid]
        assert child.pid in proc.family(os.getpid())
    finally:
        child.communicate(b"\n")


def test_a_core_is_busy_while_a_program_spins_on_it() -> None:
    core = min(os.sched_getaffinity(0))
    before = proc.core_seconds(core)
    spin = "import os, time; os.sched_setaffinity(0, {%d}); end = time.process_time() + 0.3"
    spin += "\nwhile time.process_time() < end: pass"
    subprocess.run([sys.executable, "-c", spin % core], check=True, timeout=60)
    assert proc.core_seconds(core) - before >= 0.25


def test_descriptors_are_those_open() -> None:
    before = proc.descriptors(os.getpid())
    with open(os.devnull):
        assert proc.descriptors(os.getpid()) == before + 1
