"""The dashboard for Grafana: whole, without a data source of its own, and about metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.e2e.world import detour
from tests.helm.chart import feature, one, promtool
from tests.helm.custom import closed, many
from tests.helm.test_rules import rules

DASHBOARD: dict[str, Any] = json.loads(
    one(feature("monitoring"), "ConfigMap", "t-detour-dashboard")["data"]["detour.json"]
)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24

PLACE = closed(("x", "y", "w", "h"), **{name: {"type": "integer", "minimum": 0} for name in "xywh"})
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {"enum": ["row", "stat", "timeseries"]},
        "title": {"type": "string", "minLength": 1},
        "gridPos": PLACE,
        "targets": many(
            {
                "type": "object",
                "required": ["expr", "refId", "datasource"],
                "properties": {"datasource": {"const": SOURCE}, "refId": {"type": "string", "pattern": "^[A-Z]$"}},
            }
        ),
    },
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["description", "targets", "fieldConfig", "options", "datasource"]},
}
SCHEMA = {
    "type": "object",
    "required": ["title", "uid", "schemaVersion", "panels", "templating", "time", "refresh"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,40}$"},
        "schemaVersion": {"type": "integer", "minimum": 36},
        "panels": many(PANEL),
        "templating": {
            "type": "object",
            "properties": {"list": many({"type": "object", "required": ["name", "type", "query"]})},
        },
    },
}


def test_grafana_finds_and_reads_it() -> None:
    found = one(feature("monitoring"), "ConfigMap", "t-detour-dashboard")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "LLM"}
    jsonschema.validate(DASHBOARD, SCHEMA)
    assert "id" not in DASHBOARD, "it is Grafana's to give"


def test_no_panel_lies_on_another() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_all_that_whoever_is_on_call_asks_for_is_there() -> None:
    asked = " ".join(target["expr"] for panel in PANELS for target in panel["targets"])
    for metric in (
        "detour_health_percentage", "detour_requests_total", "detour_breaker_state", "detour_reroutes_total",
        "detour_retry_budget_left", "detour_rejections_total", "detour_in_flight_requests", "detour_probe_tokens_total",
        "detour_store_trouble",
    ):  # fmt: skip
        assert metric in asked
    for quantile in ("0.5", "0.95"):
        assert (
            f"histogram_quantile({quantile}, sum by (provider, le) (rate(detour_response_time_seconds_bucket" in asked
        )


def test_the_data_source_is_chosen_by_whoever_looks() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job", "provider"]
    assert variables["datasource"]["type"] == "datasource"
    assert set(re.findall(r'"datasource": (.{46})', json.dumps(DASHBOARD))) == {json.dumps(SOURCE)}
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", json.dumps(DASHBOARD)))
    assert used == {*variables, "__rate_interval"}


def expressions() -> dict[str, str]:
    """Everything that the dashboard asks Prometheus for, with something in the place of its variables."""
    found = {}
    for panel in PANELS:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m")
            found[f"{panel['title']} {target['refId']}"] = re.sub(r"\$[a-z]+", ".*", text)
    return found


def test_every_expression_is_one(tmp_path: Path) -> None:
    asked = [{"record": "x:y", "expr": text, "labels": {"panel": name}} for name, text in expressions().items()]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["rules", "dashboard", "variables"])
async def test_what_is_asked_for_is_served(kind: str) -> None:
    asked = {
        "rules": " ".join(rule["expr"] for group in rules()["groups"] for rule in group["rules"]),
        "dashboard": " ".join(expressions().values()),
        "variables": " ".join(str(each["query"]) for each in DASHBOARD["templating"]["list"][1:]),
    }[kind]
    asked = asked.replace('"detour_(rejections|attempts)_total"', '"detour_rejections_total|detour_attempts_total"')
    names = set(re.findall(r"\b(?:detour|process)_[a-z0-9_]+", asked))
    assert names
    async with detour() as running:
        _, text = await running.get("/metrics")
    served = set()
    for name, sort in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        served |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if sort == "histogram" else {name}
    assert not names - served
