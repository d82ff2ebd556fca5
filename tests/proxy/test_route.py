"""From a request's target to a provider."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import load_text
from proxy.errors import Refusal
from proxy.route import SHOWN, Route, route

CONFIG = load_text(None, {"GOOGLE_VERTEX_LOCATION": "eu"})


def went(target: str) -> Route:
    found = route(target, CONFIG)
    assert isinstance(found, Route), found
    return found


def refused(target: str) -> Refusal:
    found = route(target, CONFIG)
    assert isinstance(found, Refusal), found
    return found


@pytest.mark.parametrize(
    ("target", "name", "sent", "path"),
    [
        ("/groq/openai/v1/chat/completions", "groq", b"/openai/v1/chat/completions", "/openai/v1/chat/completions"),
        ("/groq", "groq", b"/", "/"),
        ("/groq/", "groq", b"/", "/"),
        ("/groq?a=b", "groq", b"/?a=b", "/"),
        ("/groq/?", "groq", b"/?", "/"),
        ("/groq/v1/x?", "groq", b"/v1/x?", "/v1/x"),
        ("/groq/v1/x?a=/b?c", "groq", b"/v1/x?a=/b?c", "/v1/x"),
        ("/groq//v1//x", "groq", b"//v1//x", "//v1//x"),
        ("/groq/%2F/%2e%2e/%7E;p=1/+/..", "groq", b"/%2F/%2e%2e/%7E;p=1/+/..", "/%2F/%2e%2e/%7E;p=1/+/.."),
        ("/groq/../openai/v1", "groq", b"/../openai/v1", "/../openai/v1"),
        ("/groq/\\evil.test", "groq", b"/\\evil.test", "/\\evil.test"),
        ("/groq/@evil.test:80/", "groq", b"/@evil.test:80/", "/@evil.test:80/"),
        ("/groq//evil.test/x", "groq", b"//evil.test/x", "//evil.test/x"),
        ("/google/v1/x", "google-vertex", b"/v1/x", "/v1/x"),
        ("/alibaba-cloud/x", "alibaba", b"/x", "/x"),
        ("http://evil.test/groq/v1", "groq", b"/v1", "/v1"),
        ("HTTPS://u:p@[::1]:99/groq/v1?q", "groq", b"/v1?q", "/v1"),
    ],
)
def test_routes(target: str, name: str, sent: bytes, path: str) -> None:
    found = went(target)
    assert (found.provider.name, found.target, found.path) == (name, sent, path)


@pytest.mark.parametrize(
    "target", ["*", "", "groq/v1", "example.test:443", "ftp://x/groq", "http:/groq", "://groq", "http://", "https://h"]
)
def test_targets_of_other_forms(target: str) -> None:
    found = refused(target)
    assert found.status == (404 if target in ("http://", "https://h") else 400)


@pytest.mark.parametrize("target", ["/groq/a#b", "/groq#", "/groq/a b", "/groq/\x00", "/groq/\r\nHost: x", "/gr\x7foq"])
def test_fragments_and_control_characters(target: str) -> None:
    found = refused(target)
    assert (found.status, found.type) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    "target", ["/", "//groq/x", "/../groq", "/./groq/x", "/%67roq/x", "/Groq/x", "/?groq", "/groq;x/y", "http://groq/x"]
)
def test_only_a_first_segment_that_is_a_name_selects(target: str) -> None:
    assert refused(target).status == 404


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    found = refused("/grok/v1/chat/completions")
    assert (found.status, found.type) == (404, "unknown_provider")
    assert "'grok'" in found.message
    assert "groq" in found.message.partition("did you mean")[2]
    assert "/openai/v1/chat/completions" in refused("/v1/chat/completions").message


def test_no_name_at_all_is_answered_with_an_example() -> None:
    assert "/openai/v1/chat/completions" in refused("/").message


def test_a_hostile_name_is_shown_short_and_plain() -> None:
    found = refused("/" + "é<\udcff" * 100)
    assert found.message.isascii()
    assert len(found.message) < SHOWN * 10
    assert "\\u2026': the path must begin with a provider's name" in found.message


def test_missing_variables_of_an_address_are_named() -> None:
    found = refused("/cloudflare-workers-ai/client/v4")
    assert found.status == 503
    assert "CLOUDFLARE_ACCOUNT_ID" in found.message
    assert ("x-should-retry", "false") in found.headers


raw = st.lists(st.sampled_from([*range(0x21, 0x23), *range(0x24, 0x7F), *range(0x80, 0x100)]), max_size=40).map(bytes)


@given(raw)
def test_what_follows_the_name_goes_on_byte_for_byte(rest: bytes) -> None:
    target = b"/groq/" + rest
    found = went(target.decode("utf-8", "surrogateescape"))
    assert found.target == b"/" + rest
    assert found.path == (b"/" + rest).partition(b"?")[0].decode("utf-8", "surrogateescape")


@given(raw, st.sampled_from([b"", b"/", b"http://", b"*", b"//"]))
def test_no_target_raises_or_reaches_what_is_not_configured(rest: bytes, start: bytes) -> None:
    found = route((start + rest).decode("utf-8", "surrogateescape"), CONFIG)
    assert isinstance(found, Refusal) or found.provider in CONFIG.providers.values()
