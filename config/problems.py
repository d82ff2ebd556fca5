"""What is wrong with a configuration: every mistake with its place, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

LONGEST: Final = 1000
"""Most characters of a mistake that are shown."""

_KEY: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9]).{20,}", re.DOTALL)


class Problem(Struct, frozen=True, order=True):
    """One mistake: where it stands (`models.llama.targets[1]`, empty for the file as a whole) and what to do."""

    path: str
    message: str

    def __str__(self) -> str:
        return visible(f"{self.path}: {self.message}" if self.path else self.message, LONGEST)


class ConfigError(ValueError):
    """The configuration cannot be used; `problems` holds every reason, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Hold `problems`, of which there is at least one."""
        self.problems = list(problems)
        super().__init__("\n".join(map(str, self.problems)))


def visible(text: str, most: int) -> str:
    """`text` as a terminal and a log may have it: one line of at most `most` characters, none of which it obeys."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:most])
    return shown + ("…" if len(text) > most else "")


def shortened(value: str) -> str:
    """`value` as a message may repeat it."""
    return visible(value, 80)


def looks_like_key(word: str) -> bool:
    """Whether what stands in the place of a variable's name is rather the key itself, as `gsk_…` ones can be."""
    return _KEY.fullmatch(word) is not None


def nearest(word: str, choices: Iterable[str], count: int = 1) -> list[str]:
    """The at most `count` choices that `word` is most likely a slip of, best first.

    Case and the difference between `-` and `_` do not matter. Long words are cut: they come from outside.
    """
    import difflib  # here, as few configurations have mistakes

    known = {_plain(choice): choice for choice in choices}
    return [known[near] for near in difflib.get_close_matches(_plain(word[:64]), known, count, 0.6)]


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """The end of a message about an unknown `word`: `; did you mean "groq"?`, or nothing when nothing is near."""
    near = nearest(word, choices)
    return f'; did you mean "{near[0]}"?' if near else ""


def _plain(word: str) -> str:
    return word.lower().replace("_", "-")
