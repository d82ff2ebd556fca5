"""docs/helm.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from tests.helm.chart import CHART, ROOT, one, pod, rendered
from tests.helm.test_rules import ALERTS

PAGE = (ROOT / "docs" / "helm.md").read_text()


def test_its_values_are_taken(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n# values.yaml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "values.yaml"
    file.write_text(shown)
    kinds = {each["kind"] for each in rendered("-f", file)}
    assert {"Deployment", "ServiceMonitor", "PrometheusRule", "NetworkPolicy"} <= kinds


def test_its_alerts_are_those_there_are() -> None:
    assert set(re.findall(r"`(Detour[A-Za-z]+)`", PAGE)) == set(ALERTS)


def test_its_seconds_are_the_defaults() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert f"`preStopSeconds` ({values['preStopSeconds']})" in PAGE
    assert f"`drain.seconds` ({values['drain']['seconds']})" in PAGE
    spent = values["preStopSeconds"] + values["drain"]["seconds"] + 15
    assert pod(rendered())["terminationGracePeriodSeconds"] == spent
    assert one(rendered(), "Service")["spec"]["ports"][0]["port"] == 8080


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(\.\./([^)]+)\)", PAGE):
        assert (ROOT / link).exists(), link


def test_every_value_is_in_the_list_of_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(yaml.safe_load((CHART / "values.yaml").read_text())) == set(schema["properties"])
