"""What the kernel says about processes and cores: time, memory and descriptors, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of these processes, all their threads, in seconds; of none: of the calling one."""
    names = [str(pid) for pid in pids] or ["self"]
    return sum(_ticks(f"/proc/{name}/stat") for name in names) / _TICKS


def _ticks(stat: str) -> int:
    # The second field is the name in brackets and may hold anything; utime and stime are the 14th and 15th.
    fields = Path(stat).read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def core_seconds(core: int) -> float:
    """How long a core has been anything but idle since the machine was started, in seconds."""
    line = next(one for one in Path("/proc/stat").read_text().splitlines() if one.startswith(f"cpu{core} "))
    # user, nice, system, idle, iowait, irq, softirq, steal
    ticks = [int(field) for field in line.split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / _TICKS


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident set size of these processes together, in bytes."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * page for pid in pids)


def descriptors(pid: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in family(int(child)))]
