"""One route as an OpenAPI operation."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any, Final

from healthapi.answer import FORMAT, Answer, Parameter
from healthapi.errors import ErrorDocument
from healthapi.presenting import UNTOLD
from healthapi.replies import JSON
from healthapi.routes import Route
from healthapi.schemas import Schemas

STATUSES: Final = {
    400: ("BadRequest", "A parameter or what was sent along is malformed, out of bounds, given twice or too much."),
    401: ("Unauthorized", "The token is missing or wrong."),
    403: ("Forbidden", "No token is configured, or this Host or Origin may not ask."),
    404: ("NotFound", "There is nothing of this name."),
    405: ("WrongMethod", "Another endpoint stands here, which takes other methods."),
    500: ("InternalError", "A bug; the log has its details under the request id."),
    503: ("Unavailable", "The health store cannot answer now, or the process is about to stop."),
}
"""The answers in the common shape: what they are called, and what they say."""

_PART: Final = re.compile(r"\{(\w+)(\.\.\.)?\}")
_ALWAYS: Final = (400, 403, 500)
_NAMES: Final = {
    "provider": "A provider's name or alias.",
    "model": "The model's own name at the provider; slashes may be raw or `%2F`.",
    "id": "What is meant, by the id it was told with.",
}
_GROUPS: Final = {"livez": "process", "readyz": "process", "metrics": "process", "openapi.json": "process"}


def operation(route: Route, schemas: Schemas, *, needs_token: bool) -> dict[str, Any]:
    """What a route takes and answers."""
    answer = route.answer or UNTOLD
    about = cleandoc(route.handler.__doc__ or "")
    first = next(part for part in route.path.split("/") if part and part != "v1")
    made: dict[str, Any] = {
        "operationId": _identifier(route),
        "summary": about.partition("\n")[0].removesuffix("."),
        "description": about,
        "tags": [_GROUPS.get(first, first)],
        "parameters": [*_path(route), *_query(answer), *_header(route, answer)],
        "responses": _responses(route, answer, schemas, needs_token=needs_token),
        "security": [{"token": []}] if needs_token else [],
    }
    if answer.body is not None:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": schemas.of(answer.body)}}}
    return made


def problem(text: str, schemas: Schemas) -> dict[str, Any]:
    """A response in the common shape."""
    return {"description": text, "headers": _headers(), "content": {JSON: {"schema": schemas.of(ErrorDocument)}}}


def tagged(route: Route, answer: Answer) -> bool:
    """Whether what a route answers has an entity tag."""
    return answer.tagged and route.method == "GET"


def _identifier(route: Route) -> str:
    words = re.findall(r"[a-z0-9]+", route.path.removeprefix("/v1").lower())
    return "_".join([route.method.lower(), *words])


def _path(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _NAMES.get(name, ""),
            "schema": {"type": "string", "minLength": 1} if rest else {"type": "string", "pattern": "^[^/]+$"},
        }
        for name, rest in _PART.findall(route.path)
    ]


def _query(answer: Answer) -> list[dict[str, Any]]:
    parameters = answer.parameters if answer.rows is None else (*answer.parameters, FORMAT)
    return [_parameter(one) for one in parameters]


def _parameter(one: Parameter) -> dict[str, Any]:
    made = {"name": one.name, "in": "query", "description": one.description, "schema": one.schema}
    return {**made, "allowEmptyValue": True} if one.empty else made


def _header(route: Route, answer: Answer) -> list[dict[str, Any]]:
    names = []
    if tagged(route, answer):
        names.append(("If-None-Match", "Entity tags of what the client has; 304 when that is still so."))
    if answer.events:
        names.append(("Last-Event-ID", "The last event that was read: the ones after it are sent."))
    return [{"name": name, "in": "header", "description": text, "schema": {"type": "string"}} for name, text in names]


def _responses(route: Route, answer: Answer, schemas: Schemas, *, needs_token: bool) -> dict[str, Any]:
    good: dict[str, Any] = {
        "description": "What was asked for.",
        "headers": _headers(),
        "content": _content(answer, schemas),
    }
    made: dict[str, Any] = {"200": good}
    if tagged(route, answer):
        good["headers"]["ETag"] = _reference("headers", "ETag")
        headers = _headers() | {"ETag": good["headers"]["ETag"]}
        made["304"] = {"description": "What the client has is still so.", "headers": headers}
    if 503 in answer.problems:
        good["headers"]["X-Detour-Stale"] = _reference("headers", "Stale")
    problems = {*_ALWAYS, *answer.problems, *((401,) if needs_token else ()), *((405,) if "{" in route.path else ())}
    for status in problems - answer.others.keys():
        made[str(status)] = _reference("responses", STATUSES[status][0])
    for status, document in answer.others.items():
        content = {JSON: {"schema": schemas.of(document)}}
        made[str(status)] = {"description": STATUSES[status][1], "headers": _headers(), "content": content}
    return dict(sorted(made.items()))


def _content(answer: Answer, schemas: Schemas) -> dict[str, Any]:
    if answer.events:
        data = {name: schemas.of(document) for name, document in answer.events.items()}
        return {media: {"schema": {"type": "string"}, "x-event-data": data} for media in answer.media}
    if answer.document is None:
        kind = "object" if answer.media == (JSON,) else "string"
        return {media: {"schema": {"type": kind}} for media in answer.media}
    content: dict[str, Any] = {media: {"schema": schemas.of(answer.document)} for media in answer.media}
    if answer.rows is not None:
        content["text/csv"] = {"schema": {"type": "string"}}
    return content


def _headers() -> dict[str, Any]:
    return {"X-Detour-Request-Id": _reference("headers", "RequestId")}


def _reference(kind: str, name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/{kind}/{name}"}
