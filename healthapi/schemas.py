"""JSON Schema of the documents, for OpenAPI: what their Structs say, and that an answer never leaves a field out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from healthapi.errors import ErrorDocument
from healthapi.routes import Route

_PLACE: Final = "#/components/schemas/{name}"


class Schemas:
    """The schemas of all documents of a table; `components` has them by name."""

    def __init__(self, table: Sequence[Route]) -> None:
        """Make them."""
        told: list[type[Struct]] = [ErrorDocument, *(one for route in table for one in _told(route))]
        taken = [route.answer.body for route in table if route.answer is not None and route.answer.body is not None]
        self._references: dict[type[Struct], dict[str, Any]] = {}
        self.components: dict[str, Any] = {}
        self._add(taken)
        known = set(self.components)
        self._add(told)
        for name in self.components.keys() - known:
            _complete(self.components[name])

    def of(self, document: type[Struct]) -> dict[str, Any]:
        """A reference to a document's schema."""
        return self._references[document]

    def _add(self, documents: Sequence[type[Struct]]) -> None:
        types = list(dict.fromkeys(documents))
        references, components = msgspec.json.schema_components(types, ref_template=_PLACE)
        self._references |= zip(types, references, strict=True)
        self.components |= {name: schema for name, schema in components.items() if name not in self.components}


def _told(route: Route) -> Iterator[type[Struct]]:
    """The documents of a route's answers."""
    answer = route.answer
    if answer is None:
        return
    if answer.document is not None:
        yield answer.document
    yield from answer.others.values()
    yield from answer.events.values()


def _complete(schema: dict[str, Any]) -> None:
    """What has a default is there all the same; a field that can be missing has none (it is UNSET)."""
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    required |= {name for name, told in properties.items() if told.pop("default", required) is not required}
    schema["required"] = [name for name in properties if name in required]
