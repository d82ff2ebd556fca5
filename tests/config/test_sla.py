from __future__ import annotations

import pytest

from config.load import ConfigError, load_text
from config.settings import Sla

TEXT = """
sla: {availability: 99.5, p95: 10s}
providers:
  groq: {}
  openai: {sla: {availability: 99.9}}
  xai: {sla: {p95: 500ms}}
"""


def test_what_is_expected_of_each_provider() -> None:
    providers = load_text(TEXT, {}).providers
    assert providers["groq"].sla == Sla(availability=99.5, p95=10.0)
    assert providers["openai"].sla == Sla(availability=99.9, p95=10.0)
    assert providers["xai"].sla == Sla(availability=99.5, p95=0.5)
    assert load_text(None, {}).providers["groq"].sla == Sla(availability=99.0, p95=30.0)


@pytest.mark.parametrize("availability", ["0", "100", "-1", "99.9999", "nan", "all"])
def test_an_objective_always_leaves_something_to_fail(availability: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_text(f"sla: {{availability: {availability}}}", {})
    assert "sla.availability" in str(error.value)
