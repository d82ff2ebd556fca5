"""Sidecar mode, in the chart of a gateway that depends on this one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.helm.chart import CHART, VERSIONS, Document, config, feature, helm, one, rendered
from tests.helm.test_values_files import validate


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway's chart with its dependency fetched, beside a copy of ours as they lie in this repository."""
    folder = tmp_path_factory.mktemp("charts")
    shutil.copytree(CHART, folder / "helm")
    made = shutil.copytree(Path(__file__).parent / "gateway-chart", folder / "tests" / "helm" / "gateway-chart")
    done = helm("dependency", "update", made, home=folder)
    assert done.returncode == 0, done.stderr
    return Path(made)


def pod(documents: list[Document]) -> dict[str, Any]:
    return dict(one(documents, "Deployment", "t")["spec"]["template"])


def test_helm_has_nothing_against_it(gateway: Path) -> None:
    done = helm("lint", gateway, "--strict")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_a_native_sidecar(gateway: Path, version: str) -> None:
    documents = rendered(chart=gateway, version=version)
    for document in documents:
        validate(document, version)
    spec = pod(documents)["spec"]
    (sidecar,) = spec["initContainers"]
    assert sidecar["name"] == "detour"
    assert sidecar["restartPolicy"] == "Always"
    assert [each["name"] for each in spec["containers"]] == ["gateway"]
    for kind, path in (("startup", "/readyz"), ("liveness", "/livez"), ("readiness", "/readyz")):
        asked = sidecar[f"{kind}Probe"]["httpGet"]
        assert (asked["path"], asked["port"]) == (path, "detour-admin")
    assert {each["name"]: each["containerPort"] for each in sidecar["ports"]} == {"detour-admin": 9090}
    mounted = {each["name"] for each in sidecar["volumeMounts"]}
    assert mounted == {each["name"] for each in spec["volumes"]}
    secure = sidecar["securityContext"]
    assert secure["runAsNonRoot"] is secure["readOnlyRootFilesystem"] is True
    assert secure["allowPrivilegeEscalation"] is False
    assert secure["capabilities"] == {"drop": ["ALL"]}
    assert secure["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_port_is_the_pods_own(gateway: Path) -> None:
    documents = rendered(chart=gateway)
    said = config(documents)
    assert said["listen"] == "127.0.0.1:8080", "so that keys may be added without a token"
    assert said["admin"]["listen"] == ":9090", "the kubelet comes from outside"
    assert "hosts" not in said
    env = {each["name"]: each.get("value") for each in pod(documents)["spec"]["containers"][0]["env"]}
    assert env["OPENAI_BASE_URL"] == f"http://{said['listen']}/openai/v1"


def test_grace_is_shared_and_enough(gateway: Path) -> None:
    assert pod(rendered(chart=gateway))["spec"]["terminationGracePeriodSeconds"] == 45 + 60 + 15
    longer = ("--set", "detour.sidecar.gatewaySeconds=90,detour.drain.seconds=600")
    assert pod(rendered(*longer, chart=gateway))["spec"]["terminationGracePeriodSeconds"] == 90 + 600 + 15
    assert pod(rendered(chart=gateway))["spec"]["enableServiceLinks"] is False


def test_it_brings_no_pods_of_its_own(gateway: Path) -> None:
    kinds = [(each["kind"], each["metadata"]["name"]) for each in rendered(chart=gateway)]
    assert sorted(kinds) == [("ConfigMap", "t-detour"), ("Deployment", "t"), ("Pod", "t-detour-test")]


def test_the_monitor_and_redis_know_the_gateways_pods(gateway: Path) -> None:
    more = ("--set", "detour.monitor.enabled=true,detour.monitor.kind=PodMonitor,detour.redis.enabled=true")
    documents = rendered(*more, chart=gateway)
    labels = pod(documents)["metadata"]["labels"]
    assert one(documents, "PodMonitor")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (rule,) = one(documents, "NetworkPolicy", "t-detour-redis")["spec"]["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= labels.items()


def test_a_changed_configuration_reloads_or_replaces(gateway: Path) -> None:
    def checksum(*values: str) -> str:
        documents = rendered(*(word for value in values for word in ("--set", value)), chart=gateway)
        return str(pod(documents)["metadata"]["annotations"]["checksum/detour"])

    change = "detour.config.routing.enabled=false"
    assert checksum(change) == checksum()
    rollout = "detour.configChange=rollout"
    assert checksum(rollout, change) != checksum(rollout)


def test_without_it_the_gateway_is_as_before(gateway: Path) -> None:
    documents = rendered("--set", "detour.enabled=false", chart=gateway)
    assert [each["kind"] for each in documents] == ["Deployment"]
    template = pod(documents)
    assert set(template["metadata"]["labels"]) == {"app"}
    assert not {"initContainers", "volumes", "terminationGracePeriodSeconds"} & set(template["spec"])


def test_a_parents_global_values_are_no_mistake(gateway: Path) -> None:
    assert rendered("--set", "global.registry=example.com", chart=gateway)


def test_the_schema_speaks_in_a_parent_too(gateway: Path) -> None:
    done = helm("template", "t", gateway, "--kube-version", "1.33.0", "--set", "detour.drain.seconds=soon")
    assert done.returncode != 0
    assert "at '/drain/seconds': got string, want integer" in done.stderr


def test_by_itself_it_is_the_configuration_alone() -> None:
    kinds = {each["kind"] for each in feature("sidecar")}
    assert kinds == {"ConfigMap", "PodMonitor", "PrometheusRule", "Pod"}
