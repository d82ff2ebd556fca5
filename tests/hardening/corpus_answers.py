"""Malformed answers, answers that hide a second one, and what a client may get of each."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tests.hardening.corpus_framing import BROKEN, CODING_VALUES, LENGTH_VALUES

Comes = bytes | Literal["refused", "broken"]
"""The body of a whole 200, a 502 of Detour's own, or (while nothing was passed on yet: or that) one without an end."""

POISON = b"HTTP/1.1 200 OK\r\nX-Poison: yes\r\nContent-Length: 8\r\n\r\npoisoned"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Answer(Struct, frozen=True):
    """What a provider sends, None being its FIN, and what comes of it; `gone` says that its connection must end."""

    name: str
    parts: tuple[bytes | None, ...]
    comes: Comes
    gone: bool = True
    method: bytes = b"GET"


def refused(name: str, raw: bytes) -> Answer:
    return Answer(name, (raw + POISON,), "refused")


def broken(name: str, raw: bytes) -> Answer:
    return Answer(name, (raw + POISON,), "broken")


def head(*lines: bytes) -> bytes:
    """A head with these lines and a length of 2, and its body."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Length: 2", *lines)) + b"\r\n\r\nok"


FRAMING = [
    *(
        refused(f"length-{name}", OK + b"Content-Length:" + value + b"\r\n\r\nabc")
        for name, value in LENGTH_VALUES.items()
    ),
    *(
        refused(f"coding-{name}", OK + b"Transfer-Encoding:" + value + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        for name, value in CODING_VALUES.items()
    ),
    refused("coding-with-length", OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused("length-with-coding", OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    refused("coding-twice", OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n"),
    refused("coding-in-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    refused("length-twice-differs", OK + b"Content-Length: 0\r\nContent-Length: 8\r\n\r\n"),
    *(
        broken(f"chunk-{name}", CHUNKED + body)
        for name, body in BROKEN.items()
        if not name.startswith(("last-", "end-", "trailer-"))
    ),
]

HEADS = [
    refused("not-http", b"SSH-2.0-OpenSSH_9.7\r\n\r\n"),
    refused("http-0.9", b"<html></html>\r\n\r\n"),
    refused("icy", b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("version-2", b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok"),
    refused("version-2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("version-1.2", b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("version-in-small-letters", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("a-request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused("status-two-digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-four-digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-099", b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-word", b"HTTP/1.1 two OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-minus", b"HTTP/1.1 -200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-none", b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"),
    refused("status-behind-two-spaces", b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    refused("field-without-colon", head(b"X")),
    refused("field-without-name", head(b": x")),
    refused("field-name-with-space", head(b"X Y: z")),
    refused("field-space-before-colon", head(b"X : z")),
    refused("field-length-space-before-colon", OK + b"Content-Length : 2\r\n\r\nok"),
    refused("field-folded", head(b"X: a\r\n b")),
    refused("field-folded-first", OK + b" X: a\r\nContent-Length: 2\r\n\r\nok"),
    refused("field-value-with-nul", head(b"X: a\0b")),
    refused("field-value-with-cr", head(b"X: a\rb")),
    refused("field-value-with-control", head(b"X: a\x01b")),
    refused("field-value-with-del", head(b"X: a\x7fb")),
    refused("field-name-with-nul", head(b"X\0: a")),
    refused("field-name-with-high-byte", head(b"X\xff: a")),
    refused("switch-not-asked-for", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    refused("switch-to-h2c", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    refused("head-200-kib", head(*(b"X: %b" % (b"a" * 1000) for _ in range(200)))),
    refused("head-one-value-200-kib", head(b"X: " + b"a" * 200_000)),
    refused("hints-without-end", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5000),
    refused("continues-without-end", b"HTTP/1.1 100 Continue\r\n\r\n" * 8000),
    Answer("head-cut-short", (b"HTTP/1.1 200 OK\r\nContent-Le", None), "refused"),
    Answer("nothing", (None,), "refused"),
    Answer("empty-lines", (b"\r\n\r\n\r\n", None), "refused"),
    Answer("hint-and-nothing", (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", None), "refused"),
]

BEHIND = [
    Answer("second-behind-a-length", (head() + POISON,), b"ok"),
    Answer("second-behind-a-length-apart", (head(), POISON), b"ok"),
    Answer("second-behind-chunks", (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + POISON,), b"ok"),
    Answer("second-behind-chunks-apart", (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", POISON), b"ok"),
    Answer("second-behind-a-trailer", (CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n" + POISON,), b"ok"),
    Answer("second-behind-no-body", (OK + b"Content-Length: 0\r\n\r\n" + POISON,), b""),
    Answer("second-behind-1.0", (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok" + POISON,), b"ok"),
    Answer("second-behind-close", (head(b"Connection: close") + POISON,), b"ok"),
    Answer("second-behind-a-head", (head()[:-2] + POISON,), b"", method=b"HEAD"),
    Answer("body-of-a-head", (head(),), b"", method=b"HEAD"),
    Answer("chunks-of-a-head", (CHUNKED + b"2\r\nok\r\n0\r\n\r\n",), b"", method=b"HEAD"),
    Answer("body-of-a-head-apart", (head()[:-2], b"ok"), b"", method=b"HEAD"),
    Answer("garbage-behind", (head() + b"\0\xff garbage",), b"ok"),
    Answer("empty-lines-behind", (head() + b"\r\n\r\n",), b"ok", gone=False),
    Answer("byte-behind", (head() + b"H",), b"ok"),
    Answer("hint-with-a-length", (b"HTTP/1.1 103 H\r\nContent-Length: 8\r\n\r\n" + head(),), b"ok", gone=False),
    Answer("hint-with-a-body", (b"HTTP/1.1 103 H\r\nContent-Length: 8\r\n\r\npoisoned" + head(),), "refused"),
    Answer("continue-with-a-body", (b"HTTP/1.1 100 C\r\nContent-Length: 8\r\n\r\npoisoned" + head(),), "refused"),
    Answer("hint-with-chunks", (b"HTTP/1.1 103 H\r\nTransfer-Encoding: chunked\r\n\r\n8\r\npoisoned\r\n",), "refused"),
    Answer("length-cut-short", (OK + b"Content-Length: 9\r\n\r\nok", None), "broken"),
    Answer("chunks-cut-short", (CHUNKED + b"2\r\nok\r\n", None), "broken"),
    Answer("last-chunk-cut-short", (CHUNKED + b"2\r\nok\r\n0\r\n", None), "broken"),
    Answer("no-framing-until-close", (OK + b"\r\nok", None), b"ok"),
    Answer("no-framing-hides-a-second", (OK + b"\r\nok" + POISON, None), b"ok" + POISON),
    Answer("length-hides-a-second", (OK + b"Content-Length: %d\r\n\r\n" % len(POISON) + POISON,), POISON, gone=False),
    Answer("trailers", (CHUNKED + b"2\r\nok\r\n0\r\nSet-Cookie: a=b\r\nX-Poison: yes\r\n\r\n",), b"ok", gone=False),
    Answer("connection-names-length", (head(b"Connection: Content-Length, keep-alive"),), b"ok", gone=False),
    Answer("connection-names-cookie", (head(b"Connection: Set-Cookie", b"Set-Cookie: a=b"),), b"ok", gone=False),
    Answer("upgrade-offered", (head(b"Connection: Upgrade", b"Upgrade: h2c"),), b"ok", gone=False),
    Answer("reason-with-controls", (b"HTTP/1.1 200 O\x01\tK\r\nContent-Length: 2\r\n\r\nok",), b"ok", gone=False),
    Answer("reason-none", (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",), b"ok", gone=False),
    Answer("reason-in-utf-8", ("HTTP/1.1 200 Grüße\r\nContent-Length: 2\r\n\r\nok".encode(),), b"ok", gone=False),
    Answer("value-with-high-bytes", (head(b"X: \xff\x80"),), b"ok", gone=False),
    # The parser takes it for HTTP/1.0, and HTTP is what the client gets.
    Answer("rtsp", (b"RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",), b"ok"),
    Answer("value-empty", (head(b"X:", b"Y: "),), b"ok", gone=False),
    Answer("names-of-ours", (head(b"x-detour-provider: evil", b"Via: 1.1 detour-evil"),), b"ok", gone=False),
]  # fmt: skip

ANSWERS = [*FRAMING, *HEADS, *BEHIND]
