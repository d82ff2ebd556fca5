"""JSON Schemas of the custom resources that the chart makes: what it uses of them, nothing beside."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
DURATION: Schema = {
    "type": "string",
    "pattern": r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$",
}


def closed(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """An object that has these properties alone."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def many(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


KEY = closed(("name", "key"), name=TEXT, key=TEXT)
ENDPOINT = closed(
    ("port",),
    port=TEXT,
    path={"type": "string", "pattern": "^/"},
    interval=DURATION,
    scrapeTimeout=DURATION,
    scheme={"enum": ["http", "https"]},
    tlsConfig=closed(ca=closed(secret=KEY), serverName=TEXT),
    authorization=closed(type=TEXT, credentials=KEY),
    relabelings=many(closed(("targetLabel",), targetLabel=TEXT, replacement=TEXT)),
)
SELECTOR = closed(("matchLabels",), matchLabels=TEXTS)
RULE = closed(
    ("alert", "expr"), alert={"type": "string", "pattern": "^[A-Za-z]+$"}, expr=TEXT, labels=TEXTS, annotations=TEXTS,
    **{"for": DURATION},
)  # fmt: skip

SPECS: dict[str, Schema] = {
    "ServiceMonitor": closed(("selector", "endpoints"), selector=SELECTOR, endpoints=many(ENDPOINT)),
    "PodMonitor": closed(
        ("selector", "podMetricsEndpoints"), selector=SELECTOR, podMetricsEndpoints=many(ENDPOINT)
    ),
    "PrometheusRule": closed(("groups",), groups=many(closed(("name", "rules"), name=TEXT, rules=many(RULE)))),
}  # fmt: skip


def schema(kind: str) -> Schema:
    """What a whole document of this kind has to be."""
    return closed(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "monitoring.coreos.com/v1"},
        kind={"const": kind},
        metadata=closed(("name", "labels"), name={"type": "string", "pattern": "^[a-z0-9-]{1,63}$"}, labels=TEXTS),
        spec=SPECS[kind],
    )
