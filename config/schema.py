"""The JSON Schema of the file, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from config.kinds import Kind
from config.settings import OVERRIDES, SHORTHANDS, Settings
from config.shapes import REQUIRED, Field, Shape, fields

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_REFERENCE: Final[dict[str, Any]] = {"type": "string", "pattern": r"\$\{[^}]+\}"}
"""What any value may also be: text with a `${NAME}` in it."""


def schema() -> dict[str, Any]:
    """The schema as JSON data. Each section is a definition; defaults are as one would write them."""
    definitions: dict[str, Any] = {}
    root = _section(Settings, definitions)
    return {"$schema": DRAFT, "title": "Detour's configuration"} | root | {"$defs": definitions}


def doc_of(section: type[Struct], field: Field) -> str:
    """What a key does. Overrides say nothing themselves: theirs is what is said where the key is set for all."""
    if field.shape.doc or section not in OVERRIDES:
        return field.shape.doc
    return next(wide.shape.doc for wide in fields(OVERRIDES[section]) if wide.key == field.key)


def _section(section: type[Struct], definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for field in fields(section):
        described = _shape(field.shape, definitions) | {"description": doc_of(section, field)}
        if field.shape.kind is not None and field.default is not REQUIRED and field.default is not None:
            described["default"] = plain(field.default, field.shape.kind)
        properties[field.key] = described
    required = [field.key for field in fields(section) if field.default is REQUIRED]
    whole = {"type": ["object", "null"], "properties": properties, "additionalProperties": False}
    return whole | ({"required": required} if required else {})


def _shape(shape: Shape, definitions: dict[str, Any]) -> dict[str, Any]:
    if shape.kind is not None:
        return _scalar(shape.kind)
    if shape.section is not None:
        name = shape.section.__name__
        if name not in definitions:
            definitions[name] = {}  # holds the place while the section's own are made
            definitions[name] = _section(shape.section, definitions)
        whole = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [whole, {"type": "string"}]} if shape.section in SHORTHANDS else whole
    if shape.item is not None:
        return {"anyOf": [{"type": "array", "items": _shape(shape.item, definitions)}, {"type": "string"}]}
    assert shape.value is not None and shape.key is not None  # noqa: S101, PT018 - a shape is one of four
    names = shape.key.kind.schema if shape.key.kind is not None else {}
    mapping = {"type": ["object", "null"], "additionalProperties": _shape(shape.value, definitions)}
    return mapping | ({"propertyNames": {"enum": names["enum"]}} if "enum" in names else {})


def _scalar(kind: Kind) -> dict[str, Any]:
    described = dict(kind.schema)
    if described.get("type") == "string":
        return described
    return {"anyOf": [described, _REFERENCE]}


def plain(value: Any, kind: Kind) -> Any:
    """A default as JSON data: numbers and booleans as they are, the rest as one would write it."""
    return value if isinstance(value, bool) or kind.schema.get("type") in ("integer", "number") else kind.show(value)
