"""What is read of proxies and their exceptions, and who is reached through which."""

from __future__ import annotations

import base64

import pytest

from config.effective import Config
from config.egress import EgressProxy, excepted, from_environment, parse_exception
from config.load import ConfigError, load_text

PASSWORD = "hunter2-canary"


@pytest.mark.parametrize(
    ("text", "shown", "tls", "where"),
    [
        ("http://proxy.example:3128", "http://proxy.example:3128", False, "proxy.example:3128"),
        ("HTTPS://Proxy.Example", "https://proxy.example:443", True, "proxy.example:443"),
        ("proxy:8080", "http://proxy:8080", False, "proxy:8080"),
        ("http://[::1]:3128/", "http://[::1]:3128", False, "[::1]:3128"),
        (f"http://me:{PASSWORD}@proxy", "http://***@proxy:80", False, "proxy:80"),
        ("env", "env", False, ":0"),
        ("none", "none", False, ":0"),
    ],
)
def test_proxies(text: str, shown: str, tls: bool, where: str) -> None:
    proxy = EgressProxy.parse(text)
    assert (str(proxy), proxy.tls, proxy.where) == (shown, tls, where)
    assert PASSWORD not in repr(proxy)


@pytest.mark.parametrize(
    ("user", "sent"),
    [
        ("me:secret", b"me:secret"),
        ("me", b"me"),
        ("", b""),
        ("a%40b:p%3Aq%2Fr%0d%0aX:%20y", b"a@b:p:q/r\r\nX: y"),
        ("%C3%BC:%ff", "ü:".encode() + b"\xff"),
    ],
)
def test_user_and_password(user: str, sent: bytes) -> None:
    secret = EgressProxy.parse(f"http://{user}@proxy:1").authorization
    assert secret is not None
    scheme, _, value = secret.reveal().partition(" ")
    assert (scheme, base64.b64decode(value)) == ("Basic", sent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "socks5://proxy:1080",
        "http://",
        "http://proxy:0",
        "http://proxy:65536",
        "http://proxy/path",
        "http://proxy?x",
        "http://pro xy",
        "http://1.2.3",
        "http://[::zz]",
        f"http://me:{PASSWORD}@@proxy",
        f"http://me:{PASSWORD}/x@proxy",
        f"http://me:{PASSWORD}@",
        f"http://me:{PASSWORD * 200}@proxy",
        "http://me\r\n:x@proxy\r\n",
        "http://proxy\n",
    ],
)
def test_no_proxies(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be|has ") as caught:
        EgressProxy.parse(text)
    assert PASSWORD not in str(caught.value)
    assert "SOCKS" in str(caught.value) or not text.startswith("socks")


@pytest.mark.parametrize(
    ("host", "port", "entry", "without"),
    [
        ("api.example", 443, "api.example", True),
        ("api.example", 443, ".example", True),
        ("api.example", 443, "example", True),
        ("api.example", 443, "*.example", True),
        ("api.example", 443, "example.", True),
        ("api.example.", 443, "example", True),
        ("badexample", 443, "example", False),
        ("api.example", 443, "other.example", False),
        ("api.example", 443, "example:443", True),
        ("api.example", 8443, "example:443", False),
        ("10.1.2.3", 80, "10.0.0.0/8", True),
        ("11.1.2.3", 80, "10.0.0.0/8", False),
        ("10.1.2.3", 80, "10.1.2.3", True),
        ("10.1.2.3", 80, "10.1.2.3:80", True),
        ("10.1.2.3", 80, "10.1.2.3:81", False),
        ("2001:db8::1", 80, "2001:db8::/32", True),
        ("2001:db8::1", 80, "2001:db8:0::1", True),
        ("2001:db8::1", 80, "[2001:db8::1]:80", True),
        ("2001:db8::1", 80, "[2001:db8::1]:81", False),
        ("2001:db8::1", 80, "10.0.0.0/8", False),
        ("10.1.2.3", 80, "2.3", False),
        ("api.example", 443, "10.0.0.0/8", False),
        ("api.example", 443, "*", True),
        ("api.example", 443, ".", False),
        ("api.example", 443, "", False),
        ("localhost", 80, "", True),
        ("127.0.0.1", 80, "", True),
        ("::1", 80, "", True),
    ],
)
def test_exceptions(host: str, port: int, entry: str, without: bool) -> None:
    assert excepted(host, port, [entry]) is without


@pytest.mark.parametrize("text", ["", "a b", "10.0.0.0/33", "a/b", "x\n", "é.example", "a" * 300])
def test_no_exceptions(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_exception(text)


@pytest.mark.parametrize(
    ("environ", "scheme", "shown"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "http://q:1"}, "https", "http://q:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http", None),
        ({"HTTP_PROXY": "p:1"}, "http", "http://p:1"),
        ({"ALL_PROXY": "p:1", "HTTP_PROXY": "q:1"}, "https", "http://p:1"),
        ({"HTTPS_PROXY": "none"}, "https", None),
        ({"HTTPS_PROXY": "  "}, "https", None),
    ],
)
def test_what_the_environment_says(environ: dict[str, str], scheme: str, shown: str | None) -> None:
    proxy, exceptions = from_environment(environ, scheme)
    assert (None if proxy is None else str(proxy), exceptions) == (shown, ())


def test_exceptions_of_the_environment() -> None:
    assert from_environment({"NO_PROXY": "A.example, .b ,,10.0.0.0/8"}, "https")[1] == ("a.example", ".b", "10.0.0.0/8")


def origins(text: str, environ: dict[str, str] | None = None) -> dict[str, str]:
    """What each provider is reached through."""
    return {name: str(p.origin.proxy) for name, p in _load(text, environ or {}).providers.items()}


def _load(text: str, environ: dict[str, str]) -> Config:
    return load_text(text, environ)


LABS = """
providers:
  groq: {}
  near: {base_url: "http://127.0.0.1:8000/v1"}
  inner: {base_url: "https://llm.corp.example/v1"}
"""


def test_one_for_all_but_this_machine_and_exceptions() -> None:
    text = LABS + "upstream: {proxy: 'http://p:3128', no_proxy: [corp.example]}\n"
    assert origins(text) == {"groq": "http://p:3128", "near": "None", "inner": "None"}


def test_a_provider_has_its_own_or_none() -> None:
    text = """
upstream: {proxy: "http://p:3128", no_proxy: "*"}
providers:
  groq: {proxy: none}
  near: {base_url: "http://127.0.0.1:8000/v1", proxy: "http://q:1"}
  openai: {}
"""
    assert origins(text) == {"groq": "None", "near": "http://q:1", "openai": "None"}


def test_the_environment_counts_only_where_it_is_asked() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "HTTP_PROXY": "http://q:1", "NO_PROXY": "corp.example"}
    assert set(origins(LABS, environ).values()) == {"None"}
    told = origins(LABS + "upstream: {proxy: env}\n", environ)
    assert told == {"groq": "http://p:1", "near": "None", "inner": "None"}


def test_a_broken_variable_is_told_once_and_without_its_password() -> None:
    environ = {"HTTPS_PROXY": f"ftp://me:{PASSWORD}@p"}
    with pytest.raises(ConfigError) as caught:
        _load("upstream: {proxy: env}\n", environ)
    assert str(caught.value).startswith("upstream.proxy: HTTPS_PROXY must be")
    assert str(caught.value).count("HTTPS_PROXY") == 1
    assert PASSWORD not in str(caught.value)


def test_a_broken_setting_repeats_no_password() -> None:
    text = f"upstream: {{proxy: 'ftp://me:{PASSWORD}@p'}}\nproviders: {{groq: {{proxy: 'http://me:{PASSWORD}@@p'}}}}\n"
    with pytest.raises(ConfigError) as caught:
        _load(text, {})
    assert {problem.path for problem in caught.value.problems} == {"upstream.proxy", "providers.groq.proxy"}
    assert PASSWORD not in str(caught.value)


def test_authorities() -> None:
    config = _load(
        """
upstream: {ca_bundle: /etc/corp.pem, proxy: "https://p"}
providers:
  groq: {}
  lab: {base_url: "https://lab.example", ca_bundle: lab.pem}
""",
        {},
    )
    groq, lab = (config.providers[name].origin for name in ("groq", "lab"))
    assert (groq.ca_bundle, lab.ca_bundle) == ("/etc/corp.pem", "lab.pem")
    assert groq.proxy is not None
    assert groq.proxy == lab.proxy
    assert groq.proxy.ca_bundle == "/etc/corp.pem"


def test_ways_are_pooled_apart() -> None:
    one = _load("providers: {groq: {}}\n", {}).providers["groq"].origin
    same = _load("providers: {groq: {}}\n", {}).providers["groq"].origin
    other = _load("providers: {groq: {proxy: 'http://a:b@p'}}\n", {}).providers["groq"].origin
    third = _load("providers: {groq: {proxy: 'http://a:c@p'}}\n", {}).providers["groq"].origin
    assert one == same
    assert len({one, same, other, third}) == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tls: {key: k.pem}\n", "tls.key: is of no use without tls.cert"),
        ("admin: {tls: {client_ca: c.pem}}\n", "admin.tls.client_ca: is of no use without admin.tls.cert"),
        ("tls: {certificate: x}\n", "tls.certificate: no such key"),
    ],
)
def test_halves_of_tls(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(text, {})
    assert told in str(caught.value)


def test_a_client_certificate_is_a_proof() -> None:
    """Where nobody gets in without one, configured keys may be added."""
    text = "listen: 0.0.0.0:8080\nproviders: {groq: {}}\n"
    environ = {"GROQ_API_KEY": "gsk"}
    with pytest.raises(ConfigError, match="can be reached from elsewhere"):
        _load(text + "tls: {cert: a.pem}\n", environ)
    assert _load(text + "tls: {cert: a.pem, client_ca: b.pem}\n", environ).adds_credentials
