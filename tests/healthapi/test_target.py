from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.target import split


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/livez", "/livez", ""),
        ("/readyz?verbose", "/readyz", "verbose"),
        ("/a?b?c", "/a", "b?c"),
        ("/a%2Fb", "/a/b", ""),
        ("/a%2fb%3Fc", "/a/b?c", ""),
        ("/a%252Fb", "/a%2Fb", ""),
        ("/a%", "/a%", ""),
        ("/a%zz", "/a%zz", ""),
        ("/m%C3%A8", "/mè", ""),
        ("/mè", "/mè", ""),
        ("/%ff", "/\udcff", ""),
        ("/\udcff", "/\udcff", ""),
        ("/%00", "/\x00", ""),
        ("/a/../b", "/a/../b", ""),
        ("//evil/livez", "//evil/livez", ""),
        ("/a+b", "/a+b", ""),
        ("/a#b?c", "/a", ""),
        ("/a?b#c", "/a", "b"),
        ("http://host:9090/livez?x=1", "/livez", "x=1"),
        ("http://host", "", ""),
        ("*", "", ""),
        ("", "", ""),
    ],
)
def test_split(target: str, path: str, query: str) -> None:
    assert split(target) == (path, query)


@given(st.binary())
def test_nothing_is_raised_for_any_bytes(target: bytes) -> None:
    split("/" + target.decode("utf-8", "surrogateescape"))
    split(target.decode("utf-8", "surrogateescape"))
