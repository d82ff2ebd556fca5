"""A tree of text to typed settings, collecting every mistake instead of stopping at the first."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from config.interpolate import Filled
from config.kinds import Kind
from config.place import Tree, child, item
from config.problems import Problem, did_you_mean
from config.settings import SHORTHANDS, Settings
from config.shapes import REQUIRED, Shape, fields

_WRONG = object()
"""What a value is decoded to that could not be: its problem is on the list, its default stands in."""


def decode(tree: Tree, problems: list[Problem]) -> Settings:
    """The settings `tree` gives, defaults elsewhere. Mistakes are added to `problems`; their defaults stand in."""
    settings = _section(tree, Settings, "", problems)
    return settings if isinstance(settings, Settings) else Settings()


def _value(tree: Tree, shape: Shape, path: str, problems: list[Problem], default: Struct | None = None) -> Any:
    if shape.kind is not None:
        return _scalar(tree, shape.kind, path, problems)
    if shape.section is not None:
        return _section(tree, shape.section, path, problems, default)
    if shape.item is not None:
        return _list(tree, shape.item, path, problems)
    return _map(tree, shape, path, problems)


def _scalar(tree: Tree, kind: Kind, path: str, problems: list[Problem]) -> Any:
    if not isinstance(tree, str):
        problems.append(Problem(path, "must be a single value" if tree is not None else "has no value"))
        return _WRONG
    try:
        return kind.parse(tree)
    except ValueError as error:
        message = str(error)
        if isinstance(tree, Filled) and tree.told_by(message):
            message = _of_template(tree, kind) or message
        problems.append(Problem(path, message))
        return _WRONG


def _of_template(tree: Filled, kind: Kind) -> str:
    """What would be wrong with the template itself: what was filled into it may be a secret in the wrong place."""
    try:
        kind.parse(tree.template)
    except ValueError as error:
        return str(error)
    return ""


def _section(
    tree: Tree, section: type[Struct], path: str, problems: list[Problem], default: Struct | None = None
) -> Any:
    """A section, or `_WRONG`. What is left out is as in `default`, which may be another than the section's own."""
    if isinstance(tree, str) and section in SHORTHANDS:
        tree = {SHORTHANDS[section]: tree}
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        problems.append(Problem(path, "must be a mapping of keys to values"))
        return _WRONG
    known = {field.key: field for field in fields(section)}
    for key in tree:
        if key not in known and not _glued(key, tree[key], path, problems):
            problems.append(Problem(child(path, key), f"no such key{did_you_mean(key, known)}"))
    given: dict[str, Any] = {}
    complete = True
    for key, field in known.items():
        if tree.get(key) is None:
            if field.default is REQUIRED:
                problems.append(Problem(child(path, key), "is missing"))
                complete = False
            continue
        value = _value(tree[key], field.shape, child(path, key), problems, _struct(field.default))
        if value is not _WRONG:
            given[field.name] = value
        elif field.default is REQUIRED:
            complete = False
    if default is not None:
        return msgspec.structs.replace(default, **given)
    return section(**given) if complete else _WRONG


def _list(tree: Tree, shape: Shape, path: str, problems: list[Problem]) -> Any:
    if isinstance(tree, str):
        tree = [type(tree)(part) if not isinstance(tree, Filled) else tree.part(part) for part in _split(tree)]
    if not isinstance(tree, list):
        problems.append(Problem(path, "must be a list"))
        return _WRONG
    values = [_value(value, shape, item(path, index), problems) for index, value in enumerate(tree)]
    return tuple(value for value in values if value is not _WRONG)


def _map(tree: Tree, shape: Shape, path: str, problems: list[Problem]) -> Any:
    if not isinstance(tree, dict):
        problems.append(Problem(path, "must be a mapping of names to values"))
        return _WRONG
    values: dict[Any, Any] = {}
    assert shape.key is not None and shape.key.kind is not None and shape.value is not None  # noqa: S101, PT018
    for key, value in tree.items():
        if _glued(key, value, path, problems):
            continue
        name = _scalar(key, shape.key.kind, child(path, key), problems)
        decoded = _value(value, shape.value, child(path, key), problems)
        if name is not _WRONG and decoded is not _WRONG:
            values[name] = decoded
    return values


def _glued(key: str, value: Tree, path: str, problems: list[Problem]) -> bool:
    """Whether key and value are one word, `{api_key:sk-…}`: only what is before the colon is repeated then."""
    name, mark, rest = key.replace("=", ":").partition(":")
    glued = value is None and bool(mark and rest)
    if glued:
        problems.append(Problem(child(path, name), "has no value; behind its colon a blank is needed"))
    return glued


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _struct(default: Any) -> Struct | None:
    return default if isinstance(default, Struct) else None
