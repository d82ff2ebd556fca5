"""Scripts that break or stretch HTTP itself: framing, encodings, interim and early answers, upgrades, idle lines."""

from __future__ import annotations

import base64
import gzip as gzip_module
import hashlib
import zlib
from collections.abc import Awaitable
from typing import Final

from proxy.fake_asked import JSON
from proxy.fake_conversation import Conversation
from proxy.fake_errors import problem
from proxy.fake_faults import FAULTS, answers, fault, part
from proxy.fake_refusals import refuse


@fault("garbage")
def garbage(talk: Conversation) -> None:
    """Bytes that are not HTTP, then the end."""
    talk.send(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    talk.close()


_FRAMINGS: Final = {
    "te-cl": b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "lengths": b"content-length: 2\r\ncontent-length: 3\r\n\r\n{} ",
    "list": b"content-length: 2, 3\r\n\r\n{} ",
    "sign": b"content-length: +2\r\n\r\n{}",
    "te": b"transfer-encoding: gzip, smuggled\r\n\r\n{}",
    "chunk": b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "space": b"content-length : 2\r\n\r\n{}",
}


@fault("bad-framing", kind="te-cl")
def bad_framing(talk: Conversation) -> None:
    """A head or body whose framing is broken. `kind`: te-cl, lengths, list, sign, te, chunk, space."""
    talk.seen.status = 200
    talk.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + _FRAMINGS[talk.script.word("kind", "te-cl")])
    talk.close()


@fault("bad-chunk")
async def bad_chunk(talk: Conversation) -> None:
    """A chunk whose size is no number, in the middle of the answer."""
    await part(talk, chunked=True)
    talk.send(b"not-a-size\r\n{}\r\n")
    talk.close()


@fault("extra-bytes")
async def extra_bytes(talk: Conversation) -> None:
    """The proper answer with bytes after its end, that look like another one."""
    body = talk.answer.body
    whole = answers(talk, length=len(body)) + body if not talk.answer.streamed else _whole_chunked(talk)
    talk.send(whole + b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nextra")
    talk.chunked = False
    talk.finish()


@fault("chunk-details")
async def chunk_details(talk: Conversation) -> None:
    """The proper answer in chunks, with chunk extensions and trailers."""
    await talk.body()
    whole = _whole_chunked(talk)
    whole = whole.replace(b"\r\n", b";fake=extension\r\n", 1) if not whole.startswith(b"HTTP") else _extended(whole)
    talk.send(whole.removesuffix(b"\r\n") + b"x-fake-trailer: seen\r\n\r\n")
    talk.chunked = False
    talk.finish()


def _extended(whole: bytes) -> bytes:
    head, _, body = whole.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n" + body.replace(b"\r\n", b";fake=extension\r\n", 1)


def _whole_chunked(talk: Conversation) -> bytes:
    answer = talk.answer
    pieces = [*answer.opening, *answer.content, *answer.closing] if answer.streamed else [answer.body]
    talk.seen.events = len(answer.content)
    head = answers(talk, chunked=True)
    return head + b"".join(map(talk.chunk, pieces)) + b"0\r\n\r\n"


@fault("close-delimited")
@fault("close-delimited-reset", kind="reset")
async def close_delimited(talk: Conversation) -> None:
    """An answer with neither length nor chunks: its end is the connection's (or, as `…-reset`, it is cut by an RST)."""
    answer = talk.answer
    content = [*answer.opening, *answer.content, *answer.closing] if answer.streamed else [answer.body]
    talk.seen.status, talk.seen.events = 200, len(answer.content)
    talk.send(b"HTTP/1.1 200 OK\r\ncontent-type: " + answer.content_type + b"\r\nconnection: close\r\n\r\n")
    talk.keep = False
    if talk.script.word("kind", "") == "reset":
        talk.send(b"".join(content)[:40])
        return await talk.wait_for_reset()
    talk.send(b"".join(content))
    talk.finish()


def _coded(talk: Conversation, coding: bytes, body: bytes) -> None:
    """Send the proper answer in a content coding, asked for or not."""
    extra = [(b"content-type", talk.answer.content_type), (b"content-encoding", coding)]
    talk.send(talk.head(200, [*extra, (b"vary", b"accept-encoding")], length=len(body)) + body)
    talk.finish()


def _plain(talk: Conversation) -> bytes:
    answer = talk.answer
    talk.seen.events = len(answer.content)
    return answer.body or b"".join([*answer.opening, *answer.content, *answer.closing])


@fault("gzip")
def gzip(talk: Conversation) -> None:
    """The proper answer in gzip."""
    _coded(talk, b"gzip", gzip_module.compress(_plain(talk), mtime=0))


@fault("deflate")
def deflate(talk: Conversation) -> None:
    """The proper answer in deflate (the zlib format, RFC 9110 section 8.4.1.2); `kind=raw` without the zlib header."""
    whole = zlib.compress(_plain(talk))
    _coded(talk, b"deflate", whole[2:-4] if talk.script.word("kind", "zlib") == "raw" else whole)


@fault("zstd")
def zstd(talk: Conversation) -> None:
    """The proper answer in zstd, which Detour cannot read: stored blocks, no compression (RFC 8878)."""
    plain = _plain(talk)
    blocks = [plain[at : at + 100_000] for at in range(0, len(plain), 100_000)]
    framed = [
        (len(block) << 3 | (number == len(blocks) - 1)).to_bytes(3, "little") + block
        for number, block in enumerate(blocks)
    ]
    _coded(talk, b"zstd", b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(framed))


@fault("early-hints")
def early_hints(talk: Conversation) -> Awaitable[None] | None:
    """103 Early Hints, then the proper answer."""
    talk.send(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n")
    return FAULTS["ok"].act(talk)


@fault("continue")
def interim(talk: Conversation) -> Awaitable[None] | None:
    """100 Continue and 102 Processing that nobody asked for, then the proper answer."""
    talk.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
    return FAULTS["ok"].act(talk)


@fault("early", at_head=True, status=413)
def early(talk: Conversation) -> None:
    """A final answer while the body is still coming. `kind=open` leaves the connection open for the rest of it."""
    talk.keep = talk.script.word("kind", "close") == "open"
    refuse(talk, problem(talk.script.whole("status", 413)))


@fault("slow-upload", at_head=True, delay=1)
async def slow_upload(talk: Conversation) -> None:
    """Reads nothing of the body for `delay` seconds (backpressure), then answers."""
    transport = talk.connection.transport
    transport.pause_reading()
    await talk.sleep(talk.script.seconds("delay", 1))
    transport.resume_reading()
    await talk.body()
    await _answer(talk)


async def _answer(talk: Conversation) -> None:
    rest = FAULTS["ok"].act(talk)
    if rest is not None:
        await rest


@fault("cut-upload", at_head=True)
@fault("reset-upload", at_head=True, kind="reset")
def break_upload(talk: Conversation) -> None:
    """The connection is closed, or reset, while the body is still coming."""
    if talk.script.word("kind", "close") == "reset":
        talk.reset()
    else:
        talk.close()


@fault("idle-close", delay=0)
async def idle_close(talk: Conversation) -> None:
    """The proper answer on a connection that says it stays open, closed `delay` seconds later all the same."""
    connection = talk.connection
    await _answer(talk)
    connection.loop.call_later(talk.script.seconds("delay", 0), connection.transport.close)


@fault("stale")
def stale(talk: Conversation) -> Awaitable[None] | None:
    """Answers a connection's first request; a later one finds the connection reset before any byte."""
    if talk.seen.reused:
        talk.reset()
        return None
    return FAULTS["ok"].act(talk)


@fault("redirect")
def redirect(talk: Conversation) -> None:
    """307 to somewhere else, with two cookies."""
    cookies = [(b"set-cookie", b"a=1; Path=/"), (b"set-cookie", b"b=2; Path=/")]
    where = (b"location", b"https://elsewhere.example.invalid/")
    talk.send(talk.head(307, [(b"content-type", JSON), where, *cookies], length=2) + b"{}")
    talk.finish()


@fault("no-content")
def no_content(talk: Conversation) -> None:
    """204."""
    talk.seen.status = 204
    talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    talk.finish()


_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@fault("upgrade")
async def upgrade(talk: Conversation) -> None:
    """Agrees to the asked-for upgrade (RFC 6455 section 4.2.2) and sends back every byte that comes."""
    seen = talk.seen
    key = (seen.header(b"sec-websocket-key") or b"") + _WEBSOCKET_GUID
    accept = base64.b64encode(hashlib.sha1(key, usedforsecurity=False).digest())
    protocol = seen.header(b"upgrade") or b"websocket"
    seen.status = 101
    lines = [b"HTTP/1.1 101 Switching Protocols", b"upgrade: " + protocol, b"connection: Upgrade"]
    talk.send(b"\r\n".join([*lines, b"sec-websocket-accept: " + accept]) + b"\r\n\r\n")
    queue = talk.tunnel()
    while True:
        data = await queue.get()
        seen.size += len(data)
        seen.received += data
        talk.send(data)
