"""Settings from the environment and the command line, laid over the file.

`DETOUR_` and the path of a setting in capitals, joined by underscores, sets it: `DETOUR_ADMIN_LISTEN`,
`DETOUR_PROVIDERS_GROQ_TIMEOUTS_FIRST_BYTE`. Whatever is no letter or digit in a name is an underscore here. Lists are
separated by commas; whole sections and maps are YAML (`DETOUR_STREAMS='{rescue: hold}'`). Values are taken as they
stand: nothing is filled in. An empty variable counts as not set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from config.catalog import CATALOG
from config.place import Tree, child
from config.problems import Problem, did_you_mean, visible
from config.settings import ProviderSettings, Settings
from config.shapes import Shape, fields

PREFIX: Final = "DETOUR_"

RESERVED: Final = frozenset({"DETOUR_CONFIG"})
"""Variables that are read elsewhere: the path of the file."""

_KUBERNETES: Final = re.compile(r"DETOUR_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_.*)?)")
"""What a Service called detour puts into every pod of its namespace; never meant for us."""

Path = tuple[str, ...]
Form = Callable[[Path], str]
"""How a path is written: as a variable, or with dots."""


class Overlay(Struct):
    """The tree with everything laid over it. `sources` says which path is whose, `warnings` what fits nowhere."""

    tree: Tree
    sources: dict[str, str]
    warnings: list[str]


def overlay(
    tree: Tree, environ: Mapping[str, str], overrides: Mapping[str, str], problems: list[Problem], used: frozenset[str]
) -> Overlay:
    """Lay environment and then command line over the file's `tree`; `used` are variables the file itself names."""
    result = Overlay(tree, {}, [])
    given = sorted(name for name in environ if name.startswith(PREFIX) and environ[name] and name not in RESERVED)
    # Of every setting of every provider there is: a few thousand, which are named only where one is given.
    places = dict(_places(Settings, tree, (), variable)) if given else {}
    for name in given:
        place = places.get(name) or _new_provider(name)
        if place is not None:
            _lay(result, *place, environ[name], name, problems)
        elif name not in used and not _KUBERNETES.fullmatch(name):
            shown = visible(name, 200)
            result.warnings.append(f"environment variable {shown} names no setting{did_you_mean(name, places)}")
    options = dict(_places(Settings, result.tree, (), ".".join)) if overrides else {}
    for path, value in overrides.items():
        if path in options:
            _lay(result, *options[path], value, "command line", problems)
        else:
            problems.append(Problem(path, f"no such setting{did_you_mean(path, options)} (command line)"))
    return result


def variable(path: Path) -> str:
    """The environment variable of the setting at `path`."""
    return PREFIX + "_".join(_capitals(part) for part in path)


def relabel(problems: list[Problem], sources: Mapping[str, str]) -> list[Problem]:
    """Say where a mistaken value came from when that is not the file; one problem for each path, the first."""
    labelled: dict[str, Problem] = {}
    unique: list[Problem] = []
    for problem in problems:
        if problem.path and problem.path in labelled and labelled[problem.path] != problem:
            continue
        labelled.setdefault(problem.path, problem)
        source = next((name for path, name in sources.items() if _related(problem.path, path)), None)
        label = f"{problem.path} ({source})" if source else problem.path
        if Problem(label, problem.message) not in unique:
            unique.append(Problem(label, problem.message))
    return unique


def _related(path: str, source: str) -> bool:
    """Whether a mistake at `path` may be the doing of a value at `source`: the same place, above it or below."""
    return path == source or path.startswith((source + ".", source + "[")) or source.startswith((path or "\n") + ".")


def _capitals(part: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", part.upper())


def _places(section: type[Struct], tree: Tree, path: Path, form: Form) -> Iterator[tuple[str, tuple[Path, Shape]]]:
    """Every setting under its name in `form`; of maps, those of their entries and of catalogued providers."""
    for field in fields(section):
        here = (*path, field.key)
        below = tree.get(field.key) if isinstance(tree, dict) else None
        yield from _place(field.shape, below, here, form)


def _place(shape: Shape, tree: Tree, path: Path, form: Form) -> Iterator[tuple[str, tuple[Path, Shape]]]:
    yield form(path), (path, shape)
    if shape.section is not None:
        yield from _places(shape.section, tree, path, form)
    elif shape.value is not None:
        names = dict.fromkeys([*(tree if isinstance(tree, dict) else ()), *(CATALOG if path == ("providers",) else ())])
        for name in names:
            yield from _place(shape.value, tree.get(name) if isinstance(tree, dict) else None, (*path, name), form)


def _new_provider(name: str) -> tuple[Path, Shape] | None:
    """A provider that only the environment knows: `DETOUR_PROVIDERS_MY_LAB_BASE_URL` makes `my-lab`."""
    start = variable(("providers", ""))
    if not name.startswith(start):
        return None
    places = sorted(_places(ProviderSettings, None, (), variable), key=lambda place: -len(place[0]))
    for ending, (path, shape) in places:
        tail = "_" + ending.removeprefix(PREFIX)
        stem = name.removeprefix(start).removesuffix(tail)
        if name.endswith(tail) and re.fullmatch(r"[A-Z0-9][A-Z0-9_]{0,63}", stem):
            return ("providers", stem.lower().replace("_", "-"), *path), shape
    return None


def _lay(result: Overlay, path: Path, shape: Shape, text: str, source: str, problems: list[Problem]) -> None:
    value: Tree = text
    where = ""
    for part in path:
        where = child(where, part)
    if shape.kind is None and (shape.item is None or text.lstrip().startswith("[")):
        from config.tree import parse  # here, as YAML takes its time to load and is hardly ever used for this

        value, wrong = parse(text)
        problems.extend(Problem(where, problem.message) for problem in wrong)
    result.sources[where] = source
    result.tree = _with(result.tree, path, value)


def _with(tree: Tree, path: Path, value: Tree) -> Tree:
    """`tree` with `value` at `path`, the rest shared with it. A section of the wrong form is left to be reported."""
    if tree is not None and not isinstance(tree, dict):
        return tree
    below = dict(tree or {})
    below[path[0]] = value if len(path) == 1 else _with(below.get(path[0]), path[1:], value)
    return below
