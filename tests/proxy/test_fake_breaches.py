from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import pytest

from proxy.fake import Conversation, Ended, FakeProvider
from tests.proxy.fake_wire import LEFT, RST, ask, connect, request, split


@pytest.fixture
async def fake() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as provider:
        yield provider


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("garbage", b"\x16\x03\x01 this is not HTTP"),
        ("bad-framing", b"transfer-encoding: chunked\r\ncontent-length: 2\r\n"),
        ("bad-framing@kind=lengths", b"content-length: 2\r\ncontent-length: 3\r\n"),
        ("bad-framing@kind=list", b"content-length: 2, 3\r\n"),
        ("bad-framing@kind=sign", b"content-length: +2\r\n"),
        ("bad-framing@kind=te", b"transfer-encoding: gzip, smuggled\r\n"),
        ("bad-framing@kind=chunk", b"\r\n\r\nzz\r\n"),
        ("bad-framing@kind=space", b"content-length : 2\r\n"),
        ("bad-chunk", b"not-a-size\r\n{}\r\n"),
        ("close-delimited", b"connection: close\r\n\r\n{"),
    ],
)
async def test_bytes(fake: FakeProvider, model: str, expected: bytes) -> None:
    answer = await ask(fake.port, model)
    assert expected in answer
    assert answer.endswith(LEFT)


async def test_unknown_kinds_are_loud() -> None:
    fake = await FakeProvider().start()
    assert await ask(fake.port, "bad-framing@kind=unknown") == RST
    with pytest.raises(ExceptionGroup) as raised:
        await fake.stop()
    assert isinstance(raised.value.exceptions[0], KeyError)


async def test_close_delimited_cut_by_a_reset(fake: FakeProvider) -> None:
    answer = await ask(fake.port, "close-delimited-reset", stream=True)
    assert answer.endswith(RST)
    assert b'data: {"id":' in answer


@pytest.mark.parametrize("stream", [False, True])
async def test_extra_bytes_and_chunk_details(fake: FakeProvider, stream: bool) -> None:
    extra = await ask(fake.port, "extra-bytes", stream=stream)
    assert extra.endswith(b"content-length: 5\r\n\r\nextra" + LEFT)
    answer = await ask(fake.port, "chunk-details", stream=stream)
    assert b";fake=extension\r\n" in answer
    assert answer.endswith(b"0\r\nx-fake-trailer: seen\r\n\r\n" + LEFT)
    _, _, body = split(answer)
    assert body.startswith(b"data: " if stream else b"{")


@pytest.mark.parametrize("stream", [False, True])
async def test_codings(fake: FakeProvider, stream: bool) -> None:
    for model, coding in (
        ("gzip", b"gzip"),
        ("deflate", b"deflate"),
        ("deflate@kind=raw", b"deflate"),
        ("zstd", b"zstd"),
    ):
        _, headers, body = split(await ask(fake.port, model, stream=stream))
        assert headers[b"content-encoding"] == coding
        plain = {
            "gzip": gzip.decompress,
            "deflate": zlib.decompress,
            "deflate@kind=raw": lambda data: zlib.decompress(data, -15),
            "zstd": lambda data: data[6 + 3 :],
        }[model](body)
        assert plain.startswith(b"data: " if stream else b"{")
        assert plain.endswith(b"[DONE]\n\n" if stream else b"}")


async def test_zstd_frames_are_valid(fake: FakeProvider) -> None:
    """RFC 8878: magic, a frame header with window descriptor, raw blocks, the last one marked."""
    _, _, body = split(await ask(fake.port, "zstd"))
    assert body[:4] == b"\x28\xb5\x2f\xfd"
    block = int.from_bytes(body[6:9], "little")
    assert (block & 1, block >> 1 & 3, block >> 3) == (1, 0, len(body) - 9)


@pytest.mark.parametrize(
    ("model", "start"),
    [
        ("early-hints", b"HTTP/1.1 103 Early Hints\r\nlink: "),
        ("continue", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"),
    ],
)
async def test_interim_answers(fake: FakeProvider, model: str, start: bytes) -> None:
    answer = await ask(fake.port, model)
    assert answer.startswith(start)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in answer


async def test_redirect_and_no_content(fake: FakeProvider) -> None:
    answer = await ask(fake.port, "redirect")
    assert answer.count(b"set-cookie: ") == 2
    assert answer.startswith(b"HTTP/1.1 307 ")
    assert await ask(fake.port, "no-content") == b"HTTP/1.1 204 No Content\r\n\r\n" + LEFT


def upload(script: str, length: int = 1000) -> bytes:
    return request(headers=(f"x-fake-script: {script}",), body=b"x" * length)


async def test_an_early_answer_ends_the_connection(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(upload("early@status=401")[:-500])
    answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(LEFT)
    wire.send(b"x" * 500)
    wire.close()
    await fake.until(lambda: not fake.open)
    seen = fake.log[0]
    assert (seen.ended, seen.aborted, seen.status) == (Ended.ANSWERED, False, 401)


async def test_an_early_answer_on_a_line_that_stays_open(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(upload("early@kind=open")[:-500])
    await wire.until(b"}}")
    assert not fake.log[0].complete
    wire.send(b"x" * 500 + request("ok"))
    await wire.until(b"HTTP/1.1 200 OK")
    wire.close()
    assert fake.log[0].complete
    assert fake.log[0].size == 1000


async def test_a_slow_reader_of_a_body_that_is_there_already(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(upload("slow-upload@delay=0.01"))
    await wire.until(b"HTTP/1.1 200 OK")
    wire.close()
    assert fake.log[0].body == b"x" * 1000


async def test_a_slow_reader(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(upload("slow-upload@delay=0.05", 3_000_000))
    await wire.until(b"HTTP/1.1 200 OK")
    wire.close()
    seen = fake.log[0]
    assert seen.body_at is not None
    assert seen.body_at - seen.at >= 0.045
    assert seen.body == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("model", "end", "ended"), [("cut-upload", LEFT, Ended.CLOSED), ("reset-upload", RST, Ended.RESET)]
)
async def test_broken_uploads(fake: FakeProvider, model: str, end: bytes, ended: Ended) -> None:
    wire = await connect(fake.port)
    wire.send(upload(model)[:-1])
    assert await wire.rest() == end
    wire.close()
    assert (fake.log[0].ended, fake.log[0].complete) == (ended, False)


async def test_an_idle_line_closed_after_a_slow_answer(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    wire.send(request("idle-close@gap=0.001,delay=0.001"))
    assert (await wire.rest()).endswith(b'"fp_fake"}' + LEFT)
    wire.close()


async def test_idle_lines(fake: FakeProvider) -> None:
    for model, end in (("idle-close", LEFT), ("stale", RST)):
        wire = await connect(fake.port)
        wire.send(request(model))
        first = await wire.until(b'"fp_fake"}')
        assert b"connection: close" not in first
        if model == "stale":
            wire.send(request(model))
        assert (await wire.rest()).endswith(b'"fp_fake"}' + end)
        wire.close()
    assert [seen.ended for seen in fake.log] == [Ended.ANSWERED, Ended.ANSWERED, Ended.RESET]


async def test_upgrade(fake: FakeProvider) -> None:
    asking = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    wire = await connect(fake.port)
    wire.send(request(method="GET", headers=(*asking, "x-fake-script: upgrade")) + b"early")
    head = await wire.until(b"early")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n")
    assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # the example of RFC 6455, 1.3
    wire.send(b"\x00\xff")
    await wire.until(b"\x00\xff")
    wire.send(b" raw")
    await wire.until(b"\x00\xff raw")
    wire.close()
    await fake.until(lambda: fake.log[0].aborted)
    assert fake.log[0].body == b"early\x00\xff raw"


async def test_what_comes_before_an_upgrade_is_agreed_to(fake: FakeProvider) -> None:
    agree = asyncio.Event()

    async def late(talk: Conversation) -> None:
        await agree.wait()
        queue = talk.tunnel()
        talk.send(b"took " + await queue.get())
        await talk.forever()

    fake.scripts["late"] = late
    wire = await connect(fake.port)
    asking = ("Connection: Upgrade", "Upgrade: x", "x-fake-script: late")
    wire.send(request(method="GET", headers=asking) + b"one ")
    await fake.until(lambda: bool(fake.log))
    wire.send(b"two")
    await fake.until(lambda: any(connection._held == b"one two" for connection in fake.open))
    agree.set()
    await wire.until(b"took one two")
    wire.close()


async def test_an_upgrade_nobody_agreed_to(fake: FakeProvider) -> None:
    wire = await connect(fake.port)
    asking = request(method="GET", path="/v1/models", headers=("Connection: Upgrade", "Upgrade: h2c"))
    wire.send(asking + request("second"))
    await wire.until(b'"fp_fake"}')
    assert wire.got.count(b"HTTP/1.1 200 OK\r\n") == 2
    wire.close()
    assert [seen.model for seen in fake.log] == ["", "second"]
