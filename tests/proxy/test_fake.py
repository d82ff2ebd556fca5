"""The scripted provider as a witness: what it logs, how it ends, and as a process."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.fake import Conversation, Ended, FakeProvider, Fault, Seen
from tests.e2e.authority import Authority
from tests.proxy.fake_wire import LEFT, RST, ask, connect, request, split

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


async def test_a_request_is_kept_byte_for_byte(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    head = b"POST /a%2Fb/../chat/completions?x=%7E&&y HTTP/1.1\r\n"
    head += b"Host: a\r\nX-ODD: \xe9 1\r\nx-odd: 2\r\nContent-Length: 15\r\n\r\n"
    wire.send(head + b'{"model":"gpt"}')
    await wire.until(b'"fp_fake"}')
    wire.close()
    [seen] = fake.log
    assert seen.target == b"/a%2Fb/../chat/completions?x=%7E&&y"
    assert seen.headers == [(b"Host", b"a"), (b"X-ODD", b"\xe9 1"), (b"x-odd", b"2"), (b"Content-Length", b"15")]
    assert (seen.method, seen.version, seen.body, seen.size) == ("POST", "1.1", b'{"model":"gpt"}', 15)
    assert (seen.model, seen.script, seen.endpoint, seen.dialect) == ("gpt", "gpt", "chat", "openai")
    assert (seen.ended, seen.aborted, seen.complete, seen.status) == (Ended.ANSWERED, False, True, 200)
    assert (seen.header(b"HOST"), seen.header(b"no"), seen.all(b"X-odd")) == (b"a", None, [b"\xe9 1", b"2"])
    assert seen.sent == len(wire.got)


async def test_pieces_of_any_size_make_the_same_request(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    raw = request("ok", headers=("X-A: 1",))
    for at in range(0, len(raw), 7):
        wire.send(raw[at : at + 7])
        await asyncio.sleep(0)
    await wire.until(b'"fp_fake"}')
    wire.close()
    await ask(fake.port, "ok", headers=("X-A: 1",))
    first, second = fake.log
    assert (first.target, first.body, first.all(b"x-a")) == (second.target, second.body, second.all(b"x-a"))


async def test_a_chunked_upload(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    head = request(headers=("Transfer-Encoding: chunked", "Content-Type: application/json"), body=b"")
    wire.send(head + b'5\r\n{"mod\r\n')
    await fake.until(lambda: bool(fake.log))
    assert not fake.log[0].complete
    wire.send(b'a;x=y\r\nel": "m1"}\r\n0\r\nX-Trailer: 1\r\n\r\n')
    await wire.until(b'"fp_fake"}')
    wire.close()
    assert (fake.log[0].body, fake.log[0].model) == (b'{"model": "m1"}', "m1")


async def test_pipelined_requests_are_answered_in_order(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("slow-head@delay=0.01") + request("a") + request("fail-503") + request("last"))
    await wire.until(b'"model":"last"')
    wire.close()
    assert re.findall(rb"HTTP/1.1 (\d+) ", wire.got) == [b"200", b"200", b"503", b"200"]
    assert [(seen.connection, seen.reused) for seen in fake.log] == [(1, False), (1, True), (1, True), (1, True)]


async def test_too_many_pipelined_requests_end_the_connection(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("silent") + request("ok") * 101)
    assert (await wire.rest()).endswith((LEFT, RST))
    wire.close()
    assert {seen.ended for seen in fake.log} == {Ended.CLIENT_LEFT}


@pytest.mark.parametrize("reset", [False, True])
async def test_the_client_leaving_is_seen_at_once(fake: FakeProvider, reset: bool) -> None:
    loop = asyncio.get_running_loop()
    wire = await connect(fake.port)
    wire.send(request("ok@events=100000,gap=0.001", stream=True))
    await wire.until(b"Detour ")
    left_at = loop.time()
    if reset:
        wire.writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of no time: RST
    wire.abort()
    await fake.until(lambda: fake.log[0].aborted)
    seen = fake.log[0]
    assert seen.ended in ({Ended.CLIENT_RESET} if reset else {Ended.CLIENT_LEFT, Ended.CLIENT_RESET})
    assert seen.client_closed_at is not None
    assert left_at <= seen.client_closed_at <= left_at + 1
    assert seen.ended_at == seen.client_closed_at
    assert 0 < seen.events < 100_000
    await fake.until(lambda: not fake.open)
    assert fake.busy == []


async def test_a_half_closing_client_has_left(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("silent"))
    wire.writer.write_eof()
    assert await wire.rest() == LEFT
    wire.close()
    assert fake.log[0].ended is Ended.CLIENT_LEFT


async def test_a_client_that_leaves_in_its_upload(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("ok", body=b"x" * 100)[:-40])
    await fake.until(lambda: len(fake.log) == 1 and fake.log[0].size == 60)
    wire.close()
    await fake.until(lambda: fake.log[0].aborted)
    assert (fake.log[0].body, fake.log[0].complete, fake.log[0].script) == (b"x" * 60, False, "")


async def test_a_client_that_leaves_with_requests_waiting(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("silent") + request("ok"))
    await fake.until(lambda: len(fake.log) == 2)
    wire.close()
    await fake.until(lambda: all(seen.aborted for seen in fake.log))
    assert fake.counts == {"silent": 1}


async def test_a_client_that_does_not_read_an_answer_to_its_end(fake: FakeProvider) -> None:
    wire = await connect(fake.port, limit=1024)
    wire.send(request("ok@size=20000000"))
    await wire.until(b"HTTP/1.1 200 OK")
    assert fake.log[0].ended is Ended.OPEN
    wire.abort()
    await fake.until(lambda: fake.log[0].aborted)


BIG = b"x" * 30_000_000


@pytest.mark.parametrize("leave", ["half", "abort"])
async def test_an_answer_that_was_written_but_not_taken(fake: FakeProvider, leave: str) -> None:
    def at_once(talk: Conversation) -> None:
        talk.send(talk.head(200, length=len(BIG)) + BIG)
        if leave == "half":
            talk.finish()

    fake.scripts["big"] = at_once
    wire = await connect(fake.port, limit=1024)
    wire.send(request("big"))
    await wire.until(b"HTTP/1.1 200 OK")
    if leave == "half":
        wire.writer.write_eof()
    else:
        wire.abort()
    await fake.until(lambda: fake.log[0].aborted)
    assert fake.log[0].ended in (Ended.CLIENT_LEFT, Ended.CLIENT_RESET)
    wire.abort()


async def test_a_reset_does_not_overtake_what_was_sent(fake: FakeProvider) -> None:
    async def script(talk: Conversation) -> None:
        talk.send(BIG)
        await talk.wait_for_reset()

    fake.scripts["big"] = script
    wire = await connect(fake.port)
    wire.send(request("big"))
    assert len(await wire.rest()) == len(BIG) + len(RST)
    wire.close()


async def test_a_client_that_leaves_a_paced_stream_it_did_not_read(fake: FakeProvider) -> None:
    wire = await connect(fake.port, limit=1024)
    wire.send(request("ok@events=10000,size=200000,gap=0.0001", stream=True))
    await fake.until(lambda: any(connection.paused is not None for connection in fake.open))
    wire.abort()
    await fake.until(lambda: not fake.open)
    assert fake.log[0].aborted


@pytest.mark.parametrize("model", ["ok@events=100000,size=400", "ok@events=1000,size=20000,gap=0.00001"])
async def test_backpressure(fake: FakeProvider, model: str) -> None:
    wire = await connect(fake.port, limit=1024)
    wire.send(request(model, stream=True, headers=("Connection: close",)))
    await fake.until(lambda: any(connection.paused is not None for connection in fake.open))
    assert fake.log[0].ended is Ended.OPEN
    answer = await wire.rest(30)
    wire.close()
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n" + LEFT)
    assert fake.log[0].events == int(model.partition("events=")[2].partition(",")[0])


async def test_bodies_are_kept_within_bounds_and_counted_in_full() -> None:
    async with FakeProvider(keep=10, most=4) as fake:
        for number in range(5):
            await ask(fake.port, body=b"x" * (10 + number))
        assert [(seen.number, len(seen.body), seen.size) for seen in fake.log] == [
            (3, 10, 12),
            (4, 10, 13),
            (5, 10, 14),
        ]
        assert (fake.requests, fake.connections) == (5, 5)


async def test_http_1_0_and_close(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("ok", stream=True, version="1.0"))
    answer = await wire.rest()
    wire.close()
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"data: [DONE]\n\n" + LEFT)
    assert b"connection: close\r\n" in await ask(fake.port, "ok")


async def test_expect_100_continue(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    whole = request("ok", headers=("Expect: 100-continue",))
    head, body = whole[: whole.index(b"{")], whole[whole.index(b"{") :]
    wire.send(head)
    await wire.until(b"HTTP/1.1 100 Continue\r\n\r\n")
    wire.send(body)
    await wire.until(b"HTTP/1.1 200 OK")
    wire.close()


async def test_bytes_that_are_no_http(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await wire.rest()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    wire.close()
    assert len(fake.mistakes) == 1
    assert fake.log == []


async def test_a_header_chooses_the_script_where_there_is_no_model(fake: FakeProvider) -> None:
    answer = await ask(fake.port, method="GET", path="/v1/models", headers=("x-fake-script: fail-503",))
    assert split(answer)[0] == 503
    assert fake.counts == {"fail-503": 1}


async def test_models_that_follow_a_script() -> None:
    async with FakeProvider(models={"llama-3.3-70b": "fail-500"}) as fake:
        assert split(await ask(fake.port, "llama-3.3-70b"))[0] == 500
        assert (fake.log[0].model, fake.log[0].script) == ("llama-3.3-70b", "fail-500")


async def test_an_option_that_makes_no_sense_is_answered(fake: FakeProvider) -> None:
    status, _, body = split(await ask(fake.port, "stall@aftr=3"))
    assert status == 400
    assert b"cannot use option 'aftr=3'" in body


async def test_scripts_of_a_test(fake: FakeProvider) -> None:
    go_on = asyncio.Event()

    async def by_hand(talk: Conversation) -> None:
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await go_on.wait()
        talk.send(b"cd")
        talk.finish()
        talk.send(b"dropped")
        talk.finish()
        talk.reset()

    fake.scripts["mine"] = by_hand
    wire = await connect(fake.port)
    wire.send(request("mine"))
    assert await wire.until(b"ab") == b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"
    assert fake.busy == fake.log
    go_on.set()
    assert (await wire.until(b"abcd")).endswith(b"abcd")
    wire.send(request("ok"))
    await wire.until(b'"fp_fake"}')
    wire.close()
    assert fake.log[1].reused


async def test_scripts_that_start_at_the_head(fake: FakeProvider) -> None:
    bodies: list[bytes] = []

    async def reading(talk: Conversation) -> None:
        bodies.append(talk.seen.body)
        bodies.append(await talk.body())
        bodies.append(await talk.body())
        talk.send(talk.head(200, length=0))
        talk.finish()

    fake.scripts["reader"] = Fault(reading, at_head=True)
    wire = await connect(fake.port)
    raw = request("m", headers=("x-fake-script: reader",))
    wire.send(raw[:-5])
    await fake.until(lambda: bool(bodies))
    wire.send(raw[-5:])
    await wire.until(b"content-length: 0\r\n\r\n")
    wire.close()
    assert bodies[1] == bodies[2] == fake.log[0].body
    assert fake.log[0].model == "m"


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_script_that_fails_is_loud(at_once: bool) -> None:
    async def failing(talk: Conversation) -> None:
        raise ValueError(talk.seen.model)

    def failing_at_once(talk: Conversation) -> None:
        raise ValueError(talk.seen.model)

    fake = await FakeProvider().start()
    fake.scripts["broken"] = failing_at_once if at_once else failing
    assert await ask(fake.port, "broken") == RST
    with pytest.raises(ExceptionGroup, match="scripts of the scripted provider failed"):
        await fake.stop()


async def test_stopping_ends_what_is_open() -> None:
    fake = await FakeProvider().start()
    ended: list[Seen] = []
    fake.on_ended = ended.append
    wires = [await connect(fake.port) for _ in range(2)]
    wires[0].send(request("silent"))
    await fake.until(lambda: fake.counts["silent"] == 1)
    await fake.stop()
    assert [(seen.ended, seen.aborted) for seen in fake.log] == [(Ended.STOPPED, False)]
    assert ended == fake.log
    for wire in wires:
        assert (await wire.rest()).endswith((LEFT, RST))
        wire.close()


async def test_until_gives_up(fake: FakeProvider) -> None:
    with pytest.raises(TimeoutError):
        await fake.until(lambda: False, seconds=0.01)


async def test_it_cannot_start_on_a_taken_port(fake: FakeProvider) -> None:
    other = FakeProvider(port=fake.port)
    with pytest.raises(OSError, match="in use"):
        await other.start()
    await other.stop()


async def test_ipv6_urls() -> None:
    assert FakeProvider("::1", 80).url == "http://[::1]:80"


async def test_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "local")
    async with FakeProvider(tls=authority.server("127.0.0.1", "localhost")) as fake:
        assert fake.url.startswith("https://")
        wire = await connect(fake.port, ssl=ssl.create_default_context(cafile=str(authority.file)))
        wire.send(request("reset", stream=True))
        assert b"Detour " in await wire.rest()
        wire.abort()
        assert fake.log[0].ended is Ended.RESET


@pytest.mark.parametrize("to", ["nowhere", "output", "file"])
async def test_as_a_process(tmp_path: Path, to: str) -> None:
    log = tmp_path / "log.jsonl"
    options = {"nowhere": (), "output": ("--log", "-"), "file": ("--log", str(log))}[to]
    options += ("--keep", "20", "--model", "gpt=fail-503")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxy.fake", *options, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        port = int((await process.stdout.readline()).rpartition(b":")[2])
        assert split(await ask(port, "gpt"))[0] == 503
        process.send_signal(signal.SIGTERM)
        rest = await process.stdout.read()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if to == "nowhere":
        assert rest == b""
        return
    [line] = [json.loads(line) for line in (log.read_bytes() if to == "file" else rest).splitlines()]
    assert (line["model"], line["script"], line["status"], line["ended"]) == ("gpt", "fail-503", 503, "answered")
    assert line["target"] == "/v1/chat/completions"
    assert ["Host", "fake"] in line["headers"]
    assert len(line["body"]) == 20 < line["size"]
