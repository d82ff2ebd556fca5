"""docs/breakers.md and the README name the settings there are, with the defaults they have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from breaker import budget, fleet, holdoff
from config.document import document
from config.load import load_text
from proxy import wishes

DOCS = Path(__file__).parents[2] / "docs"
README = (DOCS.parent / "README.md").read_text(encoding="utf-8")
PAGE = (DOCS / "breakers.md").read_text(encoding="utf-8")
ROWS = [re.split(r" (?<!\\)\| ", line) for line in document().splitlines() if line.startswith("| `")]
DEFAULTS = {row[0].strip("|` "): row[2].strip("`") for row in ROWS}
NAMED = sorted(set(re.findall(r"`([a-z_]+\.[a-z_]+)`\s+\(([^)]+)\)", PAGE)))


def test_there_is_something_to_compare() -> None:
    assert {key for key, _ in NAMED} >= {key for key in DEFAULTS if key.startswith(("breakers.", "retries."))}


@pytest.mark.parametrize(("key", "value"), NAMED)
def test_defaults(key: str, value: str) -> None:
    assert DEFAULTS[key] == value


@pytest.mark.parametrize(
    "sentence",
    [
        f"at least {budget.LEAST} a minute",
        f"{holdoff.FIRST:g} s, doubling up to {holdoff.LONGEST:g} s",
        f"silent for {fleet.SILENCE * 1000:g} ms, each sidecar decides alone",
        f"gives up {wishes.AHEAD * 1000:g} ms before",
    ],
)
def test_fixed_numbers(sentence: str) -> None:
    assert sentence in " ".join(PAGE.split())


@pytest.mark.parametrize("text", [PAGE, README])
def test_examples_load(text: str) -> None:
    keys = {"GROQ_API_KEY": "k", "OPENROUTER_API_KEY": "k"}
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    config = load_text(example, keys)
    assert config.warnings == ()
    assert all(provider.configured for provider in config.providers.values() if provider.name in example)


def test_the_readme_says_how_many_attempts() -> None:
    assert f"at most {DEFAULTS['retries.max_attempts']} attempts" in " ".join(README.split())


def test_the_metrics_it_names_are_there() -> None:
    documented = (DOCS / "METRICS.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(detour_[a-z_]+)`", PAGE))
    assert len(named) > 4
    assert {name for name in named if f"| `{name}` |" not in documented} == set()


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (DOCS / link).is_file()
