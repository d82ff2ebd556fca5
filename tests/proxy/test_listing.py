from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.listing import LONGEST, NO_LIST, Page, first, following, read


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
        ("openai", {"data": [], "has_more": True, "last_id": "a"}, b""),
        ("anthropic", {"data": [{"id": "a"}], "has_more": True, "last_id": "a&b=c"}, b"after_id=a%26b%3Dc"),
        ("anthropic", {"data": [{"id": "a"}], "has_more": "yes", "last_id": "a"}, b""),
        ("anthropic", {"data": [{"id": "a"}], "has_more": True}, b""),
        ("gemini", {"models": [], "nextPageToken": "x y"}, b"pageToken=x%20y"),
        ("gemini", {"models": [], "nextPageToken": ""}, b""),
        ("gemini", {"models": [], "nextPageToken": 7}, b""),
    ],
)
def test_where_the_next_page_is(dialect: str, body: object, then: bytes) -> None:
    assert read(msgspec.json.encode(body), dialect).next == then


@pytest.mark.parametrize(
    ("dialect", "target", "second"),
    [
        ("openai", b"/v1/models", b"/v1/models"),
        ("anthropic", b"/v1/models?limit=1000", b"/v1/models?limit=1000&x=1"),
        ("gemini", b"/v1/models?pageSize=1000", b"/v1/models?pageSize=1000&x=1"),
    ],
)
def test_what_is_asked(dialect: str, target: bytes, second: bytes) -> None:
    assert first("/v1/models", dialect) == target
    assert following("/v1/models", dialect, Page((), b"x=1")) == second


@given(st.binary() | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode))
def test_whatever_is_answered(body: bytes) -> None:
    page = read(body, "openai")
    assert page.names is None or all(name.isprintable() and name for name in page.names)
