"""Which release this is."""

from __future__ import annotations


def version() -> str:
    """The installed version."""
    import importlib.metadata as installed  # here, as loading it takes as long as the interpreter itself

    try:
        return installed.version("detour")
    except installed.PackageNotFoundError:
        return "0.0.0+source"
