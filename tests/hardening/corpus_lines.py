"""Request lines, targets, methods, versions, Host, and what is not HTTP/1 at all."""

from __future__ import annotations

from tests.hardening.case import X, answered, ask, last, number, passes, refused


def line(text: bytes) -> bytes:
    return ask(text)


def to(target: bytes) -> bytes:
    return ask(b"GET %b HTTP/1.1" % target)


LINES = [
    # RFC 9112 section 3 leaves both; what is sent on has one.
    passes("line-two-spaces-before-target", line(b"GET  /lab/x HTTP/1.1"), X),
    passes("line-two-spaces-before-version", line(b"GET /lab/x  HTTP/1.1"), X),
    refused("line-tab-before-target", line(b"GET\t/lab/x HTTP/1.1")),
    refused("line-tab-before-version", line(b"GET /lab/x\tHTTP/1.1")),
    refused("line-tab-behind-version", line(b"GET /lab/x HTTP/1.1\t")),
    refused("line-space-behind-version", line(b"GET /lab/x HTTP/1.1 ")),
    refused("line-leading-space", line(b" GET /lab/x HTTP/1.1")),
    refused("line-leading-tab", line(b"\tGET /lab/x HTTP/1.1")),
    refused("line-leading-nul", line(b"\0GET /lab/x HTTP/1.1")),
    refused("line-leading-bom", line(b"\xef\xbb\xbfGET /lab/x HTTP/1.1")),
    refused("line-vertical-tab", line(b"GET\x0b/lab/x HTTP/1.1")),
    refused("line-form-feed", line(b"GET\x0c/lab/x HTTP/1.1")),
    refused("line-nbsp", line(b"GET\xa0/lab/x HTTP/1.1")),
    refused("line-cr-inside", line(b"GET\r/lab/x HTTP/1.1")),
    refused("line-folded", line(b"GET /lab/x\r\n HTTP/1.1")),
    refused("line-without-method", line(b"/lab/x HTTP/1.1")),
    refused("line-without-target", line(b"GET HTTP/1.1")),
    refused("line-without-target-but-spaces", line(b"GET  HTTP/1.1")),
    refused("line-http-0.9", b"GET /lab/x\r\n"),
    refused("line-http-0.9-with-fields", line(b"GET /lab/x")),
    refused("line-ends-in-cr-cr-lf", b"GET /lab/x HTTP/1.1\r\r\nHost: localhost\r\n\r\n"),
    refused("line-ends-in-lf", b"GET /lab/x HTTP/1.1\nHost: localhost\r\n\r\n"),
    refused("line-ends-in-cr", b"GET /lab/x HTTP/1.1\rHost: localhost\r\n\r\n"),
    refused("lines-end-in-lf", b"GET /lab/x HTTP/1.1\nHost: localhost\n\n"),
    refused("head-ends-in-lf", b"GET /lab/x HTTP/1.1\r\nHost: localhost\r\n\n"),
    refused("head-ends-in-lf-lf", b"GET /lab/x HTTP/1.1\r\nHost: localhost\n\n"),
    refused("head-ends-in-cr", b"GET /lab/x HTTP/1.1\r\nHost: localhost\r\n\rX"),
    passes("line-behind-an-empty-one", b"\r\n" + line(b"GET /lab/x HTTP/1.1"), X),
    passes("line-behind-many-empty-ones", b"\r\n" * 20 + line(b"GET /lab/x HTTP/1.1"), X),
    refused("line-two-in-one", line(b"GET /lab/x HTTP/1.1 GET /lab/smuggled HTTP/1.1")),
    refused("target-64-kib", to(b"/lab/" + b"a" * 65536), 431),
    refused("target-1-mib", to(b"/lab/" + b"a" * (1 << 20)), 431),
    passes("target-60-kib", to(b"/lab/" + b"a" * 60000), (b"GET", b"/" + b"a" * 60000, b"")),
]

VERSIONS = [
    *(
        refused(f"version-{name}", line(b"GET /lab/x " + version))
        for name, version in {
            "0.9": b"HTTP/0.9",
            "1.2": b"HTTP/1.2",
            "2.0": b"HTTP/2.0",
            "2": b"HTTP/2",
            "3.0": b"HTTP/3.0",
            "1": b"HTTP/1",
            "1.10": b"HTTP/1.10",
            "1.01": b"HTTP/1.01",
            "01.1": b"HTTP/01.1",
            "comma": b"HTTP/1,1",
            "spaced": b"HTTP/ 1.1",
            "minus": b"HTTP/-1.1",
            "word": b"HTTP/one",
            "lower-case": b"http/1.1",
            "other-letters": b"HTTQ/1.1",
            "https": b"HTTPS/1.1",
            "rtsp": b"RTSP/1.0",
            "ice": b"ICE/1.0",
            "sip": b"SIP/2.0",
            "backslash": b"HTTP\\1.1",
            "no-slash": b"HTTP1.1",
            "superscript": b"HTTP/1.\xb9",
            "nul": b"HTTP/1.1\0",
        }.items()
    ),
    refused("version-of-rtsp-for-a-post", line(b"POST /lab/x RTSP/1.0")),
    refused("version-of-icecast", line(b"SOURCE /lab/x ICE/1.0")),
    last("version-1.0", line(b"GET /lab/x HTTP/1.0"), X),
    last("version-1.0-without-host", ask(b"GET /lab/x HTTP/1.0", host=b""), X),
    refused("version-1.0-with-chunks", ask(b"POST /lab/x HTTP/1.0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    refused("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"),
    refused("http2-preface-of-another-version", b"PRI * HTTP/1.1\r\nHost: a\r\n\r\nSM\r\n\r\n"),
    refused("tls-hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + bytes(range(32)) + b"\r\n\r\n"),
    refused("ssh", b"SSH-2.0-OpenSSH_9.7\r\n\r\n"),
    refused("proxy-protocol-1", b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 80\r\n"),
    refused("proxy-protocol-2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + bytes(12)),
    refused("redis", b"*1\r\n$4\r\nPING\r\n"),
    refused("an-answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    refused("binary", bytes(range(255, -1, -1))),
]

METHODS = [
    *(
        passes(f"method-{method.decode()[:12]}", line(method + b" /lab/x HTTP/1.1"), (method, b"/x", b""))
        for method in (b"get", b"Get", b"PROPFIND", b"QUERY", b"PRI2", b"A", b"!#$%&'*+-.^_`|~", b"DESCRIBE", b"M" * 32)
    ),
    refused("method-connect", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n", 405),
    refused("method-connect-to-a-path", line(b"CONNECT /lab/x HTTP/1.1"), 405),
    refused("method-trace", line(b"TRACE /lab/x HTTP/1.1"), 405),
    refused("method-33-letters", line(b"M" * 33 + b" /lab/x HTTP/1.1")),
    refused("method-1-mib", line(b"M" * (1 << 20) + b" /lab/x HTTP/1.1")),
    *(
        refused(f"method-with-{number(byte)}", line(b"GE%cT /lab/x HTTP/1.1" % byte))
        for byte in (*b'\0\1\7\x0b\x0c\x1b\x7f"(),/:;<=>?@[\\]{}', 0x80, 0xA0, 0xFF)
    ),
]

HEX = (*range(0x01, 0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x00)

TARGETS = [
    *(refused(f"target-with-{number(byte)}", to(b"/lab/a%cb" % byte)) for byte in (*HEX, 0x80, 0xA0, 0xC3, 0xFF)),
    refused("target-with-space", to(b"/lab/a b")),
    refused("target-with-utf-8", to("/lab/é".encode())),
    refused("target-with-fragment", to(b"/lab/x#y")),
    refused("target-with-fragment-behind-query", to(b"/lab/x?y#z")),
    refused("target-without-slash", to(b"lab/x")),
    refused("target-with-query-alone", to(b"?x=/lab/x")),
    refused("target-dots", to(b"../lab/x")),
    refused("target-asterisk", to(b"*")),
    refused("target-authority", to(b"127.0.0.1:80")),
    refused("target-scheme-relative-without-slashes", to(b"http:lab/x")),
    refused("target-file", to(b"file:///etc/passwd")),
    refused("target-javascript", to(b"javascript:alert(1)")),
    refused("target-absolute-without-authority", to(b"http:///lab/x")),
    answered("target-two-slashes", to(b"//lab/x"), 404),
    answered("target-two-slashes-and-a-host", to(b"//evil.example/lab/x"), 404),
    answered("target-dot-segments-first", to(b"/../lab/x"), 404),
    answered("target-dot-first", to(b"/./lab/x"), 404),
    answered("target-encoded-dots-first", to(b"/%2e%2e/lab/x"), 404),
    answered("target-encoded-name", to(b"/%6cab/x"), 404),
    answered("target-encoded-slash-behind-name", to(b"/lab%2fx"), 404),
    answered("target-encoded-slash-first", to(b"/%2flab/x"), 404),
    answered("target-backslash-behind-name", to(b"/lab\\x"), 404),
    answered("target-backslash-first", to(b"/\\lab/x"), 404),
    answered("target-name-with-at", to(b"/lab@evil.example/x"), 404),
    answered("target-name-with-port", to(b"/lab:80/x"), 404),
    answered("target-name-with-parameter", to(b"/lab;x/x"), 404),
    answered("target-name-in-capitals", to(b"/LAB/x"), 404),
    answered("target-root", to(b"/"), 404),
    answered("target-query-at-once", to(b"/?/lab/x"), 404),
    answered("target-absolute-without-path", to(b"http://localhost"), 404),
    *(
        passes(f"target-{name}", to(b"/lab" + rest), (b"GET", rest, b""))
        for name, rest in {
            "slashes-inside": b"//evil.example//x",
            "dots-inside": b"/../openai/x",
            "encoded-dots": b"/%2e%2e/%2E%2E/x",
            "encoded-slash": b"/a%2fb%2Fc",
            "encoded-line-ends": b"/a%0d%0aX:%20y",
            "encoded-nul": b"/a%00b",
            "broken-encoding": b"/%zz%",
            "overlong-encoding": b"/%c0%ae%c0%ae/x",
            "backslashes": b"/..\\..\\x",
            "absolute-inside": b"/http://evil.example/x",
            "query": b"/x?a=1&a=2?b=//c",
            "query-with-crlf": b"/x?a=%0d%0aGET%20/y",
            "parameter": b"/x;jsessionid=1",
            "at": b"/@evil.example/x",
            "empty-query": b"/x?",
            "quotes": b"/'\"<>`{|}^",
        }.items()
    ),
    passes("target-name-alone", to(b"/lab"), (b"GET", b"/", b"")),
    passes("target-name-and-query", to(b"/lab?x=1"), (b"GET", b"/?x=1", b"")),
    *(
        passes(f"target-absolute-{name}", to(target), X)
        for name, target in {
            "here": b"http://localhost/lab/x",
            "elsewhere": b"http://evil.example/lab/x",
            "https": b"https://evil.example:8443/lab/x",
            "capitals": b"HTTP://EVIL.EXAMPLE/lab/x",
            "user": b"http://user:password@evil.example/lab/x",
            "address": b"http://[::1]:1/lab/x",
        }.items()
    ),
]

HOSTS = [
    refused("host-none", ask(host=b"")),
    refused("host-twice", ask(b"GET /lab/x HTTP/1.1", b"Host: evil.example")),
    refused("host-twice-the-same", ask(b"GET /lab/x HTTP/1.1", b"Host: localhost")),
    refused("host-twice-in-other-letters", ask(b"GET /lab/x HTTP/1.1", b"hOsT: localhost")),
    refused("host-before-a-space", ask(host=b"Host : localhost")),
    refused("host-folded", ask(host=b"Host:\r\n localhost")),
    refused("host-twice-in-1.0", ask(b"GET /lab/x HTTP/1.0", b"Host: evil.example")),
    *(
        passes(f"host-{name}", ask(host=b"Host: " + host), X)
        for name, host in {
            "of-somebody-else": b"evil.example",
            "with-a-port": b"evil.example:99",
            "address": b"169.254.169.254",
            "of-the-admin-port": b"127.0.0.1:9090",
            "empty": b"",
        }.items()
    ),
    *(
        refused(f"host-{name}", ask(host=b"Host: " + host))
        for name, host in {
            "list": b"localhost, evil.example",
            "two-words": b"localhost evil.example",
            "with-a-path": b"localhost/lab",
            "with-a-user": b"user@localhost",
            "with-a-query": b"localhost?x",
            "with-a-fragment": b"localhost#x",
            "url": b"http://localhost/",
            "odd-port": b"localhost:80a",
            "open-bracket": b"[::1",
            "backslash": b"localhost\\evil.example",
            "nul": b"localhost\0",
            "high-byte": b"localhost\xff",
        }.items()
    ),
]

CASES = [*LINES, *VERSIONS, *METHODS, *TARGETS, *HOSTS]
