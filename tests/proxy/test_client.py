"""A client's connection: odd methods, broken requests, limits, and clients that leave. Driven by hand."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.client import KEEP_ALIVE, LINGER
from proxy.head import HEAD_BYTES, HEAD_FIELDS, LONGEST_METHOD
from proxy.incoming import AHEAD
from proxy.intake import BEHIND, HEAD_TIME
from proxy.request import CLOSE, BadBodyError
from tests.proxy.house import OK, House, Wire, request, settle, until


class Clock:
    """Moves the running loop's time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._ahead = 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self._ahead)

    async def move(self, seconds: float) -> None:
        self._ahead += seconds
        await settle()


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def house() -> House:
    return House()


# -- methods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "QUERY", "FOO", "GETX", "G", "get", "M-SEARCH", "X!#$%&'*+-.^_`|~9"])
async def test_methods_pass_at_every_split(house: House, method: str) -> None:
    data = request(method, "/a/b?c", b"12345")
    for at in range(len(data)):
        wire = Wire(house)
        await wire.send(*([data[:at], data[at:]] if at else [data]))
        assert house.seen == [(method, "/a/b?c", b"12345")], at
        assert wire.transport.written == OK
        house.seen.clear()
        await wire.close()


async def test_a_method_byte_by_byte(house: House) -> None:
    wire = Wire(house)
    data = request("PUZZLE", body=b"1")
    await wire.send(*(data[i : i + 1] for i in range(len(data))))
    await wire.send(*(data[i : i + 1] for i in range(len(data))))
    assert house.seen == [("PUZZLE", "/x", b"1")] * 2


@pytest.mark.parametrize("known", [b"GET", b"POST"])
async def test_kept_connections_take_odd_and_usual_methods_in_turn(house: House, known: bytes) -> None:
    wire = Wire(house)
    for method in ("ODD", known.decode(), "EVEN", "ODD"):
        for body in (b"", b"\r\n\r\n", b"abc"):
            await wire.send(request(method, body=body))
            assert house.seen.pop() == (method, "/x", body)
    head, body = request("ODD", body=b"abc")[:-3], b"abc"
    for _ in range(3):
        await wire.send(head, body[:1], body[1:])
        assert house.seen.pop() == ("ODD", "/x", b"abc")
    assert wire.transport.ending == ""


async def test_an_odd_method_behind_a_chunked_body(house: House) -> None:
    chunked = request("ODD", "/x", b"", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    wire = Wire(house)
    await wire.send(chunked, chunked[:-9], chunked[-9:], request("EVEN"))
    assert house.seen == [("ODD", "/x", b"abc")] * 2 + [("EVEN", "/x", b"")]


async def test_what_comes_with_another_request_is_shown_to_the_parser_as_it_is(house: House) -> None:
    wire = Wire(house)
    await wire.send(request("GET") + request("POST", body=b"1") + request("DELETE"))
    assert [method for method, _, _ in house.seen] == ["GET", "POST", "DELETE"]


async def test_bytes_inside_a_body_are_no_method(house: House) -> None:
    body = b"ODD / HTTP/1.1\r\n\r\n"
    data = request("POST", body=body)
    for at in range(len(data) - len(body), len(data)):
        await Wire(house).send(data[:at], data[at:], data[:at], data[at:])
        assert house.seen == [("POST", "/x", body)] * 2
        house.seen.clear()


@pytest.mark.parametrize("method", ["X" * (LONGEST_METHOD + 1), "A(B", "É"])
async def test_no_method_at_all(house: House, method: str) -> None:
    wire = await Wire(house).send(request(method))
    assert house.seen == []
    assert wire.transport.written.startswith(b"HTTP/1.1 400 ")


async def test_the_longest_method(house: House) -> None:
    await Wire(house).send(request("X" * LONGEST_METHOD))
    assert house.seen[0][0] == "X" * LONGEST_METHOD


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from((request("ODD", body=b"1"), b"ODD ", b"\r\n\r\n")), max_size=6)
)
def test_garbage_never_raises(parts: list[bytes]) -> None:
    async def drive() -> None:
        wire = Wire(House())
        await wire.send(*parts)
        await wire.close()

    asyncio.run(drive())


# -- one request after the other --------------------------------------------------------------------------------------


async def test_many_requests_in_one_go_are_served_in_turn_and_the_reading_waits(house: House) -> None:
    house.gate.clear()
    one = request("GET", "/{:03}", b"", f"X: {'y' * 900}")
    wire = Wire(house)
    await wire.send(b"".join(one.replace(b"{:03}", b"%03d" % number) for number in range(2 * BEHIND // len(one))))
    assert not wire.transport.reading
    assert len(house.requests) == 1
    house.gate.set()
    await until(lambda: wire.transport.reading)
    await until(lambda: len(house.seen) == 2 * BEHIND // len(one))
    assert [path for _, path, _ in house.seen] == [f"/{number:03}" for number in range(len(house.seen))]
    assert wire.transport.written == OK * len(house.seen)


async def test_an_answer_that_ends_its_connection(house: House) -> None:
    house.written = CLOSE
    wire = await Wire(house).send(request() + request("GET", "/later"))
    assert (house.seen, wire.transport.ending) == ([("GET", "/x", b"")], "closed")


async def test_a_handler_may_end_its_connection_by_force(house: House) -> None:
    wire = Wire(house)
    house.read_body = False
    house.after = wire.connection.force_close
    await wire.send(request("POST", body=b"abc")[:-1])
    assert (wire.transport.written, wire.transport.ending) == (OK, "closed")


async def test_a_connection_that_is_closed_before_its_first_turn(house: House) -> None:
    wire = Wire(house)
    wire.connection.force_close()
    await settle()
    assert (house.requests, wire.transport.ending) == ([], "closed")


UPGRADE = request("GET", "/x", b"", "Connection: Upgrade", "Upgrade: websocket")


@pytest.mark.parametrize("early", [True, False])
async def test_behind_an_upgrade_that_was_declined_http_goes_on(house: House, early: bool) -> None:
    wire = Wire(house)
    if early:
        await wire.send(UPGRADE + request("GET", "/next"))
    else:
        await wire.send(UPGRADE, request("GET", "/next"))
    assert [path for _, path, _ in house.seen] == ["/x", "/next"]
    await wire.send(request("GET", "/last"))
    assert house.seen[-1][1] == "/last"
    assert wire.transport.written == OK * 3


async def test_what_waited_behind_a_declined_upgrade_is_read_on(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(UPGRADE, b"\r\n" * 40_000)
    assert not wire.transport.reading
    house.gate.set()
    await settle()
    assert wire.transport.reading
    await wire.send(request("GET", "/next"))
    assert house.seen[-1][1] == "/next"


async def test_nonsense_behind_a_declined_upgrade(house: House) -> None:
    wire = await Wire(house).send(UPGRADE + b"\x00\x01\r\n\r\n")
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 400 ")
    assert wire.transport.ending == "closed"


CHUNKED = request("POST", "/x", b"", "Transfer-Encoding: chunked")
TRAILER = b"3\r\nabc\r\n0\r\nX-First: 1\r\nX-Key: of-another\r\n\r\n"


@pytest.mark.parametrize("body", [TRAILER, b"3\r\nabc\r\n0\r\n\r\n", b"0\r\nX-Key: of-another\r\n\r\n"])
@pytest.mark.parametrize("at", [0, 1, 7, -5, -2, -1, None])
async def test_a_trailer_is_no_field_of_the_next_request(house: House, body: bytes, at: int | None) -> None:
    wire = Wire(house)
    if at is None:
        await wire.send(CHUNKED + body)
    elif at == 0:
        await wire.send(CHUNKED, body)
    else:
        await wire.send(CHUNKED + body[:at], body[at:])
    for _ in range(2):
        await wire.send(request())
    assert [[name for name, _ in seen.head.fields] for seen in house.requests[1:]] == [[b"Host"]] * 2
    assert (wire.transport.written, wire.transport.ending) == (OK * 3, "")


@pytest.mark.parametrize("parts", [
    (CHUNKED + TRAILER + request(),),
    (CHUNKED, TRAILER + request()),
    (CHUNKED + TRAILER[:-3], TRAILER[-3:] + request()),
    (CHUNKED + TRAILER + request()[:-2], request()[-2:]),
    (CHUNKED + TRAILER + b"GET", b" /x HTTP/1.1\r\nHost: a\r\n\r\n"),
])  # fmt: skip
async def test_what_comes_in_one_read_behind_chunks_is_the_next_request(house: House, parts: tuple[bytes, ...]) -> None:
    wire = await Wire(house).send(*parts)
    assert house.seen == [("POST", "/x", b"abc"), ("GET", "/x", b"")]
    assert house.requests[1].head.fields == [(b"Host", b"a")]
    assert (wire.transport.written, wire.transport.ending) == (OK * 2, "")


async def test_chunks_behind_chunks(house: House) -> None:
    wire = await Wire(house).send(request() + CHUNKED + TRAILER + CHUNKED, TRAILER + request())
    assert [body for _, _, body in house.seen] == [b"", b"abc", b"abc", b""]
    assert wire.transport.written == OK * 4


@pytest.mark.parametrize("behind", [b"\0\r\n\r\n", b"0\r\n\r\n", b"X-Key: y\r\n\r\n"])
async def test_nonsense_behind_chunks_is_no_request(house: House, behind: bytes) -> None:
    wire = await Wire(house).send(CHUNKED + TRAILER + behind + request())
    assert len(house.requests) == 1
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 400 ")
    assert wire.transport.ending == "closed"


@pytest.mark.parametrize(
    ("body", "status"), [(b"3\r\nabc\r\nx\r\n", 400), (b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431)]
)
async def test_chunks_that_break_in_the_read_of_their_head_are_not_served(
    house: House, body: bytes, status: int
) -> None:
    wire = await Wire(house).send(CHUNKED + body + request())
    assert house.requests == []
    assert wire.transport.written.startswith(b"HTTP/1.1 %d " % status)
    assert (wire.transport.ending, house.server.memory.used) == ("closed", 0)


async def test_a_large_chunked_body_that_was_read_slowly_keeps_its_connection(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(CHUNKED, *[b"8000\r\n" + b"a" * 0x8000 + b"\r\n"] * (AHEAD // 0x8000))
    assert not wire.transport.reading
    house.gate.set()
    await settle()
    assert wire.transport.reading
    await wire.send(TRAILER)
    await wire.send(request())
    assert [name for name, _ in house.requests[1].head.fields] == [b"Host"]
    assert (wire.transport.written, wire.transport.ending) == (OK * 2, "")


async def test_many_requests_behind_one_another_in_one_read(house: House) -> None:
    wire = await Wire(house).send(request() * 100 + CHUNKED + TRAILER + request())
    await until(lambda: len(house.requests) == 102)
    await settle()
    assert (wire.transport.written, wire.transport.ending) == (OK * 102, "")


FOREIGN = ("Connection: Upgrade", "Upgrade: h2c")


@pytest.mark.parametrize("body", [b"", b"abc"])
@pytest.mark.parametrize("apart", [True, False])
async def test_an_upgrade_nobody_knows_keeps_its_connection(house: House, body: bytes, apart: bool) -> None:
    asked = request("POST", "/x", body, *FOREIGN)
    at = len(asked) - len(body) if apart else 0
    wire = Wire(house)
    for _ in range(3):
        await wire.send(asked[:at], asked[at:])
    assert (wire.transport.written, wire.transport.ending) == (OK * 3, "")


@pytest.mark.parametrize("body", [b"", b"abc"])
async def test_what_comes_in_one_read_behind_an_upgrade_nobody_knows_is_served(house: House, body: bytes) -> None:
    wire = await Wire(house).send(request("POST", "/x", body, *FOREIGN) + b"GET / HTT", b"P/1.1\r\nHost: a\r\n\r\n")
    assert house.seen == [("POST", "/x", body), ("GET", "/", b"")]
    assert (wire.transport.written, wire.transport.ending) == (OK * 2, "")


async def test_the_rest_of_a_body_that_breaks_ends_the_connection(house: House) -> None:
    house.read_body = False
    wire = await Wire(house).send(request("POST", "/x", b"", "Transfer-Encoding: chunked"), b"zz\r\n")
    assert wire.transport.written.startswith(OK)
    assert wire.transport.ending == "closed"


async def test_the_rest_of_a_body_that_comes_keeps_the_connection(house: House) -> None:
    house.read_body = False
    data = request("POST", body=b"abc")
    wire = await Wire(house).send(data[:-1], data[-1:], request("GET", "/next"))
    assert [path for _, path, _ in house.seen] == ["/x", "/next"]
    assert wire.transport.ending == ""


# -- what cannot be parsed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00", 400),
        (b"GET /x HTTP/1.1\r\nX : 1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nX: 1\r\n fold\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nX: \x00\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\n: 1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (HEAD_FIELDS + 2) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * (HEAD_BYTES + 9) + b"\r\n\r\n", 431),
        (b"GET /" + b"y" * (HEAD_BYTES + 9) + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: y\r\nX: " + b"y" * (HEAD_BYTES + 9), 431),
    ],
)
async def test_a_broken_request_is_told_and_nothing_behind_it_counts(house: House, data: bytes, status: int) -> None:
    wire = await Wire(house).send(data)
    await wire.send(request())
    assert house.seen == []
    answer = wire.transport.written
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") <= 2, "one status line; the text may name the protocol"
    assert b"Connection: close\r\n" in answer
    assert wire.transport.ending == "closed"


async def test_a_head_of_many_small_reads_has_a_bound(house: House) -> None:
    wire = Wire(house)
    await wire.send(b"GET / HTTP/1.1\r\n")
    line = b"X: " + b"y" * 995 + b"\r\n"
    for _ in range(HEAD_BYTES // 1000):
        wire.connection.data_received(line)
    assert wire.transport.written == b""
    for _ in range(3):
        wire.connection.data_received(line)
    assert wire.transport.written.startswith(b"HTTP/1.1 431 ")
    assert wire.transport.ending == "closed"


async def test_a_request_behind_which_nonsense_comes_is_served_first(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request(), b"\x00nonsense\r\n\r\n")
    assert wire.transport.written == b""
    house.gate.set()
    await settle()
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 400 ")
    assert wire.transport.ending == "closed"


async def test_a_body_that_breaks_is_told_to_its_reader(house: House) -> None:
    wire = Wire(house)
    await wire.send(request("POST", "/x", b"", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n", b"zz\r\n")
    (failure,) = house.failures
    assert isinstance(failure, BadBodyError)
    assert wire.transport.written.startswith(b"HTTP/1.1 500 ")


async def test_a_handler_that_fails_is_logged_and_answered(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.written = None
    wire = await Wire(house).send(request())
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 500 ")
    (record,) = caplog.records
    assert record.getMessage() == "handler failed"
    assert record.exc_info is not None
    assert wire.transport.ending == "closed"


async def test_a_handler_that_fails_with_its_client_gone(house: House) -> None:
    wire = Wire(house)
    house.written, house.after = None, wire.connection.force_close
    await wire.send(request())
    assert (wire.transport.written, wire.transport.ending) == (OK, "closed")


async def test_an_endless_head_behind_a_request_that_is_served_ends_the_connection(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request() + b"GET / HTTP/1.1\r\n", *[b"X: " + b"y" * 30_000 + b"\r\n"] * 5)
    house.gate.set()
    await settle()
    assert (len(house.requests), wire.transport.ending) == (1, "closed")
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 431 ")


async def test_a_large_head_that_began_in_the_read_before_is_measured_whole(house: House) -> None:
    head = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: %b\r\n" % (b"y" * 40_000) * 2
    wire = await Wire(house).send(request() + head, b"\r\n")
    assert len(house.requests) == 1
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 431 ")


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("at", [-1, 20, HEAD_BYTES - 3])
async def test_a_head_of_just_the_size_it_may_have(house: House, over: int, at: int) -> None:
    data = b"GET /x HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n"
    data = data.replace(b"X: ", b"X: " + b"y" * (HEAD_BYTES + over - len(data)))
    wire = await Wire(house).send(data[:at], data[at:])
    assert wire.transport.written.startswith(b"HTTP/1.1 431 " if over else OK)
    assert len(house.requests) == 1 - over


async def test_a_body_that_breaks_as_a_chunk_ends_is_told_of(house: House) -> None:
    await Wire(house).send(CHUNKED + b"3\r\nabc", b"\r\nx\r\n")
    assert isinstance(house.failures[0], BadBodyError)


# -- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [b"GE", b"GET / HTTP/1.1\r\nX: ", b"ODD / HTTP"])
async def test_a_head_has_ten_seconds(house: House, clock: Clock, begun: bytes) -> None:
    wire = await Wire(house).send(begun)
    await clock.move(HEAD_TIME - 0.1)
    assert wire.transport.written == b""
    await clock.move(0.2)
    assert wire.transport.written.startswith(b"HTTP/1.1 408 ")
    assert b"within 10 s" in wire.transport.written
    assert wire.transport.ending == "closed"


@pytest.mark.parametrize("busy", [True, False])
async def test_a_head_that_began_behind_a_request_has_ten_seconds_too(house: House, clock: Clock, busy: bool) -> None:
    if busy:
        house.gate.clear()
    wire = await Wire(house).send(request() + b"GET / HT", b"TP/1.1\r\nX: ")
    house.gate.set()
    await settle()
    await clock.move(HEAD_TIME - 0.1)
    assert (wire.transport.written, wire.transport.ending) == (OK, "")
    await clock.move(0.2)
    assert wire.transport.written.startswith(OK + b"HTTP/1.1 408 ")


async def test_empty_lines_do_not_begin_a_head(house: House, clock: Clock) -> None:
    """Some clients send them behind a body; told that they are late, others would take that for their next answer."""
    wire = await Wire(house).send(request(), b"\r\n")
    await clock.move(2 * HEAD_TIME)
    assert (wire.transport.written, wire.transport.ending) == (OK, "")
    await clock.move(KEEP_ALIVE)
    assert (wire.transport.written, wire.transport.ending) == (OK, "closed")


async def test_a_head_that_came_in_time_is_not_timed_any_more(house: House, clock: Clock) -> None:
    house.gate.clear()
    data = request("POST", body=b"abc")
    wire = await Wire(house).send(data[:8], data[8:-1])
    await clock.move(2 * HEAD_TIME)
    await wire.send(data[-1:])
    house.gate.set()
    await settle()
    assert wire.transport.written == OK


async def test_a_connection_that_ends_in_its_head_is_not_timed(house: House, clock: Clock) -> None:
    wire = await Wire(house).send(b"GET")
    await wire.close()
    await clock.move(2 * HEAD_TIME)
    assert wire.transport.writes == []


async def test_a_head_that_is_late_on_a_connection_we_closed_is_told_nothing(house: House, clock: Clock) -> None:
    wire = await Wire(house).send(b"GET")
    wire.connection.force_close()
    await clock.move(2 * HEAD_TIME)
    assert wire.transport.writes == []


async def test_the_next_head_begun_while_a_request_is_served_is_not_timed(house: House, clock: Clock) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request(), b"GET / HTTP/1.1\r\nX: ")
    await clock.move(2 * HEAD_TIME)
    house.gate.set()
    await settle()
    assert wire.transport.written == OK


async def test_an_idle_connection_is_closed_after_a_while(house: House, clock: Clock) -> None:
    wire = await Wire(house).send(request())
    await clock.move(KEEP_ALIVE - 1.0)
    assert wire.transport.ending == ""
    await clock.move(1.5)
    assert wire.transport.ending == "closed"


async def test_a_connection_is_kept_behind_a_request_that_took_long(house: House, clock: Clock) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request())
    await clock.move(2 * KEEP_ALIVE)
    house.gate.set()
    await settle()
    await clock.move(KEEP_ALIVE - 1.0)
    await wire.send(request())
    assert (wire.transport.written, wire.transport.ending) == (OK * 2, "")
    await clock.move(KEEP_ALIVE + 0.5)
    assert wire.transport.ending == "closed"


async def test_the_rest_of_a_body_is_read_for_a_while_behind_its_answer(house: House, clock: Clock) -> None:
    house.read_body = False
    wire = await Wire(house).send(request("POST", body=b"abc")[:-1])
    assert wire.transport.written == OK
    assert wire.transport.ending == ""
    await clock.move(LINGER + 0.5)
    assert wire.transport.ending == "closed"


# -- leaving ----------------------------------------------------------------------------------------------------------


async def test_a_fin_behind_a_request_is_leaving(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request())
    wire.connection.eof_received()
    assert wire.transport.ending == "aborted"
    await wire.close()
    assert isinstance(house.failures[0], asyncio.CancelledError)


async def test_a_fin_without_a_request_is_nothing_special(house: House) -> None:
    wire = Wire(house)
    wire.connection.eof_received()
    assert wire.transport.ending == ""


async def test_losing_the_connection_cancels_the_handler_and_ends_its_body(house: House) -> None:
    wire = await Wire(house).send(request("POST", body=b"abc")[:-1])
    reader = house.requests[0].payload
    await wire.close()
    assert isinstance(reader.failure, ConnectionResetError)
    assert wire.connection.flow is None
    await wire.close()


# -- flow -------------------------------------------------------------------------------------------------------------


class Flow:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


async def test_a_client_that_cannot_keep_up(house: House) -> None:
    wire, flow = Wire(house), Flow()
    wire.connection.pause_writing()
    wire.connection.resume_writing()
    wire.connection.flow = flow
    wire.connection.pause_writing()
    assert wire.connection.writing_paused
    wire.connection.resume_writing()
    assert flow.calls == ["pause", "resume"]
    assert not wire.connection.writing_paused


async def test_a_body_nobody_reads_stops_the_reading_and_is_looked_after(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request("POST", "/x", b"", f"Content-Length: {2 * AHEAD}"))
    for _ in range(AHEAD // 65_536):
        wire.connection.data_received(b"x" * 65_536)
    assert not wire.transport.reading
    assert house.server.stalled == {wire.connection}
    house.gate.set()
    await settle()
    assert wire.transport.reading
    assert house.server.stalled == set()
    wire.connection.resume_reading()
    wire.connection.pause_reading()
    assert house.server.stalled == {wire.connection}
    await wire.close()
    assert house.server.stalled == set()


@pytest.mark.parametrize("ends", ["leaves", "before its turn", "not read", "breaks", "read"])
async def test_the_memory_of_bodies_is_given_back(house: House, ends: str) -> None:
    memory = house.server.memory
    house.read_body = ends in ("read", "breaks")
    wire = Wire(house)
    house.gate.clear()
    if ends == "breaks":
        await wire.send(CHUNKED, b"3\r\nabc\r\n")
    else:
        wire.connection.data_received(request("POST", body=b"x" * 100_000)[:-1])
    assert memory.used >= 3
    if ends == "leaves":
        await settle()
    if ends in ("leaves", "before its turn"):
        await wire.close()
    house.gate.set()
    await settle()
    await wire.send(b"x\r\n" if ends == "breaks" else b"x")
    assert memory.used == 0


async def test_reading_is_held_and_let_go(house: House) -> None:
    wire = Wire(house)
    wire.connection.pause_reading()
    assert (wire.transport.reading, house.server.stalled) == (False, {wire.connection})
    wire.connection.resume_reading()
    assert (wire.transport.reading, house.server.stalled) == (True, set())
    await wire.close()
    wire.connection.pause_reading()
    wire.connection.resume_reading()
    assert (wire.transport.reading, house.server.stalled) == (True, set())


class Other:
    """Takes the bytes of another protocol."""

    def __init__(self) -> None:
        self.got = b""

    def sent(self, data: bytes) -> None:
        self.got += data

    def left(self) -> None:
        self.got += b"<EOF>"


async def test_bytes_of_another_protocol_go_to_whoever_reads_it(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(UPGRADE + b"\x81\x00", b"ODD / HTTP/1.1\r\n")
    other = Other()
    wire.connection.switch(other)
    await wire.send(b"more")
    assert other.got == b"\x81\x00ODD / HTTP/1.1\r\nmore"
    await wire.close()
    assert other.got.endswith(b"<EOF>")


async def test_what_waits_in_front_of_another_protocol_is_read_on(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(UPGRADE, b"x" * BEHIND)
    assert not wire.transport.reading
    other = Other()
    wire.connection.switch(other)
    assert (wire.transport.reading, len(other.got)) == (True, BEHIND)
    await wire.close()


async def test_no_other_protocol_begins_in_the_middle_of_a_body(house: House) -> None:
    house.gate.clear()
    wire = await Wire(house).send(request("POST", "/x", b"abc", "Connection: Upgrade", "Upgrade: websocket")[:-1])
    wire.connection.switch(Other())
    assert wire.transport.ending == "aborted"
    await wire.close()


async def test_bodies_are_not_decompressed(house: House) -> None:
    await Wire(house).send(request("POST", "/x", b"\x1f\x8b\x00raw", "Content-Encoding: gzip"))
    assert house.seen == [("POST", "/x", b"\x1f\x8b\x00raw")]
