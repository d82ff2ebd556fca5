from __future__ import annotations

from config.audit import audit, complete, render
from config.load import load_text

TEXT = """
providers: {groq: {}, lab: {base_url: 'http://127.0.0.1'}, box: {base_url: 'http://127.0.0.1', api_key: sk-verysecret},
  want: {base_url: 'http://127.0.0.1', api_key_env: WANT_KEY}}
models: {m: {targets: [groq/a, groq/b, cloudflare-workers-ai/c, fal/d]}, n: {targets: [groq/a]}}
"""


def test_rows() -> None:
    config = load_text(TEXT, {"FAL_API_KEY": "sk-verysecret", "CLOUDFLARE_API_TOKEN": "x"})
    rows = {row.provider: row for row in audit(config)}
    assert [(name, row.found, row.missing, row.targets) for name, row in rows.items()] == [
        ("groq", None, ("GROQ_API_KEY",), 2),
        ("lab", None, (), 0),
        ("box", "api_key", (), 0),
        ("want", None, ("WANT_KEY",), 0),
        ("cloudflare-workers-ai", "CLOUDFLARE_API_TOKEN", ("CLOUDFLARE_ACCOUNT_ID",), 1),
        ("fal", "FAL_API_KEY", (), 1),
    ]
    assert not complete(list(rows.values()))
    assert complete([rows["fal"], rows["lab"]])


def test_the_table_for_people() -> None:
    config = load_text(TEXT, {"FAL_API_KEY": "sk-verysecret"})
    lines = render(audit(config)).splitlines()
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
    assert lines[2].split() == ["lab", "none", "needed", "-", "0"]
    assert "missing: CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID" in lines[5]
    assert "set: FAL_API_KEY" in lines[6]
    assert "FAL_KEY or FAL_API_KEY" in lines[6]
    assert "verysecret" not in "".join(lines)
