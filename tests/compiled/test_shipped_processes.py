"""Tests of whole processes, run against what ships: faults, streams, clients that leave, reload, restart, the end."""

from __future__ import annotations

import pytest

from tests.compiled.shipped import needed, suite

pytestmark = [needed, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    "names",
    [
        ("faults_matrix", "probe_shapes", "open_reasons"),
        ("verdicts_streams", "verdicts_silence", "rules_flow", "rules_connect"),
        ("rules_leaving", "drain_clients"),
        ("reload", "store_restart", "running"),
    ],
)
def test_what_it_does_is_what_the_source_does(names: tuple[str, ...]) -> None:
    suite(*(f"tests/e2e/test_{name}.py" for name in names))
