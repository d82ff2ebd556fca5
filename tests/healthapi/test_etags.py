from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi import etags

STRONG = etags.tag("abc")
WEAK = etags.tag("abc", weak=True)


def test_tags() -> None:
    assert (STRONG, WEAK) == ('"abc"', 'W/"abc"')


@pytest.mark.parametrize("tag", [STRONG, WEAK])
@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ([], False),
        ([b""], False),
        ([b"*"], True),
        ([b" * "], True),
        ([b'"abc"'], True),
        ([b'W/"abc"'], True),
        ([b'"x", W/"abc"'], True),
        ([b'"x"', b'"abc"'], True),
        ([b'"a,b","abc"'], True),
        ([b'"x,\xff\x80","abc"'], True),
        ([b"abc"], False),
        ([b'"ABC"'], False),
        ([b'"abcd"'], False),
        ([b'"abc'], False),
        ([b'"x*"'], False),
        ([b'"", "abc"'], True),
        ([b'w/"abd"'], False),
        ([b'"x"' * 2000], False),
    ],
)
def test_who_has_it_already(tag: str, fields: list[bytes], known: bool) -> None:
    assert etags.known(fields, tag) is known


@given(st.lists(st.binary(max_size=30), max_size=3))
def test_whatever_is_sent_names_no_tag_by_chance(fields: list[bytes]) -> None:
    if not any(b"abc" in field or field.strip() == b"*" for field in fields):
        assert not etags.known(fields, STRONG)
