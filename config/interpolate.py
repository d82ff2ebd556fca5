"""`${NAME}`, `${file:…}` and `$$` inside the values of the file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from config.problems import Problem, did_you_mean
from config.tree import Tree, child, item

LARGEST_FILE: Final = 64 << 10
"""Most bytes read for one `${file:…}`."""

_MARK: Final = re.compile(r"\$(?:\$|\{([^}]*)\}|\{)")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


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


def interpolate(tree: Tree, environ: Mapping[str, str], base: Path, problems: list[Problem]) -> Tree:
    """`tree` with every reference in its values replaced; a reference that cannot be is added to `problems`.

    Relative files are looked for in `base`. A value with a problem stays as it was written.
    """
    return _Filler(environ, base, problems).fill(tree, "")


class _Filler:
    def __init__(self, environ: Mapping[str, str], base: Path, problems: list[Problem]) -> None:
        self._environ = environ
        self._base = base
        self._problems = problems

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
            raise ValueError(f'"${{{name[:80]}}}" is not ${{NAME}} or ${{file:/path}}; write "$$" for a dollar sign')
        if name not in self._environ:
            raise ValueError(f"environment variable {name} is not set{did_you_mean(name, self._environ)}")
        return self._environ[name]

    def _file(self, name: str) -> str:
        try:
            with (self._base / name).open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ValueError(f"cannot read {name}: {reason}") from None
        if len(content) > LARGEST_FILE:
            raise ValueError(f"{name} is larger than {LARGEST_FILE >> 10} KiB")
        try:
            return content.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not UTF-8 text") from None
