"""No mistake in a configuration repeats a secret, wherever in the file it stands and whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from config import audit, report
from config.load import ConfigError, load_text
from config.settings import Settings
from config.shapes import Shape, fields
from proxy import cli
from tests.hardening.canaries import Canary, found_in

CANARY = Canary("config", "sk-canary-Zx81Qw-7Lm3Vt9Kp2-Hs6")
LONG = Canary("long", "Zx81Qw." * 60 + "end")
"""As long as a signed token: longer than what a message repeats of anything."""


def places(shape: Shape, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Shape]]:
    """Every place of the file that holds something, with what it holds."""
    if path:
        yield path, shape
    if shape.section is not None:
        for field in fields(shape.section):
            yield from places(field.shape, (*path, field.key))
    elif shape.item is not None:
        yield from places(shape.item, (*path, 0))
    elif shape.value is not None:
        yield from places(shape.value, (*path, "openai" if shape.key is None or path[-1:] != ("prefixes",) else "fal"))


def put(path: tuple[Any, ...], value: Any) -> Any:
    """A tree that holds nothing but a value at a place."""
    for part in reversed(path):
        value = [value] if part == 0 else {part: value}
    return value


PLACES = {".".join(map(str, path)): path for path, _ in places(Shape(section=Settings))}


def told(text: str, environ: dict[str, str]) -> str:
    """All that is said of a file, be it good or bad, by whatever tells of one."""
    try:
        config = load_text(text, environ, {}, Path("/nonexistent"))
    except ConfigError as error:
        return f"{error}\n{error!r}\n{error.problems}"
    found = report.report(config)
    shown = [report.render(found), audit.render(audit.audit(config)), repr(config.settings.admin), *config.warnings]
    return "\n".join(shown)


def test_there_is_a_place_for_each_setting() -> None:
    assert len(PLACES) > 150
    assert {"admin.token", "providers.openai.api_key", "alerts.channels.openai.url"} <= PLACES.keys()


@pytest.mark.parametrize("place", PLACES)
def test_a_variable_in_the_wrong_place(place: str) -> None:
    """Where it is taken, it is what it was taken for: a name, an address, a secret."""
    for written in ("${KEY}", "a ${LONG}", "${KEY},${LONG}", "http://${KEY}/v1", "x/${LONG}", "127.0.0.1:${KEY}"):
        tree = {"providers": {"openai": {}}, "drian": "1"} | put(PLACES[place], written)  # a mistake in any case
        problems = told(yaml.safe_dump(tree), {"KEY": CANARY.value, "LONG": LONG.value})
        assert "drian" in problems
        assert not found_in(problems, [CANARY, LONG]), written


SECRETS = [
    place for place, shape in ((".".join(map(str, path)), shape) for path, shape in places(Shape(section=Settings)))
    if shape.kind is not None and shape.kind.name == "secret"
] + ["store", "upstream.proxy", "providers.openai.proxy"]  # fmt: skip


@pytest.mark.parametrize("place", SECRETS)
@pytest.mark.parametrize(
    "wrong",
    [
        *("{}", "[{}]", "{{ {}: x }}", "[[{}]]", "{{a: {}}}", "' {}'", "'{} '", "|\n  {}\n  {}\n", '"\\x00{}"', "*{}"),
        *("!{}", "&{}", "!!str {}", "@{}", "`{}", "%{}", "'{}", '"{}', "{}: x", "[{}", "{{ {}", "${{{}}}", "${{{}"),
        *("${{file:/nonexistent/x}} {}", "é{}", "redis://:{}@", "http://u:{}@h:99999", "http://{}@h/ x", "- {}"),
        *("{}\n  next: line", "{} # {}\n\tx", "redis://:{}@h/x", "redis://h,h2/{}", "socks5://u:{}@h"),
    ],
)
def test_a_mistake_at_the_place_of_a_secret(place: str, wrong: str) -> None:
    path = PLACES[place]
    value = wrong.replace("{}", CANARY.value).replace("{{", "{").replace("}}", "}")
    name = path[-1]
    above = yaml.safe_dump(put(path, "PLACE"))
    text = above.replace("PLACE", value)
    assert name in text
    assert not found_in(told(text, {}), [CANARY])
    glued = above.replace(f"{name}: PLACE", f"{name}:{CANARY.value}")
    assert not found_in(told(glued, {}), [CANARY])


@pytest.mark.parametrize(
    "text",
    [
        "providers: {groq: {api_key:{}}}",
        "providers: {groq: {api_key={}}}",
        "admin: {token:{}}",
        "providers: {lab: {api_key_env: {}}}",
        "providers: {lab: {api_key_env: [{}]}}",
        "providers: {lab: {api_key: '${{}}'}}",
        "alerts: {channels: {ops:{}}}",
        "admin: {token: *{}}",
        "admin: {token: !{}}",
        "admin: {token: 'x', token: '{}'}",
        "alerts: {channels: {ops: {type: slack, url: 'https://[{}'}}}",
        "alerts: {channels: {ops: {type: slack, url: 'ftp://{}/x'}}}",
        "alerts: {channels: {ops: {type: email, url: 'smtp://u:{}@host:99999/?to=a@b'}}}",
        "alerts: {channels: {ops: {type: sentry, url: 'https://{}@h/'}}}",
        "alerts: {channels: {ops: {type: slack, url: 'https://h/x', secret: '{}'}}}",
        "store: 'redis://:{}@h h'",
        "store: 'redis://:{}@a,b'",
        "store: 'redis+sentinel://:{}@a:1'",
        "upstream: {proxy: 'http://u:{}@'}",
        "providers: {groq: {base_url: 'https://u:{}@h/v1'}}",
        "providers: {groq: {base_url: 'https://h/v1?key={}'}}",
    ],
)
def test_what_people_get_wrong(text: str) -> None:
    assert not found_in(told(text.replace("{}", CANARY.value), {}), [CANARY])


def test_a_key_in_the_place_of_a_variables_name() -> None:
    """Some keys would be names: letters, digits and underscores."""
    key = Canary("name", "gsk_Zx81QwLm3Vt9Kp2Hs6Bd4")
    for text in ("api_key_env: {}", "api_key: ${{}}", "api_key: '${{}} '"):
        text = "providers: {lab: {base_url: 'http://h/v1', " + text.replace("{}", key.value) + "}}"
        with pytest.raises(ConfigError) as raised:
            load_text(text, {}, {})
        assert "key" in str(raised.value)
        assert not found_in(str(raised.value), [key])


def test_a_secret_in_a_url_of_a_provider_is_hidden_where_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "detour.yaml"
    file.write_text(f"providers: {{lab: {{base_url: 'https://h/{CANARY.value}/v1'}}}}\nstore: 'memory:'")
    for arguments in (["check"], ["check", "--json"], ["audit-keys"], ["audit-keys", "--json"]):
        cli.main([*arguments, "-c", str(file)])
    out = capsys.readouterr()
    assert "https://h/***/v1" in out.out
    assert not found_in(out.out + out.err, [CANARY])


def test_variables_and_flags(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in the place of a secret, by environment and command line."""
    for value in (f"{CANARY.value} ", f"é{CANARY.value}", f"{{{CANARY.value}: x}}", f"[{CANARY.value}"):
        for name in ("DETOUR_ADMIN_TOKEN", "DETOUR_CLIENT_TOKEN", "DETOUR_PROVIDERS_LAB_API_KEY", "DETOUR_STORE"):
            monkeypatch.setenv(name, value)
            cli.main(["check"])
            monkeypatch.delenv(name)
        for key in ("admin.token", "store", "upstream.proxy", "client_token"):
            cli.main(["check", "--set", f"{key}={value}"])
    out = capsys.readouterr()
    assert "admin.token (DETOUR_ADMIN_TOKEN)" in out.err
    assert not found_in(out.out + out.err, [CANARY])


def test_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main(["check", "--set", CANARY.value])
    assert not found_in(str(raised.value), [CANARY])


def test_the_schema_and_json_hold_defaults_and_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["schema"]) == 0
    assert "secret" not in json.loads(capsys.readouterr().out).get("default", {})
