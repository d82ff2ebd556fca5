from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import tree
from config.tree import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("# nothing", None),
        ("a: 1", {"a": "1"}),
        (
            "a: off\nb: yes\nc: 1:30\nd: 0o7\ne: 2020-01-01",
            {"a": "off", "b": "yes", "c": "1:30", "d": "0o7", "e": "2020-01-01"},
        ),
        ("a:\nb: ~\nc: null\nd: ''\ne: 'null'", {"a": None, "b": None, "c": None, "d": "", "e": "null"}),
        ("- a\n- [b, c]\n- {d: e}", ["a", ["b", "c"], {"d": "e"}]),
        ("x: &x {a: b}\ny: *x\nz: [*x]", {"x": {"a": "b"}, "y": {"a": "b"}, "z": [{"a": "b"}]}),
        ("x: &x v\ny: *x", {"x": "v", "y": "v"}),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("null: x\n~: y", {"null": "x", "~": "y"}),
        ("{url: ${NAME}, b: [${A}, x-${B}]}", {"url": "${NAME}", "b": ["${A}", "x-${B}"]}),
        ("a: ${file:/run/x}\nb: $${A}", {"a": "${file:/run/x}", "b": "$${A}"}),
    ],
)
def test_documents(text: str, expected: object) -> None:
    assert parse(text) == (expected, [])


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("a: 1\nb: 2\na: 3", "a", "stands here twice (again in line 3)"),
        ("x: {y: [1, {k: 1, k: 2}]}", "x.y[1].k", "stands here twice"),
        ("a: !!python/object/apply:os.system [x]", "", "line 1: tags (!) are not read"),
        ("a: !!str 1", "", "line 1: tags (!) are not read"),
        ("a: !x {}", "", "line 1: tags (!) are not read"),
        ("a: [1", "", "not YAML: did not find expected" if yaml.__with_libyaml__ else "not YAML"),
        ("a: 1\n\tb: 2", "", "line 2"),
        ("a: 1\n---\nb: 1", "", "line 2: a second document"),
        ("a: *nowhere", "", "an alias (*) stands for nothing"),
        ("a: &a [*a]", "", "an alias (*) stands for nothing"),
        ("? [a]\n: b", "", "a key must be plain text"),
        ("<<: {a: 1}", "", "merge keys"),
        ("a: \x00", "", "not YAML"),
        ("a: \udc80", "", "not YAML"),
        ("[" * 40, "", "levels deep"),
    ],
)
def test_mistakes(text: str, path: str, message: str) -> None:
    _, problems = parse(text)
    assert any(problem.path == path and message in problem.message for problem in problems), problems


def test_what_aliases_stand_for_is_counted() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join(['*a' + str(n - 1)] * 10)}]" for n in range(1, 9)]
    _, problems = parse("\n".join(lines))
    assert "more than 200000 values" in problems[0].message


def test_a_huge_file_is_not_read() -> None:
    assert "larger than 4 MiB" in parse("#" * (tree.MOST_BYTES + 1))[1][0].message


def test_keys_are_safe_to_print() -> None:
    _, problems = parse('"a\\e[31m\\n": 1\n"a\\e[31m\\n": 2')
    assert problems[0].path.isprintable()


@given(st.text(alphabet=st.sampled_from("a:-[]{}&*!|>'\"#\n \t$%@`,?<~0"), max_size=60))
def test_no_text_makes_it_raise(text: str) -> None:
    parse(text)
