"""Deployment mode: what the pods are, who may reach them, and how they end."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml

from config.load import load_text
from config.settings import Settings
from tests.helm.chart import CHART, NAME, ROOT, VERSIONS, config, container, feature, one, pod, rendered

PLAIN = feature("deployment")


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == version
    assert container(PLAIN)["image"] == f"detour:{version}"


@pytest.mark.parametrize("name", ["deployment", "keys", "redis-trial", "tls", "sidecar"])
def test_containers_may_do_nothing(name: str) -> None:
    documents = feature(name)
    specs = [each["spec"]["template"]["spec"] for each in documents if each["kind"] == "Deployment"]
    specs += [each["spec"] for each in documents if each["kind"] == "Pod"]
    assert specs
    for spec in specs:
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        for found in spec["containers"]:
            secure = spec.get("securityContext", {}) | found["securityContext"]
            assert secure["runAsNonRoot"] is True
            assert secure["runAsUser"] == 65532
            assert secure["readOnlyRootFilesystem"] is True
            assert secure["allowPrivilegeEscalation"] is False
            assert secure["capabilities"] == {"drop": ["ALL"]}
            assert secure["seccompProfile"] == {"type": "RuntimeDefault"}
            assert found["resources"]["limits"]["memory"]


def test_the_platform_may_choose_the_user() -> None:
    found = pod(one_renamed("placement"))
    assert "fsGroup" not in found["securityContext"]
    assert "runAsUser" not in found["containers"][0]["securityContext"]
    assert found["containers"][0]["securityContext"]["runAsNonRoot"] is True
    assert found["containers"][0]["image"].startswith("registry.example.com/llm/detour@sha256:0123")


def one_renamed(name: str) -> list[Any]:
    """The documents of a values file that gives the release another name."""
    documents = feature(name)
    for document in documents:
        if document["kind"] == "Deployment":
            document["metadata"]["name"] = NAME
    return documents


def test_only_the_store_is_written_to() -> None:
    mounts = {each["mountPath"]: each for each in container(feature("tls"))["volumeMounts"]}
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {"/var/lib/detour"}
    assert all("subPath" not in mount for mount in mounts.values()), "would never change in a running pod"
    assert config(PLAIN)["store"] == "sqlite:////var/lib/detour/detour.db"


def test_probes_ask_the_admin_port() -> None:
    found = container(PLAIN)
    port = {each["name"]: each["containerPort"] for each in found["ports"]}["detour-admin"]
    assert config(PLAIN)["admin"]["listen"] == f":{port}"
    paths = {kind: found[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/readyz", "liveness": "/livez", "readiness": "/readyz"}
    assert {found[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"detour-admin"}
    assert {container(feature("tls"))[f"{kind}Probe"]["httpGet"]["scheme"] for kind in paths} == {"HTTPS"}


def test_grace_is_enough_for_all_that_ends() -> None:
    found = pod(PLAIN)
    assert found["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert config(PLAIN)["drain"]["timeout"] == f"{Settings().drain.timeout:g}s", "the default is that of Detour"
    assert found["terminationGracePeriodSeconds"] == 5 + 60 + 15
    longer = feature("draining")
    assert config(longer)["drain"]["timeout"] == "600s"
    assert pod(longer)["terminationGracePeriodSeconds"] == 700 >= 15 + 600 + 15
    assert "lifecycle" not in container(rendered("--set", "preStopSeconds=0"))


@pytest.mark.parametrize(
    ("setting", "linger"),
    [
        ("drain.seconds=60", "5s"),
        ("drain.seconds=3", "3s"),
        ("drain.seconds=0", "0s"),
        ("config.drain.linger=9s", "9s"),
    ],
)
def test_clients_that_keep_connections_are_told_to_go_before_these_are_closed(setting: str, linger: str) -> None:
    """What a preStop sleep does not do: with nothing under way all connections would close at once, in use or not."""
    found = config(rendered("--set", setting))["drain"]
    assert found["linger"] == linger
    assert load_text(yaml.safe_dump({"drain": found}), {}).settings.drain.linger == float(linger[:-1])


def test_an_older_kubernetes_sleeps_by_a_command() -> None:
    (found,) = container(feature("deployment", VERSIONS[0]))["lifecycle"]["preStop"].values()
    assert found["command"] == ["python", "-c", "import time; time.sleep(5)"], "the image has no other that could"


def test_it_knows_the_names_it_is_called_by() -> None:
    service = one(PLAIN, "Service")["metadata"]["name"]
    assert config(PLAIN)["hosts"] == [
        service, f"{service}.default", f"{service}.default.svc", f"{service}.default.svc.cluster.local"
    ]  # fmt: skip


def test_the_service_leads_to_the_pods() -> None:
    labels = one(PLAIN, "Deployment")["spec"]["template"]["metadata"]["labels"]
    service = one(PLAIN, "Service")["spec"]
    assert service["selector"].items() <= labels.items()
    named = {each["name"] for each in container(PLAIN)["ports"]}
    assert {each["targetPort"] for each in service["ports"]} == named
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert one(PLAIN, kind)["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_redis_is_not_taken_for_a_proxy() -> None:
    documents = feature("redis-trial")
    redis = one(documents, "Deployment", f"{NAME}-redis")["spec"]["template"]["metadata"]["labels"]
    proxy = one(documents, "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    for kind, name in (("Service", NAME), ("NetworkPolicy", NAME), ("PodDisruptionBudget", NAME)):
        spec = one(documents, kind, name)["spec"]
        selected = spec.get("podSelector", {}).get("matchLabels") or spec["selector"]
        selected = selected.get("matchLabels", selected)
        assert selected.items() <= proxy.items()
        assert not selected.items() <= redis.items()
    assert config(documents)["store"] == f"redis://{NAME}-redis:6379"


def test_secrets_are_named_and_never_copied() -> None:
    documents = feature("keys")
    found = container(documents)
    env = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in found["env"]}
    assert env == {
        "OPENAI_API_KEY": {"name": "llm-keys", "key": "openai"},
        "DETOUR_ADMIN_TOKEN": {"name": "detour-tokens", "key": "admin"},
        "DETOUR_CLIENT_TOKEN": {"name": "detour-tokens", "key": "client"},
    }
    assert found["envFrom"] == [{"secretRef": {"name": "more-llm-keys"}}]
    mounts = {each["name"]: each["mountPath"] for each in found["volumeMounts"]}
    assert mounts["detour-secret-rotated-keys"] == "/run/secrets/rotated-keys"
    assert not [each for each in documents if each["kind"] == "Secret"]


def test_a_scaled_one_has_no_number_of_pods() -> None:
    documents = feature("autoscaling")
    assert "replicas" not in one(documents, "Deployment")["spec"]
    spec = one(documents, "HorizontalPodAutoscaler")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"], spec["scaleTargetRef"]["name"]) == (3, 12, NAME)
    assert one(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == "25%"


def test_one_file_has_one_writer() -> None:
    documents = feature("volume")
    assert one(documents, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert {"name": "detour-store", "persistentVolumeClaim": {"claimName": "detour-health"}} in pod(documents)[
        "volumes"
    ]
    tried = one(documents, "Pod")["spec"]["volumes"]
    assert not [each for each in tried if "persistentVolumeClaim" in each], "it may hang at another node"


# -- when pods are replaced --------------------------------------------------------------------------------------------


def checksum(*values: str) -> str:
    documents = rendered(*(word for value in values for word in ("--set", value)))
    return str(one(documents, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/detour"])


@pytest.mark.parametrize(
    ("value", "replaced"),
    [
        ("config.routing.enabled=false", False),
        ("drain.seconds=61", False),
        ("config.providers.groq.timeouts.idle=9s", False),
        ("ports.admin=9191", True),
        ("ports.proxy=8181", True),
        ("store.url=redis://r:6379", True),
        ("tls.existingSecret=x", True),
        ("adminTls.existingSecret=x", True),
    ],
)
def test_pods_are_replaced_for_what_a_running_one_cannot_take_over(value: str, replaced: bool) -> None:
    assert (checksum(value) != checksum()) is replaced


def test_or_for_every_change_where_that_is_wanted() -> None:
    assert checksum("configChange=rollout") == checksum("configChange=rollout")
    assert checksum("configChange=rollout", "config.routing.enabled=false") != checksum("configChange=rollout")


# -- who may talk to whom ----------------------------------------------------------------------------------------------


def policy(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Who may come in and where it may go, both by port."""
    spec = one(feature(name), "NetworkPolicy", NAME)["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    found: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for place, (direction, peers) in enumerate((("ingress", "from"), ("egress", "to"))):
        for rule in spec[direction]:
            for port in rule["ports"]:
                found[place].setdefault(f"{port['protocol']} {port['port']}", []).extend(rule.get(peers, ["anybody"]))
    return found


TESTER = {"podSelector": {"matchLabels": {
    "app.kubernetes.io/name": "detour", "app.kubernetes.io/instance": "t", "app.kubernetes.io/component": "test"
}}}  # fmt: skip


def test_the_admin_port_is_for_those_who_are_named() -> None:
    assert policy("redis-trial")[0]["TCP detour-admin"] == [TESTER], "nobody, as it comes"
    comes, _ = policy("network")
    spaces = [each.get("namespaceSelector", {}).get("matchLabels", {}) for each in comes["TCP detour-admin"]]
    assert [space.get("kubernetes.io/metadata.name") for space in spaces] == ["monitoring", None]
    spaces = [each.get("namespaceSelector", {}).get("matchLabels", {}) for each in comes["TCP proxy"]]
    assert [space.get("kubernetes.io/metadata.name") for space in spaces] == ["gateways", None]
    assert set(comes) == {"TCP proxy", "TCP detour-admin"}


def test_it_reaches_names_providers_and_its_store_and_nothing_else() -> None:
    _, goes = policy("network")
    assert set(goes) == {"UDP 53", "TCP 53", "TCP 443", "TCP 8000"}
    assert goes["UDP 53"] == ["anybody"]
    v4, v6 = (each["ipBlock"] for each in goes["TCP 443"])
    assert (v4["cidr"], v6["cidr"]) == ("0.0.0.0/0", "::/0")
    assert "169.254.0.0/16" in v4["except"], "the metadata of clouds"
    assert all(":" in each for each in v6["except"])
    assert all(":" not in each for each in v4["except"])
    assert goes["TCP 8000"] == [{"podSelector": {"matchLabels": {"app": "vllm"}}}]
    assert policy("redis-url")[1]["TCP 6379"] == ["anybody"]
    (redis,) = policy("redis-trial")[1]["TCP redis"]
    assert redis["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "redis"


def test_redis_is_for_the_proxies_alone() -> None:
    spec = one(feature("redis-trial"), "NetworkPolicy", f"{NAME}-redis")["spec"]
    (rule,) = spec["ingress"]
    (peer,) = rule["from"]
    proxy = one(feature("redis-trial"), "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= proxy.items()
    assert spec["egress"] == []


# -- who watches -------------------------------------------------------------------------------------------------------


def test_the_monitor_finds_the_service() -> None:
    documents = feature("monitoring")
    spec = one(documents, "ServiceMonitor")["spec"]
    service = one(documents, "Service")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = spec["endpoints"]
    assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert endpoint["authorization"] == {"credentials": {"name": "detour-tokens", "key": "token"}}
    assert one(documents, "ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_the_monitor_finds_the_pods() -> None:
    documents = feature("podmonitor")
    spec = one(documents, "PodMonitor")["spec"]
    labels = one(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {each["name"] for each in container(documents)["ports"]}
    assert "authorization" not in endpoint, "admin.open names the metrics"


@pytest.mark.parametrize("name", ["monitoring", "podmonitor", "tls"])
def test_what_is_scraped_carries_the_names_that_rules_ask_for(name: str) -> None:
    (monitor,) = (each for each in feature(name) if each["kind"].endswith("Monitor"))
    (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": NAME}]
