"""Probes sent through a data plane to scripted providers, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from breaker.outcome import OTHER_MODEL, Blame, Kind, Neutral, Status
from breaker.registry import Registry
from breaker.transitions import State
from config.load import load_text
from proxy import prober as module
from proxy.connect import Connector
from proxy.errand import KEPT
from proxy.fake import Conversation, FakeProvider
from proxy.fake_asked import JSON, encode
from proxy.plane import DataPlane
from proxy.pool import Pools
from proxy.probe import NO_REQUEST
from proxy.prober import Probed, Prober
from tests.e2e.world import RawUpstream, client, eventually, post, split
from tests.proxy.kept import Kept

FILE = """
providers:
  openai: {{base_url: "{url}/v1", api_key: sk-own}}
  anthropic: {{base_url: "{url}/v1", api_key: own-a}}
  gemini: {{base_url: "{url}/v1beta", api_key: own-g}}
  fal-queue: {{base_url: "{url}/queue", api_key: own-f}}
  fal: {{base_url: "{url}", api_key: own-f}}
  groq: {{}}
  lab: {{base_url: "{url}/v1"}}
models:
  group: {{targets: [openai/fail-503, lab/ok]}}
breakers: {{failure_threshold: 2, success_threshold: 1, open_for: 200ms, jitter: 0}}
timeouts: {{connect: 1s}}
"""


class Lab:
    """A data plane in front of one origin, and a prober at it."""

    def __init__(self, url: str, more: str = "") -> None:
        loop = asyncio.get_running_loop()
        config = load_text(FILE.format(url=url) + more, {})
        self.kept = Kept()
        self.pools = Pools(Connector(loop), loop)
        self.registry = Registry(
            tracked=100,
            configured=config.targets,
            per_provider={name: provider.breakers for name, provider in config.providers.items()},
            stand_ins=config.stand_ins,
        )
        self.plane = DataPlane(config, self.registry, self.kept, self.pools, loop, instance="abc")
        self.prober = Prober(self.plane)

    async def ask(self, model: str, provider: str = "openai", limit: float = 20.0, most: int = 5) -> Probed:
        return await self.prober.probe(provider, model, timeout=limit, max_tokens=most)

    def state(self, model: str, provider: str = "openai") -> State:
        breaker = self.registry.breaker(provider, model)
        return State.CLOSED if breaker is None else breaker.state

    async def quiet(self) -> None:
        """Wait until nothing is under way, and see that nothing was left behind."""
        await eventually(lambda: not self.plane.in_flight)
        assert self.plane.errands == {}
        assert self.registry.open_permits == 0
        assert {outcome.kind for outcome in self.kept.outcomes} <= {Kind.PROBE}
        assert (self.kept.answers, self.kept.moves) == ([], [])


@contextlib.asynccontextmanager
async def lab(url: str, more: str = "") -> AsyncIterator[Lab]:
    found = Lab(url, more)
    found.plane.watch.start()
    try:
        yield found
        await found.quiet()
    finally:
        found.plane.watch.stop()
        await found.plane.server.shutdown(1.0)
        found.pools.close()


@contextlib.asynccontextmanager
async def scripted(more: str = "", **answers: tuple[int, Any]) -> AsyncIterator[tuple[Lab, FakeProvider]]:
    """A lab at a scripted provider; `answers` are status and document by model, `_` for requests without one."""
    async with FakeProvider() as fake, lab(fake.url, more) as found:
        for model, (status, document) in answers.items():
            fake.scripts["" if model == "_" else model.replace("_", "-")] = _answer(status, document)
        yield found, fake


def _answer(status: int, document: Any) -> Any:
    def act(talk: Conversation) -> None:
        body = document if isinstance(document, bytes) else encode(document)
        talk.send(talk.head(status, [(b"content-type", JSON)], length=len(body)) + body)
        talk.finish()

    return act


# -- what the provider sees --------------------------------------------------------------------------------------------

COMMON = "User-Agent: detour\r\nAccept: application/json\r\nAccept-Encoding: identity\r\n"
TYPED = COMMON + "Content-Type: application/json\r\n"
HI = '"messages":[{"role":"user","content":"hi"}]'


@pytest.mark.parametrize(
    ("provider", "model", "line", "fields", "body"),
    [
        (
            "openai",
            "gpt-4o",
            "POST /v1/chat/completions",
            TYPED + "Authorization: Bearer sk-own\r\n",
            f'{{"model":"gpt-4o",{HI},"max_completion_tokens":5}}',
        ),
        ("openai", "dall-e-3", "GET /v1/models", COMMON + "Authorization: Bearer sk-own\r\n", ""),
        ("lab", "a/b", "POST /v1/chat/completions", TYPED, f'{{"model":"a/b",{HI},"max_tokens":5}}'),
        (
            "anthropic",
            "claude-x",
            "POST /v1/messages",
            TYPED + "x-api-key: own-a\r\nanthropic-version: 2023-06-01\r\n",
            f'{{"model":"claude-x",{HI},"max_tokens":5}}',
        ),
        (
            "gemini",
            "g?x/1",
            "POST /v1beta/models/g%3Fx%2F1:generateContent",
            TYPED + "x-goog-api-key: own-g\r\n",
            '{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":5}}',
        ),
        ("gemini", "imagen-4", "GET /v1beta/models/imagen-4", COMMON + "x-goog-api-key: own-g\r\n", ""),
        (
            "fal-queue",
            "fal-ai/flux/dev",
            f"GET /queue/fal-ai/flux/requests/{NO_REQUEST}/status",
            COMMON + "Authorization: Key own-f\r\n",
            "",
        ),
    ],
)
async def test_the_bytes_of_a_probe(provider: str, model: str, line: str, fields: str, body: str) -> None:
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask(model, provider))
        peer = await upstream.accept()
        head, sent = await peer.request()
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        host = f"Host: 127.0.0.1:{upstream.port}\r\n"
        assert head.decode() == f"{line} HTTP/1.1\r\n{host}{fields}Via: 1.1 detour-abc\r\n{length}\r\n"
        assert sent.decode() == body
        answer = b'{"data":[{"id":"dall-e-3"}]}'
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        )
        await peer.send(answer)
        assert await probing == Probed(Status.SUCCESS, tokens=5 if body else 0, http_status=200)
    (outcome,) = found.kept.outcomes
    assert (outcome.provider, outcome.model, outcome.kind) == (provider, model, Kind.PROBE)


# -- what it comes to --------------------------------------------------------------------------------------------------

TOO_FEW = {"error": {"message": "Could not finish the message because max_tokens or model output limit was reached."}}
WRONG = {"error": {"message": "Invalid value for 'temperature'", "type": "invalid_request_error"}}
NO_MODEL = {"error": {"message": "The model does not exist", "code": "model_not_found"}}
LISTED = {"object": "list", "data": [{"id": "dall-e-3"}, {"id": "tts-1"}]}
USED = {"choices": [{"message": {"content": "Hi"}, "finish_reason": "length"}], "usage": {"total_tokens": 13}}


@pytest.mark.parametrize(
    ("status", "document", "expected", "blame", "tokens", "said"),
    [
        (200, USED, Status.SUCCESS, Blame.NOBODY, 13, ""),
        (200, {"choices": []}, Status.SUCCESS, Blame.NOBODY, 5, ""),
        (400, TOO_FEW, Status.SUCCESS, Blame.NOBODY, 5, ""),
        (400, WRONG, Neutral.CALLER_ERROR, Blame.NOBODY, 0, "Invalid value for 'temperature'"),
        (401, b"", Status.ERROR, Blame.PROVIDER_CREDENTIAL, 0, "401"),
        (402, b"", Status.ERROR, Blame.PROVIDER_CREDENTIAL, 0, "402"),
        (403, b"", Status.ERROR, Blame.TARGET_CREDENTIAL, 0, "403"),
        (404, NO_MODEL, Status.ERROR, Blame.TARGET_CREDENTIAL, 0, "does not exist"),
        (404, b"", Neutral.CALLER_ERROR, Blame.NOBODY, 0, "404"),
        (429, b"", Status.RATE_LIMITED, Blame.TARGET_CREDENTIAL, 0, "429"),
        (500, b"", Status.ERROR, Blame.TARGET, 5, "500"),
        (529, b"", Status.ERROR, Blame.TARGET, 5, "529"),
        (200, {"error": {"code": 503, "message": "busy"}}, Status.ERROR, Blame.TARGET, 5, "busy"),
    ],
)
async def test_answers(
    status: int, document: Any, expected: Status | Neutral, blame: Blame, tokens: int, said: str
) -> None:
    async with scripted(m=(status, document)) as (found, fake):
        probed = await found.ask("m")
        assert (probed.status, probed.tokens) == (expected, tokens)
        assert said in probed.reason
        assert (probed.reason == "") is (expected is Status.SUCCESS)
        assert probed.counted is isinstance(expected, Status)
        (outcome,) = found.kept.outcomes
        assert (outcome.model, outcome.kind) == ("m" if probed.counted else OTHER_MODEL, Kind.PROBE)
        assert (outcome.verdict.status, outcome.verdict.blame) == (expected, blame)
        assert len(fake.log) == 1


@pytest.mark.parametrize(
    ("status", "document", "expected", "said"),
    [
        (200, LISTED, Status.SUCCESS, ""),
        (200, {"data": [{"id": "other"}]}, Status.ERROR, "does not name it"),
        (200, {"data": []}, Neutral.CALLER_ERROR, "cannot be read"),
        (200, {"data": [{"id": "dall-e-3", "name": "x" * KEPT}]}, Neutral.CALLER_ERROR, "cannot be read"),
        (200, b"<html>", Neutral.CALLER_ERROR, "cannot be read"),
        (400, TOO_FEW, Neutral.CALLER_ERROR, "max_tokens"),
        (401, b"", Status.ERROR, "401"),
        (404, b"", Neutral.CALLER_ERROR, "404"),
        (503, b"", Status.ERROR, "503"),
    ],
)
async def test_answers_to_the_question_which_models_there_are(
    status: int, document: Any, expected: Status | Neutral, said: str
) -> None:
    async with scripted(_=(status, document)) as (found, fake):
        probed = await found.ask("dall-e-3")
        assert (probed.status, probed.tokens) == (expected, 0)
        assert said in probed.reason
        assert [(seen.method, seen.target) for seen in fake.log] == [("GET", b"/v1/models")]
        assert [one.model for one in found.kept.outcomes] == ["dall-e-3" if probed.counted else OTHER_MODEL]


@pytest.mark.parametrize(("model", "expected"), [("dall-e-3", Neutral.CALLER_ERROR), ("m", Status.SUCCESS)])
async def test_an_answer_that_is_compressed_all_the_same_is_not_guessed_at(
    model: str, expected: Status | Neutral
) -> None:
    body = zlib.compress(json.dumps(LISTED).encode())
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: deflate\r\nContent-Length: %d\r\n\r\n"
    )
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask(model))
        peer = await upstream.accept()
        await peer.request()
        await peer.send(head % len(body) + body)
        assert (await probing).status is expected


@pytest.mark.parametrize(
    ("provider", "model", "document", "expected"),
    [
        ("gemini", "imagen-4", {"error": {"code": 404, "message": "models/imagen-4 is not found"}}, Status.ERROR),
        ("fal-queue", "fal-ai/flux", {"detail": "Request not found"}, Status.SUCCESS),
        ("fal-queue", "fal-ai/flux", {"detail": "Application 'flux' not found"}, Status.ERROR),
    ],
)
async def test_what_a_404_means_depends_on_what_was_asked(
    provider: str, model: str, document: Any, expected: Status
) -> None:
    async with scripted(_=(404, document)) as (found, fake):
        fake.scripts["fal-ai/flux"] = fake.scripts[""]
        probed = await found.ask(model, provider)
        assert (probed.status, probed.http_status, probed.tokens) == (expected, 404, 0)


@pytest.mark.parametrize(
    ("script", "expected", "blame", "tokens"),
    [
        ("reset-before", Status.NETWORK_ERROR, Blame.PROVIDER, 5),
        ("cut", Status.NETWORK_ERROR, Blame.TARGET, 5),
        ("garbage", Status.NETWORK_ERROR, Blame.PROVIDER, 5),
    ],
)
async def test_broken_answers(script: str, expected: Status, blame: Blame, tokens: int) -> None:
    async with scripted() as (found, _):
        probed = await found.ask(script)
        assert (probed.status, probed.tokens) == (expected, tokens)
        assert found.kept.outcomes[0].verdict.blame is blame


async def test_a_provider_that_is_not_there_costs_nothing() -> None:
    async with RawUpstream() as upstream:
        url = upstream.url
    async with lab(url) as found:
        probed = await found.ask("m")
        assert (probed.status, probed.tokens, probed.http_status) == (Status.NETWORK_ERROR, 0, None)


@pytest.mark.parametrize("model", ["m", "dall-e-3"])
async def test_a_limit_that_passes_is_the_targets_timeout(model: str) -> None:
    """A caller in a hurry says nothing about a target; a tier's limit does."""
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask(model, limit=0.4))
        peer = await upstream.accept()
        await peer.request()
        probed = await probing
        assert (probed.status, probed.reason) == (Status.TIMEOUT, "not finished within 0.4 s")
        (outcome,) = found.kept.outcomes
        assert (outcome.verdict.blame, outcome.kind) == (Blame.TARGET, Kind.PROBE)
        assert await peer.rest() == b""


async def test_an_answer_that_trickles_is_bounded_as_a_whole() -> None:
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask("m", limit=0.5))
        peer = await upstream.accept()
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not probing.done():
                await peer.send(b" ")
                await asyncio.sleep(0.02)
        probed = await probing
        assert (probed.status, probed.http_status) == (Status.TIMEOUT, 200)


# -- what becomes of it ------------------------------------------------------------------------------------------------


async def test_it_is_neither_rerouted_nor_repeated() -> None:
    async with scripted() as (found, fake):
        for _ in range(2):
            assert (await found.ask("fail-503")).status is Status.ERROR
        assert [seen.model for seen in fake.log] == ["fail-503"] * 2
        assert found.state("fail-503") is State.OPEN


async def test_an_open_breaker_turns_it_away_until_it_is_the_trial() -> None:
    async with scripted(m=(503, b"")) as (found, fake):
        for _ in range(2):
            await found.ask("m")
        probed = await found.ask("m")
        assert (probed.status, probed.rejected, probed.tokens) == (None, "open", 0)
        assert "503" in probed.reason
        assert len(fake.log) == 2
        fake.scripts["m"] = _answer(200, USED)
        while (probed := await found.ask("m")).status is None:
            assert probed.rejected == "open"
            await asyncio.sleep(0.02)
        assert probed.status is Status.SUCCESS
        assert (found.state("m"), len(fake.log)) == (State.CLOSED, 3)


async def test_a_429_holds_off_and_opens_nothing() -> None:
    async with scripted(m=(429, b"")) as (found, fake):
        assert (await found.ask("m")).status is Status.RATE_LIMITED
        again = await found.ask("m")
        assert (again.status, again.rejected) == (None, "hold_off")
        assert (found.state("m"), len(fake.log)) == (State.CLOSED, 1)


async def test_a_refused_key_turns_away_what_would_use_it() -> None:
    async with scripted(m=(401, b""), n=(200, USED)) as (found, fake):
        for _ in range(2):
            await found.ask("m")
        assert (await found.ask("n")).rejected == "credential"
        assert (await found.ask("n", "lab")).status is Status.SUCCESS
        assert len(fake.log) == 3


async def test_the_exchanges_own_retry_budget_is_left_alone() -> None:
    async with scripted(m=(200, USED)) as (found, _):
        before = found.registry.budget("openai").left(found.plane.watch.now())
        for _ in range(20):
            await found.ask("m")
        assert found.registry.budget("openai").left(found.plane.watch.now()) == before


# -- what is not sent --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model", "said"),
    [
        ("groq", "m", "no credential"),
        ("nobody", "m", "no credential"),
        ("fal", "fal-ai/flux", "without a price"),
        ("openai", "..", "without a price"),
    ],
)
async def test_what_cannot_be_asked_is_not(provider: str, model: str, said: str) -> None:
    async with scripted() as (found, fake):
        probed = await found.ask(model, provider)
        assert (probed.status, probed.tokens, probed.counted, probed.rejected) == (None, 0, False, "")
        assert said in probed.reason
        assert fake.log == []


async def test_a_sidecar_that_others_reach_spends_its_key_on_probes_all_the_same() -> None:
    more = "listen: 0.0.0.0:0\nclient_token: sesame-open\n"
    async with scripted(more, m=(200, USED)) as (found, fake):
        assert (await found.ask("m")).status is Status.SUCCESS
        assert fake.log[0].header(b"authorization") == b"Bearer sk-own"
        assert not [name for name, value in fake.log[0].headers if b"sesame" in value or b"detour" in name.lower()]


async def test_no_connection_free_is_said() -> None:
    more = "limits: {connections: 1, pool_wait: 50ms}\n"
    async with RawUpstream() as upstream, lab(upstream.url, more) as found:
        first = asyncio.create_task(found.ask("m"))
        peer = await upstream.accept()
        await peer.request()
        probed = await found.ask("n")
        assert (probed.status, probed.rejected) == (None, "")
        assert "were busy" in probed.reason
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        assert (await first).status is Status.SUCCESS


async def test_draining_sends_no_more_and_ends_what_is_out() -> None:
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask("m"))
        peer = await upstream.accept()
        await peer.request()
        found.prober.stop()
        await eventually(lambda: found.plane.in_flight == 0)
        assert (await probing).status in (None, Neutral.CANCELLED)
        assert await found.ask("m") == Probed(None, "Detour is draining")
        assert await peer.rest() == b""
        assert [outcome.verdict.status for outcome in found.kept.outcomes] == [Neutral.CANCELLED]
    assert upstream.accepted == 1


async def test_a_data_plane_that_drains_takes_no_probes() -> None:
    async with scripted() as (found, fake):
        found.plane.server.draining = True
        assert (await found.ask("ok")).status is None
        assert fake.log == []


async def test_cancelling_it_ends_it_without_a_verdict() -> None:
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        probing = asyncio.create_task(found.ask("m"))
        peer = await upstream.accept()
        await peer.request()
        probing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probing
        assert await peer.rest() == b""
        await eventually(lambda: bool(found.kept.outcomes))
        assert not found.kept.outcomes[0].verdict.counted


async def test_a_data_plane_that_forgets_a_probe_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MARGIN", 0.1)
    async with RawUpstream() as upstream, lab(upstream.url) as found:
        found.plane.watch.stop()
        probed = await found.ask("m", limit=0.1)
        assert probed.status in (None, Neutral.CANCELLED)


@pytest.mark.parametrize("step", ["socketpair", "connect_accepted_socket", "open_unix_connection"])
async def test_no_descriptor_free_is_no_verdict(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async with scripted() as (found, fake):
        owners = {"socketpair": socket, "connect_accepted_socket": found.plane.loop, "open_unix_connection": asyncio}
        monkeypatch.setattr(owners[step], step, fail)
        probed = await found.ask("ok")
        monkeypatch.undo()
        assert (probed.status, probed.tokens) == (None, 0)
        assert (await found.ask("ok")).status is Status.SUCCESS
        assert len(fake.log) == 1


# -- nobody else's -----------------------------------------------------------------------------------------------------


async def test_a_caller_cannot_pass_for_a_probe() -> None:
    body = b'{"model":"m","messages":[]}'
    async with RawUpstream() as upstream:
        found = Lab(upstream.url)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(found.plane.server, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        probing = asyncio.create_task(found.ask("m"))
        peer = await upstream.accept()
        await peer.request()
        (word,) = found.plane.errands
        answer = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"choices":[]}'
        await peer.send(answer)
        assert (await probing).status is Status.SUCCESS
        for value in (word.decode(), "0" * 32, "", "*"):
            async with client(port) as caller:
                await caller.send(post("/openai/v1/chat/completions", body, extra=f"X-Detour-Probe: {value}\r\n"))
                head, _ = await peer.request()
                assert b"probe" not in head.lower()
                await peer.send(answer)
                status, fields, _ = split(await caller.rest())
                assert status == 200
                assert not [name for name, _ in fields if b"probe" in name.lower()]
        server.close()
        await found.plane.server.shutdown(1.0)
        found.pools.close()
    assert [outcome.kind for outcome in found.kept.outcomes] == [Kind.PROBE] + [Kind.LIVE] * 4
    assert len(found.kept.answers) == 4


def test_it_works_on_the_loop_that_serves() -> None:
    async def run() -> list[Status | Neutral | None]:
        async with scripted(m=(503, b"")) as (found, _):
            return [(await found.ask(model)).status for model in ("ok", "m", "dall-e-3")]

    assert uvloop.run(run()) == [Status.SUCCESS, Status.ERROR, Status.ERROR]
