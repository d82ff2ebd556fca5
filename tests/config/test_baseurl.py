from __future__ import annotations

import pytest

from config.baseurl import expand, parse_base_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "prefix"),
    [
        ("https://api.groq.com/openai/v1", "https", "api.groq.com", 443, "/openai/v1"),
        ("https://API.Groq.com/openai/v1/", "https", "api.groq.com", 443, "/openai/v1"),
        ("HTTP://127.0.0.1:8000", "http", "127.0.0.1", 8000, ""),
        ("http://localhost/", "http", "localhost", 80, ""),
        ("http://[::1]:8000/v1", "http", "::1", 8000, "/v1"),
        ("https://my_host/a%20b/~x", "https", "my_host", 443, "/a%20b/~x"),
    ],
)
def test_base_urls(url: str, scheme: str, host: str, port: int, prefix: str) -> None:
    origin, found = parse_base_url(url)
    assert (origin.scheme, origin.host, origin.port, found) == (scheme, host, port, prefix)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is not a URL"),
        ("api.groq.com/v1", "is not a URL"),
        ("ftp://x", "is not a URL"),
        ("https://user:secret@host/v1", "put the key in api_key"),
        ("https://host/v1?key=secret", "must not have a query"),
        ("https://host/v1#x", "must not have a query"),
        ("https://host/a/../b", "not plain segments"),
        ("https://host//v1", "not plain segments"),
        ("https://host/v1 x", "not plain segments"),
        ("https:///v1", "neither a name nor an address"),
        ("https://-x/", "neither a name nor an address"),
        ("https://ho st/", "neither a name nor an address"),
        ("https://[::zz]/", "neither a name nor an address"),
        ("https://[:::1]/", "not an IP address"),
        ("https://127.1/", "not an IP address"),
        ("https://host:0/", "not one of 1 to 65535"),
        ("https://host:70000/", "not one of 1 to 65535"),
        ("https://host:/", "neither a name nor an address"),
    ],
)
def test_what_is_no_base_url(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_base_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "url", "missing"),
    [
        ({"R": "us-east5", "P": "p1"}, "https://us-east5-api.example/p1", ()),
        ({"R": "us-east5"}, "https://unset-api.example/unset", ("P",)),
        ({"R": "evil.example/", "P": "a b"}, "https://unset-api.example/unset", ("R", "P")),
        ({}, "https://unset-api.example/unset", ("R", "P")),
    ],
)
def test_variables_in_a_url(environ: dict[str, str], url: str, missing: tuple[str, ...]) -> None:
    assert expand("https://${R}-api.example/${P}", environ) == (url, missing)
