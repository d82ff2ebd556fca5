"""The configuration from file, environment and command line: command line beats environment beats file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from config.build import build
from config.decode import decode
from config.effective import Config
from config.environment import overlay, relabel
from config.interpolate import interpolate, untold
from config.place import Tree
from config.problems import ConfigError, Problem
from config.reading import Reader, read
from config.settings import Settings

__all__ = ["ConfigError", "Problem", "load", "load_text"]

_NONE: Final[Mapping[str, str]] = {}
Held = Callable[[Settings], Settings]
"""What a process that runs makes of new settings (see `config.held`)."""

_USED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


def _all_new(settings: Settings) -> Settings:
    return settings


def load(
    path: Path | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] = _NONE,
    *,
    reader: Reader = read,
    held: Held = _all_new,
) -> Config:
    """Read the configuration file at `path`; None is no file, and the whole catalog is served.

    `overrides` are settings of the command line by their path (`{"admin.listen": ":9090"}`). Files are read by
    `reader`. `held` may put settings in the place of others before they are made into anything. Raises `ConfigError`
    with every problem there is.
    """
    if path is None:
        return load_text(None, environ, overrides, held=held)
    from config.tree import MOST_BYTES

    try:
        content = reader(path, MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem("", f"cannot read {path}: {error.strerror or error}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("", f"{path} is not UTF-8 text (byte {error.start})")]) from None
    return load_text(text, environ, overrides, path.parent, reader=reader, held=held)


def load_text(
    text: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[str, str] = _NONE,
    base: Path = Path(),
    *,
    reader: Reader = read,
    held: Held = _all_new,
) -> Config:
    """The same from the file's text; relative `${file:…}` are looked for in `base`."""
    problems: list[Problem] = []
    tree: Tree = None
    if text is not None:
        from config.tree import parse  # here, as YAML takes its time to load

        tree, problems = parse(text)
        tree = interpolate(tree, environ, base, problems, reader)
    named = isinstance(tree, dict) and (tree.get("providers") is not None or tree.get("models") is not None)
    laid = overlay(tree, environ, overrides, problems, frozenset(_USED.findall(text or "")))
    settings = held(decode(laid.tree, problems))
    config = build(settings, environ, problems, whole_catalog=not named)
    if problems:
        raise ConfigError(relabel(untold(problems, laid.tree), laid.sources))
    return msgspec.structs.replace(config, warnings=(*laid.warnings, *config.warnings))
