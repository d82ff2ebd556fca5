"""Lists of models read from real sockets, and what is told of the key that goes along with requests."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import random
from collections.abc import AsyncIterator, Callable

import pytest
from msgspec.structs import replace

from breaker.registry import Registry
from config.load import load_text
from proxy import lists
from proxy.connect import Connector
from proxy.fake import Conversation, FakeProvider
from proxy.lists import ModelList
from proxy.plane import DataPlane
from proxy.pool import Pools
from tests.e2e.world import RawUpstream, client, post
from tests.proxy.kept import Kept

FILE = """
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-canary-key}}
  anthropic: {{base_url: "{url}/v1", api_key: sk-canary-key}}
  gemini: {{base_url: "{url}/v1beta", api_key: sk-canary-key}}
  query: {{base_url: "{url}/v1", api_key: sk-canary-key, auth: query}}
  lab: {{base_url: "{url}/v1"}}
  tired: {{base_url: "{url}/v1", api_key: sk-canary-key, headers: {{x-team: blue, user-agent: mine}}}}
  fal: {{base_url: "{url}", api_key: k}}
  nobody: {{base_url: "http://127.0.0.1:9/v1", api_key: k}}
  twin: {{base_url: "{url}/v1", api_key: sk-canary-key}}
models:
  m: {{targets: [openai/ok, twin/ok]}}
  n: {{targets: [openai/bad-key, twin/ok]}}
timeouts: {{connect: 2s}}
breakers: {{mode: off}}
retries: {{max_attempts: 2}}
"""


NOISE = random.Random(1).randbytes(5 << 20).hex().encode()
"""What does not shrink much."""


class Bench:
    """A data plane, its recorder, and who reads lists for it."""

    def __init__(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        self.kept = Kept()
        self.pools = Pools(Connector(loop), loop)
        config = load_text(FILE.format(url=url), {})
        self.now = 1_767_225_600.0
        self.plane = DataPlane(
            config,
            Registry(tracked=10),
            self.kept,
            self.pools,
            loop,
            instance="abc",
            wall=lambda: self.now,
        )
        self.lists = lists.Lists(self.plane)

    async def read(self, name: str = "openai") -> ModelList:
        return await self.lists.read(name)


@contextlib.asynccontextmanager
async def bench(url: str) -> AsyncIterator[Bench]:
    made = Bench(url)
    try:
        yield made
    finally:
        made.pools.close()
        await asyncio.sleep(0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


def answering(body: bytes, *fields: tuple[bytes, bytes], status: int = 200) -> Callable[[Conversation], None]:
    """A script that gives this answer."""

    def act(talk: Conversation) -> None:
        talk.send(talk.head(status, [(b"content-type", b"application/json"), *fields], length=len(body)) + body)
        talk.finish()

    return act


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "lab", "query", "tired"])
@pytest.mark.parametrize("count", [1, 50, 51, 260])
async def test_every_dialect_to_its_last_page(fake: FakeProvider, name: str, count: int) -> None:
    fake.offered = [f"vendor/model-{number}:free" for number in range(count)]
    async with bench(fake.url) as made:
        assert await made.read(name) == ModelList(tuple(fake.offered))
        assert made.kept.keys == [], "many give their list to anybody: it proves no key"
        assert (made.kept.outcomes, made.kept.answers) == ([], []), "it is nobody's request"
    pages = -(-count // 50) if name in ("anthropic", "gemini") else 1
    assert len(fake.log) == pages
    assert not fake.mistakes


def paged(pages: dict[str, object]) -> Callable[[Conversation], None]:
    """A script that gives each page under its parameter, the first one without; for others it fails."""

    def act(talk: Conversation) -> None:
        _, _, query = talk.seen.target.decode().partition("?")
        found = pages.get(query)
        answering(json.dumps(found).encode(), status=500 if found is None else 200)(talk)

    return act


def numbered(names: list[str], page: int, last: int) -> dict[str, object]:
    return {"data": [{"id": name} for name in names], "pagination": {"current_page": page, "total_pages": last}}


async def test_numbered_pages(fake: FakeProvider) -> None:
    fake.scripts[""] = paged({
        "": numbered(["a", "b"], 1, 3),
        "page=2": numbered(["c", "b"], 2, 3),
        "page=3": numbered(["d"], 3, 3),
    })  # fmt: skip
    async with bench(fake.url) as made:
        assert await made.read() == ModelList(("a", "b", "c", "d"))


async def test_a_page_that_fails_is_no_list_at_all(fake: FakeProvider) -> None:
    fake.scripts[""] = paged({"": numbered(["a", "b"], 1, 3), "page=2": numbered(["c", "b"], 2, 3)})
    async with bench(fake.url) as made:
        found = await made.read()
    assert found.names == ()
    assert "500" in (found.problem or "")


@pytest.mark.parametrize(
    "pages",
    [
        {"": {"data": [{"id": "a"}], "has_more": True}},
        {"": {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}, "after=a": {"data": [], "has_more": True}},
        {"": numbered(["a"], 1, 3), "page=2": numbered(["a"], 1, 3)},
    ],
    ids=["no-way", "nothing", "again"],
)
async def test_a_list_that_says_there_is_more_and_gives_none_is_a_part(
    fake: FakeProvider, pages: dict[str, object]
) -> None:
    fake.scripts[""] = paged(pages)
    async with bench(fake.url) as made:
        assert await made.read() == ModelList(("a",), whole=False)
    assert len(fake.log) == len(pages)


async def test_a_list_at_another_origin_gets_no_key(fake: FakeProvider) -> None:
    cursor = {"models": [{"endpoint_id": "fal-ai/a"}], "next_cursor": "Mg==", "has_more": True}
    last = {"models": [{"endpoint_id": "fal-ai/b"}], "next_cursor": None, "has_more": False}
    fake.scripts[""] = paged({"limit=1": cursor, "limit=1&cursor=Mg%3D%3D": last})
    async with bench(fake.url) as made:
        providers = made.plane.config.providers
        fal = providers["fal"]
        elsewhere = replace(fal.origin, host="localhost")
        providers["fal"] = replace(fal, list_path="/v1/models?limit=1", list_origin=elsewhere)
        assert await made.read("fal") == ModelList(("fal-ai/a", "fal-ai/b"))
        assert [seen.header(b"authorization") for seen in fake.log] == [None, None]
        assert {seen.header(b"host") for seen in fake.log} == {f"localhost:{fake.port}".encode()}
        fake.scripts[""] = answering(b'{"error":{"message":"no key"}}', status=401)
        assert "401" in ((await made.read("fal")).problem or "")
        assert made.kept.keys == []


async def test_a_key_that_is_good_for_generations_alone_is_not_refused(fake: FakeProvider) -> None:
    """Restricted keys of OpenAI's: a 401 about the scope that lists want."""
    text = "You have insufficient permissions for this operation. Missing scopes: api.model.read."
    fake.scripts[""] = answering(json.dumps({"error": {"message": text}}).encode(), status=401)
    async with bench(fake.url) as made:
        made.plane.sure["openai"] = 1e9
        assert "Missing scopes" in ((await made.read()).problem or "")
        assert made.kept.keys == []
        assert "openai" in made.plane.sure


@pytest.mark.parametrize(
    ("name", "target", "field", "value"),
    [
        ("openai", b"/v1/models", b"authorization", b"Bearer sk-canary-key"),
        ("anthropic", b"/v1/models?limit=1000", b"x-api-key", b"sk-canary-key"),
        ("gemini", b"/v1beta/models?pageSize=1000", b"x-goog-api-key", b"sk-canary-key"),
        ("query", b"/v1/models?key=sk-canary-key", b"authorization", None),
        ("lab", b"/v1/models", b"authorization", None),
        ("anthropic", b"/v1/models?limit=1000", b"anthropic-version", b"2023-06-01"),
        ("tired", b"/v1/models", b"x-team", b"blue"),
        ("tired", b"/v1/models", b"user-agent", b"mine"),
        ("openai", b"/v1/models", b"user-agent", b"detour"),
        ("openai", b"/v1/models", b"via", b"1.1 detour-abc"),
    ],
)
async def test_what_the_provider_is_sent(
    fake: FakeProvider, name: str, target: bytes, field: bytes, value: bytes | None
) -> None:
    async with bench(fake.url) as made:
        await made.read(name)
    (seen,) = fake.log
    assert (seen.method, seen.target, seen.header(field)) == ("GET", target, value)
    assert seen.header(b"host") == fake.url.removeprefix("http://").encode()


@pytest.mark.parametrize(
    ("name", "script", "problem", "told"),
    [
        ("openai", "bad-key", "401", 401),
        ("anthropic", "bad-key", "401", 401),
        ("gemini", "bad-key", "400", 400),
        ("openai", "quota", "429", 429),
        ("openai", "fail-402", "402", 402),
        ("openai", "fail-403", "403", None),
        ("openai", "fail-404", "404", None),
        ("openai", "fail-503", "503", None),
        ("openai", "rate-limit-3", "429", None),
        ("lab", "bad-key", "401", None),
        ("openai", "reset-before", "connection", None),
        ("openai", "cut", "connection", None),
    ],
)
async def test_lists_that_cannot_be_read(
    fake: FakeProvider, name: str, script: str, problem: str, told: int | None
) -> None:
    fake.models[""] = script
    async with bench(fake.url) as made:
        made.plane.sure[name] = 1e9
        found = await made.read(name)
        assert found.names == ()
        assert found.problem is not None
        assert problem in found.problem
        assert "canary" not in found.problem
        assert made.kept.keys == ([] if told is None else [(name, False, told)])
        assert (name in made.plane.sure) is (told is None), "what was known of a refused key is known no longer"


@pytest.mark.parametrize("name", ["fal", "who"])
async def test_who_has_none(fake: FakeProvider, name: str) -> None:
    async with bench(fake.url) as made:
        assert (await made.read(name)).problem == "it has no list of models"
    assert fake.log == []


async def test_nobody_is_there(fake: FakeProvider) -> None:
    async with bench(fake.url) as made:
        assert "127.0.0.1:9" in ((await made.read("nobody")).problem or "")


@pytest.mark.parametrize(
    ("body", "fields", "problem"),
    [
        (b"<html>Sign in</html>", (), "no list"),
        (b'{"data":[{"id":"a"}]}', ((b"content-encoding", b"br"),), "encoded"),
        (b"not gzip", ((b"content-encoding", b"gzip"),), "encoded"),
        (gzip.compress(b" " * (9 << 20)), ((b"content-encoding", b"gzip"),), "encoded"),
        (gzip.compress(b"{" + NOISE, 1), ((b"content-encoding", b"gzip"),), "larger than 8 MiB"),
        (b" " * (9 << 20), (), "larger than 8 MiB"),
    ],
    ids=["html", "br", "no-gzip", "bomb", "large-gzip", "large"],
)
async def test_answers_that_are_no_lists(
    fake: FakeProvider, body: bytes, fields: tuple[tuple[bytes, bytes], ...], problem: str
) -> None:
    fake.scripts[""] = answering(body, *fields)
    async with bench(fake.url) as made:
        found = await made.read()
    assert found.names == ()
    assert problem in (found.problem or "")


async def test_a_redirect_is_not_followed(fake: FakeProvider) -> None:
    fake.scripts[""] = answering(b"", (b"location", b"http://127.0.0.1:9/steal"), status=307)
    async with bench(fake.url) as made:
        assert "307" in ((await made.read()).problem or "")
    assert len(fake.log) == 1


async def test_a_compressed_list(fake: FakeProvider) -> None:
    body = gzip.compress(json.dumps({"data": [{"id": f"m{n}"} for n in range(3000)]}).encode())
    fake.scripts[""] = answering(body, (b"content-encoding", b"gzip"))
    async with bench(fake.url) as made:
        assert len((await made.read()).names) == 3000


async def test_of_a_list_without_end_a_part_is_read(fake: FakeProvider) -> None:
    fake.offered = [f"m{number}" for number in range(lists.MOST + 5)]
    assert len(fake.offered) > 50 * lists.PAGES
    async with bench(fake.url) as made:
        found = await made.read()
        assert (len(found.names), found.whole) == (lists.MOST, False)
        fake.offered = [f"m{number}" for number in range(50 * lists.PAGES + 1)]
        found = await made.read("gemini")
        assert (len(found.names), found.whole) == (50 * lists.PAGES, False)


async def test_time_is_limited(monkeypatch: pytest.MonkeyPatch, fake: FakeProvider) -> None:
    monkeypatch.setattr(lists, "LIMIT", 0.2)
    fake.models[""] = "silent"
    async with bench(fake.url) as made:
        assert (await made.read()).problem == "not read within 0.2 s"
        await fake.until(lambda: not fake.open)


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-x\r\n", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b""],
)
async def test_what_is_not_http(answer: bytes) -> None:
    async with RawUpstream() as upstream, bench(upstream.url) as made:
        reading = asyncio.create_task(made.read())
        peer = await upstream.accept()
        await peer.request()
        await peer.send(answer)
        peer.close()
        assert (await reading).problem


async def test_hints_before_the_answer_say_nothing() -> None:
    async with RawUpstream() as upstream, bench(upstream.url) as made:
        reading = asyncio.create_task(made.read())
        peer = await upstream.accept()
        await peer.request()
        await peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n")
        await peer.send(b'{"data":[{"id":"abc"}]')
        await asyncio.sleep(0)
        assert (await reading).problem == "what was answered is no list of models"


# -- what is told of the key that goes along --------------------------------------------------------------------------


async def ask(made: Bench, script: str, *, path: str = "/openai/v1/chat/completions", extra: str = "") -> int:
    """Ask a data plane on a real port for a model; returns the status."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(made.plane.server, "127.0.0.1", 0)
    body = json.dumps({"model": script, "messages": []}).encode()
    try:
        async with client(server.sockets[0].getsockname()[1]) as peer:
            await peer.send(post(path, body, extra=extra))
            return int((await peer.rest()).split(b" ", 2)[1])
    finally:
        server.close()
        await made.plane.server.shutdown(1.0)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("ok", [("openai", True, 200)]),
        ("bad-key", [("openai", False, 401)]),
        ("quota", [("openai", False, 429)]),
        ("fail-402", [("openai", False, 402)]),
        ("fail-403", []),
        ("fail-400", []),
        ("fail-503", []),
        ("rate-limit-1", []),
        ("cut", []),
    ],
)
async def test_what_an_attempt_tells_of_the_configured_key(
    fake: FakeProvider, script: str, told: list[tuple[str, bool, int]]
) -> None:
    async with bench(fake.url) as made:
        await ask(made, script)
        assert [one for one in made.kept.keys if one[0] == "openai"] == told


@pytest.mark.parametrize("script", ["ok", "bad-key"])
@pytest.mark.parametrize("extra", ["Authorization: Bearer sk-of-the-callers\r\n", "x-api-key: sk-of-the-callers\r\n"])
async def test_a_callers_own_key_tells_nothing_of_ours(fake: FakeProvider, script: str, extra: str) -> None:
    async with bench(fake.url) as made:
        await ask(made, script, extra=extra)
        assert [one for one in made.kept.keys if one[0] == "openai"] == []


async def test_where_no_key_is_configured_nothing_is_told(fake: FakeProvider) -> None:
    async with bench(fake.url) as made:
        await ask(made, "bad-key", path="/lab/v1/chat/completions")
        assert made.kept.keys == []


async def test_a_placeholder_is_no_key_of_the_callers(fake: FakeProvider) -> None:
    async with bench(fake.url) as made:
        await ask(made, "ok", extra="Authorization: Bearer detour\r\n")
        assert made.kept.keys == [("openai", True, 200)]


@pytest.mark.parametrize(
    ("path", "told"), [("/openai/v1/batches", []), ("/openai/v1/chat/completions", [("openai", True, 200)])]
)
async def test_only_a_generation_proves_a_key_good(
    fake: FakeProvider, path: str, told: list[tuple[str, bool, int]]
) -> None:
    async with bench(fake.url) as made:
        assert await ask(made, "ok", path=path) == 200
        assert made.kept.keys == told


async def test_a_key_is_known_to_be_good_for_a_while(fake: FakeProvider) -> None:
    async with bench(fake.url) as made:
        for _ in range(3):
            await ask(made, "ok")
        assert made.kept.keys == [("openai", True, 200)]
        made.plane.sure["openai"] = 0.0
        await ask(made, "ok")
        assert made.kept.keys == [("openai", True, 200)] * 2
        await ask(made, "bad-key", extra="x-detour-route: off\r\n")
        await ask(made, "ok")
        assert made.kept.keys[2:] == [("openai", False, 401), ("openai", True, 200)]


async def test_a_key_is_judged_where_a_request_was_answered_in_the_end(fake: FakeProvider) -> None:
    async with bench(fake.url) as made:
        assert await ask(made, "bad-key") == 200
        assert made.kept.keys == [("openai", False, 401), ("twin", True, 200)]
        await ask(made, "bad-key", extra="Authorization: Bearer sk-of-the-callers-0123\r\n")
        assert made.kept.keys == [("openai", False, 401), ("twin", True, 200)], "the caller's key, and a known good one"
