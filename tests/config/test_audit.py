from __future__ import annotations

import pytest

from config.audit import Key, KeyRow, audit, complete, judged, render, shown_url
from config.load import load_text

TEXT = """
providers: {groq: {}, lab: {base_url: 'http://127.0.0.1'}, box: {base_url: 'http://127.0.0.1', api_key: sk-verysecret},
  want: {base_url: 'http://127.0.0.1', api_key_env: WANT_KEY}}
models: {m: {targets: [groq/a, groq/b, cloudflare-workers-ai/c, fal/d]}, n: {targets: [groq/a]}}
"""
AT = "2026-01-01T00:00:00.000Z"


def rows(**environ: str) -> dict[str, KeyRow]:
    return {row.provider: row for row in audit(load_text(TEXT, environ))}


def test_rows() -> None:
    found = rows(FAL_API_KEY="sk-verysecret", CLOUDFLARE_API_TOKEN="x")
    assert [(name, row.found, row.missing, row.targets, row.key.state) for name, row in found.items()] == [
        ("groq", None, ("GROQ_API_KEY",), 2, "missing"),
        ("lab", None, (), 0, "none_needed"),
        ("box", "api_key", (), 0, "unknown"),
        ("want", None, ("WANT_KEY",), 0, "missing"),
        ("cloudflare-workers-ai", "CLOUDFLARE_API_TOKEN", ("CLOUDFLARE_ACCOUNT_ID",), 1, "unknown"),
        ("fal", "FAL_API_KEY", (), 1, "unknown"),
    ]
    assert [name for name, row in found.items() if row.configured] == ["lab", "box", "fal"]
    assert not complete(list(found.values()))
    assert complete([found["fal"], found["lab"]])


@pytest.mark.parametrize(
    ("name", "state", "then", "configured"),
    [
        ("fal", "accepted", "accepted", True),
        ("fal", "never_tried", "never_tried", True),
        ("fal", "refused", "refused", False),
        ("fal", "\x1b[2J", "unknown", True),
        ("groq", "accepted", "missing", False),
        ("lab", "refused", "none_needed", True),
    ],
)
def test_how_a_key_was_judged(name: str, state: str, then: str, configured: bool) -> None:
    row = judged(rows(FAL_API_KEY="k")[name], Key(state, AT, 401))
    assert (row.key.state, row.configured) == (then, configured)
    assert complete([row]) is configured


def test_a_key_that_nobody_judged_stays_unknown() -> None:
    assert judged(rows(FAL_API_KEY="k")["fal"], None).key == Key("unknown")


def test_the_table_for_people() -> None:
    found = rows(FAL_API_KEY="sk-verysecret")
    keys = {"fal": Key("refused", AT, 401), "box": Key("accepted", AT, 200)}
    lines = render([judged(row, keys.get(name)) for name, row in found.items()]).splitlines()
    assert [line.split()[0] for line in lines] == [
        "PROVIDER",
        "groq",
        "lab",
        "box",
        "want",
        "cloudflare-workers-ai",
        "fal",
    ]
    assert "missing: GROQ_API_KEY" in lines[1]
    assert lines[2].split() == ["lab", "none", "needed", "-", "-", "0", "openai", "http://127.0.0.1"]
    assert "accepted, 2026-01-01 00:00" in lines[3]
    assert "missing: CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID" in lines[5]
    assert "set: FAL_API_KEY" in lines[6]
    assert "refused with 401, 2026-01-01 00:00" in lines[6]
    assert "FAL_KEY or FAL_API_KEY" in lines[6]
    assert lines[6].split()[-2:] == ["fal", "https://fal.run"]
    assert "verysecret" not in "".join(lines)


@pytest.mark.parametrize(
    ("entry", "environ", "shown"),
    [
        ("groq: {}", {}, "https://api.groq.com/openai/v1"),
        ("lab: {base_url: 'http://127.0.0.1:8000/v1/'}", {}, "http://127.0.0.1:8000/v1"),
        ("lab: {base_url: 'https://h/0123456789abcdef0123456789abcdef/v1'}", {}, "https://h/***/v1"),
        ("lab: {base_url: 'https://h/compatible-mode/v1beta'}", {}, "https://h/compatible-mode/v1beta"),
        (
            "cloudflare-workers-ai: {}",
            {},
            "https://api.cloudflare.com/client/v4/accounts/${CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        ),
        (
            "cloudflare-workers-ai: {}",
            {"CLOUDFLARE_ACCOUNT_ID": "023e105f4ecef8ad9ca31a8372d0c353"},
            "https://api.cloudflare.com/client/v4/accounts/***/ai/v1",
        ),
    ],
)
def test_a_base_url_is_shown_without_what_may_be_secret(entry: str, environ: dict[str, str], shown: str) -> None:
    config = load_text(f"providers: {{{entry}}}", environ)
    (provider,) = config.providers.values()
    assert shown_url(provider) == shown
