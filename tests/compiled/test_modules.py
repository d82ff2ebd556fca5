"""What is compiled is written such that mypyc means the same as Python. Looks at the source alone."""

from __future__ import annotations

import ast
import importlib
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any

import pytest
from msgspec import Struct, inspect

from tests.compiled.shipped import MODULES, PACKAGES, ROOT, name

HOT = (
    "breaker/breaker.py",
    "breaker/panel.py",
    "breaker/permit.py",
    "breaker/registry.py",
    "breaker/window.py",
    "healthapi/delta.py",
    "healthapi/memory.py",
    "healthapi/metrics.py",
    "healthapi/recorder.py",
    "proxy/attempt.py",
    "proxy/client.py",
    "proxy/dispatch.py",
    "proxy/exchange.py",
    "proxy/inspector.py",
    "proxy/intake.py",
    "proxy/journey.py",
    "proxy/pool.py",
    "proxy/relay.py",
    "proxy/reply.py",
    "proxy/sse.py",
    "proxy/upstream.py",
    "proxy/watch.py",
)
"""Where most of a request's and of an event's instructions are."""

TIMEOUT = "async with asyncio.timeout("
DECODERS = {"Decoder", "decode", "convert", "from_builtins"}
FILES = sorted(path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"), file)


def classes(file: str) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, ast.ClassDef))


def imports(file: str) -> dict[str, str]:
    """Names that a file has from others, with the module they are from."""
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def keywords(source: str) -> list[str]:
    """Classes with keywords, which mypyc drops."""
    return [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef) and node.keywords]


def test_the_list_is_of_files_that_are_there_and_sorted() -> None:
    assert [file for file in MODULES if not (ROOT / file).is_file()] == []
    assert sorted(set(MODULES)) == MODULES
    assert all(file.partition("/")[0] in PACKAGES and not file.endswith("__init__.py") for file in MODULES)


def test_the_hot_ones_are_in_it() -> None:
    assert set(HOT) - set(MODULES) == set()


def test_no_class_has_keywords() -> None:
    found = {file: keywords((ROOT / file).read_text(encoding="utf-8")) for file in MODULES}
    assert {file: names for file, names in found.items() if names} == {}, "say them in a base: config/bases.py"


def test_a_keyword_is_seen() -> None:
    assert keywords("class A(Struct, frozen=True):\n    class B(Struct): ...") == ["A"]


def test_no_other_module_makes_a_class_of_a_compiled_one() -> None:
    """They cannot inherit from compiled classes; structs and protocols are what they are anywhere."""
    found = []
    for file in set(FILES) - set(MODULES):
        where = imports(file)
        for node in classes(file):
            for base in map(ast.unparse, node.bases):
                if where.get(base) in map(name, MODULES):
                    made = getattr(importlib.import_module(where[base]), base)
                    if not issubclass(made, Struct) and not getattr(made, "_is_protocol", False):
                        found.append(f"{file}: {node.name}({base})")
    assert found == []


def waits(source: str) -> list[int]:
    """Lines in which something is awaited while an error is handled.

    What is being handled is the thread's in compiled code, not the coroutine's: others change it meanwhile, and it is
    lost or raised where it is nobody's. `asyncio.timeout` never waits as it is left.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        handling: list[ast.AST] = []
        if isinstance(node, ast.Try):
            handling = [*node.handlers, *node.finalbody]
        elif isinstance(node, ast.AsyncFor | ast.AsyncWith) and not ast.unparse(node).startswith(TIMEOUT):
            found.append(node.lineno)
        inner = (one for part in handling for one in ast.walk(part))
        found += [one.lineno for one in inner if isinstance(one, ast.Await | ast.Yield | ast.YieldFrom)]
    return sorted(found)


def test_nothing_is_awaited_while_an_error_is_handled() -> None:
    found = {file: waits((ROOT / file).read_text(encoding="utf-8")) for file in MODULES}
    assert {file: lines for file, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("try:\n    await a()\nexcept A:\n    b()\nfinally:\n    c()", []),
        ("try:\n    a()\nfinally:\n    if b:\n        await c()", [5]),
        ("try:\n    a()\nexcept A:\n    x = await c()", [4]),
        ("async with a:\n    await b()", [1]),
        ("async with asyncio.timeout(1):\n    await b()", []),
        ("async for a in b:\n    c()", [1]),
    ],
)
def test_a_wait_is_seen(source: str, lines: list[int]) -> None:
    assert waits(f"async def f():\n{textwrap.indent(source, '    ')}") == [line + 1 for line in lines]


def test_errors_of_two_kinds_have_two_names() -> None:
    """In a coroutine a name is of one type, that of the first handler: another error is refused."""
    found = []
    for file in MODULES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.AsyncFunctionDef):
                names = [one.name for one in ast.walk(node) if isinstance(one, ast.ExceptHandler) and one.name]
                found += [f"{file}:{node.lineno}: {name}" for name in set(names) if names.count(name) > 1]
    assert found == []


def test_arguments_are_not_handed_on_to_a_base_unnamed() -> None:
    """What `super().method(*arguments)` passes on arrives as one tuple."""
    found = [
        f"{file}:{node.lineno}"
        for file in MODULES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "super()"
        and (any(isinstance(one, ast.Starred) for one in node.args) or any(one.arg is None for one in node.keywords))
    ]
    assert found == []


def decoded(file: str) -> Iterator[Any]:
    """Types that a file has msgspec decode into, as far as they have names."""
    module = importlib.import_module(name(file))
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in DECODERS:
            continue
        for given in [*node.args, *(one.value for one in node.keywords if one.arg == "type")]:
            if isinstance(given, ast.Name | ast.Subscript | ast.BinOp):
                with suppress(NameError, KeyError, TypeError):  # what a function has made, not a type
                    kind = eval(ast.unparse(given), vars(module))
                    inspect.type_info(kind)
                    yield kind


def structs(kind: Any) -> set[type]:
    """All structs that are in a type."""
    found: set[type] = set()
    waiting: list[Any] = [inspect.type_info(kind)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, inspect.StructType):
            if one.cls in found:
                continue
            found.add(one.cls)
        if isinstance(one, Struct):
            waiting.extend(getattr(one, field) for field in one.__struct_fields__)
        elif isinstance(one, tuple | list):
            waiting.extend(one)
    return found


def test_nothing_is_decoded_into_a_compiled_struct() -> None:
    """Of the types of its fields msgspec would know little more than that they are some."""
    files = [file for file in FILES if "msgspec" in (ROOT / file).read_text(encoding="utf-8")]
    into = {made for file in files for one in decoded(file) for made in structs(one)}
    assert {"Fields", "Chunk", "Memo", "Silence"} <= {made.__name__ for made in into}
    assert {made for made in into if made.__module__ in map(name, MODULES)} == set()
