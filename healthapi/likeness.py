"""What a model's name has in common with other providers' names for the same model. Pure.

`meta-llama/Llama-3.3-70B-Instruct:free`, `llama-3.3-70b-versatile` and `@cf/meta/llama-3.3-70b-instruct-fp8-fast` are
one model. The rules cut away what providers add, and keep what makes another model of it: sizes, versions, `mini`,
`thinking`, `preview`. They are for suggestions that a person looks at, so that in doubt two names stay two.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 256
"""Characters of a name that are looked at."""

VARIANTS: Final = frozenset(
    (
        "free",
        "nitro",
        "floor",
        "online",
        "exacto",
        "extended",
        "beta",
        "latest",
        "cheapest",
        "fastest",
        "preferred",
        "auto",
    )
)
"""What routers put behind a colon to say how a model is to be served. Others, as a size, say which model it is."""

VENDORS: Final = frozenset(
    ("meta", "openai", "anthropic", "google", "mistralai", "microsoft", "amazon", "cohere", "nvidia", "moonshotai")
)
"""Vendors that stand before a family's name without a slash (`Meta-Llama-3.1-8B`, `anthropic.claude-3-haiku`)."""

REGIONS: Final = frozenset(("us", "eu", "apac", "global"))
"""What some put before the vendor."""

TUNED: Final = frozenset(("instruct", "it", "versatile", "hf"))
"""Words for a model that follows instructions, which is the one that is offered."""

PACKED: Final = frozenset(("fp8", "fp16", "bf16", "fp4", "nvfp4", "int4", "int8", "awq", "gptq"))
"""How its numbers are stored."""

QUICK: Final = frozenset(("turbo", "fast", "lite", "tput"))
"""How it is served, where it stands behind one of the words above; a model's own name elsewhere (`gpt-4-turbo`)."""

_BOUNDARY: Final = re.compile(r"(?<=[a-z])(?=[0-9])")
_POINT: Final = re.compile(r"(?<=[0-9])p(?=[0-9])")
"""How some write a version's point: `llama-v3p1`."""
_VERSION: Final = re.compile(r"v(?=[0-9])")
_SEPARATORS: Final = re.compile(r"[^0-9a-z]+")
_DATE: Final = re.compile(r"[-@._](?:20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|20\d\d-(?:0[1-9]|1[0-2])-[0-3]\d)$")


@lru_cache(maxsize=8192)
def likeness(name: str) -> str:
    """What all names of one model come to, in lower case with dashes; empty for a name without a letter or digit."""
    text = name[:LONGEST].strip().casefold()
    plain, colon, variant = text.rpartition(":")
    if colon and variant in VARIANTS:
        text = plain
    text = text.rstrip("/").rpartition("/")[2]
    text = _DATE.sub("", text.removesuffix("-latest")).removesuffix("-latest")
    words = [word for word in _SEPARATORS.split(_POINT.sub(".", text)) if word]
    kept = _without_vendor(words)
    return "-".join(_split(_bare(kept) or kept))


def _without_vendor(words: list[str]) -> list[str]:
    """The words behind a region and a vendor; a name of nothing else stays."""
    at = 0
    if len(words) > 2 and words[0] in REGIONS and words[1] in VENDORS:
        at = 1
    if len(words) > at + 1 and words[at] in VENDORS:
        at += 1
    return words[at:]


def _bare(words: list[str]) -> list[str]:
    """The words that say which model it is."""
    kept: list[str] = []
    served = False
    for place, word in enumerate(words):
        instant = word == "instant" and words[0].startswith("llama")
        if place and (word in TUNED or word in PACKED or instant or (served and word in QUICK)):
            served = True
        else:
            kept.append(word)
    return kept


def _split(words: list[str]) -> list[str]:
    """`llama3`, `llama-3` and `llama-v3` are the same: letters before digits are a word of their own. `70b` is one."""
    return [part for word in words for part in _BOUNDARY.split(word[1:] if _VERSION.match(word) else word)]
