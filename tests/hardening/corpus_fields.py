"""Field lines: their syntax, their number and size, and those that concern one connection only."""

from __future__ import annotations

from tests.hardening.case import POSTED, X, get, last, number, passes, post, refused

SEPARATORS = b' "(),/;<=>?@[\\]{}'
CONTROLS = (*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x00)

SYNTAX = [
    *(refused(f"name-with-{number(byte)}", get(b"X%cY: z" % byte)) for byte in (*SEPARATORS, *CONTROLS, 9, 0x80, 0xFF)),
    *(refused(f"value-with-{number(byte)}", get(b"X: a%cb" % byte)) for byte in CONTROLS),
    refused("value-with-cr", get(b"X: a\rb")),
    refused("value-with-lf", get(b"X: a\nb")),
    refused("value-with-lf-and-a-field", get(b"X: a\nTransfer-Encoding: chunked")),
    refused("value-with-cr-and-a-field", get(b"X: a\rTransfer-Encoding: chunked")),
    refused("value-with-nul-and-a-field", get(b"X: a\0\r\nTransfer-Encoding: chunked")),
    refused("value-ends-in-cr-cr-lf", get(b"X: a\r\r\nY: b")),
    refused("value-begins-with-lf", get(b"X:\nY: b")),
    refused("field-without-colon", get(b"X")),
    refused("field-without-name", get(b": x")),
    refused("field-of-a-space", get(b" ")),
    refused("field-of-a-cr", get(b"\r")),
    refused("field-folded-with-a-space", get(b"X: a\r\n b")),
    refused("field-folded-with-a-tab", get(b"X: a\r\n\tb")),
    refused("field-folded-into-a-length", post(b"X: a\r\n Content-Length: 3", body=b"abc")),
    refused("first-field-behind-a-space", b"GET /lab/x HTTP/1.1\r\n Host: localhost\r\n\r\n"),
    refused("first-field-behind-a-tab", b"GET /lab/x HTTP/1.1\r\n\tX: y\r\nHost: localhost\r\n\r\n"),
    refused("space-before-colon", get(b"X : y")),
    refused("tab-before-colon", get(b"X\t: y")),
    refused("a-request-as-a-field", get(b"GET /lab/smuggled HTTP/1.1")),
    refused("a-request-as-a-field-with-colon", get(b"GET http://localhost/lab/smuggled HTTP/1.1")),
    passes("value-with-high-bytes", get(b"X: \x80\xa0\xff"), X),
    passes("value-with-utf-8", get("X: grüße 漢字 ‮".encode()), X),
    passes("value-with-tab", get(b"X: a\tb"), X),
    passes("value-empty", get(b"X:", b"Y: "), X),
    passes("value-with-colons", get(b"X: Transfer-Encoding: chunked"), X),
    passes("value-with-escaped-line-ends", get(b"X: a\\r\\nTransfer-Encoding: chunked", b"Y: a%0d%0ab"), X),
    passes("value-without-space", get(b"X:y"), X),
    passes("value-between-blanks", get(b"X: \t y \t "), X),
    passes("fields-that-are-not-framing", post(b"Content-Length: 3", b"Content_Length: 9", b"X-Content-Length: 0",
                                              b"Transfer_Encoding: chunked", body=b"abc"), POSTED),
    passes("name-of-all-letters", get(b"!#$%&'*+-.^_`|~09AZaz: x"), X),
    passes("fields-many-of-one-name", get(*(b"X: %d" % n for n in range(90))), X),
]  # fmt: skip

SIZES = [
    passes("fields-100", get(*(b"X%d: y" % n for n in range(99))), X),
    refused("fields-101", get(*(b"X%d: y" % n for n in range(100))), 431),
    refused("fields-2000", get(*(b"X%d: y" % n for n in range(2000))), 431),
    refused("fields-without-end", b"GET /lab/x HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 50000, 431),
    passes("value-60-kib", get(b"X: " + b"y" * 60000), X),
    refused("value-64-kib", get(b"X: " + b"y" * 65536), 431),
    refused("value-1-mib", get(b"X: " + b"y" * (1 << 20)), 431),
    refused("value-without-end", b"GET /lab/x HTTP/1.1\r\nX: " + b"y" * (1 << 20), 431),
    refused("name-64-kib", get(b"X" * 65600 + b": y"), 431),
    refused("name-1-mib", get(b"X" * (1 << 20) + b": y"), 431),
    refused("fields-70-kib-together", get(*(b"X%d: %b" % (n, b"y" * 1000) for n in range(70))), 431),
    passes("fields-60-kib-together", get(*(b"X%d: %b" % (n, b"y" * 1000) for n in range(59))), X),
]

BODY = b"Content-Length: 3"


FOREIGN = [
    passes("upgrade-h2c", get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"), X),
    passes("upgrade-h2c-among-others", get(b"Connection: Upgrade", b"Upgrade: websocket, H2C"), X),
    passes("upgrade-h2c-with-a-body", post(BODY, b"Connection: Upgrade", b"Upgrade: h2c", body=b"abc"), POSTED),
    passes("upgrade-to-what-is-unknown", get(b"Connection: Upgrade", b"Upgrade: TLS/1.3, foo"), X),
]
"""Upgrades that never come about here, or not with this provider."""

SINGLE = [
    *(
        refused(f"twice-{name.decode().lower()}", get(name + b": a", b"X: y", name.swapcase() + b": b"))
        for name in (b"Content-Type", b"User-Agent", b"Content-Range", b"Content-Location", b"ETag", b"Server")
    ),
    refused("twice-the-same", get(b"Content-Type: a/b", b"Content-Type: a/b")),
    refused("twice-max-forwards", get(b"Max-Forwards: 1", b"Max-Forwards: 0")),
]
"""Fields that must be there once at most, by which two readers would see two requests."""

CONNECTION = [
    passes("connection-names-host", get(b"Connection: Host"), X),
    passes("connection-names-length", post(BODY, b"Connection: Content-Length", body=b"abc"), POSTED),
    passes("connection-names-length-before-it", post(b"Connection: content-length", BODY, body=b"abc"), POSTED),
    passes("connection-names-coding", post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked",
                                           body=b"3\r\nabc\r\n0\r\n\r\n"), POSTED),
    passes("connection-names-credential", get(b"Connection: Authorization, x-api-key", b"Authorization: Bearer k"), X),
    passes("connection-names-via", get(b"Connection: via", b"Via: 1.1 edge"), X),
    passes("connection-names-cookie", get(b"Connection: Cookie", b"Cookie: a=b"), X),
    passes("connection-names-itself", get(b"Connection: Connection, keep-alive"), X),
    passes("connection-names-what-is-forwarded-for", get(b"Connection: X-Forwarded-For", b"X-Forwarded-For: ::1"), X),
    passes("connection-names-our-own", get(b"Connection: x-detour-tag", b"x-detour-tag: y"), X),
    passes("connection-names-hop-by-hop", get(b"Connection: TE, Keep-Alive, Trailer, Proxy-Connection", b"TE: trailers",
                                              b"Keep-Alive: max=5", b"Trailer: X", b"Proxy-Connection: keep-alive"), X),
    passes("connection-empty-options", get(b"Connection: ,, ,", b"X: y"), X),
    passes("connection-2000-options", get(b"Connection: " + b",".join(b"X%d" % n for n in range(2000)), b"X1: y"), X),
    passes("connection-quoted", get(b'Connection: "close", X;q=1'), X),
    last("connection-close-and-keep-alive", get(b"Connection: close", b"Connection: keep-alive"), X),
    last("connection-close-in-a-list", get(b"Connection: X, close"), X),
    passes("hop-by-hop-fields", get(b"Keep-Alive: max=1", b"Proxy-Connection: keep-alive", b"TE: trailers, chunked",
                                    b"Trailer: X", b"Proxy-Authorization: Basic eDp5", b"Proxy-Authenticate: x"), X),
    passes("hop-by-hop-fields-in-capitals", get(b"KEEP-ALIVE: max=1", b"PROXY-CONNECTION: keep-alive", b"TE: x"), X),
    passes("upgrade-h2c-on-two-lines", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"), X),
    passes("upgrade-not-named", get(b"Upgrade: websocket"), X),
    passes("upgrade-without-protocol", get(b"Connection: Upgrade"), X),
    passes("upgrade-declined", get(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                                   b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), X),
    passes("upgrade-declined-with-a-body", post(BODY, b"Connection: Upgrade", b"Upgrade: websocket", body=b"abc"),
           POSTED),
    passes("upgrade-declined-with-chunks",
           post(b"Transfer-Encoding: chunked", b"Connection: Upgrade", b"Upgrade: websocket",
                body=b"3\r\nabc\r\n0\r\n\r\n"), POSTED),
    passes("expect-continue-body-there", post(BODY, b"Expect: 100-continue", body=b"abc"), POSTED),
    passes("expect-twice", post(BODY, b"Expect: 100-continue", b"Expect: 100-continue", body=b"abc"), POSTED),
    passes("expect-something-else", post(BODY, b"Expect: 200-ok", body=b"abc"), POSTED),
    passes("expect-list", post(BODY, b"Expect: 100-continue, x=y", body=b"abc"), POSTED),
    passes("expect-without-body", get(b"Expect: 100-continue"), X),
    passes("expect-empty", post(BODY, b"Expect:", body=b"abc"), POSTED),
    refused("expect-with-nul", post(BODY, b"Expect: 100-continue\0", body=b"abc")),
]  # fmt: skip

CASES = [*SYNTAX, *SIZES, *CONNECTION, *FOREIGN, *SINGLE]
