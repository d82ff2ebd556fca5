from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.fake import Ended, FakeProvider
from proxy.fake_faults import FAULTS, find
from proxy.fake_script import Script
from tests.proxy.fake_wire import LEFT, RST, ask, connect, request, split


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("ok", Script("ok")),
        ("gpt-5", Script("ok")),
        ("claude@20240620", Script("ok")),
        ("acme/stall@after=2", Script("stall", {"after": "2"})),
        ("slow-first", Script("slow-first", {"first": "2"})),
        ("slow-first@first=9", Script("slow-first", {"first": "9"})),
        ("fail-503", Script("fail", {"status": "503"})),
        ("fail-503@delay=1", Script("fail", {"status": "503", "delay": "1"})),
        ("fail-99", Script("ok")),
        ("rate-limit-5", Script("rate-limit", {"status": "429", "retry": "5"})),
        ("rate-limit-0.5@form=ms", Script("rate-limit", {"status": "429", "retry": "0.5", "form": "ms"})),
    ],
)
def test_names(text: str, script: Script) -> None:
    assert find(text)[0] == script


def test_every_script_says_what_it_does() -> None:
    assert len(FAULTS) > 40
    assert [name for name, fault in FAULTS.items() if not fault.act.__doc__] == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "end", "ended"),
    [
        ("cut", LEFT, Ended.CLOSED),
        ("reset", RST, Ended.RESET),
        ("short", LEFT, Ended.CLOSED),
    ],
)
async def test_broken_off(fake: FakeProvider, model: str, stream: bool, end: bytes, ended: Ended) -> None:
    whole = split(await ask(fake.port, "ok", stream=stream))[2]
    answer = await ask(fake.port, model, stream=stream)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(end)
    assert not answer.removesuffix(end).endswith(b"0\r\n\r\n")
    assert (b"Detour " in answer, b'"finish_reason":"stop"' in answer) == (True, False)
    assert len(answer.partition(b"\r\n\r\n")[2]) < len(whole)
    seen = fake.log[-1]
    assert (seen.ended, seen.events, seen.status) == (ended, 3 if stream else 0, 200)
    assert seen.sent == len(answer.removesuffix(end))


@pytest.mark.parametrize(
    ("model", "end", "ended"), [("close-before", LEFT, Ended.CLOSED), ("reset-before", RST, Ended.RESET)]
)
async def test_ended_before_the_head(fake: FakeProvider, model: str, end: bytes, ended: Ended) -> None:
    assert await ask(fake.port, model) == end
    seen = fake.log[0]
    assert (seen.status, seen.sent, seen.answer_at, seen.ended) == (0, 0, None, ended)


async def test_truncated_is_a_proper_end_without_a_terminal(fake: FakeProvider) -> None:
    _, _, body = split(await ask(fake.port, "truncate", stream=True))
    assert (body.count(b'"content":"'), b"[DONE]" in body) == (1 + 3, False)
    _, _, half = split(await ask(fake.port, "truncate"))
    assert half.startswith(b'{"id":')
    assert not half.endswith(b"}")
    assert [seen.ended for seen in fake.log] == [Ended.ANSWERED] * 2


async def test_nothing_before_a_stall(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("stall@after=0,gap=0.01", stream=True))
    await wire.until(b'"role":"assistant"')
    wire.close()
    await fake.until(lambda: fake.log[0].aborted)
    assert fake.log[0].events == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_stall(fake: FakeProvider, stream: bool) -> None:
    wire = await connect(fake.port)
    wire.send(request("stall@after=1", stream=stream))
    await wire.until(b"Detour ")
    before = fake.log[0].sent
    wire.close()
    await fake.until(lambda: fake.log[0].aborted)
    assert (fake.log[0].events, fake.log[0].sent) == (int(stream), before)


@pytest.mark.parametrize(
    ("path", "stream", "comment"),
    [
        ("/v1/chat/completions", True, b": keep-alive\n\n"),
        ("/v1/chat/completions", False, b"\n"),
        ("/v1/messages", True, b'event: ping\ndata: {"type":"ping"}\n\n'),
        ("/v1beta/models/stall-comments%40gap%3D0.001:streamGenerateContent", True, b"\n"),
    ],
)
async def test_comments_for_ever(fake: FakeProvider, path: str, stream: bool, comment: bytes) -> None:
    wire = await connect(fake.port)
    wire.send(request("stall-comments@gap=0.001", path=path, stream=stream))
    chunk = b"%x\r\n%b\r\n" % (len(comment), comment)
    await wire.until(chunk * 3)
    assert fake.log[0].events == (3 if stream else 0)
    wire.abort()
    await fake.until(lambda: fake.log[0].aborted)


@pytest.mark.parametrize("stream", [False, True])
async def test_comments_before_content(fake: FakeProvider, stream: bool) -> None:
    _, _, body = split(await ask(fake.port, "slow-comments@first=0.01,gap=0.002", stream=stream))
    comment = b": keep-alive\n\n" if stream else b"\n"
    assert body.count(comment) >= 1
    assert body.rindex(comment) < body.index(b"Detour ")
    assert body.endswith(b"data: [DONE]\n\n" if stream else b"}")


async def test_silent(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("silent"))
    await fake.until(lambda: fake.counts["silent"] == 1)
    assert fake.log[0].sent == 0
    wire.close()
    await fake.until(lambda: fake.log[0].ended is Ended.CLIENT_LEFT)


async def test_slow_head(fake: FakeProvider) -> None:
    await ask(fake.port, "slow-head@delay=0.03")
    seen = fake.log[0]
    assert seen.answer_at is not None
    assert seen.answer_at - seen.at >= 0.025


@pytest.mark.parametrize(
    "model", ["slow-first@first=0.03", "slow-tokens@gap=0.01,events=3", "ok@first=0.01,gap=0.01,events=3"]
)
@pytest.mark.parametrize("stream", [False, True])
async def test_slow_answers_are_whole(fake: FakeProvider, model: str, stream: bool) -> None:
    wire = await connect(fake.port)
    wire.send(request(model, stream=stream, headers=("Connection: close",)))
    head = await wire.until(b"\r\n\r\n")
    assert b"Detour" not in head or "first" not in model
    status, _, body = split(await wire.rest())
    wire.close()
    assert status == 200
    assert body.endswith(b"data: [DONE]\n\n" if stream else b"}")
    seen = fake.log[0]
    assert seen.ended is Ended.ANSWERED
    assert seen.ended_at is not None
    assert seen.ended_at - seen.at >= 0.025


@pytest.mark.parametrize("model", ["ok", "ok@gap=0.001", "slow-head@delay=0.001"])
async def test_head_requests_have_no_body(fake: FakeProvider, model: str) -> None:
    answer = await ask(fake.port, model, method="HEAD")
    assert answer.endswith(b"\r\n\r\n" + LEFT)
    assert b"content-length: " in answer
    answer = await ask(fake.port, "fail-503", method="HEAD", headers=("x-fake-script: fail-503",))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"\r\n\r\n" + LEFT)


def test_every_script_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "scripted-provider.md").read_text(encoding="utf-8")
    table = text.partition("## Scripts")[2].partition("## In tests")[0]
    named = set(re.findall(r"`([a-z0-9-]+)`", "\n".join(row.split("|")[1] for row in table.splitlines() if "|" in row)))
    assert FAULTS.keys() - {"fail"} <= named | {"fail"}
    assert {name for name in named if find(name)[0].name == "ok"} == {"ok"}
