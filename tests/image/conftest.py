"""What `make image` has built. Everywhere else these checks are skipped: building takes minutes and an engine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.archive import Archive
from tests.image.boxes import Box, Engine, Room


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with the archive and the file `built`: the engine's name and the image's."""
    folder = os.environ.get("IMAGE_BUILT")
    if not folder:
        pytest.skip("only `make image` builds the image, and checks it")
    return Path(folder)


@pytest.fixture(scope="session")
def archive(built: Path) -> Archive:
    return Archive(built / "detour.tar")


@pytest.fixture(scope="session")
def root(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image unpacked, with the folders that an engine would add."""
    folder = tmp_path_factory.mktemp("root")
    folder.chmod(0o755)
    archive.unpack(folder)
    for made in ("dev", "proc"):
        (folder / made).mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def box(built: Path, archive: Archive, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    engine, image = (built / "built").read_text(encoding="utf-8").split("\n")[:2]
    made: Box
    if engine in ("docker", "podman"):
        made = Engine(engine, image)
    elif os.geteuid() == 0:
        made = Room(archive, request.getfixturevalue("root"), tmp_path)
    else:
        pytest.skip(f"{engine} runs no containers; as root the image would be tried out without an engine")
    yield made
    made.remove()
