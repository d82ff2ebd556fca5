from __future__ import annotations

from pathlib import Path

import pytest

from config.interpolate import LARGEST_FILE, Filled, interpolate, untold
from config.place import Tree
from config.problems import Problem

ENVIRON = {"A": "1", "GROQ_KEY": "sk", "EMPTY": "", "ODD": "${A}$$"}


def fill(tree: Tree, base: Path = Path()) -> tuple[Tree, list[Problem]]:
    problems: list[Problem] = []
    return interpolate(tree, ENVIRON, base, problems), problems


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, None),
        ("plain", "plain"),
        ("${A}", "1"),
        ("x-${A}-${A}", "x-1-1"),
        ("$$", "$"),
        ("$${A}", "${A}"),
        ("$5 a$", "$5 a$"),
        ("${EMPTY}", ""),
        ("${ODD}", "${A}$$"),
        ({"k": ["${A}", {"${A}": "${A}"}]}, {"k": ["1", {"${A}": "1"}]}),
    ],
)
def test_references(tree: Tree, expected: Tree) -> None:
    assert fill(tree) == (expected, [])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("${GROK_KEY}", 'environment variable GROK_KEY is not set; did you mean "GROQ_KEY"?'),
        ("${A:-x}", 'write "$$" for a dollar sign'),
        ("${}", 'write "$$" for a dollar sign'),
        ("${A", "never closed"),
        ("${file:/no/such/file}", "cannot read /no/such/file: No such file"),
        ("${file:a\0b}", "cannot read"),
    ],
)
def test_mistakes_name_the_key_they_stand_in(value: str, message: str) -> None:
    tree, problems = fill({"a": [value]})
    assert tree == {"a": [None]}
    assert problems[0].path == "a[0]"
    assert message in problems[0].message


def test_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-file\n")
    assert fill("${file:key}", tmp_path)[0] == "sk-from-file"
    assert fill("x${file:" + str(tmp_path / "key") + "}")[0] == "xsk-from-file"


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "huge").write_bytes(b"x" * (LARGEST_FILE + 1))
    assert "not UTF-8" in fill("${file:bytes}", tmp_path)[1][0].message
    assert "larger than 64 KiB" in fill("${file:huge}", tmp_path)[1][0].message


def test_what_was_filled_in_remembers_how_it_was_written() -> None:
    tree, _ = fill("k-${GROQ_KEY}")
    assert isinstance(tree, Filled)
    assert tree.template == "k-${GROQ_KEY}"
    assert tree.part("x").template == "k-${GROQ_KEY}"


def test_what_is_no_text_is_not_filled_in() -> None:
    problems: list[Problem] = []
    assert interpolate({"a": "${RAW}"}, {"RAW": "\udcff"}, Path(), problems) == {"a": None}
    assert problems == [Problem("a", "environment variable RAW is not UTF-8 text")]


@pytest.mark.parametrize(
    ("place", "problem", "told"),
    [
        ("a", Problem("a", "is wrong: sk-canary"), False),
        ("a", Problem("a[3].b", 'has "anary" in it'), False),
        ("a.target", Problem("a", '"sk-canary/x" is not provider/model'), False),
        ("a", Problem("a", "must be at most 9"), True),
        ("a", Problem("b", "has sk-canary of its own"), True),
        ("a", Problem("ab.c", "has sk-canary of its own"), True),
    ],
)
def test_what_was_filled_in_is_not_told(place: str, problem: Problem, told: bool) -> None:
    value = Filled.of("sk-canary", "${KEY}")
    tree = {place: value} if place == "a" else {"a": {"target": value}}
    expected = problem if told else Problem(problem.path, '"${KEY}" stands for something that cannot be used here')
    assert untold([problem], tree) == [expected]
