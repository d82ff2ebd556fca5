"""What the pages name exists: links, settings, variables, metrics, endpoints, commands, alerts, limits, messages."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
from itertools import takewhile
from typing import Final

import pytest
import yaml

from breaker import holdoff, panel, registry
from config.document import document
from config.environment import PREFIX, RESERVED
from healthapi import alertpages, archive_file, events, metrics
from healthapi.alerts import book, rules, silences
from healthapi.table import TABLE
from proxy import body, client, gate, head, intake, peek, pool, upstream
from proxy.cli import build_parser
from tests.docpages import PAGES, ROOT, anchors, blocks, commands, prose, spans, words

ROWS: Final = [re.split(r" (?<!\\)\| ", line) for line in document().splitlines() if line.startswith("| `")]
SETTINGS: Final = {row[0].strip("|` "): row[2].strip("`") for row in ROWS if len(row) == 5 and row[0].count("`") == 2}
SECTIONS: Final = {key.partition(".")[0] for key in SETTINGS}
VARIABLES: Final = {row[4].strip("`| ") for row in ROWS if len(row) == 5}
DOCUMENTED: Final = set(re.findall(r"^\| `(detour_[a-z0-9_]+)` \|", PAGES["docs/METRICS.md"], re.MULTILINE))
RUNBOOK: Final = PAGES["docs/runbook.md"]
LIMITS: Final = PAGES["docs/limits.md"]
SOURCE: Final = "\n".join(
    path.read_text(encoding="utf-8")
    for room in ("config", "breaker", "healthapi", "proxy")
    for path in (ROOT / room).rglob("*.py")
)

every_page = pytest.mark.parametrize("page", PAGES)


# -- links -------------------------------------------------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page: str) -> None:
    here = ROOT / page
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page])):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        there = (here.parent / place).resolve() if place else here
        assert there.exists(), link
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), link


def test_every_page_is_reached_from_the_readme() -> None:
    read = set(re.findall(r"\]\((docs/\w[\w-]*\.md)", PAGES["README.md"]))
    behind = {f"docs/{name}" for page in read for name in re.findall(r"\]\((\w[\w-]*\.md)", PAGES[page])}
    assert {page for page in PAGES if page.startswith("docs/")} <= read | behind


# -- settings ----------------------------------------------------------------------------------------------------------


def is_setting(name: str) -> bool:
    """Whether it is a setting or a section, `*` and `<any>` being any name."""
    pattern = re.compile(
        re.sub(r"\\\*|<\w+>", "(?:<name>|[a-z_]+)", re.escape(name).replace(r"\<", "<")) + r"(?:[.\[].*)?$"
    )
    return any(pattern.match(key) for key in SETTINGS) or overridden(name) in SETTINGS


def overridden(name: str) -> str:
    """A key below a section that overrides another one, as it is called there: `providers.<name>.breakers.mode`."""
    return re.sub(r"^(?:providers|models)\.[^.]+\.(?=(?:timeouts|breakers|probes|sla)\.)", "", name)


@every_page
def test_settings(page: str) -> None:
    named = {span.partition(":")[0] for span in spans(PAGES[page])}
    dotted = {name for name in named if re.fullmatch(r"[a-z_]+(?:\.(?:[a-z_0-9]+|\*|<\w+>)(?:\[\])?)+", name)}
    meant = {name for name in dotted if name.partition(".")[0] in SECTIONS and not name.endswith((".py", ".md"))}
    assert {
        name for name in meant if not is_setting(name) and not (ROOT / name.replace(".", "/")).exists()
    } - OTHERS == set()


OTHERS: Final = {"config.document", "store.sizeLimit", "store.url", "drain.seconds", "redis.enabled", "fal.run"}
"""Modules, values of the chart, hosts."""


@every_page
def test_variables(page: str) -> None:
    named = set(re.findall(r"\bDETOUR_[A-Z0-9_]*[A-Z0-9](?!_)\b", PAGES[page]))
    patterns = [re.escape(name).replace(r"<NAME>", "[A-Z0-9_]+") for name in VARIABLES]
    sections = {PREFIX + section.upper() for section in SECTIONS}
    known = re.compile("|".join([*patterns, *RESERVED, *sections, "DETOUR_PORT", "DETOUR_PROVIDERS_[A-Z]+_[A-Z_]+"]))
    assert {name for name in named if not known.fullmatch(name)} == set()


@every_page
def test_examples_of_settings_are_yaml(page: str) -> None:
    for block in blocks(PAGES[page], "yaml"):
        yaml.safe_load(block)


# -- metrics and endpoints ---------------------------------------------------------------------------------------------


@every_page
def test_metrics(page: str) -> None:
    named = set(re.findall(r"\bdetour_[a-z0-9_]+[a-z0-9]\b(?!_|\()", " ".join(spans(PAGES[page]))))
    plain = {re.sub(r"_(?:bucket|count|sum)$", "", name) for name in named}
    assert plain - DOCUMENTED - {"detour_demo"} == set()


def test_patterns_of_metrics_find_some() -> None:
    """The `grep`s of the pages for whoever is on call."""
    patterns = re.findall(r"grep (?:-E )?'\^([^']+)'", "\n".join(commands(RUNBOOK)))
    assert len(patterns) > 8
    for pattern in patterns:
        assert any(re.match(pattern, name) for name in DOCUMENTED), pattern


def routes(method: str) -> list[re.Pattern[str]]:
    made = []
    for route in TABLE:
        if route.method == method:
            path = re.sub(r"\{\w+\.\.\.\}", "…+", re.sub(r"\{\w+\}", "…", route.path))
            made.append(re.compile(re.escape(path).replace("…\\+", r"\S+").replace("…", r"[^/\s]+")))
    return made


def is_route(method: str, path: str) -> bool:
    return any(route.fullmatch(path) for route in routes(method))


@every_page
def test_endpoints_of_commands(page: str) -> None:
    for command in commands(PAGES[page]):
        for path in re.findall(r"(?:\$ADMIN|(?:127\.0\.0\.1|localhost):909\d)(/[^\s\"'?]*)", command):
            method = next(iter(re.findall(r"-X (\w+)", command)), "GET")
            assert is_route(method, path), command


@every_page
def test_endpoints_in_the_text(page: str) -> None:
    for span in spans(PAGES[page]):
        found = re.fullmatch(
            r"(?:(GET|POST|DELETE) )?(/(?:livez|readyz|health|metrics|v1|circuit-breakers|openapi)[^\s?]*)(?:\?.*)?",
            span,
        )
        if found is None or "…" in span or page == "docs/scripted-provider.md" or PROXIED.match(found[2]):
            continue
        method, path = found[1] or "GET", re.sub(r"[{<]\w+[}>]", "x", found[2])
        assert is_route(method, path) or any(route.path.startswith(found[2]) for route in TABLE), span


PROXIED: Final = re.compile(r"/v1/(?:models|chat|messages|responses)|/v1$")
"""Paths of providers, not of the admin port."""


# -- commands ----------------------------------------------------------------------------------------------------------


@every_page
def test_commands(page: str) -> None:
    for command in commands(PAGES[page]):
        arguments = words(command)
        arguments = arguments[sum(1 for _ in takewhile(lambda word: re.match(r"\w+=", word), arguments)) :]
        if arguments and arguments[0] in ("detour", ".venv/bin/detour"):
            usable(arguments[1:])
    for span in spans(PAGES[page]):
        if re.match(r"detour [a-z-]", span) and "…" not in span:
            usable(words(span)[1:])


def usable(arguments: list[str]) -> None:
    """Fail where the command line does not know these arguments."""
    stop = next((index for index, word in enumerate(arguments) if word in ("&", "|", ">")), None)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            build_parser().parse_args(arguments[:stop])
        except SystemExit as error:
            if error.code:
                pytest.fail(f"{arguments}: {said.getvalue()}")


def test_the_parser_is_strict() -> None:
    with pytest.raises(pytest.fail.Exception):
        usable(["serve", "--nonsense"])
    assert isinstance(build_parser(), argparse.ArgumentParser)


@every_page
def test_targets_of_make(page: str) -> None:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)) | {
        "test"
    }
    named = {
        words(command)[1] for command in commands(PAGES[page]) if words(command)[:1] == ["make"] and words(command)[1:]
    }
    named |= set(re.findall(r"`make ([a-z]+)", prose(PAGES[page])))
    assert named <= targets


# -- alerts ------------------------------------------------------------------------------------------------------------


def test_every_alert_is_in_the_runbook() -> None:
    headings = [
        name for line in re.findall(r"^### (.+)$", RUNBOOK, re.MULTILINE) for name in re.findall(r"`(\w+)`", line)
    ]
    prometheus = yaml.safe_load((ROOT / "helm" / "files" / "rules.yaml").read_text(encoding="utf-8"))
    alerts = [rule["alert"] for group in prometheus["groups"] for rule in group["rules"]]
    assert sorted(headings) == sorted([*rules.TABLE, *alerts])


def test_what_it_says_of_an_alert() -> None:
    """Each one that is not like another: what it means, where to look, what to do, what it is not."""
    for entry in re.split(r"^### ", RUNBOOK, flags=re.MULTILINE)[1:]:
        head, _, text = entry.partition("\n")
        if head.startswith("`") and "· as [" not in text:
            assert re.match(r"\n?(?:warning|critical)", text), head
            assert {"**Look**", "**Do**", "**Not**"} <= set(re.findall(r"\*\*\w+\*\*", text)), head


# -- numbers and words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        f"{head.HEAD_BYTES >> 10} KiB, {head.HEAD_FIELDS} headers",
        f"time for the head | {intake.HEAD_TIME:g} s",
        f"pause within a body | {body.IDLE:g} s",
        f"name of a model | {peek.LONGEST_MODEL} characters",
        f"head of a provider's answer | {upstream.HEAD_LIMIT >> 10} KiB",
        f"{gate.HOLD_BODY >> 10} KiB of a body, {gate.HOLD_STREAM >> 10} KiB of a stream, {gate.HOLD_TIME:g} s",
        f"nothing is asked | {client.KEEP_ALIVE:g} s",
        f"idle connection to a provider | {pool.IDLE_EXPIRY:g} s",
        f"names that never succeeded | {registry.UNPROVEN:,}",
        f"(their breakers), hold-offs | {panel.CREDENTIALS:,} each",
        f"{metrics.PROVEN:,}, and {metrics.UNPROVEN} that never succeeded",
        f"in a SQLite file | {archive_file.MOST_TARGETS:,}",
        f"alerts that are over | {book.PAST}",
        f"told one by one | {book.MOST}",
        f"silences | {silences.MOST} at a time, {alertpages.LONGEST / 86400:g} days each",
        f"{events.READERS} readers",
    ],
)
def test_limits_are_as_they_are(row: str) -> None:
    assert holdoff.MOST == panel.CREDENTIALS
    assert row.replace(",", " ") in LIMITS.replace(",", " ")


def test_limits_that_are_settings() -> None:
    for key, value in re.findall(r"`(limits\.\w+)`, (\d[\d ]*(?:[KMG]iB)?)", LIMITS):
        assert SETTINGS[key] == value.replace(" ", "").strip(), key


SAYS: Final = ("it says", "the log says", "status, `error.code`")
"""Heads of the columns in which Detour is quoted."""

OTHERS_SAY: Final = {"Address already in use", "No such file or directory", "nothing"}
"""The system's own words."""


def quotes() -> set[str]:
    """What the tables of docs/troubleshooting.md quote of Detour's words, without what is filled in."""
    found: set[str] = set()
    for table in re.findall(r"(?:^\|.*\n)+", PAGES["docs/troubleshooting.md"], re.MULTILINE):
        head, _, *rows = table.splitlines()
        if head.startswith(tuple(f"| {says}" for says in SAYS)):
            cells = [row.split(" | ")[0] for row in rows]
            found |= {
                part.strip(" :")
                for cell in cells
                for span in re.findall(r"`([^`]+)`", cell)
                for part in re.split("…|: ", span)
            }
    return {part for part in found if part and not part.startswith("x-") and part not in OTHERS_SAY}


def test_messages_and_codes_are_what_is_said() -> None:
    assert len(quotes()) > 20
    assert {part for part in quotes() if part not in SOURCE} == set()
