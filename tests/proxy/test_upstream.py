"""One connection to a provider, driven by hand: whatever the reads look like, the facts are the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.framing import Framing
from proxy.reply import Reply
from proxy.upstream import COPIED, HEAD_LIMIT, READ_SIZE, Upstream
from tests.proxy.recording import feed, upstream

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: \xff\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
HINTED = b"HTTP/1.1 100 C\r\nX: 0\r\n\r\nHTTP/1.1 103 E\r\nLink: </a>\r\n\r\n" + OK
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switch\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n"


class Sink:
    """Writes down what it is told; detaches at the end of an answer, as an attempt does."""

    def __init__(self, connection: Upstream, *, leaves_at: str = "") -> None:
        self.connection = connection
        self.leaves_at = leaves_at
        self.replies: list[Reply] = []
        self.hints: list[Reply] = []
        self.data = b""
        self.framed: list[bytes] = []
        self.done = 0
        self.rest: bytes | None = None
        self.ended = ""
        self.told_writable = 0
        self.after_end = 0

    def _leave(self, at: str) -> None:
        if at == self.leaves_at:
            self.connection.detach()

    def _check(self) -> None:
        self.after_end += bool(self.ended or self.done)

    def informational(self, reply: Reply) -> None:
        self._check()
        self.hints.append(reply)

    def head(self, reply: Reply) -> None:
        self._check()
        self.replies.append(reply)
        self._leave("head")

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        self._check()
        self.data += data
        self.framed += [framed] if framed else []
        if done:
            self.done += 1
            self.connection.detach()
        self._leave("body")

    def upgraded(self, rest: bytes) -> None:
        self.rest = rest

    def raw(self, data: bytes) -> None:
        assert self.rest is not None
        self.rest += data

    def malformed(self, detail: str) -> None:
        self._check()
        self.ended = detail

    def lost(self, detail: str) -> None:
        self._check()
        self.ended = detail

    def writable(self) -> None:
        self.told_writable += 1


def plain(reply: Reply) -> tuple[object, ...]:
    head = (reply.status, reply.reason, reply.block, reply.framing)
    return (*head, reply.content_type, reply.encoding, reply.upgrade)


class Case:
    """A connection with one request on it."""

    def __init__(self, method: str = "POST", *, upgrade: bytes | None = None, leaves_at: str = "") -> None:
        self.connection, self.transport, self.home = upstream()
        self.sink = self.begin(method, upgrade=upgrade, leaves_at=leaves_at)

    def begin(self, method: str = "POST", *, upgrade: bytes | None = None, leaves_at: str = "") -> Sink:
        self.sink = Sink(self.connection, leaves_at=leaves_at)
        self.connection.begin(self.sink, method, upgrade)
        return self.sink

    def read(self, *reads: bytes) -> Sink:
        for data in reads:
            feed(self.connection, data)
        return self.sink

    @property
    def kept(self) -> bool:
        """Whether the connection went back to its pool."""
        assert (self.transport.ending == "aborted") or self.home.released == [self.connection] * len(self.home.released)
        return bool(self.home.released) and not self.transport.ending

    def facts(self) -> dict[str, Any]:
        sink = self.sink
        return {
            "replies": [plain(reply) for reply in sink.replies],
            "hints": [plain(reply) for reply in sink.hints],
            "data": sink.data,
            "done": sink.done,
            "rest": sink.rest,
            "ended": sink.ended,
        }


# -- answers read to their end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "answer", "status", "framing", "body"),
    [
        ("POST", OK, 200, Framing("length", 5), b"hello"),
        ("POST", CHUNKED, 200, Framing("chunked"), b"hello"),
        ("POST", HINTED, 200, Framing("length", 5), b"hello"),
        ("DELETE", EMPTY, 204, Framing("none"), b""),
        ("GET", b"HTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n", 304, Framing("none", 9), b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 200, Framing("none", 9), b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, Framing("none"), b""),
        (
            "GET",
            b"HTTP/1.0 200 O\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx",
            200,
            Framing("length", 1),
            b"x",
        ),
        ("GET", b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, Framing("length", 0), b""),
    ],
)
def test_an_answer_at_every_split(method: str, answer: bytes, status: int, framing: Framing, body: bytes) -> None:
    whole = Case(method)
    whole.read(answer)
    assert [(reply.status, reply.framing) for reply in whole.sink.replies] == [(status, framing)]
    assert (whole.sink.data, whole.sink.done, whole.sink.ended, whole.sink.after_end) == (body, 1, "", 0)
    assert whole.kept
    for at in range(1, len(answer)):
        split = Case(method)
        split.read(answer[:at], answer[at:])
        assert split.facts() == whole.facts(), at
        assert split.kept, at


@given(
    st.sampled_from((OK, CHUNKED, HINTED, EMPTY, OK[:-2], CHUNKED[:-9], SWITCH + b"frames")),
    st.lists(st.integers(1, 40), max_size=12),
)
def test_splitting_anywhere_gives_the_same(answer: bytes, sizes: list[int]) -> None:
    whole, split = Case(upgrade=b"websocket"), Case(upgrade=b"websocket")
    whole.read(answer)
    rest = answer
    for size in sizes:
        split.read(rest[:size])
        rest = rest[size:]
    split.read(rest)
    assert split.facts() == whole.facts()


def test_hints_come_before_the_head_and_their_fields_stay_theirs() -> None:
    case = Case()
    sink = case.read(HINTED)
    assert [(hint.status, hint.reason, hint.block) for hint in sink.hints] == [
        (100, b"C", b"X: 0\r\n"),
        (103, b"E", b"Link: </a>\r\n"),
    ]
    assert (sink.replies[0].reason, sink.replies[0].block) == (b"OK", b"")


def test_trailers_end_here() -> None:
    assert Case().read(CHUNKED).replies[0].block == b"X-A: \xff\r\n"


def test_one_read_is_one_call_with_all_its_chunks() -> None:
    case = Case()
    head, _, body = CHUNKED.partition(b"\r\n\r\n")
    case.read(head + b"\r\n\r\n")
    calls: list[tuple[bytes, bool]] = []
    case.sink.body = lambda data, done: calls.append((data, done))  # type: ignore[method-assign]
    case.read(body)
    assert calls == [(b"hello", True)]


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_reads_that_are_whole_chunks_are_told_as_they_came() -> None:
    case = Case()
    case.read(STREAM_HEAD, b"1\r\na\r\n", b"1\r\nb\r\n", b"1\r\nc\r\n2\r\ndd\r\n")
    assert (case.sink.data, case.sink.framed) == (b"abcdd", [b"1\r\nb\r\n", b"1\r\nc\r\n2\r\ndd\r\n"])
    case.read(b"1\r\ne\r\n0\r\n\r\n")
    assert (case.sink.data, case.sink.done, case.kept) == (b"abcdde", 1, True)
    case.begin()
    case.read(STREAM_HEAD)
    assert case.sink.replies[0].framing == Framing("chunked"), "the next answer begins at its head"
    case.read(b"1\r\nx\r\n")
    assert case.sink.framed == []


@pytest.mark.parametrize(
    "before", [b"3", b"3;x", b"3\r", b"3\r\n", b"3\r\n1", b"3\r\n1\r\n", b"3\r\nabc", b"3\r\nabc\r"]
)
def test_a_read_in_the_middle_of_a_chunk_is_never_taken_for_one(before: bytes) -> None:
    """What looks like a chunk may be what is in one."""
    whole = (
        b"3\r\n1\r\n\r\n" if before.startswith(b"3\r\n1") else b"3;x\r\nabc\r\n" if b";" in before else b"3\r\nabc\r\n"
    )
    case = Case().read(STREAM_HEAD + b"1\r\na\r\n" + before, whole[len(before) :], b"1\r\nz\r\n", b"0\r\n\r\n")
    assert (case.data, case.done) == (b"a" + (b"1\r\n" if b"1" in before else b"abc") + b"z", 1)
    assert case.framed == [b"1\r\nz\r\n"]


def test_a_large_read_is_left_to_the_parser() -> None:
    large = b"%x\r\n%b\r\n" % (COPIED, b"x" * COPIED)
    sink = Case().read(STREAM_HEAD, b"1\r\na\r\n", large, b"1\r\nb\r\n")
    assert (len(sink.data), sink.framed) == (COPIED + 2, [b"1\r\nb\r\n"])


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=5), st.lists(st.integers(1, 30), min_size=1))
def test_chunks_in_any_reads_are_the_same_body(parts: list[bytes], sizes: list[int]) -> None:
    data = STREAM_HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    case, at = Case(), 0
    for size in (*sizes, *[7] * len(data)):
        case.read(*filter(None, [data[at : at + size]]))
        at += size
    assert (case.sink.data, case.sink.done, case.kept) == (b"".join(parts), 1, True)


def test_a_second_answer_on_the_same_connection() -> None:
    case = Case()
    case.read(OK)
    assert (case.connection.uses, case.connection.stale) == (1, False)
    case.begin("HEAD")
    assert case.connection.stale
    case.read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert not case.connection.stale
    case.begin()
    assert case.read(CHUNKED).data == b"hello"
    assert case.home.released == [case.connection] * 3
    assert case.kept


def test_a_body_that_only_the_end_of_the_connection_ends() -> None:
    case = Case()
    case.read(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
    assert (case.sink.data, case.sink.done, case.sink.replies[0].framing.kind) == (b"hello", 0, "close")
    assert case.connection.eof_received() is False
    case.connection.connection_lost(None)
    assert (case.sink.data, case.sink.done, case.sink.ended) == (b"hello", 1, "")
    assert case.home.forgotten == [case.connection]
    assert not case.home.released


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.0 200 O\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_connection_that_carries_no_further_answer_is_closed(answer: bytes) -> None:
    case = Case()
    assert case.read(answer).done == 1
    assert not case.kept


# -- bytes nobody asked for -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [b"XX", OK, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nspoofed", b"\x00"])
@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("POST", OK, b"hello"),
        ("POST", CHUNKED, b"hello"),
        ("GET", EMPTY, b""),
        ("GET", b"HTTP/1.1 304 \r\nContent-Length: 2\r\n\r\n", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b""),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
    ],
)
def test_what_follows_an_answer_is_dropped_with_the_connection(
    method: str, answer: bytes, body: bytes, extra: bytes
) -> None:
    together = Case(method)
    sink = together.read(answer + extra)
    assert (sink.data, sink.done, len(sink.replies), sink.ended) == (body, 1, 1, "")
    assert not together.kept
    behind = Case(method)
    sink = behind.read(answer, extra)
    assert (sink.data, sink.done, len(sink.replies), sink.ended) == (body, 1, 1, "")
    assert behind.transport.ending == "aborted"


def test_a_body_behind_the_answer_to_a_head_is_not_delivered() -> None:
    case = Case("HEAD")
    sink = case.read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert (sink.data, sink.done) == (b"", 1)
    assert not case.kept


def test_bytes_for_a_sink_that_stays_after_the_end_are_dropped() -> None:
    case = Case()
    case.sink.body = lambda data, done: None  # type: ignore[method-assign]
    case.read(OK, b"more")
    assert not case.transport.ending
    case.connection.detach()
    assert case.transport.ending == "aborted"


# -- what breaks the rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (b"SSH-2.0-x\r\n", "not an HTTP/1 response"),
        (b"\x16\x03\x01", "not an HTTP/1 response"),
        (b"HTTP/1.1 abc\r\n\r\n", "not an HTTP/1 response"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/2.0 with status 200"),
        (b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n", "not an HTTP/1 response: HTTP/0.9 with status 200"),
        (b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 with status 99"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n", "not an HTTP/1 response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "a Transfer-Encoding other than chunked"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        (
            b"HTTP/1.1 100 C\r\n\r\nHTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "Transfer-Encoding in HTTP/1.0",
        ),
        (b"\r\nHTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding in HTTP/1.0"),
        (b"HTTP/1.1 100 C\r\nTransfer-Encoding: x\r\n\r\n" + OK, "a Transfer-Encoding other than chunked"),
        (b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "a 101 to a protocol that was not asked for"),
    ],
)
def test_broken_heads(answer: bytes, detail: str) -> None:
    case = Case()
    sink = case.read(answer)
    assert detail in sink.ended
    assert (sink.replies, sink.data, sink.done, sink.after_end) == ([], b"", 0, 0)
    assert case.transport.ending == "aborted"
    case.connection.connection_lost(None)
    assert sink.after_end == 0


def test_a_body_that_breaks_counts_up_to_the_defect() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"
    for at in range(len(answer) - 4, len(answer)):
        case = Case()
        sink = case.read(answer[:at], answer[at:])
        assert (sink.data, sink.done) == (b"abc", 0)
        assert sink.ended.startswith("not an HTTP/1 response")
        assert case.transport.ending == "aborted"


def test_a_failure_of_our_own_is_logged_and_no_traceback_of_the_loops(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read(*args: object) -> Reply:
        raise KeyError("ours")

    monkeypatch.setattr("proxy.parser.read", read)
    case = Case()
    assert case.read(OK).ended.startswith("not an HTTP/1 response")
    assert case.transport.ending == "aborted"
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


def test_a_defect_of_the_providers_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    for answer in (b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\n\r\n"):
        assert Case().read(answer).ended
    assert caplog.records == []


def test_a_sink_that_leaves_before_the_defect_is_told_no_more() -> None:
    case = Case(leaves_at="body")
    sink = case.read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")
    assert (sink.data, sink.ended) == (b"abc", "")


@pytest.mark.parametrize("hint", [b"", b"HTTP/1.1 103 E\r\nLink: " + b"a" * 500 + b"\r\n\r\n"])
def test_a_head_has_a_bound(hint: bytes) -> None:
    case = Case()
    endless = hint * 400 if hint else b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 30_000
    read = 0
    for start in range(0, len(endless), 10_000):
        case.read(endless[start : start + 10_000])
        read += 10_000
        if case.sink.ended:
            break
    assert case.sink.ended == "response head larger than 128 KiB"
    assert HEAD_LIMIT < read <= HEAD_LIMIT + 10_000


def test_a_large_body_comes_in_reads_of_the_shared_buffer() -> None:
    body = bytes(range(256)) * (READ_SIZE // 64)
    case = Case()
    case.read(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert case.sink.data == body
    assert case.kept


@given(
    st.lists(
        st.binary(max_size=60) | st.sampled_from((OK, CHUNKED[:60], b"HTTP/1.1 ", b"\r\n\r\n", b"200 OK")), max_size=8
    ),
    st.sampled_from(("GET", "HEAD")),
)
def test_garbage_never_raises_and_nothing_comes_after_the_end(reads: list[bytes], method: str) -> None:
    case = Case(method)
    sink = case.read(*reads)
    case.connection.connection_lost(None)
    assert sink.after_end == 0
    assert sink.done + bool(sink.ended) == 1
    if method == "HEAD":
        assert sink.data == b""


# -- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (None, "connection closed by the provider"),
        (ConnectionResetError(), "connection reset by the provider"),
        (OSError("wire cut"), "connection lost: wire cut"),
    ],
)
@pytest.mark.parametrize("read", [b"", b"HTTP/1.1 200", OK[:-1], CHUNKED[:-2]])
def test_a_connection_that_ends_first(read: bytes, error: Exception | None, detail: str) -> None:
    case = Case()
    case.read(read)
    case.connection.connection_lost(error)
    assert (case.sink.ended, case.sink.done) == (detail, 0)
    assert case.connection.stale is False


def test_a_reset_is_no_end_of_a_body_that_only_the_connections_end_would_end() -> None:
    case = Case()
    case.read(b"HTTP/1.1 200 OK\r\n\r\nhello")
    case.connection.connection_lost(ConnectionResetError())
    assert (case.sink.done, case.sink.ended) == (0, "connection reset by the provider")


def test_an_idle_connection_that_ends_is_forgotten() -> None:
    case = Case()
    case.read(OK)
    case.connection.connection_lost(None)
    assert case.home.forgotten == [case.connection]
    assert case.connection.transport is None


def test_detaching_before_the_end_aborts() -> None:
    case = Case()
    case.read(OK[:-1])
    case.connection.detach()
    assert case.transport.ending == "aborted"
    assert not case.home.released
    case.read(b"o")
    assert case.sink.data == b"hell"


def test_a_sink_may_leave_at_the_head() -> None:
    case = Case(leaves_at="head")
    sink = case.read(OK)
    assert (len(sink.replies), sink.data, sink.done) == (1, b"", 0)


def test_nothing_is_done_to_a_transport_that_is_gone() -> None:
    case = Case()
    case.connection.connection_lost(None)
    case.connection.write(b"x")
    case.connection.pause()
    case.connection.resume()
    case.connection.abort()
    case.connection.detach()
    assert (case.transport.writes, case.transport.reading, case.transport.ending) == ([], True, "")


# -- flow -------------------------------------------------------------------------------------------------------------


def test_pausing_is_done_once_and_undone_for_the_pool() -> None:
    case = Case()
    case.connection.resume()
    case.connection.pause()
    assert case.connection.paused
    assert not case.transport.reading
    case.transport.reading = True
    case.connection.pause()
    assert case.transport.reading
    case.transport.reading = False
    case.read(OK)
    assert case.transport.reading
    assert not case.connection.paused
    assert case.kept


def test_a_provider_that_takes_no_more() -> None:
    connection, transport, _ = upstream()
    connection.write(b"abc")
    assert transport.written == b"abc"
    connection.pause_writing()
    assert connection.blocked
    connection.resume_writing()
    assert not connection.blocked
    sink = Sink(connection)
    connection.begin(sink, "POST")
    connection.resume_writing()
    assert sink.told_writable == 1


# -- another protocol -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [b"websocket", b"foo/2, WEBSOCKET"])
def test_a_switch_to_what_was_asked_for(asked: bytes) -> None:
    stream = b"HTTP/1.1 103 E\r\n\r\n" + SWITCH + b"\x81\x00HTTP/1.1"
    for at in range(1, len(stream)):
        case = Case("GET", upgrade=asked)
        sink = case.read(stream[:at], stream[at:], b"more")
        assert [reply.status for reply in (*sink.hints, *sink.replies)] == [103, 101]
        assert (sink.rest, sink.data, sink.done) == (b"\x81\x00HTTP/1.1more", b"", 0)
        case.connection.detach()
        assert case.transport.ending == "aborted"
        assert not case.home.released


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (None, SWITCH),
        (b"foo", SWITCH),
        (b"", b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n"),
        (b"websocket", b"HTTP/1.1 101 S\r\n\r\n"),
        (b"websocket", b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
        (b"websocket", b"HTTP/1.1 101 S\r\nConnection: upgrade\r\n\r\n"),
    ],
)
def test_a_switch_that_does_not_match(asked: bytes | None, answer: bytes) -> None:
    case = Case("GET", upgrade=asked)
    assert case.read(answer).ended == "a 101 to a protocol that was not asked for"
    assert case.sink.replies == []


def test_a_sink_may_leave_at_a_switch() -> None:
    case = Case("GET", upgrade=b"websocket", leaves_at="head")
    assert case.read(SWITCH + b"x").rest is None


def test_a_tunnel_that_ends() -> None:
    case = Case("GET", upgrade=b"websocket")
    case.read(SWITCH)
    case.connection.connection_lost(None)
    assert case.sink.ended == "connection closed by the provider"
