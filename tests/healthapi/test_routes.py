from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.admin import Admin, Call
from healthapi.auth import Access
from healthapi.errors import Problem
from healthapi.replies import Reply
from healthapi.routes import Route, Router


async def page(admin: Admin, call: Call) -> Reply:
    """A page."""
    return Reply(b"")


def read(path: str) -> Route:
    return Route("GET", path, page, Access.READ)


TABLE = [
    read("/h"),
    read("/h/{provider}/{model...}"),
    read("/h/stats"),
    read("/h/{provider}/summary"),
    read("/h/provider/{provider}/summary"),
    Route("POST", "/h/provider/{provider}/summary", page, Access.WRITE),
]

FOUND = [
    ("/h", "/h", {}),
    ("/h/", "/h", {}),
    ("/h/stats", "/h/stats", {}),
    ("/h/stats/", "/h/stats", {}),
    ("/h/stats/x", "/h/{provider}/{model...}", {"provider": "stats", "model": "x"}),
    ("/h/groq/llama", "/h/{provider}/{model...}", {"provider": "groq", "model": "llama"}),
    ("/h/or/meta/llama:free", "/h/{provider}/{model...}", {"provider": "or", "model": "meta/llama:free"}),
    ("/h/or/a//b", "/h/{provider}/{model...}", {"provider": "or", "model": "a//b"}),
    ("/h/or/a/", "/h/{provider}/{model...}", {"provider": "or", "model": "a/"}),
    ("/h/or//", "/h/{provider}/{model...}", {"provider": "or", "model": "/"}),
    ("/h/or/../x", "/h/{provider}/{model...}", {"provider": "or", "model": "../x"}),
    ("/h/groq/summary", "/h/{provider}/summary", {"provider": "groq"}),
    ("/h/provider/groq/summary", "/h/provider/{provider}/summary", {"provider": "groq"}),
    ("/h/provider/groq/summary/", "/h/provider/{provider}/summary", {"provider": "groq"}),
    ("/h/provider/groq/summary/x", "/h/{provider}/{model...}", {"provider": "provider", "model": "groq/summary/x"}),
    ("/h/provider/groq", "/h/{provider}/{model...}", {"provider": "provider", "model": "groq"}),
]

VERBS = [
    read("/b"),
    read("/b/{provider}"),
    read("/b/{provider}/{model...}"),
    *(
        Route("POST", path, page, Access.WRITE)
        for path in (
            "/b/reset-all",
            "/b/{provider}/reset",
            "/b/{provider}/open",
            "/b/{provider}/{model...}/reset",
            "/b/{provider}/{model...}/open",
        )
    ),
]

SENT = [
    ("POST", "/b/reset-all", "/b/reset-all", {}),
    ("GET", "/b/groq", "/b/{provider}", {"provider": "groq"}),
    ("GET", "/b/groq/", "/b/{provider}", {"provider": "groq"}),
    ("POST", "/b/groq/reset", "/b/{provider}/reset", {"provider": "groq"}),
    ("POST", "/b/groq/reset/", "/b/{provider}/reset", {"provider": "groq"}),
    ("GET", "/b/groq/reset", "/b/{provider}/{model...}", {"provider": "groq", "model": "reset"}),
    ("POST", "/b/groq/reset/reset", "/b/{provider}/{model...}/reset", {"provider": "groq", "model": "reset"}),
    ("POST", "/b/groq/reset/open", "/b/{provider}/{model...}/open", {"provider": "groq", "model": "reset"}),
    ("GET", "/b/groq/m/reset", "/b/{provider}/{model...}", {"provider": "groq", "model": "m/reset"}),
    ("POST", "/b/groq/m/reset", "/b/{provider}/{model...}/reset", {"provider": "groq", "model": "m"}),
    ("POST", "/b/groq/m/reset/reset", "/b/{provider}/{model...}/reset", {"provider": "groq", "model": "m/reset"}),
    (
        "POST",
        "/b/or/meta/llama:free/open",
        "/b/{provider}/{model...}/open",
        {"provider": "or", "model": "meta/llama:free"},
    ),
    ("POST", "/b/or/a//open/", "/b/{provider}/{model...}/open", {"provider": "or", "model": "a/"}),
    ("POST", "/b/reset-all/reset", "/b/{provider}/reset", {"provider": "reset-all"}),
]


@pytest.mark.parametrize(("path", "route", "parts"), FOUND)
def test_the_route_of_a_path(path: str, route: str, parts: dict[str, str]) -> None:
    found, given = Router(TABLE).match(path).route("GET")
    assert (found.path, given) == (route, parts)


def test_the_order_of_the_table_does_not_matter() -> None:
    for table in itertools.permutations(TABLE):
        router = Router(table)
        for path, route, _ in FOUND:
            assert router.match(path).route("GET")[0].path == route


@pytest.mark.parametrize(("method", "path", "route", "parts"), SENT)
def test_each_method_finds_its_own_route(method: str, path: str, route: str, parts: dict[str, str]) -> None:
    for table in (VERBS, VERBS[::-1]):
        found, given = Router(table).match(path).route(method)
        assert (found.path, given) == (route, parts)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/b/reset-all", "POST, OPTIONS"),  # a path without variables has no other meaning
        ("POST", "/b", "GET, HEAD, OPTIONS"),
        ("POST", "/b/groq", "GET, HEAD, OPTIONS"),
        ("POST", "/b/groq/m", "GET, HEAD, OPTIONS"),
        ("POST", "/b/groq/m/close", "GET, HEAD, OPTIONS"),
        ("POST", "/b/groq//open", "GET, HEAD, OPTIONS"),
        ("DELETE", "/b/groq/m/open", "POST, GET, HEAD, OPTIONS"),
    ],
)
def test_a_verb_that_is_none(method: str, path: str, allowed: str) -> None:
    with pytest.raises(Problem) as caught:
        Router(VERBS).match(path).route(method)
    assert (caught.value.status, caught.value.headers) == (405, (("Allow", allowed),))


@given(st.text("ab/%.\udcff", min_size=1), st.sampled_from(["reset", "open"]))
def test_any_name_is_reached_before_a_verb_and_without(model: str, verb: str) -> None:
    router = Router(VERBS)
    assert router.match(f"/b/groq/{model}/{verb}").route("POST")[1] == {"provider": "groq", "model": model}
    assert router.match(f"/b/groq/{model}/{verb}").route("GET")[1] == {"provider": "groq", "model": f"{model}/{verb}"}


@pytest.mark.parametrize("path", ["/b//", "/b///reset", "/b//reset", "/b//open"])
def test_no_name_is_empty_before_a_verb(path: str) -> None:
    with pytest.raises(Problem) as caught:
        Router(VERBS).match(path).route("POST")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "/x", "/h/groq", "/h/groq/", "//h/stats", "/h//stats", "/h//x", "/H", "/h//"],
)
def test_what_is_nowhere(path: str) -> None:
    with pytest.raises(Problem) as caught:
        Router(TABLE).match(path)
    assert caught.value.status == 404


def test_no_part_is_empty() -> None:
    _, parts = Router(TABLE).match("/h/provider//summary").route("GET")
    assert parts == {"provider": "provider", "model": "/summary"}
    _, parts = Router(TABLE).match("/h/stats//").route("GET")
    assert parts == {"provider": "stats", "model": "/"}


def test_methods() -> None:
    match = Router(TABLE).match("/h/provider/groq/summary")
    assert match.methods == ("GET", "POST", "HEAD", "OPTIONS")
    assert match.route("HEAD")[0].method == "GET"
    assert match.route("POST")[0].access is Access.WRITE
    with pytest.raises(Problem) as caught:
        match.route("DELETE")
    assert caught.value.status == 405
    assert caught.value.headers == (("Allow", "GET, POST, HEAD, OPTIONS"),)


def test_a_table_without_get_answers_no_head() -> None:
    match = Router([Route("POST", "/reset", page, Access.WRITE)]).match("/reset")
    assert match.methods == ("POST", "OPTIONS")
    with pytest.raises(Problem):
        match.route("HEAD")


@pytest.mark.parametrize("access", [access for access in Access if access is not Access.WRITE])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_what_changes_something_cannot_be_in_a_table_without_the_token(method: str, access: Access) -> None:
    with pytest.raises(ValueError, match="cannot have the access"):
        Route(method, "/reset", page, access)


def test_a_get_changes_nothing() -> None:
    with pytest.raises(ValueError, match="cannot have the access"):
        Route("GET", "/reset", page, Access.WRITE)
