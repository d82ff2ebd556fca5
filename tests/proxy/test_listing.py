from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.listing import LONGEST, NO_LIST, Page, first, following, read

GROK = ("grok-4-0709", "grok-4", "grok-4-latest")
FLUX = ("fal-ai/flux/dev",)


@pytest.mark.parametrize(
    ("dialect", "body", "names"),
    [
        ("openai", b'{"object":"list","data":[{"id":"a","object":"model"},{"id":"b/c:free"}]}', ("a", "b/c:free")),
        ("openai", b'[{"id":"togethercomputer/x","type":"chat"}]', ("togethercomputer/x",)),
        ("openai", b'{"success":true,"result":[{"id":"uuid","name":"@cf/meta/llama"}]}', ("@cf/meta/llama",)),
        ("openai", b'{"data":[]}', ()),
        ("openai", b'{"data":null,"models":[{"name":"x"}]}', ("x",)),
        ("anthropic", b'{"data":[{"type":"model","id":"claude"}],"has_more":false,"last_id":"claude"}', ("claude",)),
        ("gemini", b'{"models":[{"name":"models/gemini-2.0-flash","version":"2"}]}', ("gemini-2.0-flash",)),
        ("gemini", b'{"models":[{"name":"models/"},{"name":"  spaced "}]}', ("spaced",)),
        ("openai", b'{"data":[{"id":7},{"id":null},{},{"id":""},{"id":"a\\nb"},{"id":"ok"}]}', ("ok",)),
        ("openai", b'{"data":[{"id":"\\ud83d\\ude00"}]}', ("\U0001f600",)),
        ("openai", b'{"data":[{"id":"grok-4-0709","aliases":["grok-4","grok-4-latest",7]}]}', GROK),
        ("openai", b'{"data":[{"id":"a","aliases":"b"},{"id":"c","aliases":null}]}', ("a", "c")),
        ("openai", b'{"object":"list","result":"success","models":{},"data":[{"id":"a"}]}', ("a",)),
        ("openai", b'{"data":[{"name":"by-name"},{"id":null,"name":"b"}]}', ("by-name", "b")),
        ("fal", b'{"models":[{"endpoint_id":"fal-ai/flux/dev","metadata":{"display_name":"FLUX"}}]}', FLUX),
        ("openai", b'{"data":[{"id":"models/gemini-2.0-flash"}]}', ("gemini-2.0-flash",)),
    ],
)
def test_names_on_a_page(dialect: str, body: bytes, names: tuple[str, ...]) -> None:
    assert read(body, dialect) == Page(names)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"7",
        b'"data"',
        b"{}",
        b'{"data":{}}',
        b'{"data":"abc"}',
        b'{"data":["a","b"]}',
        b'{"error":{"message":"no"}}',
        b'{"data":[{"id":"a"}]',
        b'{"data":[{"id":"\xff"}]}',
        b'{"data":' + b"[" * 100_000,
    ],
)
def test_what_is_no_list(body: bytes) -> None:
    assert read(body, "openai") == NO_LIST


def test_a_name_that_is_too_long_is_none() -> None:
    body = msgspec.json.encode({"data": [{"id": "x" * LONGEST}, {"id": "x" * (LONGEST + 1)}]})
    assert read(body, "openai").names == ("x" * LONGEST,)


@pytest.mark.parametrize(
    ("dialect", "body", "then"),
    [
        ("openai", {"data": [], "has_more": True, "last_id": "a"}, b"after=a"),
        ("anthropic", {"data": [{"id": "a"}], "has_more": True, "last_id": "a&b=c"}, b"after_id=a%26b%3Dc"),
        ("anthropic", {"data": [{"id": "a"}], "has_more": "yes", "last_id": "a"}, b"after_id=a"),
        ("gemini", {"models": [], "nextPageToken": "x y"}, b"pageToken=x%20y"),
        ("fal", {"models": [], "has_more": True, "next_cursor": "Mg=="}, b"cursor=Mg%3D%3D"),
        ("openai", {"data": [], "pagination": {"current_page": 1, "total_pages": 3}}, b"page=2"),
        ("openai", {"result": [], "result_info": {"page": 2, "per_page": 100, "total_count": 201}}, b"page=3"),
        ("openai", {"result": [], "result_info": {"page": 2, "per_page": 100, "total_pages": 3}}, b"page=3"),
    ],
)
def test_where_the_next_page_is(dialect: str, body: object, then: bytes) -> None:
    page = read(msgspec.json.encode(body), dialect)
    assert (page.next, page.more) == (then, True)


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("anthropic", {"data": [{"id": "a"}], "has_more": True}),
        ("anthropic", {"data": [{"id": "a"}], "has_more": True, "last_id": 7}),
        ("gemini", {"models": [], "nextPageToken": 7}),
        ("fal", {"models": [], "next_cursor": 7, "has_more": True, "last_id": "a"}),
    ],
)
def test_a_next_page_that_nobody_can_ask_for(dialect: str, body: object) -> None:
    """There is more, so that what was read is a part."""
    page = read(msgspec.json.encode(body), dialect)
    assert (page.next, page.more) == (b"", True)


@pytest.mark.parametrize(
    "said",
    [
        {"has_more": False, "last_id": "a"},
        {"nextPageToken": ""},
        {"next_cursor": None, "has_more": False},
        {"pagination": {"current_page": 3, "total_pages": 3}},
        {"pagination": {"current_page": 4, "total_pages": 3}},
        {"pagination": {"current_page": -1, "total_pages": 3}},
        {"pagination": {"current_page": "1", "total_pages": 3}},
        {"pagination": {"total_pages": 3}},
        {"pagination": None, "result_info": []},
        {"result_info": {"page": 2, "per_page": 100, "total_count": 200}},
        {"result_info": {"page": 1, "per_page": 0, "total_count": 200}},
    ],
)
def test_the_last_page(said: dict[str, object]) -> None:
    page = read(msgspec.json.encode({"data": [{"id": "a"}], **said}), "openai")
    assert page == Page(("a",))


@pytest.mark.parametrize(
    ("dialect", "target", "second"),
    [
        ("openai", b"/v1/models", b"/v1/models?x=1"),
        ("anthropic", b"/v1/models?limit=1000", b"/v1/models?limit=1000&x=1"),
        ("gemini", b"/v1/models?pageSize=1000", b"/v1/models?pageSize=1000&x=1"),
    ],
)
def test_what_is_asked(dialect: str, target: bytes, second: bytes) -> None:
    assert first("/v1/models", dialect) == target
    assert following("/v1/models", dialect, Page((), b"x=1", more=True)) == second


def test_a_path_may_have_a_query() -> None:
    assert first("/m?a=1", "openai") == b"/m?a=1"
    assert first("/m?a=1", "gemini") == b"/m?a=1&pageSize=1000"
    assert following("/m?a=1", "openai", Page((), b"page=2", more=True)) == b"/m?a=1&page=2"


_PLACES = ["data", "models", "result", "id", "name", "aliases", "pagination", "result_info", "page", "total_pages"]
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**63 - 1),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*_PLACES, "has_more", "next_cursor"]), inner),
)


@given(st.binary() | _ANYTHING.map(msgspec.json.encode))
def test_whatever_is_answered(body: bytes) -> None:
    page = read(body, "openai")
    assert page.names is None or all(name.isprintable() and name for name in page.names)
