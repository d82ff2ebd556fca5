"""The page docs/configuration.md, made from the settings themselves.

`python -m config.document > docs/configuration.md` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from config.catalog import CATALOG, Entry
from config.environment import variable
from config.schema import doc_of
from config.settings import OVERRIDES, Settings
from config.shapes import REQUIRED, Field, Shape, fields

Path = tuple[str, ...]


class Row(Struct, frozen=True):
    """One line of a table: where a key stands, how its value looks, its default, what it does."""

    path: Path
    kind: str
    default: str
    doc: str


_HEAD: Final = """\
# Configuration

<!-- Made by `python -m config.document` from the settings; a test fails when it is not current. -->

Detour serves without any file: every catalogued provider can be reached under its name, and callers bring their own
credentials. A file (`detour serve -c detour.yaml`) adds to that:

```yaml
listen: 127.0.0.1:8080
admin: {listen: 127.0.0.1:9090, token: "${DETOUR_ADMIN_TOKEN}"}
providers:
  groq: {}                                      # catalogued: address, dialect and key variable are known
  lab:                                          # anything else that speaks a known dialect
    base_url: http://127.0.0.1:8000/v1
    api_key: ${file:/run/secrets/lab}
models:
  llama-3.3-70b:                                # interchangeable targets, best first
    tier: critical
    targets:
      - groq/llama-3.3-70b-versatile            # the first "/" splits provider from model
      - {target: lab/llama-3.3-70b, context_window: 131072}
timeouts: {first_byte: 20s}
```

`detour check -c detour.yaml` says what a file comes to, with every mistake in it at once. `detour schema` prints its
JSON Schema; with `# yaml-language-server: $schema=detour.schema.json` in its first line, editors complete and check it.

## How values are written

- **Where they come from**: the command line beats the environment beats the file beats the default.
- **Environment**: `DETOUR_` and the path of the setting in capitals, joined by underscores: `DETOUR_ADMIN_LISTEN`,
  `DETOUR_PROVIDERS_GROQ_TIMEOUTS_FIRST_BYTE`. What is neither letter nor digit in a name is an underscore. Lists are
  separated by commas; maps and whole sections are YAML (`DETOUR_STREAMS='{rescue: hold}'`). Values are taken as they
  stand, and an empty one counts as not set. `DETOUR_CONFIG` is the path of the file.
- **Durations**: `250ms`, `30s`, `5m`, `1h30m`, `7d`. **Sizes**: `64KiB`, `8MiB`, `1GiB`, `10MB`. **Shares**: `0.5`.
- **References**, in any value of the file: `${NAME}` is an environment variable, and one that is not set is a mistake;
  `${file:/run/secrets/x}` is a file's text without its final line end, relative to the folder of the configuration;
  `$$` is a dollar sign.
- **YAML**: `off` is the word and no boolean; an anchor may stand for a whole value; tags, merge keys and duplicate keys
  are mistakes.

## Which providers are served

With neither `providers` nor `models` in the file, the whole catalog (below). With either, the providers named and those
that model groups use. `providers`, `models` and `alerts.channels` are maps: their keys are names of your choosing.

## No open relay

Credentials are added to requests that bring none only when `listen` is loopback, or the caller proves itself with
`client_token`, or the file says `open: true`. A `listen` that others can reach, with credentials configured and
neither of these, refuses to start and says which line to add.
"""

_CATALOG: Final = """\
## Catalog

Providers known by name; their base URL, dialect and key variable need not be written. A variable in a base URL must be
set before requests can go there.
"""


def document() -> str:
    """The whole page."""
    parts = [_HEAD, "## Settings\n", _table(_rows_of_top()), ""]
    for field in fields(Settings):
        section = (field.shape.value or field.shape).section
        if section is not None:
            parts += [f"## `{field.key}`\n", f"{_about(field.shape)}\n", _table(_rows(field, Settings, ())), ""]
    return "\n".join([*parts, _CATALOG, _catalog(), ""])


def _rows_of_top() -> Iterator[Row]:
    for field in fields(Settings):
        if field.shape.section is None and field.shape.value is None:
            yield from _rows(field, Settings, ())


def _rows(field: Field, section: type[Struct], path: Path, default: Any = REQUIRED) -> Iterator[Row]:
    """The rows of one key: its own, or those of all keys below it. `default` is that of the section around it."""
    here = (*path, field.key)
    value = field.default if default is REQUIRED else default
    shape = field.shape
    inner = shape.value or shape.item or shape
    if shape.value is not None:
        here = (*here, "<name>")
    elif shape.item is not None:
        here = (*here, "[]")
    if inner.section is None:
        yield _row(field, section, (*path, field.key), value)
    elif inner.section in OVERRIDES:
        keys = f"The keys of `{_place_of(OVERRIDES[inner.section])}`; what is left out falls to the next wider setting."
        yield Row(here, "section", "", f"{_about(shape)} {keys}")
    else:
        if shape.item is not None:
            yield _row(field, section, (*path, field.key), value)
        for below in fields(inner.section):
            known = shape.section is not None and value is not REQUIRED and value is not None
            yield from _rows(below, inner.section, here, getattr(value, below.name) if known else REQUIRED)


def _row(field: Field, section: type[Struct], path: Path, default: Any) -> Row:
    shape = field.shape
    if shape.kind is not None:
        shown = shape.kind.show(default) if default is not REQUIRED and default is not None else default
        kind = shape.kind.name
    elif shape.item is not None:
        kind = f"list of {shape.item.kind.name}" if shape.item.kind is not None else "list"
        shown = default
    else:
        kind, shown = "map", default
    missing = "required" if default is REQUIRED else ""
    return Row(path, kind, f"`{shown}`" if shown not in (REQUIRED, None, (), {}) else missing, doc_of(section, field))


def _place_of(section: type[Struct]) -> str:
    """Where a section that others override stands: `timeouts`."""
    return next(field.key for field in fields(Settings) if field.shape.section is section)


def _about(shape: Shape) -> str:
    section = (shape.value or shape).section
    return shape.doc or ((section.__doc__ or "").partition("\n")[0] if section else "")


def _table(rows: Iterator[Row]) -> str:
    lines = ["| key | value | default | what it does | variable |", "|---|---|---|---|---|"]
    for row in rows:
        key = ".".join(row.path).replace(".[]", "[]")
        name = "" if "[]" in row.path else f"`{variable(row.path).replace('__NAME_', '_<NAME>')}`"
        lines.append(f"| `{key}` | {row.kind} | {row.default} | {row.doc} | {name} |")
    return "\n".join(lines)


def _catalog() -> str:
    lines = ["| name | base URL | dialect | key, first one set wins | also called |", "|---|---|---|---|---|"]
    lines.extend(_provider(entry) for entry in CATALOG.values())
    return "\n".join(lines)


def _provider(entry: Entry) -> str:
    keys = ", ".join(f"`{name}`" for name in entry.variables)
    aliases = ", ".join(f"`{name}`" for name in entry.aliases)
    return f"| `{entry.name}` | `{entry.base_url}` | {entry.dialect} | {keys} | {aliases} |"


if __name__ == "__main__":
    sys.stdout.write(document())
