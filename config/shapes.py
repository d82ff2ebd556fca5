"""What the settings Structs say about themselves, in the form that reading, the schema and the docs work from."""

from __future__ import annotations

import enum
import types
from functools import cache
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from config.kinds import Kind, choice

REQUIRED: Final = msgspec.NODEFAULT
"""Default of a field that has none."""


class Shape(Struct, frozen=True, eq=False):
    """How one setting is made up: exactly one of `kind` (a scalar), `section`, `item` (a list), `value` (a map)."""

    kind: Kind | None = None
    section: type[Struct] | None = None
    item: Shape | None = None
    value: Shape | None = None
    key: Shape | None = None
    doc: str = ""


class Field(Struct, frozen=True, eq=False):
    """One key of a section: `name` in Python, `key` in the file, and its default."""

    name: str
    key: str
    shape: Shape
    default: Any


@cache
def fields(section: type[Struct]) -> tuple[Field, ...]:
    """The keys of `section` in the order of its Struct."""
    return tuple(
        Field(info.name, info.encode_name, shape(info.type), _default(info))
        for info in msgspec.structs.fields(section)
    )  # fmt: skip


def shape(annotation: Any) -> Shape:
    """The shape of an annotation; optional settings have the shape of what they are when given."""
    metadata: tuple[Any, ...] = ()
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            metadata = annotation.__metadata__ + metadata
            annotation = annotation.__origin__
        elif origin in (Union, types.UnionType):
            annotation = next(arg for arg in get_args(annotation) if arg is not type(None))
        else:
            break
    doc = next((extra for extra in reversed(metadata) if isinstance(extra, str)), "")
    kind = next((extra for extra in metadata if isinstance(extra, Kind)), None)
    if kind is not None:
        return Shape(kind=kind, doc=doc)
    arguments = get_args(annotation)
    if origin is tuple:
        return Shape(item=shape(arguments[0]), doc=doc)
    if origin is dict:
        return Shape(key=shape(arguments[0]), value=shape(arguments[1]), doc=doc)
    if issubclass(annotation, enum.StrEnum):
        return Shape(kind=choice(annotation), doc=doc)
    return Shape(section=annotation, doc=doc or _headline(annotation))


def _default(info: msgspec.structs.FieldInfo) -> Any:
    return info.default_factory() if info.default_factory is not REQUIRED else info.default


def _headline(section: type[Struct]) -> str:
    return (section.__doc__ or "").partition("\n")[0]
