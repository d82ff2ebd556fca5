"""The alerts for Prometheus, by Prometheus' own tool: when each is told, in which words, and when not."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helm.chart import feature, one, promtool, rendered

CASES = Path(__file__).with_name("rules_test.yaml")


def rules(name: str = "podmonitor") -> dict[str, Any]:
    """The rules of a values file; by default those with the thresholds as they come."""
    return dict(one(feature(name), "PrometheusRule")["spec"])


ALERTS = {rule["alert"]: rule for group in rules()["groups"] for rule in group["rules"]}


def tried(found: dict[str, Any], folder: Path) -> tuple[bool, str]:
    """Whether these rules pass the cases, and what promtool says."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(found))
    shutil.copy(CASES, folder / "cases.yaml")
    done = promtool("test", "rules", folder / "cases.yaml")
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["podmonitor", "monitoring", "sidecar"])
def test_promtool_can_read_them(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules(name)))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_that_should_be_told_has_a_rule() -> None:
    told = {name: rule["labels"]["severity"] for name, rule in ALERTS.items()}
    assert told == {
        "DetourDown": "warning",
        "DetourHealthLow": "warning",
        "DetourHealthCritical": "critical",
        "DetourBreakerOpen": "warning",
        "DetourRejections": "warning",
        "DetourStoreTrouble": "warning",
        "DetourReloadRefused": "warning",
        "DetourRetryBudgetEmpty": "warning",
    }
    assert ALERTS["DetourBreakerOpen"]["for"] == "5m"


def test_they_are_told_when_they_should_be(tmp_path: Path) -> None:
    passed, said = tried(rules(), tmp_path)
    assert passed, said


@pytest.mark.parametrize("name", ALERTS)
def test_every_rule_has_a_case_of_each_kind(name: str) -> None:
    cases = [case for test in yaml.safe_load(CASES.read_text())["tests"] for case in test["alert_rule_test"]]
    mine = [case for case in cases if case["alertname"] == name]
    assert {bool(case.get("exp_alerts")) for case in mine} == {True, False}


@pytest.mark.parametrize("broken", ["vector(0) > 1", "vector(1)"], ids=["never", "always"])
@pytest.mark.parametrize("name", ALERTS)
def test_the_cases_see_a_rule_that_is_wrong(name: str, broken: str, tmp_path: Path) -> None:
    found = copy.deepcopy(rules())
    (rule,) = (rule for group in found["groups"] for rule in group["rules"] if rule["alert"] == name)
    rule["expr"] = broken
    passed, said = tried(found, tmp_path)
    assert not passed
    assert name in said


def test_thresholds_are_values(tmp_path: Path) -> None:
    found = {rule["alert"]: rule for group in rules("monitoring")["groups"] for rule in group["rules"]}
    assert found["DetourHealthLow"]["expr"].endswith("< 95")
    assert found["DetourHealthCritical"]["expr"].endswith("< 85.5")
    assert found["DetourBreakerOpen"]["for"] == "10m"
    assert "for 10m" in found["DetourBreakerOpen"]["annotations"]["summary"]
    assert "(85.5 % is critical)" in found["DetourHealthCritical"]["annotations"]["summary"]


def test_they_look_at_this_release_alone() -> None:
    documents = rendered("--set", "prometheusRule.enabled=true,fullnameOverride=llm", "--namespace", "edge")
    for group in one(documents, "PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            assert rule["expr"].count("{") == rule["expr"].count('namespace="edge", job="llm"')
