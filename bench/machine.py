"""What the numbers were taken on, and the tools that have to be there."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

_TOOLS: Final = {
    "wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy", "redis-server": "redis-server", "openssl": "openssl",
}  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, cores, kernel, distribution and how busy the machine already was."""
    return {
        "processor": _field("/proc/cpuinfo", "model name", ":"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "kernel": platform.release(),
        "distribution": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _field(file: str, name: str, separator: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return "unknown"


def ready_tools() -> None:
    """Install what is missing where we may; else SystemExit says in one line what to install."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    missing = [package for tool, package in _TOOLS.items() if not shutil.which(tool, path=path)]
    if not missing:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise SystemExit(f"make bench needs more (Debian, Ubuntu: apt-get install {' '.join(missing)})")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    for command in (["apt-get", "update", "-qq"], install):
        subprocess.run(command, check=True, env=environment, stdin=subprocess.DEVNULL, timeout=300)
