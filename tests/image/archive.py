"""An image as its archive (`docker save`): its settings, its files and what it weighs."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
import zlib
from pathlib import Path
from typing import Any


class Archive:
    """One image of an archive. `files` is what a container sees: path without the first slash to its entry."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with tarfile.open(path) as archive:
            (manifest,) = json.loads(_read(archive, "manifest.json"))
            self.settings: dict[str, Any] = json.loads(_read(archive, manifest["Config"]))
            self.layers = [_unpacked(_read(archive, name)) for name in manifest["Layers"]]
        self.config: dict[str, Any] = self.settings["config"]
        self.files: dict[str, tarfile.TarInfo] = {}
        for layer in self.layers:
            for entry in _entries(layer):
                assert not Path(entry.name).name.startswith(".wh."), "what one layer adds and the next hides is shipped"
                self.files[entry.name.removeprefix("./").rstrip("/")] = entry

    @property
    def size(self) -> int:
        """Bytes of all layers as they lie on a node."""
        return sum(map(len, self.layers))

    @property
    def packed(self) -> int:
        """Bytes of all layers as they travel."""
        return sum(len(zlib.compress(layer, 6)) for layer in self.layers)

    def read(self, path: str) -> bytes:
        """The content of a file; b"" when there is none."""
        for layer in reversed(self.layers):
            with tarfile.open(fileobj=io.BytesIO(layer)) as files:
                for entry in files:
                    if entry.name.removeprefix("./") == path:
                        found = files.extractfile(entry)
                        return found.read() if found else b""
        return b""

    def unpack(self, folder: Path) -> None:
        """Lay the files out with their owners, as a container engine does. Needs root."""
        for layer in self.layers:
            subprocess.run(["tar", "-x", "-p", "--numeric-owner", "-C", folder], input=layer, check=True)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None, name
    return found.read()


def _unpacked(layer: bytes) -> bytes:
    return gzip.decompress(layer) if layer.startswith(b"\x1f\x8b") else layer


def _entries(layer: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as files:
        return files.getmembers()
