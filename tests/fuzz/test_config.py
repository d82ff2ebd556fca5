"""Files nobody would write: a configuration or problems, never another exception, never a hang, never a secret."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from config.settings import Settings
from config.shapes import Shape, fields
from tests.fuzz.subjects import config, configured


def keys(section: type[Struct] = Settings) -> set[str]:
    """Every key of the file, whatever section it belongs to."""
    found: set[str] = set()
    for field in fields(section):
        found.add(field.key)
        shape: Shape | None = field.shape
        while shape is not None:
            if shape.section is not None:
                found |= keys(shape.section)
            shape = shape.value or shape.item
    return found


VALUES = [
    *("${KEY}", "x ${A} y", "${KEY", "$$", "${file:/etc/passwd/x}", "${sk-or-v1-0123456789}", "${MISSING}", "$", "~"),
    *("true", "off", "1", "0", "-1", "1" * 400, "1e9", "nan", "inf", "0x10", "5s", "1h30m", "64KiB", "9" * 18 + "GiB"),
    *("127.0.0.1:0", "[::1]:8080", ":99999", "http://a/v1", "https://u:p@h/", "redis://:p@h/0", "sqlite:///x", "env"),
    *("groq", "openai/gpt-4o", "lab/x", "a/b/c", "critical", "slack", "bearer", "ops", "memory:", "*", "10.0.0.0/33"),
    *(
        "\x1b[31m",
        "\u202egpj",
        "\ud800",
        "nul\x00",
        "line\u2028two",
        "=1+1",
        "é模",
        "a" * 5000,
        "",
        " ",
        "\n",
        "/",
        ".",
    ),
]
KEYS = [*sorted(keys()), "groq", "openai", "lab", "m", "", "<<", "a.b", "x[0]", "é", "\x1b[31m", "k" * 300, "openai "]

scalars = st.one_of(st.sampled_from(VALUES), st.text(max_size=20), st.integers(), st.floats(), st.booleans(), st.none())
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=15,
)


def shaped(shape: Shape) -> st.SearchStrategy[Any]:
    """Mostly what a setting takes; now and then anything."""
    if shape.kind is not None:
        usual = scalars
    elif shape.section is not None:
        usual = st.fixed_dictionaries(
            {}, optional={f.key: st.deferred(lambda f=f: shaped(f.shape)) for f in fields(shape.section)}
        )
    elif shape.item is not None:
        usual = st.lists(shaped(shape.item), max_size=3)
    else:
        assert shape.value is not None
        usual = st.dictionaries(
            st.sampled_from(["groq", "lab", "openai", "m", "x-a", "ops", ""]), shaped(shape.value), max_size=3
        )
    return st.integers(0, 9).flatmap(lambda odd: usual if odd else trees)


files = shaped(Shape(section=Settings))


@given(tree=files)
@settings(max_examples=150, deadline=None)
def test_trees_of_the_right_form(tree: Any) -> None:
    configured(written(tree))


@given(tree=trees)
@settings(max_examples=100, deadline=None)
def test_trees_of_any_form(tree: Any) -> None:
    configured(written(tree))


def written(tree: Any) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, width=10_000)


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_bytes(data: bytes) -> None:
    config(data)


FRAGMENTS = [
    *("\n", "\n  ", "\n    ", "- ", ": ", "? ", "&a ", "*a", "!!str ", "!x ", "| ", "> ", "{", "}", "[", "]", ",", '"'),
    *(
        "'",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! !\n",
        "<<",
        "\t",
        "\r",
        "\ufeff",
        "\x85",
        "\u2028",
        "\\",
        "\0",
    ),
    *(
        "providers:",
        "models:",
        "listen:",
        "api_key:",
        "targets:",
        "timeouts:",
        "alerts:",
        "channels:",
        "url:",
        "store:",
    ),
    *VALUES,
]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join))
@settings(max_examples=250, deadline=None)
def test_broken_yaml(text: str) -> None:
    configured(text)


BOMBS = {
    "aliases of aliases": "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "maps of aliases": "a0: &a0 {k: v}\n"
    + "".join(f"a{n}: &a{n} {{{','.join(f'k{i}: *a{n - 1}' for i in range(9))}}}\n" for n in range(1, 12)),
    "a name of an alias": "providers: &p {groq: {}}\nmodels: *p\nalerts: *p\nprobes: *p",
    "itself": "a: &a {b: *a}",
    "deep lists": "[" * 100_000,
    "deep maps": "{a: " * 100_000,
    "deep blocks": "".join(" " * n + "a:\n" for n in range(400)),
    "deep items": "- " * 100_000,
    "many documents": "---\n" * 100_000,
    "many anchors": "".join(f"&a{n} k{n}: &b{n} v\n" for n in range(5_000)),
    "many unknown keys": "".join(f"k{n}: v\n" for n in range(5_000)),
    "one key, many times": "listen: x\n" * 20_000,
    "many providers": "providers:\n"
    + "".join(f"  p{n}: {{base_url: 'http://127.0.0.1:1/{n}'}}\n" for n in range(2_000)),
    "many targets": "models: {m: {targets: [" + ",".join(f"groq/m{n}" for n in range(20_000)) + "]}}",
    "many large groups": "models:\n"
    + "".join(f"  m{n}: {{targets: [" + ",".join(f"groq/{n}-{m}" for m in range(90)) + "]}\n" for n in range(1_000)),
    "many groups of wrong providers": "models:\n" + "".join(f"  m{n}: {{targets: [grok/x]}}\n" for n in range(1_000)),
    "a long key": "k" * 1_000_000 + ": v",
    "a long value": "listen: " + "v" * 1_000_000,
    "a long number": "retries: {max_attempts: " + "9" * 1_000_000 + "}",
    "a long duration": "timeouts: {idle: " + "9" * 1_000_000 + "s}",
    "a long duration of parts": "timeouts: {idle: " + "1h" * 500_000 + "}",
    "a long size": "limits: {replay: " + "1" * 1_000_000 + "}",
    "a long address": "listen: '" + "[" * 1_000_000 + "'",
    "a long URL": "providers: {lab: {base_url: http://" + "a." * 500_000 + "/v1}}",
    "a long path": "providers: {lab: {base_url: http://h/" + "a/" * 500_000 + "}}",
    "a long store": "store: redis+cluster://" + "h:1," * 200_000,
    "a long proxy": "upstream: {proxy: 'http://" + "u:" * 500_000 + "@h'}",
    "a long list": "hosts: " + "a," * 500_000,
    "a long alias": "a: *" + "b" * 1_000_000,
    "a long anchor": "a: &" + "b" * 1_000_000 + " c",
    "a long tag": "a: !" + "b" * 1_000_000 + " c",
    "many references": "hosts: '" + "${A}" * 200_000 + "'",
    "many open references": "hosts: '" + "${" * 500_000 + "'",
    "many dollars": "hosts: '" + "$" * 1_000_000 + "'",
    "a reference without end": "hosts: '${" + "a" * 1_000_000 + "'",
    "quotes": "a: '" + "''" * 500_000,
    "comments": "#\n" * 1_000_000,
    "white space": " " * 1_000_000 + "a: b",
    "tabs": "\t" * 1_000_000,
    "questions": "? " * 100_000,
    "flow and questions": "{? " * 100_000,
    "commas": "[" + "," * 500_000,
    "a literal": "a: |\n" + "  x\n" * 200_000,
    "escapes": 'a: "' + "\\u0041" * 200_000 + '"',
    "too much": "a: b\n" * 1_000_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(name: str) -> None:
    """Read within a time that no start of a process has to fear; alone they take a second or two at most."""
    begun = time.process_time()
    configured(BOMBS[name])
    assert time.process_time() - begun < 20
