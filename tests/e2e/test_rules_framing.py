"""proxy-rules 6 to 9: where messages end, and what happens when that is not clear."""

from __future__ import annotations

import pytest

from tests.e2e.lanes import OK, Lane, plain, values
from tests.e2e.world import Peer, client, eventually, split

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHUNKED = b"Transfer-Encoding: chunked"


async def refused(lane: Lane, request: bytes) -> bytes:
    """Send bytes that break framing: 400, the connection closes, and nothing behind them is taken for a request."""
    async with client(lane.port) as caller:
        await caller.send(request)
        raw = await caller.rest()
    assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert values(raw, b"connection") == [b"close"]
    assert raw.count(b"HTTP/1.1 ") == 1
    return raw


async def ends(peer: Peer) -> bytes:
    """What still comes on a connection until it is closed, in whichever way."""
    try:
        return await peer.rest()
    except ConnectionResetError:
        return b""


# -- rule 6, requests --------------------------------------------------------------------------------------------------

DEFECTS = {
    "te-and-cl": [CHUNKED, b"Content-Length: 3"],
    "cl-and-te": [b"Content-Length: 3", CHUNKED],
    "te-and-cl-0": [CHUNKED, b"Content-Length: 0"],
    "cl-differs": [b"Content-Length: 3", b"Content-Length: 4"],
    "cl-list": [b"Content-Length: 3, 3"],
    "cl-plus": [b"Content-Length: +3"],
    "cl-minus": [b"Content-Length: -3"],
    "cl-hex": [b"Content-Length: 0x3"],
    "cl-float": [b"Content-Length: 3.0"],
    "cl-exponent": [b"Content-Length: 3e0"],
    "cl-empty": [b"Content-Length:"],
    "cl-spaced": [b"Content-Length: 3 3"],
    "cl-word": [b"Content-Length: three"],
    "cl-underscore": [b"Content-Length: 1_0"],
    "cl-digits": [b"Content-Length: \xb2"],
    "cl-huge": [b"Content-Length: 99999999999999999999999"],
    "te-gzip": [b"Transfer-Encoding: gzip"],
    "te-gzip-chunked": [b"Transfer-Encoding: gzip, chunked"],
    "te-chunked-gzip": [b"Transfer-Encoding: chunked, gzip"],
    "te-identity": [b"Transfer-Encoding: identity"],
    "te-doubled": [CHUNKED, CHUNKED],
    "te-doubled-list": [b"Transfer-Encoding: chunked, chunked"],
    "te-chunked-identity": [CHUNKED, b"Transfer-Encoding: identity"],
    "te-prefix": [b"Transfer-Encoding: xchunked"],
    "te-suffix": [b"Transfer-Encoding: chunkedx"],
    "te-quoted": [b'Transfer-Encoding: "chunked"'],
    "te-parameter": [b"Transfer-Encoding: chunked;q=1"],
    "te-empty": [b"Transfer-Encoding:"],
    "te-tab": [b"Transfer-Encoding: \x0bchunked"],
}


@pytest.mark.parametrize("fields", DEFECTS.values(), ids=DEFECTS)
async def test_a_request_with_unclear_framing_is_refused_and_the_connection_closed(
    lane: Lane, fields: list[bytes]
) -> None:
    smuggled = lane.get("/smuggled")
    await refused(lane, lane.request("POST", "/x", *fields) + b"3\r\nabc\r\n0\r\n\r\n" + smuggled)
    await lane.untouched()


@pytest.mark.parametrize("fields", [[CHUNKED], [CHUNKED, b"Connection: keep-alive"], [CHUNKED, b"Content-Length: 3"]])
async def test_transfer_encoding_in_http_1_0_is_refused(lane: Lane, fields: list[bytes]) -> None:
    await refused(
        lane, lane.request("POST", "/x", *fields, version=b"1.0") + b"3\r\nabc\r\n0\r\n\r\n" + lane.get("/smuggled")
    )
    await lane.untouched()


async def test_unclear_framing_on_a_kept_connection_closes_it_too(lane: Lane) -> None:
    async with lane.talk(lane.get("/x")) as talk:
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[2] == b"ok"
        await talk.caller.send(
            lane.request("POST", "/x", CHUNKED, b"Content-Length: 3") + b"0\r\n\r\n" + lane.get("/smuggled")
        )
        raw = await talk.caller.rest()
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1
    await lane.judged("success")


async def test_what_a_connection_knows_of_http_1_1_does_not_hold_for_http_1_0(lane: Lane) -> None:
    head = b"POST /%b/x HTTP/1.%%d\r\nHost: localhost\r\nConnection: keep-alive\r\n%b\r\n\r\n" % (
        lane.name.encode(),
        CHUNKED,
    )
    async with lane.talk(head % 1 + b"0\r\n\r\n") as talk:
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        await talk.caller.send(head % 0 + b"0\r\n\r\n")
        assert (await talk.caller.rest()).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "value", [b"4, 4", b"+4", b"0x4", b"4\r\nContent-Length: 5", b"4\r\nTransfer-Encoding: chunked", b""]
)
async def test_a_head_that_differs_in_its_length_alone_is_checked_as_well(lane: Lane, value: bytes) -> None:
    head = b"POST /%b/x HTTP/1.1\r\nContent-Length: %%b\r\nHost: localhost\r\n\r\n" % lane.name.encode()
    async with lane.talk(head % b"3" + b"abc") as talk:
        for body in (b"abcd", b"", b"0123456789"):
            await talk.provider.send(OK)
            assert (await talk.caller.answer())[0] == 200
            await talk.caller.send(head % (b"%d" % len(body)) + body)
            seen, got = await talk.provider.request()
            assert (values(seen, b"content-length"), got) == ([b"%d" % len(body)], body)
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        await talk.caller.send(head % value + b"abcd")
        assert (await talk.caller.rest()).startswith(b"HTTP/1.1 400 ")


async def test_equal_lengths_given_twice_are_one_or_refused(lane: Lane) -> None:
    """RFC 9112 section 6.3 leaves both; what must not happen is that both fields are sent on."""
    async with client(lane.port) as caller:
        await caller.send(
            lane.request("POST", "/x", b"Content-Length: 3", b"Content-Length: 3", b"Connection: close") + b"abc"
        )
        assert (await caller.rest()).startswith(b"HTTP/1.1 400 ")
    await lane.untouched()


@pytest.mark.parametrize("judged", [True, False])
async def test_a_request_goes_on_with_the_one_framing_it_came_with(lane: Lane, judged: bool) -> None:
    path = "/v1/chat/completions" if judged else "/v1/files"
    fields = (b"Authorization: Bearer k", b"Content-Type: application/json")
    body = b'{"model":"m"}'
    head, seen = await lane.sees(lane.request("POST", path, *fields, body=body))
    assert (values(head, b"content-length"), values(head, b"transfer-encoding"), seen) == ([b"13"], [], body)


@pytest.mark.parametrize("judged", [True, False])
async def test_a_chunked_request_goes_on_chunked(lane: Lane, judged: bool) -> None:
    path = "/v1/chat/completions" if judged else "/v1/files"
    request = lane.request("POST", path, b"Authorization: Bearer k", b"Content-Type: application/json", CHUNKED)
    head, seen = await lane.sees(request + b'9\r\n{"model":\r\n4\r\n"m"}\r\n0\r\n\r\n')
    assert (values(head, b"content-length"), values(head, b"transfer-encoding")) == ([], [b"chunked"])
    assert unchunk(seen) == b'{"model":"m"}'


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
async def test_an_empty_body_keeps_its_length_field(lane: Lane, method: str) -> None:
    head, _ = await lane.sees(lane.request(method, "/x", b"Content-Length: 0"))
    assert values(head, b"content-length") == [b"0"]
    assert values(head, b"transfer-encoding") == []


async def test_no_framing_field_is_sent_for_a_request_without_one(lane: Lane) -> None:
    head, _ = await lane.sees(lane.request("POST", "/x"))
    assert values(head, b"content-length") == values(head, b"transfer-encoding") == []


async def test_a_get_with_a_body_keeps_it(lane: Lane) -> None:
    _, body = await lane.sees(lane.request("GET", "/x", body=b"abc"))
    assert body == b"abc"


# -- rule 6, answers ---------------------------------------------------------------------------------------------------

ANSWER_DEFECTS = {key: value for key, value in DEFECTS.items() if key not in ("te-tab",)} | {
    "te-in-1.0": [CHUNKED],
}


@pytest.mark.parametrize("key", ANSWER_DEFECTS)
async def test_an_answer_with_unclear_framing_is_a_502_and_the_providers_fault(lane: Lane, key: str) -> None:
    version = b"1.0" if key == "te-in-1.0" else b"1.1"
    async with lane.talk(lane.get("/x", b"Connection: close")) as talk:
        fields = b"".join(line + b"\r\n" for line in ANSWER_DEFECTS[key])
        await talk.provider.send(b"HTTP/%b 200 OK\r\n%b\r\n3\r\nabc\r\n0\r\n\r\n" % (version, fields))
        raw = await talk.caller.rest()
        assert await ends(talk.provider) == b""
    assert raw.startswith(b"HTTP/1.1 502 "), raw
    assert b"abc" not in raw
    await lane.judged("network_error")


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.7\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"\x16\x03\x01\x00\x01",
        b"HTTP/1.1\r\n\r\n",
    ],
    ids=["ssh", "http2", "word", "two-digits", "tls", "no-status"],
)
async def test_what_is_not_http_is_a_502_and_the_providers_fault(lane: Lane, answer: bytes) -> None:
    raw = await lane.gives(answer)
    assert raw.startswith(b"HTTP/1.1 502 "), raw
    await lane.judged("network_error")


async def test_an_endless_head_is_a_502(lane: Lane) -> None:
    raw = await lane.gives(b"HTTP/1.1 200 OK\r\n" + b"X-Pad: %b\r\n" % (b"a" * 1000) * 200)
    assert raw.startswith(b"HTTP/1.1 502 ")
    await lane.judged("network_error")


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 3", b"abc"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
        (b"transfer-encoding: CHUNKED", b"3\r\nabc\r\n0\r\n\r\n"),
    ],
)
async def test_an_answer_never_has_both_framing_fields(lane: Lane, fields: bytes, body: bytes) -> None:
    raw = await lane.gives(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (fields, body))
    assert len(values(raw, b"content-length")) + len(values(raw, b"transfer-encoding")) == 1
    assert (unchunk(split(raw)[2]) if values(raw, b"transfer-encoding") else split(raw)[2]) == b"abc"


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nabc\r\n", b"-3\r\nabc\r\n", b"3xyz\r\n", b"3\r\nabcd\r\n", b"fffffffffffffffff1\r\nabc\r\n"]
)
async def test_broken_chunks_of_an_answer_end_it_visibly(lane: Lane, chunk: bytes) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n2\r\nok\r\n" % CHUNKED)
        await talk.caller.until(b"2\r\nok\r\n")
        await talk.provider.send(chunk + b"0\r\n\r\n")
        assert not (await ends(talk.caller)).endswith(b"0\r\n\r\n")
        assert await ends(talk.provider) == b""
    await lane.judged("network_error")


# -- rule 7 ------------------------------------------------------------------------------------------------------------

PARTS = {
    "chunk-missing": (CHUNKED, b"2\r\nok\r\n"),
    "inside-a-chunk": (CHUNKED, b"5\r\nok"),
    "before-the-last-line": (CHUNKED, b"2\r\nok\r\n0\r\n"),
    "short": (b"Content-Length: 5", b"ok"),
}


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("part", PARTS)
async def test_a_truncated_answer_is_never_ended_cleanly(lane: Lane, part: str, how: str) -> None:
    field, sent = PARTS[part]
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (field, sent))
        got = await talk.caller.until(b"ok")
        talk.provider.close() if how == "fin" else talk.provider.abort()
        got += await ends(talk.caller)
    assert values(got, b"transfer-encoding" if field is CHUNKED else b"content-length") == [field.split(b": ")[1]]
    assert split(got)[2] in (b"ok", b"2\r\nok\r\n")
    await lane.judged("network_error")


@pytest.mark.parametrize("part", ["chunk-missing", "inside-a-chunk"])
async def test_a_truncated_answer_resets_a_client_that_could_not_tell(lane: Lane, part: str) -> None:
    """HTTP/1.0 knows no chunks: there a FIN would look like the end of the answer."""
    field, sent = PARTS[part]
    async with lane.talk(lane.request("GET", "/x", version=b"1.0")) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (field, sent))
        got = await talk.caller.until(b"ok")
        assert values(got, b"transfer-encoding") == values(got, b"content-length") == []
        talk.provider.close()
        with pytest.raises(ConnectionResetError):
            await talk.caller.rest()
    await lane.judged("network_error")


async def test_a_close_delimited_answer_that_is_reset_is_never_ended_cleanly(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        await talk.caller.until(b"2\r\nok\r\n")
        talk.provider.abort()
        assert await ends(talk.caller) == b""
    await lane.judged("network_error")


async def test_an_answer_cut_off_before_its_body_is_a_502_while_nothing_was_passed_on(lane: Lane) -> None:
    async with lane.talk(lane.chat(b'{"model":"m"}', b"Connection: close")) as talk:
        await talk.provider.send(
            b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"id":'
        )
        talk.provider.close()
        raw = await talk.caller.rest()
    assert raw.startswith(b"HTTP/1.1 502 ")
    await lane.judged("network_error")


async def test_a_head_cut_in_the_middle_is_a_502(lane: Lane) -> None:
    raw = await lane.gives(b"HTTP/1.1 200 OK\r\nContent-Le", end=True)
    assert raw.startswith(b"HTTP/1.1 502 ")
    await lane.judged("network_error")


# -- rule 8 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\n%b\r\n\r\n2\r\nok\r\n0\r\n\r\n" % CHUNKED,
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 304 No\r\n\r\n",
    ],
)
@pytest.mark.parametrize(
    "extra", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], ids=["garbage", "answer"]
)
async def test_bytes_behind_an_answer_are_dropped_and_the_connection_not_used_again(
    lane: Lane, answer: bytes, extra: bytes
) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(answer + extra)
        status, _, body = await talk.caller.answer()
        assert (status, body) in ((200, b"ok"), (204, b""), (304, b""))
        assert await ends(talk.provider) == b""
        await talk.caller.send(lane.get("/again"))
        fresh = await lane.upstream.accept()
        await fresh.request()
        await fresh.send(OK)
        assert (await talk.caller.answer())[2] == b"ok"
    await lane.judged("success", 2)


async def test_bytes_that_come_while_a_connection_rests_end_it(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(OK)
        await talk.caller.answer()
        await talk.provider.send(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
        assert await ends(talk.provider) == b""
        await talk.caller.send(lane.get("/again"))
        fresh = await lane.upstream.accept()
        await fresh.request()
        await fresh.send(OK)
        assert (await talk.caller.answer())[0] == 200
    await lane.judged("success", 2)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n"),
    ],
)
async def test_answers_that_have_no_body_have_none(lane: Lane, method: str, answer: bytes) -> None:
    """Both connections are good for the next request at once."""
    async with lane.talk(lane.request(method, "/x")) as talk:
        await talk.provider.send(answer)
        raw = await talk.caller.until(b"\r\n\r\n")
        status = split(answer)[0]
        assert split(raw)[0] == status
        declared = values(answer, b"content-length") if status != 204 else []
        assert values(raw, b"content-length") == declared
        assert status not in (204, 304) or values(raw, b"transfer-encoding") == []
        await talk.caller.send(lane.get("/next"))
        head, _ = await talk.provider.request()
        assert head.startswith(b"GET /next ")
        await talk.provider.send(OK)
        assert plain(await talk.caller.until(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert lane.upstream.accepted == 1
    await lane.judged("success", 2)


async def test_an_informational_answer_has_no_body_and_is_not_the_answer(lane: Lane) -> None:
    async with lane.talk(lane.get("/x", b"Connection: close")) as talk:
        await talk.provider.send(
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        )
        raw = await talk.caller.rest()
    first, rest = raw.split(b"\r\n\r\n", 1)
    assert first.startswith(b"HTTP/1.1 103 ")
    assert plain(rest) == b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


async def test_a_close_delimited_answer_becomes_chunked(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.provider.send(b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\none")
        head = await talk.caller.until(b"3\r\none\r\n")
        assert plain(head).startswith(b"HTTP/1.1 200 OK\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        await talk.provider.send(b"two!")
        assert await talk.caller.until(b"!\r\n") == b"4\r\ntwo!\r\n"
        talk.provider.close()
        assert await talk.caller.exactly(5) == b"0\r\n\r\n"
        await talk.caller.send(lane.get("/next"))
        fresh = await lane.upstream.accept()
        await fresh.request()
        await fresh.send(OK)
        assert (await talk.caller.answer())[2] == b"ok"
    await lane.judged("success", 2)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_an_empty_close_delimited_answer_is_complete(lane: Lane, version: bytes) -> None:
    raw = await lane.gives(version + b" 200 OK\r\n\r\n", end=True)
    assert plain(raw) == b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    await lane.judged("success")


@pytest.mark.parametrize("body", [(b"", b"ok"), (CHUNKED + b"\r\n", b"2\r\nok\r\n0\r\n\r\n")], ids=["close", "chunked"])
async def test_a_client_of_http_1_0_gets_no_chunks_and_its_connection_closed(
    lane: Lane, body: tuple[bytes, bytes]
) -> None:
    field, sent = body
    request = lane.request("GET", "/x", b"Connection: keep-alive", version=b"1.0")
    raw = await lane.gives(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (field, sent), request, end=True)
    assert plain(raw) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"


async def test_a_client_of_http_1_0_that_asks_keeps_its_connection_where_a_length_is_known(lane: Lane) -> None:
    request = lane.request("GET", "/x", b"Connection: keep-alive", version=b"1.0")
    async with lane.talk(request) as talk:
        assert talk.head.startswith(b"GET /x HTTP/1.1\r\n")
        for _ in range(2):
            await talk.provider.send(OK)
            _, fields, body = await talk.caller.answer()
            assert (b"Connection", b"keep-alive") in fields
            assert body == b"ok"
            await talk.caller.send(request)
            await talk.provider.request()


async def test_chunk_extensions_and_trailers_of_an_answer_end_here(lane: Lane) -> None:
    raw = await lane.gives(
        b"HTTP/1.1 200 OK\r\n%b\r\nTrailer: X-Sum\r\n\r\n2;a=b;c\r\nok\r\n0;last\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\n\r\n"
        % CHUNKED
    )
    assert plain(raw) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n%b\r\n\r\n2\r\nok\r\n0\r\n\r\n" % CHUNKED
    await lane.judged("success")


@pytest.mark.parametrize("judged", [True, False])
async def test_chunk_extensions_and_trailers_of_a_request_end_here(lane: Lane, judged: bool) -> None:
    path = "/v1/chat/completions" if judged else "/v1/files"
    request = lane.request("POST", path, b"Authorization: Bearer k", b"Trailer: X-Sum", CHUNKED)
    head, body = await lane.sees(request + b'd;a=b;c\r\n{"model":"m"}\r\n0;last\r\nX-Sum: 1\r\nX-Api-Key: 1\r\n\r\n')
    assert unchunk(body) == b'{"model":"m"}'
    assert b";" not in body
    assert b"X-Sum" not in head + body
    assert body.endswith(b"\r\n0\r\n\r\n")


# -- rule 9 ------------------------------------------------------------------------------------------------------------

BROKEN = {
    "field": b"POST /{lane}/x HTTP/1.1\r\nHost: localhost\r\nX-Bad : 1\r\nContent-Length: 0\r\n\r\n",
    "line": b"GET /{lane}/x\r\n\r\n",
    "version": b"GET /{lane}/x HTTP/3.7\r\nHost: localhost\r\n\r\n",
    "lower": b"GET /{lane}/x http/1.1\r\nHost: localhost\r\n\r\n",
    "method": b"G@T /{lane}/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "long-method": b"X" * 40 + b" /{lane}/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "host": b"GET /{lane}/x HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "framing": b"POST /{lane}/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding": b"POST /{lane}/x HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b\r\n\r\n0\r\n\r\n" % (CHUNKED, CHUNKED),
}


@pytest.mark.parametrize("key", BROKEN)
@pytest.mark.parametrize("whole", [True, False], ids=["at-once", "in-parts"])
async def test_nothing_behind_a_parse_error_becomes_a_request(lane: Lane, key: str, whole: bool) -> None:
    first = BROKEN[key].replace(b"{lane}", lane.name.encode())
    async with client(lane.port) as caller:
        if whole:
            await caller.send(first + lane.get("/smuggled"))
        else:
            await caller.send(first)
            raw = await caller.until(b"\r\n\r\n")
            assert raw.startswith(b"HTTP/1.1 400 ")
            try:
                await caller.send(lane.get("/smuggled"))
            except ConnectionError:
                return
        raw = raw + await ends(caller) if not whole else await ends(caller)
    assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert raw.count(b"HTTP/1.1 ") == 1
    await lane.untouched()


@pytest.mark.parametrize(
    "chunk",
    [
        b"zz\r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"-1\r\n",
        b"3 \r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabc\n",
    ],
)
@pytest.mark.parametrize("judged", [True, False])
async def test_nothing_behind_a_broken_body_becomes_a_request(lane: Lane, chunk: bytes, judged: bool) -> None:
    """Broken in the same read as its head, and nothing left in the buffer is taken for a request."""
    path = "/v1/chat/completions" if judged else "/v1/files"
    request = lane.request("POST", path, b"Authorization: Bearer k", CHUNKED)
    async with client(lane.port) as caller:
        await caller.send(request + chunk + b"0\r\n\r\n" + lane.get("/smuggled"))
        raw = await ends(caller)
    assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert raw.count(b"HTTP/1.1 ") == 1
    await gone(lane, b"/smuggled")


@pytest.mark.parametrize("judged", [True, False])
async def test_nothing_behind_a_body_that_breaks_later_becomes_a_request(lane: Lane, judged: bool) -> None:
    path = "/v1/chat/completions" if judged else "/v1/files"
    request = lane.request("POST", path, b"Authorization: Bearer k", CHUNKED)
    async with client(lane.port) as caller:
        await caller.send(request + b"5\r\nfirst\r\n")
        if not judged:
            peer = await lane.upstream.accept()
            await peer.until(b"5\r\nfirst\r\n")
        await caller.send(b"zz\r\n" + lane.get("/smuggled"))
        raw = await ends(caller)
        if not judged:
            assert b"smuggled" not in await ends(peer)
    assert raw.startswith(b"HTTP/1.1 400 "), raw
    assert raw.count(b"HTTP/1.1 ") == 1
    await gone(lane, b"/smuggled")


async def test_a_parse_error_behind_a_good_request_comes_after_its_answer(lane: Lane) -> None:
    async with lane.talk(lane.get()) as talk:
        await talk.caller.send(b"NOT HTTP AT ALL\r\n\r\n" + lane.get("/smuggled"))
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[0] == 200
        raw = await ends(talk.caller)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1
    await gone(lane, b"/smuggled")


async def test_a_parse_error_in_one_read_with_a_good_request_is_told_behind_its_answer(lane: Lane) -> None:
    async with lane.talk(lane.get() + b"NOT HTTP AT ALL\r\n\r\n" + lane.get("/smuggled")) as talk:
        await talk.provider.send(OK)
        assert (await talk.caller.answer())[2] == b"ok"
        raw = await ends(talk.caller)
    assert raw.startswith(b"HTTP/1.1 400 ")
    assert raw.count(b"HTTP/1.1 ") == 1
    await lane.judged("success")


async def test_pipelined_requests_are_answered_in_order(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(
            lane.get("/1") + lane.request("POST", "/2", body=b"two") + lane.get("/3", b"Connection: close")
        )
        peer = await lane.upstream.accept()
        for number in (b"1", b"2", b"3"):
            head, _ = await peer.request()
            assert head.split(b" ")[1] == b"/" + number
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + number)
        raw = await caller.rest()
    assert [part[:1] for part in raw.split(b"\r\n\r\n")[1:]] == [b"1", b"2", b"3"]


async def test_an_answer_of_our_own_leaves_a_good_connection_open(lane: Lane) -> None:
    async with client(lane.port) as caller:
        await caller.send(b"GET /nowhere/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await caller.answer())[0] == 404
        await caller.send(lane.get())
        peer = await lane.upstream.accept()
        await peer.request()
        await peer.send(OK)
        assert (await caller.answer())[0] == 200


async def gone(lane: Lane, mark: bytes) -> None:
    """See that no connection to the provider carries `mark`, and that all of them are at their end."""
    for _ in range(lane.upstream.accepted):
        peer = await lane.upstream.accept() if lane.upstream.waiting else None
        if peer is not None:
            assert mark not in await ends(peer)
    await eventually(lambda: lane.upstream.waiting == 0)


def unchunk(body: bytes) -> bytes:
    """A chunked body's content."""
    content = b""
    while True:
        line, _, body = body.partition(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if not size:
            return content
        content, body = content + body[:size], body[size + 2 :]
