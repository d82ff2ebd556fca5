from __future__ import annotations

import re
from pathlib import Path

import yaml

from config.catalog import CATALOG
from config.document import document
from config.load import load_text

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == document(), "run: python -m config.document > docs/configuration.md"


def test_its_example_loads(tmp_path: Path) -> None:
    example = re.findall(r"```yaml\n(.*?)```", document(), re.DOTALL)[0]
    (tmp_path / "lab").write_text("k")
    text = example.replace("/run/secrets/", f"{tmp_path}/")
    config = load_text(text, {"DETOUR_ADMIN_TOKEN": "t"})
    assert yaml.safe_load(example)["timeouts"] == {"first_byte": "20s"}
    assert config.warnings == ()


def test_every_variable_it_names_is_read() -> None:
    names = {name for name in re.findall(r"\| `(DETOUR_[A-Z0-9_]+)` \|", document()) if "<" not in name}
    assert len(names) > 100
    for name in sorted(names):
        try:
            assert not any(name in warning for warning in load_text(None, {name: "1"}).warnings)
        except ValueError as error:
            assert name in str(error), "its value is wrong, but it is read"  # noqa: PT017


def test_it_tells_of_every_catalogued_provider() -> None:
    page = document()
    assert all(f"| `{name}` | `{entry.base_url}` |" in page for name, entry in CATALOG.items())


def test_tables_are_whole() -> None:
    rows = [line for line in document().splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
