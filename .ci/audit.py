"""Asks for advisories about what Detour is shipped with: a known vulnerability fails, a service out of reach does not.

`python .ci/audit.py [FILE…] [-- OPTION…]`: locked requirements (those shipped), options for `pip-audit`. Exits with
1 for a vulnerability, else with 0, and says then what was not looked at.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
SHIPPED: Final = ("runtime", "email", "sentry")
SERVICES: Final = ("pypi", "osv")
"""Asked one after the other, until one knows any of the packages."""
PATIENCE: Final = 120
"""Seconds for one service."""
CLEAN: Final = 0
VULNERABLE: Final = 1


def main(arguments: list[str]) -> int:
    """Audit each file; returns the exit status."""
    mark = arguments.index("--") if "--" in arguments else len(arguments)
    files, options = arguments[:mark], arguments[mark + 1 :]
    if importlib.util.find_spec("pip_audit") is None:
        return _note("pip-audit is not installed, so nothing was looked at")
    named = files or [str(ROOT / "requirements" / f"{name}.txt") for name in SHIPPED]
    return max(_audit(name, options) for name in named)


def _audit(name: str, options: list[str]) -> int:
    reason = ""
    for service in [()] if "-s" in options else [("-s", one) for one in SERVICES]:
        found, reason = _ask(name, [*options, *service])
        if found:
            return _tell(name, found)
    return _note(f"{Path(name).name}: no service could be asked, so it was not looked at ({reason})")


def _ask(name: str, options: list[str]) -> tuple[list[dict[str, Any]], str]:
    """The packages that a service knows, and in its own words why there are none."""
    command = [sys.executable, "-m", "pip_audit", "-r", name, "--disable-pip", "--require-hashes", "--format", "json"]
    command += ["--progress-spinner", "off", *options]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
        packages = json.loads(ran.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [], f"no answer within {PATIENCE} s"
    except (ValueError, KeyError):
        return [], (ran.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
    known = [package for package in packages if "vulns" in package]
    return known, next((package["skip_reason"] for package in packages if "skip_reason" in package), "")


def _tell(name: str, packages: list[dict[str, Any]]) -> int:
    found = [(package, one) for package in packages for one in package["vulns"]]
    for package, one in found:
        fixed = f"fixed in {', '.join(one['fix_versions'])}" if one["fix_versions"] else "not fixed yet"
        print(f"{Path(name).name}: {package['name']} {package['version']} has {one['id']}, {fixed}", file=sys.stderr)
    if not found:
        print(f"{Path(name).name}: nothing is known against {len(packages)} packages")
    return VULNERABLE if found else CLEAN


def _note(text: str) -> int:
    print(f"note: {text}", file=sys.stderr)
    return CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
