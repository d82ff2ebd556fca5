"""Compiles the hot modules into the wheel where HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 is set; else it is Python alone.

The modules are listed in pyproject.toml. They are in the wheel as source too: tracebacks show it, and of two Python
takes the compiled one. It takes a C compiler and Python's headers, and mypyc knows types from what Detour runs with.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Compiling(BuildHookInterface[Any]):
    """Puts extension modules beside the Python files they are made of."""

    def dependencies(self) -> list[str]:
        """What an isolated build has to install."""
        return [*self.config["compile-requires"], *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the wheel say for which Python and machine it is."""
        self._folder = TemporaryDirectory()
        if version == "standard":
            libraries = compiled(Path(self.root), self.config["modules"], Path(self._folder.name))
            build_data["force_include"].update({str(path): place for place, path in libraries.items()})
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled: it is in the wheel now."""
        self._folder.cleanup()


def compiled(root: Path, modules: list[str], folder: Path) -> dict[str, Path]:
    """The extension modules by their place in the wheel, made in `folder`."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(root)
    extensions = mypycify(
        ["--config-file", "pyproject.toml", "--cache-dir", str(folder / "cache"), *modules],
        opt_level="2",
        debug_level="0",
        group_name="detour",
        target_dir=str(folder / "c"),
    )
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "o")
    command.ensure_finalized()
    command.run()
    return {str(path.relative_to(folder / "lib")): path for path in (folder / "lib").rglob("*.so")}
