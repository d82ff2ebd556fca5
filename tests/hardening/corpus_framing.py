"""Where a request ends: lengths, codings, chunks, and requests behind one another in one go."""

from __future__ import annotations

from tests.hardening.case import (
    JUDGED,
    POSTED,
    Case,
    X,
    ask,
    cut,
    get,
    in_one_read,
    judged,
    last,
    passes,
    post,
    refused,
)

CHUNKED = b"Transfer-Encoding: chunked"
TRAILER = b"3\r\nabc\r\n0\r\nX: y\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n0\r\n\r\n"
HIDDEN = b"GET /lab/y HTTP/1.1\r\nHost: evil.example\r\n\r\nabc"
GENERATION = (b"POST", JUDGED.removeprefix(b"/lab"), b"abc")


def lengths(name: str, *fields: bytes) -> Case:
    return refused(f"length-{name}", post(*fields, body=b"abc"))


def coding(name: str, *fields: bytes) -> Case:
    """Codings that are refused also where a length beside them could be believed."""
    return refused(f"coding-{name}", post(*fields, body=CHUNKS))


LENGTH_VALUES = {
    "list": b" 3, 3",
    "list-differs": b" 3, 4",
    "list-without-space": b" 3,3",
    "comma": b" 3,",
    "plus": b" +3",
    "minus": b" -3",
    "minus-zero": b" -0",
    "hex": b" 0x3",
    "octal": b" 0o3",
    "float": b" 3.0",
    "exponent": b" 3e0",
    "underscore": b" 0_3",
    "spaced": b" 0 3",
    "tabbed": b" 3\t0",
    "word": b" three",
    "empty": b"",
    "blank": b"   ",
    "quoted": b' "3"',
    "semicolon": b" 3;",
    "superscript": b" \xb3",
    "other-digits": " ٣".encode(),
    "nul": b" 3\0",
    "vertical-tab": b" \x0b3",
    "form-feed": b" 3\x0c",
    "nbsp": b" \xa03",
    "2^63": b" 9223372036854775808",
    "2^64+3": b" 18446744073709551619",
    "40-digits": b" " + b"9" * 40,
    "folded": b"\r\n 3",
    "folded-behind": b" 3\r\n 0",
    "cr": b" 3\r0",
    "lf": b" 3\n0",
}
"""What follows `Content-Length:` and is no length."""

LENGTHS = [
    *(
        lengths(name, b"Content-Length:" + value)
        for name, value in LENGTH_VALUES.items()
    ),
    lengths("twice", b"Content-Length: 3", b"Content-Length: 3"),
    lengths("twice-differs", b"Content-Length: 3", b"Content-Length: 0"),
    lengths("twice-in-other-letters", b"Content-Length: 3", b"CONTENT-LENGTH: 4"),
    lengths("twice-apart", b"Content-Length: 0", b"X: y", b"content-length: 3"),
    lengths("space-before-colon", b"Content-Length : 3"),
    lengths("tab-before-colon", b"Content-Length\t: 3"),
    lengths("nul-in-name", b"Content-Length\0: 3"),
    lengths("high-byte-in-name", b"Content-Length\xad: 3"),
    lengths("in-a-folded-line", b"X: y\r\n\tContent-Length: 3"),
    passes("length-leading-zeros", post(b"Content-Length: 0003", body=b"abc"), POSTED),
    passes("length-between-blanks", post(b"Content-Length: \t3 \t", body=b"abc"), POSTED),
    passes("length-zero", post(b"Content-Length: 0"), (b"POST", b"/x", b"")),
    passes("length-of-a-get", ask(b"GET /lab/x HTTP/1.1", b"Content-Length: 3", body=b"abc"), (b"GET", b"/x", b"abc")),
    passes("length-of-a-head", ask(b"HEAD /lab/x HTTP/1.1", b"Content-Length: 3", body=b"abc"),
           (b"HEAD", b"/x", b"abc")),
    passes("length-of-an-unknown-method", ask(b"BREW /lab/x HTTP/1.1", b"Content-Length: 3", body=b"abc"),
           (b"BREW", b"/x", b"abc")),
    passes("length-hides-a-request", post(b"Content-Length: %d" % len(HIDDEN), body=HIDDEN), (b"POST", b"/x", HIDDEN)),
    passes("no-length-no-body", post(), (b"POST", b"/x", b"")),
    refused("no-length-but-a-body", post(body=b"abc\r\n\r\n"), 400, (b"POST", b"/x", b"")),
    refused("length-too-short", post(b"Content-Length: 1", body=b"abc\r\n\r\n"), 400, (b"POST", b"/x", b"a")),
    refused("length-zero-but-a-body", post(b"Content-Length: 0", body=b"abc\r\n\r\n"), 400, (b"POST", b"/x", b"")),
]  # fmt: skip

CODING_VALUES = {
    "prefix": b" xchunked",
    "suffix": b" chunkedx",
    "short": b" chunke",
    "identity": b" identity",
    "gzip": b" gzip",
    "gzip-chunked": b" gzip, chunked",
    "chunked-gzip": b" chunked, gzip",
    "chunked-identity": b" chunked, identity",
    "identity-chunked": b" identity, chunked",
    "twice-in-a-list": b" chunked, chunked",
    "twice-without-space": b" chunked,chunked",
    "unknown-chunked": b" cow, chunked",
    "trailing-comma": b" chunked,",
    "leading-comma": b" ,chunked",
    "parameter": b" chunked;q=1",
    "bare-semicolon": b" chunked;",
    "quoted": b' "chunked"',
    "single-quoted": b" 'chunked'",
    "empty": b"",
    "blank": b" \t ",
    "space-inside": b" chun ked",
    "two-words": b" chunked chunked",
    "vertical-tab": b" \x0bchunked",
    "vertical-tab-behind": b" chunked\x0b",
    "form-feed": b" \x0cchunked",
    "nul": b" \0chunked",
    "nul-behind": b" chunked\0",
    "del": b" chunked\x7f",
    "nbsp": b" \xa0chunked",
    "nel": b" \x85chunked",
    "high-byte": b" chunked\xff",
    "kelvin": b" chun\xe2\x84\xaaed",
    "bracketed": b" [chunked]",
    "percent": b" %63hunked",
    "colon": b": chunked",
    "folded": b"\r\n chunked",
    "folded-with-a-tab": b"\r\n\tchunked",
    "folded-behind": b" chunked\r\n ",
    "cr": b" chunked\r",
    "lf-before": b"\nchunked",
    "x-with-lf": b" x\nTransfer-Encoding: chunked",
    "tab-behind": b" chunked\t",
}
"""What follows `Transfer-Encoding:` and is not chunked, or not clearly."""

CODINGS = [
    *(coding(name, b"Transfer-Encoding:" + value) for name, value in CODING_VALUES.items()),
    coding("name-space", b"Transfer-Encoding : chunked"),
    coding("name-tab", b"Transfer-Encoding\t: chunked"),
    coding("name-behind-space", b" Transfer-Encoding: chunked"),
    coding("name-with-nul", b"Transfer-Encoding\0: chunked"),
    coding("name-with-high-byte", b"Transfer\xadEncoding: chunked"),
    coding("name-behind-cr", b"X: y\rTransfer-Encoding: chunked"),
    coding("name-behind-lf", b"X: y\nTransfer-Encoding: chunked"),
    coding("name-behind-lf-cr", b"X: y\n\rTransfer-Encoding: chunked"),
    coding("twice", CHUNKED, CHUNKED),
    coding("twice-and-unknown", CHUNKED, b"Transfer-Encoding: cow"),
    coding("unknown-and-twice", b"Transfer-Encoding: cow", CHUNKED),
    coding("twice-and-identity", CHUNKED, b"transfer-encoding: identity"),
    coding("twice-and-empty", CHUNKED, b"Transfer-Encoding:"),
    coding("with-length", CHUNKED, b"Content-Length: 3"),
    coding("behind-length", b"Content-Length: 3", CHUNKED),
    coding("with-length-of-all", CHUNKED, b"Content-Length: %d" % len(CHUNKS)),
    coding("with-length-zero", CHUNKED, b"Content-Length: 0"),
    coding("unknown-with-length", b"Content-Length: 13", b"Transfer-Encoding: xchunked"),
    coding("identity-with-length", b"Content-Length: 13", b"Transfer-Encoding: identity"),
    coding("spaced-with-length", b"Content-Length: 13", b"Transfer-Encoding : chunked"),
    coding("tabbed-with-length", b"Content-Length: 13", b"Transfer-Encoding:\x0bchunked"),
    coding("with-length-in-connection", b"Content-Length: 3", CHUNKED, b"Connection: Content-Length"),
    refused("coding-cl-te-of-a-get", ask(b"GET /lab/x HTTP/1.1", b"Content-Length: 6", CHUNKED, body=b"0\r\n\r\nG")),
    refused(
        "coding-te-cl-of-a-generation", judged(CHUNKED, b"Content-Length: 4", body=b"5c\r\nGPOST / HTTP/1.1\r\n\r\n")
    ),
    refused("coding-in-1.0", ask(b"POST /lab/x HTTP/1.0", CHUNKED, b"Connection: keep-alive", body=CHUNKS)),
    refused("coding-in-1.0-with-length", ask(b"POST /lab/x HTTP/1.0", CHUNKED, b"Content-Length: 3", body=CHUNKS)),
    *(
        passes(f"coding-{name}", post(b"Transfer-Encoding:" + value, body=CHUNKS), POSTED)
        for name, value in {
            "usual": b" chunked",
            "capitals": b" CHUNKED",
            "mixed": b" ChUnKeD",
            "without-space": b"chunked",
            "tabs": b"\t \tchunked",
            "space-behind": b" chunked ",
        }.items()
    ),
    passes("coding-of-a-get", ask(b"GET /lab/x HTTP/1.1", CHUNKED, body=CHUNKS), (b"GET", b"/x", b"abc")),
    passes("coding-of-options", ask(b"OPTIONS /lab/x HTTP/1.1", CHUNKED, body=CHUNKS), (b"OPTIONS", b"/x", b"abc")),
    passes("coding-of-a-generation", judged(CHUNKED, body=CHUNKS), GENERATION),
]

BROKEN = {
    "hex-prefix": b"0x3\r\nabc\r\n",
    "plus": b"+3\r\nabc\r\n",
    "minus": b"-3\r\nabc\r\n",
    "leading-space": b" 3\r\nabc\r\n",
    "trailing-space": b"3 \r\nabc\r\n",
    "trailing-tab": b"3\t\r\nabc\r\n",
    "no-size": b"\r\nabc\r\n",
    "extension-alone": b";x\r\nabc\r\n",
    "letter": b"g\r\nabc\r\n",
    "underscore": b"0_3\r\nabc\r\n",
    "point": b"3.0\r\nabc\r\n",
    "nul": b"3\0\r\nabc\r\n",
    "high-byte": b"3\xb3\r\nabc\r\n",
    "size-ends-in-lf": b"3\nabc\r\n",
    "size-ends-in-cr": b"3\rabc\r\n",
    "size-ends-in-cr-cr-lf": b"3\r\r\nabc\r\n",
    "all-ends-in-lf": b"3\nabc\n0\n\n",
    "extension-with-lf": b"3;x\nabc\r\n",
    "extension-with-cr": b"3;x\ry\r\nabc\r\n",
    "extension-with-nul": b"3;\0\r\nabc\r\n",
    "extension-quote-with-lf": b'3;x="\n"\r\nabc\r\n',
    "extension-behind-space": b"3 ;x\r\nabc\r\n",
    "data-too-long": b"3\r\nabcd\r\n",
    "data-too-short": b"3\r\nab\r\n0\r\n\r\n",
    "data-without-end": b"3\r\nabc0\r\n\r\n",
    "data-ends-in-lf": b"3\r\nabc\n0\r\n\r\n",
    "data-ends-in-cr": b"3\r\nabc\r0\r\n\r\n",
    "data-ends-in-lf-cr": b"3\r\nabc\n\r0\r\n\r\n",
    "2^64+3": b"10000000000000003\r\nabc\r\n",
    "2^68": b"fffffffffffffffff\r\nabc\r\n",
    "second-broken": b"3\r\nabc\r\nx\r\n",
    "last-twice": b"3\r\nabc\r\n0\r\n0\r\n\r\n",
    "last-hex": b"3\r\nabc\r\n0x0\r\n\r\n",
    "last-ends-in-lf": b"3\r\nabc\r\n0\n\n",
    "last-without-end": b"3\r\nabc\r\n0\r\nX",
    "end-in-lf": b"3\r\nabc\r\n0\r\n\n",
    "end-in-cr": b"3\r\nabc\r\n0\r\n\rX",
    "trailer-without-colon": b"3\r\nabc\r\n0\r\nX\r\n\r\n",
    "trailer-spaced": b"3\r\nabc\r\n0\r\nX : y\r\n\r\n",
    "trailer-behind-space": b"3\r\nabc\r\n0\r\n X: y\r\n\r\n",
    "trailer-folded": b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer-with-nul": b"3\r\nabc\r\n0\r\nX: \0\r\n\r\n",
    "trailer-with-lf": b"3\r\nabc\r\n0\r\nX: y\nZ: z\r\n\r\n",
    "trailer-is-a-request": b"3\r\nabc\r\n0\r\nGET /lab/smuggled HTTP/1.1\r\n\r\n",
    "trailer-length": b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n",
    "trailer-host": b"3\r\nabc\r\n0\r\nHOST: evil.example\r\n\r\n",
    "trailer-coding": b"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
}
"""Bodies that break their framing."""

TRAILERS = {
    "trailers-101": b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 101 + b"\r\n",
}
"""Trailers that are too many."""

CHUNK = [
    *(refused(f"chunk-{name}", judged(CHUNKED, body=body)) for name, body in BROKEN.items()),
    *(cut(f"chunk-{name}-streamed", post(CHUNKED, body=body)) for name, body in BROKEN.items()),
    *(in_one_read(refused(f"chunk-{name}", judged(CHUNKED, body=body), 431))
      for name, body in TRAILERS.items()),
    *(in_one_read(cut(f"chunk-{name}-streamed", post(CHUNKED, body=body), 431))
      for name, body in TRAILERS.items()),
    *(
        passes(f"chunk-{name}", post(CHUNKED, body=body), POSTED)
        for name, body in {
            "extension": b"3;x\r\nabc\r\n0\r\n\r\n",
            "extension-with-value": b"3;x=y;z=1\r\nabc\r\n0\r\n\r\n",
            "extension-quoted": b'3;x="a;b=c"\r\nabc\r\n0\r\n\r\n',
            "extension-60-kib": b"3;" + b"x" * 60000 + b"\r\nabc\r\n0\r\n\r\n",
            "extension-at-the-end": b"3\r\nabc\r\n0;x=y\r\n\r\n",
            "many-leading-zeros": b"0" * 40 + b"3\r\nabc\r\n" + b"0" * 40 + b"\r\n\r\n",
            "leading-zeros": b"0003\r\nabc\r\n000\r\n\r\n",
            "three": b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n",
            "trailer": b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
            "trailer-credential": b"3\r\nabc\r\n0\r\nAuthorization: Bearer evil\r\nx-api-key: evil\r\n\r\n",
            "trailer-connection": b"3\r\nabc\r\n0\r\nConnection: keep-alive, Host\r\nX-Detour-Tag: x\r\n\r\n",
            "trailer-upgrade": b"3\r\nabc\r\n0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        }.items()
    ),
    passes("chunk-hides-a-request", post(CHUNKED, body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
           (b"POST", b"/x", HIDDEN)),
    passes("chunk-hides-an-end", post(CHUNKED, body=b"5\r\n0\r\n\r\n\r\n0\r\n\r\n"), (b"POST", b"/x", b"0\r\n\r\n")),
    passes("chunk-capital-size", post(CHUNKED, body=b"A\r\n0123456789\r\n0\r\n\r\n"), (b"POST", b"/x", b"0123456789")),
    passes("chunk-none", post(CHUNKED, body=b"0\r\n\r\n"), (b"POST", b"/x", b"")),
]  # fmt: skip

GOOD = get()
BAD = get(b"X : y")

PIPELINES = [
    passes("pipeline-ten", GOOD * 10, *[X] * 10),
    passes("pipeline-bodies", post(b"Content-Length: 3", body=b"abc") * 2 + GOOD, POSTED, POSTED, X),
    passes("pipeline-ends-in-chunks", GOOD + post(CHUNKED, body=CHUNKS), X, POSTED),
    passes("pipeline-behind-chunks", post(CHUNKED, body=CHUNKS) + GOOD, POSTED, X),
    passes("pipeline-behind-a-trailer", GOOD + post(CHUNKED, body=TRAILER) + GOOD, X, POSTED, X),
    passes("pipeline-empty-lines-between", GOOD + b"\r\n\r\n" + GOOD, X, X),
    refused("pipeline-good-bad", GOOD + BAD, 400, X),
    refused("pipeline-good-good-bad-good", GOOD + GOOD + BAD + GOOD, 400, X, X),
    refused("pipeline-bad-good", BAD + GOOD),
    refused("pipeline-body-then-bad", post(b"Content-Length: 3", body=b"abc") + BAD, 400, POSTED),
    refused("pipeline-good-then-unclear-length", GOOD + post(b"Content-Length: 3", CHUNKED, body=CHUNKS), 400, X),
    refused("pipeline-good-then-trace", GOOD + ask(b"TRACE /lab/x HTTP/1.1"), 405, X),
    refused("pipeline-good-then-too-large", GOOD + get(b"X: " + b"y" * 70000), 431, X),
    refused("pipeline-good-then-binary", GOOD + bytes(range(256)), 400, X),
    refused("pipeline-good-then-an-answer", GOOD + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400, X),
    refused("pipeline-chunks-then-garbage", post(CHUNKED, body=CHUNKS + b"garbage\r\n\r\n"), 400, POSTED),
    last("pipeline-close-then-good", get(b"Connection: close") + GOOD, X),
    last("pipeline-good-close-good", GOOD + get(b"Connection: close") + GOOD, X, X),
    last("pipeline-1.0-then-good", ask(b"GET /lab/x HTTP/1.0") + GOOD, X),
    passes("pipeline-100", GOOD * 100, *[X] * 100),
    passes("pipeline-1.0-kept", ask(b"GET /lab/x HTTP/1.0", b"Connection: keep-alive") + GOOD, X, X),
]  # fmt: skip

CASES = [*LENGTHS, *CODINGS, *CHUNK, *PIPELINES]
