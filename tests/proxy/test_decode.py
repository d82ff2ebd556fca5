from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.decode import CALL_LIMIT, Decoder

TEXT = b'data: {"choices":[{"delta":{"content":"Hello"}}]}\n\n' * 40


def raw(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


ENCODED = {
    b"gzip": gzip.compress(TEXT),
    b"x-gzip": gzip.compress(TEXT),
    b" GZip ": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    b"deflate": zlib.compress(TEXT),
    b"Deflate": raw(TEXT),
    b"identity": TEXT,
    b"": TEXT,
}


@pytest.mark.parametrize("encoding", ENCODED)
@pytest.mark.parametrize("size", [1, 2, 7, 1 << 20])
def test_what_goes_in_comes_out(encoding: bytes, size: int) -> None:
    decoder = Decoder(encoding)
    body = ENCODED[encoding]
    assert b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) == TEXT
    assert not decoder.failed


def test_what_was_flushed_comes_out_at_once() -> None:
    compressor = zlib.compressobj(wbits=31)
    decoder = Decoder(b"gzip")
    for part in (b"data: a\n\n", b"data: b\n\n"):
        assert decoder.feed(compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH)) == part


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, gzip", b"\xff", b"aws-chunked"])
def test_an_unknown_encoding_has_failed_from_the_start(encoding: bytes) -> None:
    decoder = Decoder(encoding)
    assert decoder.failed
    assert decoder.feed(b"anything") == b""


@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
def test_what_is_not_encoded_fails(encoding: bytes) -> None:
    decoder = Decoder(encoding)
    assert decoder.feed(b"\xff\xff" + TEXT) == b""
    assert decoder.failed
    assert decoder.feed(ENCODED[encoding]) == b""


def test_damage_in_the_middle_fails_and_keeps_what_came_before() -> None:
    decoder = Decoder(b"gzip")
    compressor = zlib.compressobj(wbits=31)
    assert decoder.feed(compressor.compress(TEXT) + compressor.flush(zlib.Z_SYNC_FLUSH)) == TEXT
    decoder.feed(b"\xff" * 50)
    assert decoder.failed


@pytest.mark.parametrize("padding", [b"\x00" * 20, b"garbage"])
@pytest.mark.parametrize("encoding", [b"gzip", b"deflate"])
@pytest.mark.parametrize("together", [True, False])
def test_padding_behind_the_end_is_ignored(encoding: bytes, padding: bytes, together: bool) -> None:
    decoder = Decoder(encoding)
    pieces = [ENCODED[encoding] + padding] if together else [ENCODED[encoding], padding]
    assert b"".join(map(decoder.feed, pieces)) == TEXT
    assert not decoder.failed


def test_what_expands_beyond_reason_fails() -> None:
    decoder = Decoder(b"gzip")
    assert decoder.feed(gzip.compress(bytes(CALL_LIMIT + 1))) == b""
    assert decoder.failed


def test_a_whole_call_may_expand_to_the_limit() -> None:
    decoder = Decoder(b"gzip")
    assert len(decoder.feed(gzip.compress(bytes(CALL_LIMIT)))) == CALL_LIMIT
    assert not decoder.failed


@given(
    encoding=st.sampled_from([b"gzip", b"deflate", b"identity", b"br"]),
    pieces=st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(list(ENCODED.values()))), max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_garbage_never_raises(encoding: bytes, pieces: list[bytes]) -> None:
    decoder = Decoder(encoding)
    for piece in pieces:
        decoder.feed(piece)
