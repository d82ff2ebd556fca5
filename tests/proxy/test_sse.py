from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.bounded import LIMIT
from proxy.sse import NAME_LIMIT, Event, Splitter


def split(*pieces: bytes) -> list[Event]:
    splitter = Splitter()
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.close()


def reference(body: bytes) -> list[Event]:
    """WHATWG HTML section 9.2.6, literally, with the two liberties the module takes."""
    lines = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events: list[Event] = []
    name, values = b"", []
    for line in [*lines, b""]:
        if line == b"":
            if values or name == b"error":
                events.append((name, b"\n".join(values)))
            name, values = b"", []
            continue
        field, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if field == b"data":
            values.append(value)
        elif field == b"event":
            name = value
    return events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\n", [(b"", b"a")]),
        (b"data:a\n\n", [(b"", b"a")]),
        (b"data:  a\n\n", [(b"", b" a")]),
        (b"event: x\ndata: a\n\n", [(b"x", b"a")]),
        (b"data: a\nevent: x\n\n", [(b"x", b"a")]),
        (b"event: x\n\ndata: a\n\n", [(b"", b"a")]),
        (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
        (b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
        (b"data\n\n", [(b"", b"")]),
        (b"data\ndata\n\n", [(b"", b"\n")]),
        (b"\n\n\ndata: a\n\n\n\ndata: b\n\n", [(b"", b"a"), (b"", b"b")]),
        (b": comment\n\n", []),
        (b"id: 1\nretry: 3\nx: y\ndata: a\n\n", [(b"", b"a")]),
        (b"event: error\n\n", [(b"error", b"")]),
        (b"event: ping\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [(b"", b"a")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\n\r\ndata: b\r\n\n", [(b"", b"a"), (b"", b"b")]),
        (b"data: a", [(b"", b"a")]),
        (b"data: a\n", [(b"", b"a")]),
        (b"event: error", [(b"error", b"")]),
        (b"", []),
    ],
)
def test_events(body: bytes, events: list[Event]) -> None:
    assert split(body) == events
    assert split(*(body[at : at + 1] for at in range(len(body)))) == events
    assert split(b": first\n\n", body.removeprefix(b"\xef\xbb\xbf")) == split(
        b": first\n\n" + body.removeprefix(b"\xef\xbb\xbf")
    )


TOKENS = st.sampled_from(
    [
        b"\n",
        b"\n\n",
        b"\r",
        b"\r\n",
        b"data: ",
        b"data:",
        b"event: ",
        b"error",
        b": ",
        b"a",
        b"{}",
        b"\xef\xbb\xbf",
        b"id",
    ]
)


@given(pieces=st.lists(st.lists(TOKENS, max_size=8).map(b"".join), max_size=8))
@settings(max_examples=400, deadline=None)
def test_any_pieces_of_any_bytes_are_what_the_specification_says(pieces: list[bytes]) -> None:
    assert split(*pieces) == reference(b"".join(pieces))


def test_an_event_is_given_as_soon_as_its_blank_line_is_there() -> None:
    splitter = Splitter()
    assert splitter.feed(b"data: a\r") == []
    assert splitter.feed(b"\r") == [(b"", b"a")]
    assert splitter.feed(b"\ndata: b\n\ndata: c") == [(b"", b"b")]
    assert splitter.feed(b"\n\n") == [(b"", b"c")]


@pytest.mark.parametrize(
    ("body", "is_open"),
    [(b"data: a\n\n", False), (b"data: a\r\n\r\n", False), (b"data: a\r\r", True), (b"data: a\n", True), (b"x", True)],
)
@pytest.mark.parametrize("before", [b"", b": x\n\n", b": x\n\ndata: y\n\n"])
def test_open_says_whether_something_may_be_incomplete(before: bytes, body: bytes, is_open: bool) -> None:
    splitter = Splitter()
    splitter.feed(before)
    splitter.feed(body)
    assert splitter.open is is_open
    splitter.feed(b"")
    assert splitter.open is is_open


def test_closing_twice_gives_nothing_twice() -> None:
    splitter = Splitter()
    splitter.feed(b"data: a")
    assert splitter.close() == [(b"", b"a")]
    assert splitter.close() == []


@pytest.mark.parametrize("size", [1 << 30, 4096, 999])
def test_long_names_and_events_are_cut_alike_in_all_pieces(size: int) -> None:
    body = b"event: " + b"n" * 10_000 + b"\ndata: " + b"a b " * 100_000 + b"\n\ndata: c\n\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    (name, data), last = split(*pieces)
    assert name == b"n" * NAME_LIMIT
    assert data == (b"data: " + b"a b " * 100_000)[6:LIMIT]
    assert last == (b"", b"c")


def test_a_long_name_is_cut_on_the_short_way_too() -> None:
    event = b"event: " + b"n" * 500 + b"\ndata: a\n\n"
    assert split(event, event) == [(b"n" * NAME_LIMIT, b"a")] * 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_piece_of_nothing_changes_nothing(end: bytes) -> None:
    """As a decoder gives when it needs more, be it between a CR and its LF."""
    body = b"event: a" + end + b"data: b" + end + end + b"data: c" + end + end
    pieces = [piece for at in range(len(body)) for piece in (b"", body[at : at + 1], b"")]
    assert split(*pieces) == [(b"a", b"b"), (b"", b"c")]
