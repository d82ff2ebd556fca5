"""A request made ready for another target."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.effective import Config, Provider
from config.load import load_text
from proxy import headers
from proxy.asked import Asked
from proxy.credentials import Placement
from proxy.headers import Pair
from proxy.rewrite import Rewritten, pins, place, rewrite
from proxy.way import find_way
from tests.proxy import test_way as heads
from tests.proxy.header_fields import pairs

TOKEN = "the-client-token"
KEYS = {
    "OPENAI_API_KEY": "own-openai",
    "ANTHROPIC_API_KEY": "own-anthropic",
    "GEMINI_API_KEY": "own-gemini",
    "OPENROUTER_API_KEY": "own-openrouter",
    "FAL_KEY": "own-fal",
    "GOOGLE_VERTEX_LOCATION": "eu",
}
PROVIDERS = """
hosts: [side.test]
providers:
  openai: {headers: {OpenAI-Organization: org-ours}}
  groq: {}
  anthropic: {}
  gemini: {}
  openrouter: {}
  fal: {}
  google-vertex: {api_key: own-vertex}
  cloudflare-workers-ai: {api_key: own-cloudflare}
  lab: {base_url: "http://127.0.0.1:1", dialect: openai}
  azure: {base_url: "https://x.test/openai/v1", dialect: openai, auth: api-key, api_key: own-azure}
  asked: {base_url: "https://y.test/v1", dialect: gemini, auth: query, api_key: own-asked}
  runs: {base_url: "https://f.test/run", dialect: fal, api_key: own-runs}
"""
LOOPBACK = "listen: 127.0.0.1:0\n"
TOKENED = f"listen: 0.0.0.0:0\nclient_token: {TOKEN}\n"
HOST = (b"Host", b"localhost:8080")
THEIRS = b"sk-caller-0123456789"
KEY = (b"Authorization", b"Bearer " + THEIRS)
JSON = (b"Content-Type", b"application/json")
CHAT = '{ "model": "%s", "messages": [] }'


class Held:
    """A body that has come."""

    def __init__(self, data: bytes, *, whole: bool = True) -> None:
        self.data = data
        self.whole = whole


@functools.cache
def config(listen: str = LOOPBACK) -> Config:
    return load_text(listen + PROVIDERS, KEYS)


def provider(name: str, listen: str = LOOPBACK) -> Provider:
    return config(listen).providers[name]


def ask(
    path: str, raw: list[Pair], body: bytes = (CHAT % "a").encode(), *, listen: str = LOOPBACK, whole: bool = True
) -> Asked:
    named = any(name == b"Host" for name, _ in raw)
    way = find_way(heads.head(raw if named else [HOST, *raw], "POST", path), config(listen), b"me")
    assert way.refusal is None, way.refusal
    assert way.route is not None
    assert way.endpoint is not None
    assert way.placed is not None
    held: Any = Held(body, whole=whole)
    asked = Asked(
        "POST", way.route, way.endpoint, way.placed, way.scan, way.heads, len(body), held, config(listen)
    )  # fmt: skip
    asked.look()
    return asked


def head(asked: Asked, made: Rewritten, to: Provider) -> bytes:
    """The head as it leaves, made as an exchange makes it."""
    return headers.request_head(
        asked.method.encode(),
        made.target,
        asked.scan,
        host=to.origin.authority,
        via=b"1.1 detour-me",
        accept_encoding=headers.accept_encoding(asked.scan, asked.peek.stream),
        extra=made.placed.extra,
        drop=made.placed.drop,
    )


def test_another_provider() -> None:
    raw = [(b"User-Agent", b"x/1"), KEY, JSON, (b"OpenAI-Organization", b"org-theirs"), (b"X-B", b"c\xff")]
    asked = ask("/groq/openai/v1/chat/completions?a=b", raw)
    made = rewrite(asked, provider("openrouter"), "m/Ü", config())
    assert made is not None
    assert made.target == made.placed.target == b"/api/v1/chat/completions?a=b"
    assert made.body == b'{ "model": "m/\\u00dc", "messages": [] }'
    assert head(asked, made, provider("openrouter")) == (
        b"POST /api/v1/chat/completions?a=b HTTP/1.1\r\nHost: openrouter.ai\r\nUser-Agent: x/1\r\n"
        b"Content-Type: application/json\r\nX-B: c\xff\r\nAuthorization: Bearer own-openrouter\r\n"
        b"Via: 1.1 detour-me\r\n"
    )


@pytest.mark.parametrize(
    ("path", "to", "target", "field"),
    [
        ("/openai/v1/chat/completions", "azure", b"/openai/v1/chat/completions", (b"api-key", b"own-azure")),
        ("/openai/v1/chat/completions", "lab", b"/chat/completions", None),
        ("/openai/v1/chat/completions", "gemini", b"/v1beta/openai/chat/completions",
         (b"Authorization", b"Bearer own-gemini")),
        ("/openai/v1/chat/completions", "anthropic", b"/v1/chat/completions",
         (b"Authorization", b"Bearer own-anthropic")),
        ("/gemini/v1beta/openai/chat/completions", "openai", b"/v1/chat/completions",
         (b"Authorization", b"Bearer own-openai")),
        ("/anthropic/v1/messages?beta=true", "openrouter", b"/api/v1/messages?beta=true",
         (b"x-api-key", b"own-openrouter")),
        ("/openrouter/api/v1/messages", "anthropic", b"/v1/messages", (b"x-api-key", b"own-anthropic")),
        ("/gemini/v1beta/models/a:generateContent?key=their-AIza-key&alt=sse", "asked",
         b"/v1/models/b%20c:generateContent?alt=sse&key=own-asked", None),
        ("/asked/v1beta/models/a%3AstreamGenerateContent?alt=sse", "gemini",
         b"/v1beta/models/b%20c:streamGenerateContent?alt=sse", (b"x-goog-api-key", b"own-gemini")),
        ("/fal/fal-ai/flux", "runs", b"/run/b%20c", (b"Authorization", b"Key own-runs")),
        ("/runs/run/fal-ai/flux", "fal", b"/b%20c", (b"Authorization", b"Key own-fal")),
    ],
)  # fmt: skip
def test_prefix_model_and_credential_of_the_other(path: str, to: str, target: bytes, field: Pair | None) -> None:
    asked = ask(path, [KEY, (b"x-api-key", THEIRS), (b"x-goog-api-key", THEIRS)])
    made = rewrite(asked, provider(to), "b c", config())
    assert made is not None
    assert made.target == target
    assert made.placed.extra[:1] == ((field,) if field else ())
    in_path = asked.endpoint.model_in == "path"
    assert made.body == (asked.body.data if in_path else (CHAT % "b c").encode())


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/openai/v1/chat/completions", "groq"),
        ("/openai/v1/chat/completions", "google-vertex"),
        ("/openai/v1/chat/completions", "cloudflare-workers-ai"),
        ("/openai/v1/chat/completions", "fal"),
        ("/anthropic/v1/messages", "openai"),
        ("/gemini/v1beta/models/a:generateContent", "openrouter"),
        ("/google/v1/projects/p/locations/l/publishers/google/models/a:generateContent", "gemini"),
        ("/gemini/v1beta/tunedModels/a:generateContent", "asked"),
        ("/openai/v1/files", "azure"),
    ],
)
def test_where_it_cannot_go(path: str, to: str) -> None:
    assert rewrite(ask(path, [KEY]), provider(to), "b", config()) is None


def test_a_body_without_a_model_goes_nowhere() -> None:
    for body in (b"{}", b'{"model":"a"', b""):
        asked = ask("/openai/v1/chat/completions", [KEY], body)
        assert rewrite(asked, provider("azure"), "b", config()) is None
        assert rewrite(asked, provider("openai"), "b", config()) is None
        assert place(asked, provider("azure"), "b", config()) is not None, "it looks at the head alone"


# -- the same provider ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "target", "body"),
    [
        ("/openai/v1/chat/completions?a", b"/v1/chat/completions?a", True),
        ("/openai/v1//chat/completions/", b"/v1//chat/completions/", True),
        ("/gemini/v1/models/a:generateContent?alt=sse", b"/v1/models/b:generateContent?alt=sse", False),
        ("/google/v1/projects/p/locations/l/publishers/google/models/a:predict",
         b"/v1/projects/p/locations/l/publishers/google/models/b:predict", False),
        ("/fal/fal-ai/flux", b"/b", False),
    ],
)  # fmt: skip
def test_another_model_of_the_same_provider_keeps_the_callers_credential(path: str, target: bytes, body: bool) -> None:
    asked = ask(path, [KEY, (b"Cookie", b"c"), (b"OpenAI-Project", b"p")])
    to = asked.route.provider
    made = rewrite(asked, to, "b", config())
    assert made is not None
    assert made.target == made.placed.target == target
    assert (made.placed.drop, made.placed.extra) == (asked.placed.drop, asked.placed.extra)
    assert made.body == (CHAT % ("b" if body else "a")).encode()
    assert head(asked, made, to).split(b"\r\n")[3:5] == [b"Cookie: c", b"OpenAI-Project: p"]
    assert b"Authorization: Bearer " + THEIRS in head(asked, made, to)


def test_another_model_of_the_same_provider_keeps_our_credential_in_the_query() -> None:
    asked = ask("/asked/v1/models/a:generateContent?key=detour&alt=sse", [])
    made = rewrite(asked, provider("asked"), "b", config())
    assert made is not None
    assert made.target == b"/v1/models/b:generateContent?alt=sse&key=own-asked"


def test_another_model_needs_no_trust_where_the_caller_pays() -> None:
    asked = ask("/openai/v1/chat/completions", [KEY], listen=TOKENED)
    assert rewrite(asked, provider("openai", TOKENED), "b", config(TOKENED)) is not None
    assert rewrite(asked, provider("azure", TOKENED), "b", config(TOKENED)) is None


def test_a_tuned_model_is_no_name_in_a_list() -> None:
    asked = ask("/gemini/v1beta/tunedModels/a:generateContent", [KEY])
    assert rewrite(asked, provider("gemini"), "b", config()) is None


# -- who may spend ours -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "listen", "spends"),
    [
        ([KEY], LOOPBACK, True),
        ([(b"Host", b"side.test"), KEY], LOOPBACK, True),
        ([(b"Host", b"evil.test"), KEY], LOOPBACK, False),
        ([KEY, (b"Origin", b"https://evil.test")], LOOPBACK, False),
        ([KEY], TOKENED, False),
        ([KEY, (b"x-detour-token", b"wrong")], TOKENED, False),
        ([KEY, (b"x-detour-token", TOKEN.encode())], TOKENED, True),
        ([(b"Authorization", b"Bearer " + TOKEN.encode())], TOKENED, True),
        ([KEY, (b"x-detour-token", TOKEN.encode()), (b"Origin", b"null")], TOKENED, False),
    ],
)
def test_only_who_may_spend_our_keys_is_rerouted_to_where_they_are_spent(
    raw: list[Pair], listen: str, spends: bool
) -> None:
    asked = ask("/openai/v1/chat/completions", raw, listen=listen)
    assert (rewrite(asked, provider("azure", listen), "b", config(listen)) is not None) is spends
    assert rewrite(asked, provider("lab", listen), "b", config(listen)) is not None, "nothing is spent there"


# -- what pins --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "raw", "body", "whole", "pinned"),
    [
        ("/openai/v1/chat/completions", [], b'{"model":"a"}', True, False),
        ("/openai/v1/chat/completions", [], b'{"model":"a"}', False, True),
        ("/openai/v1/responses", [], b'{"model":"a","previous_response_id":"r"}', True, True),
        ("/openai/v1/responses", [], b'{"model":"a","input":[{"file_id":"f"}]}', True, True),
        ("/openai/v1/responses", [], b'{"model":"a","background":true}', True, True),
        ("/openai/v1/responses", [], b'{"model":"a","background":false}', True, False),
        ("/openai/v1/files", [], b"", True, True),
        ("/openai/v1/chat/completions", [(b"Content-Encoding", b"gzip")], b"\x1f\x8b", True, True),
        ("/openai/v1/chat/completions", [(b"Connection", b"Upgrade"), (b"Upgrade", b"x")], b"{}", True, True),
        ("/gemini/v1beta/models/a:generateContent", [], b'{"cachedContent":"c"}', True, True),
        ("/gemini/v1beta/models/a:generateContent", [], b"{}", True, False),
    ],
)
def test_pins(path: str, raw: list[Pair], body: bytes, whole: bool, pinned: bool) -> None:
    assert pins(ask(path, [KEY, *raw], body, whole=whole)) is pinned


# -- properties -------------------------------------------------------------------------------------------------------

PLACES = (
    b"Authorization", b"AUTHORIZATION", b"x-api-key", b"X-Goog-Api-Key", b"api-key", b"Cookie", b"X-My-Secret",
    b"x_auth_2", b"Subscription-Key", b"csrfTOKEN", b"Proxy-Authorization", b"x-detour-token",
)  # fmt: skip
SPELLINGS = (b"%b", b"Bearer %b", b"Basic %b", b"key  %b ", b"session=%b; a=b", b"a %b", b"%b%b")
PARAMETERS = (b"key=%b", b"access_token=%b", b"api_key=%b", b"%%6B%%65y=%b", b"alt=sse;key=%b", b"Token=%b", b"key=x%b")
fields = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(SPELLINGS).map(lambda text: text.replace(b"%b", THEIRS))),
    max_size=6,
)
in_query = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.sampled_from([THEIRS, THEIRS.replace(b"-", b"%2D")])).map(
        lambda pair: pair[0] % pair[1]
    )
    | st.sampled_from([b"alt=sse", b"a=%20", b""]),
    max_size=4,
)
ROADS = [
    ("/groq/openai/v1/chat/completions", ["openai", "azure", "lab", "gemini", "anthropic", "openrouter"]),
    ("/openai/v1/responses", ["azure", "lab", "openrouter"]),
    ("/openrouter/api/v1/messages", ["anthropic"]),
    ("/gemini/v1beta/models/a:generateContent", ["asked"]),
    ("/asked/v1/models/a:streamGenerateContent", ["gemini"]),
    ("/fal/fal-ai/flux", ["runs"]),
]
roads = st.sampled_from([(path, to) for path, targets in ROADS for to in targets])


@given(roads, fields, in_query, st.booleans())
def test_nobodys_credential_reaches_another_provider(
    road: tuple[str, str], raw: list[Pair], query: list[bytes], subprotocol: bool
) -> None:
    path, to = road
    if subprotocol:
        raw = [*raw, (b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key." + THEIRS)]
    mentioned = (b"X-Note", b"was " + THEIRS)
    raw = [KEY, *raw, mentioned, JSON, (b"OpenAI-Project", b"proj-theirs"), (b"OpenAI-Organization", b"org-theirs")]
    asked = ask(f"{path}?{b'&'.join(query).decode()}", raw)
    made = rewrite(asked, provider(to), "b", config())
    assert made is not None
    made_head = head(asked, made, provider(to))
    assert THEIRS not in unquote_to_bytes(made_head)
    assert b"theirs" not in made_head
    assert b"Content-Type: application/json" in made_head
    assert (b"own-" + to.encode() in made_head) is (to != "lab")
    assert made_head.count(b"own-") == (to != "lab")


@given(roads, pairs)
def test_everything_else_is_as_it_came(road: tuple[str, str], raw: list[Pair]) -> None:
    path, to = road
    raw = [HOST, KEY, *(pair for pair in raw if pair[0].lower() not in (b"host", b"content-length", b"via", b"origin"))]
    raw = [pair for pair in raw if pair[0].lower() not in (b"transfer-encoding", b"upgrade")]
    asked = ask(path, raw)
    before = copy.deepcopy((asked.scan, asked.placed, asked.heads))
    made = rewrite(asked, provider(to), "b", config())
    assert made is not None
    assert (asked.scan, asked.placed, asked.heads) == before, "they are shared by the requests of a connection"
    words = (b"auth", b"key", b"token", b"secret", b"cookie")
    own = {name.lower() for name, _ in made.placed.extra}
    left = {name for name in made.placed.drop if name not in own and not any(word in name for word in words)}
    secrets = [value.split()[-1] for _, value in asked.scan.credentials if value.split()]
    telling = {name.lower() for name, value in asked.scan.kept if any(secret in value for secret in secrets)}
    assert left <= telling | {b"openai-organization", b"openai-project", b"sec-websocket-protocol"}
    if asked.endpoint.model_in == "json":
        assert json.loads(made.body) == {"model": "b", "messages": []}
    head(asked, made, provider(to))


def test_a_placement_is_never_the_same_object_changed() -> None:
    asked = ask("/openai/v1/chat/completions", [KEY])
    placed = asked.placed
    made = rewrite(asked, provider("openai"), "b", config())
    assert made is not None
    assert asked.placed is placed == Placement(b"/v1/chat/completions", placed.drop, placed.extra, placed.own)
