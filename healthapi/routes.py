"""Routes as data, and which of them a path means.

A route's path is a list of segments; `{name}` takes one segment, `{name...}` takes the rest, slashes included. The
latter stands last, or before one fixed segment that ends the path: a verb. Routes with fewer variables are asked first:
no model's name can hide a fixed route, in whatever order the table is written.

Each method of a path finds its own route: where POST takes the last segment for a verb, GET takes it for the end of a
model's name. A route without any variable has its path for itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from healthapi.admin import Admin, Call
from healthapi.answer import Answer
from healthapi.auth import Access
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, Stream

Handler = Callable[[Admin, Call], Awaitable[Reply | Stream]]


class Route(Struct, frozen=True):
    """One endpoint: all that an OpenAPI document, an authorisation test or the docs need to know of it.

    A handler's docstring is the endpoint's description.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    answer: Answer | None = None

    def __post_init__(self) -> None:
        """Refuse a table that would let somebody change something without the token."""
        if (self.method == "GET") == (self.access is Access.WRITE):
            raise ValueError(f"{self.method} {self.path} cannot have the access {self.access}")

    @property
    def open_ended(self) -> bool:
        """Whether the last variable takes the rest of the path, up to its very end."""
        return self.path.endswith("...}")

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Which of several routes is asked first: the one of the lowest rank."""
        return (self.open_ended, "...}" in self.path, self.path.count("{"))

    def match(self, segments: Sequence[str]) -> dict[str, str] | None:
        """The variable parts when these segments are this route's, else None. No part is ever empty."""
        parts = self.path.strip("/").split("/")
        rest = next((index for index, part in enumerate(parts) if part.endswith("...}")), None)
        taken = list(segments)
        if rest is not None:
            after = len(parts) - rest - 1
            end = len(segments) - after
            taken[rest:end] = ["/".join(segments[rest:end])]
        if len(taken) != len(parts):
            return None
        found: dict[str, str] = {}
        for part, segment in zip(parts, taken, strict=True):
            if part.startswith("{"):
                found[part[1:-1].removesuffix("...")] = segment
            elif part != segment:
                return None
        return found if all(found.values()) else None


class Match(Struct, frozen=True):
    """The routes at one path, by method, and the variable parts of each."""

    routes: dict[str, tuple[Route, dict[str, str]]]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that work here; HEAD wherever GET does, OPTIONS everywhere."""
        head = ("HEAD",) if "GET" in self.routes else ()
        return (*self.routes, *head, "OPTIONS")

    def route(self, method: str) -> tuple[Route, dict[str, str]]:
        """The route for a method.

        Raises:
            Problem: 405 when there is none.
        """
        found = self.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            allow = ", ".join(self.methods)
            raise Problem(405, "wrong_method", f"{quoted(method)} does not work here; {allow} do", (("Allow", allow),))
        return found


class Router:
    """Finds the routes of a path."""

    __slots__ = ("_routes",)

    def __init__(self, table: Sequence[Route]) -> None:
        """Serve this table."""
        self._routes = sorted(table, key=lambda route: route.rank)

    def match(self, path: str) -> Match:
        """The routes at a decoded path. One trailing slash is ignored, unless it can be part of a model's name.

        Raises:
            Problem: 404 when there is none.
        """
        whole = path.split("/")[1:]
        trimmed = whole[:-1] if whole and not whole[-1] else whole
        found: dict[str, tuple[Route, dict[str, str]]] = {}
        alone = ""
        for route in self._routes:
            if alone and route.path != alone:
                continue
            parts = route.match(whole if route.open_ended else trimmed)
            if parts is None:
                continue
            found.setdefault(route.method, (route, parts))
            if not parts:
                alone = route.path
        if found:
            return Match(found)
        raise Problem(404, "unknown_path", f"there is nothing at {quoted(path)}")
