from __future__ import annotations

import msgspec

from config.load import load_text
from config.report import render, report

TEXT = """
admin: {listen: ':9090'}
store: redis://:verysecret@h
providers: {groq: {timeouts: {first_byte: 7s}}, google-vertex: {}, lab: {base_url: 'http://127.0.0.1:8000/v1'}}
models: {m: {tier: popular, targets: [groq/a, google/b, lab/c]}}
"""


def test_the_data() -> None:
    found = report(load_text(TEXT, {"GROQ_API_KEY": "sk-verysecret", "GOOGLE_ACCESS_TOKEN": "x"}))
    assert [(row.provider, row.base_url, row.credential, row.missing) for row in found.providers] == [
        ("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", ()),
        (
            "google-vertex",
            "https://${GOOGLE_VERTEX_LOCATION}-aiplatform.googleapis.com/v1",
            "GOOGLE_ACCESS_TOKEN",
            ("GOOGLE_VERTEX_LOCATION",),
        ),
        ("lab", "http://127.0.0.1:8000/v1", "none needed", ()),
    ]
    assert [
        (row.group, row.tier, row.provider, row.model, row.configured, row.first_byte) for row in found.targets
    ] == [
        ("m", "popular", "groq", "a", True, 7.0),
        ("m", "popular", "google-vertex", "b", False, 120.0),
        ("m", "popular", "lab", "c", True, 120.0),
    ]
    assert (found.store, found.adds_credentials, len(found.warnings)) == ("redis://***@h", True, 2)
    assert b"verysecret" not in msgspec.json.encode(found)


def test_the_text() -> None:
    text = render(report(load_text(TEXT, {"GROQ_API_KEY": "sk-verysecret"})))
    assert text.startswith("listen 127.0.0.1:8080, admin :9090, store redis://***@h; credentials are added")
    assert "needs GOOGLE_VERTEX_LOCATION" in text
    assert "google-vertex/b  unconfigured" in text
    assert "warning: admin.listen" in text
    assert "verysecret" not in text


def test_without_groups_and_without_credentials() -> None:
    text = render(report(load_text("listen: :8080\nproviders: {groq: {}}", {})))
    assert "never added: callers bring their own" in text
    assert "MODEL GROUP" not in text
    assert text.splitlines()[-1].split() == ["groq", "https://api.groq.com/openai/v1", "openai", "none"]
