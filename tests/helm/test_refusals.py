"""Wrong values are refused before anything is installed, and the message names the key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.helm.chart import template

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"replicaCount": 3}, "additional properties 'replicaCount' not allowed"),
    "an unknown key inside": ({"image": {"name": "x"}}, "at '/image': additional properties 'name'"),
    "mode": ({"mode": "daemonset"}, "at '/mode': value must be one of 'deployment', 'sidecar'"),
    "replicas": ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    "negative replicas": ({"replicas": -1}, "at '/replicas': minimum"),
    "tag": ({"image": {"tag": "a b"}}, "at '/image/tag'"),
    "digest": ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    "pullPolicy": ({"image": {"pullPolicy": "always"}}, "at '/image/pullPolicy'"),
    "a port that is root's": ({"ports": {"proxy": 80}}, "at '/ports/proxy': minimum"),
    "a port beyond": ({"service": {"port": 70000}}, "at '/service/port': maximum"),
    "what the chart sets: listen": ({"config": {"listen": ":1"}}, "at '/config/listen'"),
    "what the chart sets: store": ({"config": {"store": "memory:"}}, "at '/config/store'"),
    "what the chart sets: tls": ({"config": {"tls": {}}}, "at '/config/tls'"),
    "what the chart sets: admin.listen": ({"config": {"admin": {"listen": ":1"}}}, "at '/config/admin/listen'"),
    "what the chart sets: drain": ({"config": {"drain": {"timeout": "9s"}}}, "at '/config/drain/timeout'"),
    "an open GET": ({"config": {"admin": {"open": ["everything"]}}}, "at '/config/admin/open/0'"),
    "a key in the ConfigMap": (
        {"config": {"providers": {"x": {"api_key": "sk-1"}}}},
        "at '/config/providers/x/api_key'",
    ),
    "a token in the ConfigMap": ({"config": {"client_token": "abc"}}, "at '/config/client_token'"),
    "an address of alerts": (
        {"config": {"alerts": {"channels": {"ops": {"type": "slack", "url": "https://hooks.example/T0/B0"}}}}},
        "at '/config/alerts/channels/ops/url'",
    ),
    "a proxy's password": ({"config": {"upstream": {"proxy": "http://u:p@host:1"}}}, "at '/config/upstream/proxy'"),
    "a password in a store's address": ({"store": {"url": "redis://:secret@redis:6379"}}, "at '/store/url'"),
    "another kind of store": ({"store": {"url": "postgres://db"}}, "at '/store/url'"),
    "sizeLimit": ({"store": {"sizeLimit": "1 GB"}}, "at '/store/sizeLimit'"),
    "a variable's name": (
        {"secrets": {"env": {"my-key": {"secret": "a", "key": "b"}}}},
        "at '/secrets/env': additional properties 'my-key'",
    ),
    "a variable without a key": (
        {"secrets": {"env": {"K": {"secret": "a"}}}},
        "at '/secrets/env/K': missing property 'key'",
    ),
    "a Secret's name": ({"secrets": {"envFrom": ["My Secret"]}}, "at '/secrets/envFrom/0'"),
    "a Secret's name that breaks out": ({"secrets": {"envFrom": ["a}\n- x"]}}, "at '/secrets/envFrom/0'"),
    "configChange": ({"configChange": "restart"}, "at '/configChange'"),
    "drain.seconds": ({"drain": {"seconds": "60s"}}, "at '/drain/seconds': got string, want integer"),
    "runAsUser root": ({"runAsUser": 0}, "at '/runAsUser': minimum"),
    "a label that is no text": ({"podLabels": {"a": True}}, "at '/podLabels/a'"),
    "maxUnavailable": ({"podDisruptionBudget": {"maxUnavailable": 0}}, "at '/podDisruptionBudget/maxUnavailable'"),
    "targetCPU": ({"autoscaling": {"targetCPU": 170}}, "at '/autoscaling/targetCPU': maximum"),
    "a peer that is everybody": ({"networkPolicy": {"from": [{}]}}, "at '/networkPolicy/from/0'"),
    "a peer of no kind": ({"networkPolicy": {"adminFrom": [{"pods": {}}]}}, "at '/networkPolicy/adminFrom/0'"),
    "monitor.kind": ({"monitor": {"kind": "Probe"}}, "at '/monitor/kind'"),
    "monitor.interval": ({"monitor": {"interval": "often"}}, "at '/monitor/interval'"),
    "a threshold": ({"prometheusRule": {"healthWarning": 900}}, "at '/prometheusRule/healthWarning': maximum"),
    "enabled": ({"enabled": "yes"}, "at '/enabled': got string, want boolean"),
    "an amount": ({"resources": {"limits": {"memory": "lots"}}}, "at '/resources/limits/memory'"),
    "a probe": ({"probes": {"liveness": {"periodSeconds": 0}}}, "at '/probes/liveness/periodSeconds': minimum"),
}  # fmt: skip
"""By what is wrong: the values, and what the message has in it. The schema sees these."""

AMISS: dict[str, tuple[dict[str, Any], str]] = {
    "one port twice": ({"ports": {"proxy": 9090}}, "ports.admin: must differ from ports.proxy"),
    "a policy for a sidecar": ({"mode": "sidecar", "networkPolicy": {"enabled": True}}, "networkPolicy.enabled: "),
    "a scaled sidecar": ({"mode": "sidecar", "autoscaling": {"enabled": True}}, "autoscaling.enabled: "),
    "a monitor of no Service": ({"mode": "sidecar", "monitor": {"enabled": True}}, "monitor.kind: must be PodMonitor"),
    "two stores": ({"redis": {"enabled": True}, "store": {"url": "redis://r:1"}}, "store: only one of store.url"),
    "one file for two pods": ({"store": {"existingClaim": "x"}}, "store.existingClaim: "),
    "less than the least": ({"autoscaling": {"minReplicas": 11}}, "autoscaling.maxReplicas: must be at least"),
    "a threshold above the other": ({"prometheusRule": {"healthCritical": 95}}, "prometheusRule.healthCritical: "),
    "clientCa without a certificate": ({"tls": {"clientCa": True}}, "tls.clientCa: needs tls.existingSecret"),
    "too little grace": (
        {"terminationGracePeriodSeconds": 79},
        "terminationGracePeriodSeconds: must be at least 80: preStopSeconds + drain.seconds + 15",
    ),
    "an open relay": (
        {"secrets": {"env": {"OPENAI_API_KEY": {"secret": "llm-keys", "key": "openai"}}}},
        "clientToken.existingSecret: whoever reaches the Service would spend the providers' keys",
    ),
}
"""What no single value is wrong about: the templates see these."""


def message(values: dict[str, Any], tmp_path: Any, *more: str, **options: str) -> str:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    done = template("-f", file, *more, **options)
    assert done.returncode != 0, "was taken"
    assert not done.stdout
    return done.stderr


def test_there_are_enough_of_them() -> None:
    assert len(WRONG) >= 20


@pytest.mark.parametrize("name", WRONG)
def test_the_schema_refuses_it(name: str, tmp_path: Any) -> None:
    values, words = WRONG[name]
    found = message(values, tmp_path)
    assert words in found
    assert "don't meet the specifications of the schema" in found


@pytest.mark.parametrize("name", AMISS)
def test_the_templates_refuse_it(name: str, tmp_path: Any) -> None:
    values, words = AMISS[name]
    assert words in message(values, tmp_path)


def test_a_sidecar_needs_a_kubernetes_that_has_them(tmp_path: Any) -> None:
    assert "needs Kubernetes 1.29 or newer" in message({"mode": "sidecar"}, tmp_path, version="1.28")


@pytest.mark.parametrize(
    "values",
    [
        {"terminationGracePeriodSeconds": 80},
        {"config": {"open": True}, "secrets": {"files": ["keys"]}},
        {"global": {"imageRegistry": "x"}, "enabled": True},
        {"clientToken": {"existingSecret": "t"}, "secrets": {"files": ["keys"]}},
        {"config": {"client_token": "${TOKEN}", "alerts": {"channels": {"ops": {"type": "slack", "url": "${HOOK}"}}}}},
    ],
)
def test_what_is_right_is_taken(values: dict[str, Any], tmp_path: Any) -> None:
    file = tmp_path / "values.json"
    file.write_text(json.dumps(values))
    done = template("-f", file)
    assert done.returncode == 0, done.stderr
