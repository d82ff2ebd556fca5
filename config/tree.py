"""YAML to a plain tree of mappings, lists and text, from input that may be broken or hostile.

Every scalar stays text (an empty or `null` one is None): its setting's kind reads it. So the traps of YAML 1.1 (`off`
is a boolean, `1:30` a number) cannot bite. Tags and duplicate keys are refused, aliases count as what they stand for.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from config.place import Tree, child, item
from config.problems import Problem

MOST_BYTES: Final = 4 << 20
"""Largest text read, in bytes."""

MOST_NODES: Final = 200_000
"""Most values in a file, each alias counted with all it stands for."""

MOST_LEVELS: Final = 24
"""Deepest nesting: the settings themselves need seven."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFERENCE: Final = re.compile(r"\$\$|\$\{([^{}\r\n]*)\}")
_OPEN, _CLOSE = "\ue000", "\ue001"
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


def parse(text: str) -> tuple[Tree, list[Problem]]:
    """The tree of one YAML document, and what is wrong with it; with problems, what could be read of it."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return None, [Problem("", f"the file is larger than {MOST_BYTES >> 20} MiB")]
    reader = _Reader()
    try:
        reader.read(_shield(text))
    except _Stop as stop:
        reader.problems.append(Problem("", str(stop)))
    except yaml.MarkedYAMLError as error:
        reader.problems.append(Problem("", _syntax(error)))
    except (yaml.YAMLError, UnicodeError) as error:
        reader.problems.append(Problem("", f"not YAML: {str(error).partition(chr(10))[0]}"))
    return reader.root, reader.problems


class _Stop(Exception):  # noqa: N818 - not an error of ours: it ends the reading
    """The document is beyond the bounds: reading on makes no sense."""


class _Node:
    """One open mapping or list, or the document itself."""

    __slots__ = ("anchor", "key", "line", "path", "size", "value")

    def __init__(self, value: Any, path: str, anchor: str | None, line: int) -> None:
        self.value = value
        self.path = path
        self.anchor = anchor
        self.line = line
        self.key: str | None = None
        self.size = 1


class _Reader:
    """Builds the tree from the parser's events."""

    def __init__(self) -> None:
        self.root: Tree = None
        self.problems: list[Problem] = []
        self._open: list[_Node] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._total = 0
        self._documents = 0

    def read(self, text: str) -> None:
        """Take in the whole text. Raises `_Stop` and YAML's own errors."""
        for event in yaml.parse(text, _LOADER):
            line = event.start_mark.line + 1 if event.start_mark else 0
            if isinstance(event, yaml.DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise _Stop(f"line {line}: a second document starts here; one is all there may be")
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event.anchor or "", line)
            elif isinstance(event, yaml.ScalarEvent):
                self._tag(event, line)
                plain = not event.style
                value = None if plain and event.value in _NULLS else _unshield(event.value)
                self._add(value, 1, event.anchor, line, null=event.value)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                self._start(event, line)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                node = self._open.pop()
                self._add(node.value, node.size, node.anchor, node.line)

    def _start(self, event: Any, line: int) -> None:
        self._tag(event, line)
        if len(self._open) >= MOST_LEVELS:
            raise _Stop(f"line {line}: nested more than {MOST_LEVELS} levels deep")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Node(value, self._path(), event.anchor, line))

    def _alias(self, anchor: str, line: int) -> None:
        if anchor not in self._anchors:
            # Not repeated, as tags are not: a password may begin with a star or an exclamation mark.
            raise _Stop(f"line {line}: an alias (*) stands for nothing before it; text that begins so needs quotes")
        value, size = self._anchors[anchor]
        self._add(value, size, None, line)

    def _add(self, value: Any, size: int, anchor: str | None, line: int, null: str = "") -> None:
        """Put a complete value where it belongs: a key, a key's value, an item, or the root."""
        self._total += size
        if self._total > MOST_NODES:
            raise _Stop(f"line {line}: more than {MOST_NODES} values, aliases counted with what they stand for")
        if anchor is not None:
            self._anchors[anchor] = value, size
        if not self._open:
            self.root = value
            return
        node = self._open[-1]
        node.size += size
        if isinstance(node.value, list):
            node.value.append(value)
        elif node.key is None:
            node.key = self._key(node, value if value is not None else null, line)
        else:
            node.value[node.key] = value
            node.key = None

    def _key(self, node: _Node, key: Any, line: int) -> str:
        if not isinstance(key, str):
            raise _Stop(f"line {line}: a key must be plain text")
        if key == "<<":
            raise _Stop(f'line {line}: merge keys ("<<") are not supported; an alias may stand for a whole value')
        if key in node.value:
            self.problems.append(Problem(child(node.path, key), f"stands here twice (again in line {line})"))
        return key

    def _path(self) -> str:
        if not self._open:
            return ""
        node = self._open[-1]
        return item(node.path, len(node.value)) if isinstance(node.value, list) else child(node.path, node.key or "?")

    def _tag(self, event: Any, line: int) -> None:
        if event.tag is not None:
            message = f"line {line}: tags (!) are not read; leave it out, or put text that begins so in quotes"
            self.problems.append(Problem("", message))


def _shield(text: str) -> str:
    """Text whose `${NAME}` are safe in `{url: ${NAME}}`, where YAML would take their braces for its own."""
    return _REFERENCE.sub(lambda m: m[0] if m[1] is None else f"${_OPEN}{m[1]}{_CLOSE}", text)


def _unshield(value: str) -> str:
    return value.replace(_OPEN, "{").replace(_CLOSE, "}")


def _syntax(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    what = error.problem or error.context or "cannot be read"
    return f"{where}not YAML: {what}"
