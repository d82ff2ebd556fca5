"""Every values file: helm's own check, the Kubernetes schemas of three versions, and Detour's own check of its file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm import custom
from tests.helm.chart import CHART, ROOT, VALUES, VERSIONS, Document, feature, helm, placed

FEATURES = [path.stem for path in VALUES]
LOCKED = "can be reached from elsewhere and no admin.token is set"
"""What Detour says to a configuration without an admin token."""

OLDEST = "1.25"
"""Of Kubernetes, as Chart.yaml has it."""

CUSTOM = "monitoring.coreos.com/v1"


def test_there_is_one_for_each_feature() -> None:
    assert len(FEATURES) >= 12


@pytest.mark.parametrize("name", FEATURES)
def test_helm_has_nothing_against_it(name: str) -> None:
    done = helm("lint", CHART, "--strict", "-f", CHART / "ci" / f"{name}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FEATURES)
def test_every_document_is_what_kubernetes_takes(name: str, version: str) -> None:
    documents = feature(name, version)
    assert documents
    for document in documents:
        validate(document, version)
    named = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(named)) == len(named)


def validate(document: Document, version: str) -> None:
    """Hold a document against the schema of its kind. Unknown fields are mistakes."""
    if document["apiVersion"] == CUSTOM:
        jsonschema.validate(document, custom.schema(document["kind"]))
    else:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_oldest_kubernetes_takes_a_deployment() -> None:
    for name in ("deployment", "autoscaling", "redis-trial", "keys"):
        for document in feature(name, OLDEST):
            validate(document, OLDEST)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_wrong_document_is_seen(version: str) -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong, version)
    with pytest.raises(jsonschema.ValidationError):
        validate({"apiVersion": CUSTOM, "kind": "PodMonitor", "metadata": {"name": "x", "labels": {}}}, version)


# -- what Detour says to its file --------------------------------------------------------------------------------------


def variables(document: Document) -> dict[str, str]:
    """The variables of Detour's container, with something in the place of each secret."""
    dummies = {"DETOUR_STORE": "redis://:secret@redis:6379/0"}
    env = [entry for found in _containers(document) for entry in found.get("env", ())]
    return {one["name"]: one.get("value", dummies.get(one["name"], "dummy-" + one["name"])) for one in env}


def _containers(document: Document) -> list[Document]:
    spec = document["spec"].get("template", document)["spec"] if "spec" in document else {}
    found = [*spec.get("containers", ()), *spec.get("initContainers", ())]
    return [one for one in found if set(one.get("args", ())) & {"serve", "check"}]


@pytest.mark.parametrize("name", FEATURES)
def test_detour_takes_its_file(name: str, tmp_path: Path) -> None:
    """As the pods are started: the same file, the same variables, and files where Secrets are mounted."""
    documents = feature(name)
    file = placed(documents, tmp_path)
    found: dict[str, str] = {}
    for document in documents:
        found |= variables(document)
    environ = {
        key: os.environ[key]
        for key in ("PATH", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")
        if key in os.environ
    }
    command = [sys.executable, "-m", "proxy.cli", "check", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=environ | found, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("warning")]
    locked = [LOCKED] * ("DETOUR_ADMIN_TOKEN" not in found)
    assert [LOCKED if LOCKED in line else line for line in warnings] == locked


def test_its_file_is_all_that_the_values_say() -> None:
    """What values say arrives, what the chart adds is there beside it, and nothing else is."""
    text = next(one["data"]["detour.yaml"] for one in feature("routing") if "detour.yaml" in one.get("data", {}))
    said: dict[str, Any] = yaml.safe_load((CHART / "ci" / "routing.yaml").read_text())["config"]
    said["admin"]["listen"] = ":9090"
    said["hosts"] = [
        "t-detour",
        "t-detour.default",
        "t-detour.default.svc",
        "t-detour.default.svc.cluster.local",
        *said["hosts"],
    ]
    said |= {"listen": ":8080", "store": "sqlite:////var/lib/detour/detour.db"}
    said["drain"] = {"timeout": "60s", "linger": "5s"}
    assert yaml.safe_load(text) == said
