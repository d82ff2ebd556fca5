"""The configuration from file, environment and command line: command line beats environment beats file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from config import tree as yaml_tree
from config.build import build
from config.decode import decode
from config.effective import Config
from config.environment import overlay, relabel
from config.interpolate import interpolate
from config.problems import ConfigError, Problem

__all__ = ["ConfigError", "Problem", "load", "load_text"]

_NONE: Final[Mapping[str, str]] = {}
_USED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)


def load(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str] = _NONE) -> Config:
    """Read the configuration file at `path`; None is no file, and the whole catalog is served.

    `overrides` are settings of the command line by their path (`{"admin.listen": ":9090"}`). Raises `ConfigError`
    with every problem there is.
    """
    if path is None:
        return load_text(None, environ, overrides)
    try:
        with path.open("rb") as file:
            content = file.read(yaml_tree.MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError([Problem("", f"cannot read {path}: {error.strerror or error}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem("", f"{path} is not UTF-8 text (byte {error.start})")]) from None
    return load_text(text, environ, overrides, path.parent)


def load_text(
    text: str | None, environ: Mapping[str, str], overrides: Mapping[str, str] = _NONE, base: Path = Path()
) -> Config:
    """The same from the file's text; relative `${file:…}` are looked for in `base`."""
    problems: list[Problem] = []
    tree: yaml_tree.Tree = None
    if text is not None:
        tree, problems = yaml_tree.parse(text)
        tree = interpolate(tree, environ, base, problems)
    named = isinstance(tree, dict) and (tree.get("providers") is not None or tree.get("models") is not None)
    laid = overlay(tree, environ, overrides, problems, frozenset(_USED.findall(text or "")))
    settings = decode(laid.tree, problems)
    config = build(settings, environ, problems, whole_catalog=not named)
    if problems:
        raise ConfigError(relabel(problems, laid.sources))
    return msgspec.structs.replace(config, warnings=(*laid.warnings, *config.warnings))
