"""`${NAME}`, `${file:…}` and `$$` inside the values of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from config.place import Tree, child, item
from config.problems import Problem, did_you_mean, looks_like_key, shortened
from config.reading import Reader, read

LARGEST_FILE: Final = 64 << 10
"""Most bytes read for one `${file:…}`."""

_MARK: Final = re.compile(r"\$(?:\$|\{([^}]*)\}|\{)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

_TOLD: Final = 4
"""Characters in a row that a message must not repeat of what was filled in."""


class Filled(str):
    """Text that came from a variable or a file. `template` is what the file says, and all a message may show."""

    __slots__ = ("template",)

    template: str

    @classmethod
    def of(cls, value: str, template: str) -> Filled:
        """`value` as filled into `template`."""
        filled = cls(value)
        filled.template = template
        return filled

    def part(self, value: str) -> Filled:
        """A part of this text, as one item of a list."""
        return Filled.of(value, self.template)

    def told_by(self, message: str) -> bool:
        """Whether a message repeats a part of this text."""
        parts = (message[at : at + _TOLD] for at in range(len(message) - _TOLD + 1))
        return any(part in self for part in parts)


def interpolate(
    tree: Tree, environ: Mapping[str, str], base: Path, problems: list[Problem], reader: Reader = read
) -> Tree:
    """`tree` with every reference in its values replaced; a reference that cannot be is added to `problems`.

    Relative files are looked for in `base`, and read by `reader`. A value with a problem stays as it was written.
    """
    return _Filler(environ, base, problems, reader).fill(tree, "")


def untold(problems: list[Problem], tree: Tree) -> list[Problem]:
    """`problems` without the words that were filled into `tree`: they may be a secret in the wrong place."""
    filled = dict(_filled(tree, ""))
    return [_untold(problem, filled) for problem in problems] if filled else problems


def _untold(problem: Problem, filled: Mapping[str, Filled]) -> Problem:
    """A problem is the doing of what was filled in at its place or above; of a target, in its name."""
    path = problem.path
    above = [path[:at] for at, mark in enumerate(path) if mark in ".["]
    for place in (*above, path, child(path, "target")):
        value = filled.get(place)
        if value is not None and value.told_by(problem.message):
            return Problem(path, f'"{shortened(value.template)}" stands for something that cannot be used here')
    return problem


def _filled(tree: Tree, path: str) -> Iterator[tuple[str, Filled]]:
    if isinstance(tree, Filled):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _filled(value, child(path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _filled(value, item(path, index))


def _encodable(value: str) -> bool:
    """Whether it is text: a variable's bytes that are not UTF-8 come as lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Filler:
    def __init__(self, environ: Mapping[str, str], base: Path, problems: list[Problem], reader: Reader) -> None:
        self._environ = environ
        self._base = base
        self._problems = problems
        self._read = reader

    def fill(self, tree: Tree, path: str) -> Tree:
        if isinstance(tree, dict):
            return {key: self.fill(value, child(path, key)) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self.fill(value, item(path, index)) for index, value in enumerate(tree)]
        if tree is None or "$" not in tree:
            return tree
        try:
            filled = _MARK.sub(self._replace, tree)
        except ValueError as error:
            self._problems.append(Problem(path, str(error)))
            return None
        return Filled.of(filled, tree) if filled != tree else tree

    def _replace(self, match: re.Match[str]) -> str:
        name = match[1]
        if match[0] == "$$":
            return "$"
        if name is None:
            raise ValueError('"${" is never closed; write "$$" for a dollar sign')
        if name.startswith("file:"):
            return self._file(name.removeprefix("file:"))
        if not _NAME.fullmatch(name):
            # Not repeated: whoever takes the braces for a part of the key writes a key there.
            raise ValueError('what stands in "${}" is not NAME or file:/path; write "$$" for a dollar sign')
        if name not in self._environ:
            if looks_like_key(name):
                raise ValueError('a key stands in "${}"; put it into a variable, and the name of that one there')
            raise ValueError(f"environment variable {name[:80]} is not set{did_you_mean(name, self._environ)}")
        value = self._environ[name]
        if not _encodable(value):
            raise ValueError(f"environment variable {name[:80]} is not UTF-8 text")
        return value

    def _file(self, name: str) -> str:
        try:
            content = self._read(self._base / name, LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ValueError(f"cannot read {name[:256]}: {reason}") from None
        if len(content) > LARGEST_FILE:
            raise ValueError(f"{name[:256]} is larger than {LARGEST_FILE >> 10} KiB")
        try:
            return content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{name[:256]} is not UTF-8 text") from None
