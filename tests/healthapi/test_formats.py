from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healthapi.errors import Problem
from healthapi.formats import prefers_csv, wants_csv
from healthapi.parameters import Parameters


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/csv", True),
        ("TEXT/CSV", True),
        ("text/csv; charset=utf-8", True),
        ("text/csv;q=0.1", True),
        ("text/csv;q=0", False),
        ("text/csv;q=0.000", False),
        ("text/csv, */*", True),
        ("*/*, text/csv", True),
        ("text/csv, */*;q=0.5", True),
        ("text/csv;q=0.5, */*", False),
        ("text/csv;q=0.5, application/*", False),
        ("text/csv, application/json", False),
        ("text/csv, application/json;q=0.9", True),
        ("application/json, text/csv;q=0.9", False),
        ("text/csv ; header=present ; q=0.5, application/json;q=0.4", True),
        ("text/csvx", False),
        ("text/csv;q=2", True),
        ("text / csv", False),
        (",,text/csv,,", True),
    ],
)
def test_accept(accept: str, csv: bool) -> None:
    assert prefers_csv(accept) is csv


@pytest.mark.parametrize(
    ("query", "accept", "csv"),
    [
        ("format=csv", "", True),
        ("format=csv", "application/json", True),
        ("format=json", "text/csv", False),
        ("format=", "text/csv", True),
        ("", "text/csv", True),
        ("", "", False),
    ],
)
def test_the_parameter_comes_before_the_header(query: str, accept: str, csv: bool) -> None:
    assert wants_csv(Parameters(query), accept) is csv


@pytest.mark.parametrize("query", ["format=xml", "format=CSV", "format=csv&format=csv"])
def test_another_format_is_refused(query: str) -> None:
    with pytest.raises(Problem) as caught:
        wants_csv(Parameters(query), "text/csv")
    assert caught.value.status == 400


@given(st.text(max_size=60))
def test_any_header_is_read(accept: str) -> None:
    prefers_csv(accept)
