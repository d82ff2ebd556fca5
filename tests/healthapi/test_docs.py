"""docs/health-api.md tells of every endpoint, and its examples are what the application answers."""

from __future__ import annotations

import re

from healthapi.table import TABLE
from tests.healthapi.health_api_examples import DOCS, EXAMPLE, renewed


async def test_the_examples_are_what_the_application_answers() -> None:
    text = DOCS.read_text()
    assert len(EXAMPLE.findall(text)) >= 19
    assert await renewed(text) == text


def test_every_endpoint_has_its_row_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([A-Z]+ \S+)` \| (\w+) \|", DOCS.read_text(), re.M))
    assert rows == {f"{route.method} {route.path.replace('...', '')}": route.access.value for route in TABLE}
