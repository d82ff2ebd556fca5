"""What is locked: names and versions out of the files in requirements/."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def pins(name: str) -> dict[str, str]:
    """Project name to locked version, of a lock file by its path in the project."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", text, re.MULTILINE))
