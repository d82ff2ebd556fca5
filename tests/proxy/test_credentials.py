"""Whose key goes along."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.effective import Config, Provider
from config.load import load_text
from proxy import paths
from proxy.credentials import Placement, credential, fingerprint, foreign, key_of, may_spend, own_secret, used
from proxy.headers import Pair, request_head, scan
from proxy.paths import CHAT, FAL, GENERATE, MESSAGES, Endpoint

TOKEN = "the-token"
KEYS = {
    "OPENAI_API_KEY": "own-openai",
    "ANTHROPIC_API_KEY": "own-anthropic",
    "GEMINI_API_KEY": "own-gemini",
    "OPENROUTER_API_KEY": "own-openrouter",
    "FAL_KEY": "own-fal",
    "GOOGLE_ACCESS_TOKEN": "own-google",
    "GOOGLE_VERTEX_LOCATION": "eu",
}
PROVIDERS = """
providers:
  openai: {}
  groq: {}
  anthropic: {}
  gemini: {}
  openrouter: {}
  fal: {}
  google-vertex: {}
  lab: {base_url: "http://127.0.0.1:1/v1", dialect: openai}
  azure: {base_url: "https://x.test/openai/v1", dialect: openai, auth: api-key, api_key: own-azure}
  asked: {base_url: "https://y.test/v1beta", dialect: gemini, auth: query, api_key: "own asked&+"}
  named:
    base_url: https://z.test/v1
    dialect: openai
    api_key: own-named
    headers: {X-Title: Detour, X-Org-Token: org-secret}
  bare:
    base_url: https://w.test/v1
    dialect: openai
    headers: {Authorization: Basic own-bare}
"""
LOOPBACK = "listen: 127.0.0.1:0\n"
TOKENED = f"listen: 0.0.0.0:0\nclient_token: {TOKEN}\n"
OPEN = "listen: 0.0.0.0:0\nopen: true\n"
BOTH = f"listen: 127.0.0.1:0\nclient_token: {TOKEN}\n"


@functools.cache
def config(listen: str = LOOPBACK) -> Config:
    return load_text(listen + PROVIDERS, KEYS)


def provider(name: str, listen: str = LOOPBACK) -> Provider:
    found = config(listen).provider(name)
    assert found is not None
    return found


OTHER = paths.find("GET", "/v1/models", provider("openai"))


def place(
    name: str,
    raw: list[Pair],
    *,
    listen: str = LOOPBACK,
    endpoint: Endpoint = CHAT,
    target: bytes = b"/v1/x",
) -> Placement:
    return credential(scan(raw), target, provider(name, listen), endpoint, config(listen))


def sent(name: str, raw: list[Pair], **more: object) -> tuple[bytes, list[Pair]]:
    """Target and fields as they leave for the provider, without Host and Via."""
    placed = place(name, raw, **more)  # type: ignore[arg-type]
    assert placed.problem is None, placed.problem
    made = request_head(
        b"GET", placed.target, scan(raw), host=b"h", via=b"v", extra=placed.extra, drop=placed.drop
    ).decode("latin-1")
    first, *lines = made.removesuffix("\r\n").split("\r\n")
    pairs = [(n.encode("latin-1"), v.encode("latin-1")) for n, _, v in (line.partition(": ") for line in lines)]
    return first.split(" ")[1].encode(), [pair for pair in pairs if pair[0] not in (b"Host", b"Via")]


BEARER = (b"Authorization", b"Bearer sk-theirs")


@pytest.mark.parametrize("listen", [LOOPBACK, TOKENED, OPEN])
@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("openai", BEARER),
        ("openai", (b"AUTHORIZATION", b"sk-theirs")),
        ("openai", (b"authorization", b"Basic Zm9v")),
        ("openai", (b"Authorization", b"Bearer Detour")),
        ("openai", (b"Authorization", b"Bearer detour2")),
        ("openai", (b"Authorization", b"Bearer key")),
        ("openai", (b"x-api-key", b"bearer")),
        ("anthropic", (b"X-Api-Key", b"sk-ant")),
        ("gemini", (b"x-goog-api-key", b"AIza")),
        ("azure", (b"api-key", b"k")),
        ("lab", BEARER),
    ],
)
def test_a_callers_own_credential_passes_untouched(name: str, pair: Pair, listen: str) -> None:
    placed = place(name, [(b"X", b"y"), pair], listen=listen)
    assert (placed.drop, placed.own, placed.problem) == (frozenset(), False, None)
    assert sent(name, [(b"X", b"y"), pair], listen=listen)[1][:2] == [(b"X", b"y"), pair]


NONE: list[list[Pair]] = [
    [],
    [(b"Authorization", b"Bearer detour")],
    [(b"authorization", b"bearer  detour ")],
    [(b"Authorization", b"Key detour")],
    [(b"Authorization", b"detour")],
    [(b"Authorization", b"Unheard-Of\tdetour")],
    [(b"x-api-key", b"Bearer detour")],
    [(b"Authorization", b"Bearer")],
    [(b"Authorization", b"")],
    [(b"x-api-key", b"detour")],
    [(b"X-Goog-Api-Key", b"detour")],
    [(b"api-key", b"")],
    [(b"x-api-key", b"detour"), (b"Authorization", b"Bearer detour")],
]


@pytest.mark.parametrize("raw", NONE)
@pytest.mark.parametrize(
    ("name", "endpoint", "added"),
    [
        ("openai", CHAT, (b"Authorization", b"Bearer own-openai")),
        ("openai", OTHER, (b"Authorization", b"Bearer own-openai")),
        ("anthropic", CHAT, (b"Authorization", b"Bearer own-anthropic")),
        ("anthropic", MESSAGES, (b"x-api-key", b"own-anthropic")),
        ("openrouter", MESSAGES, (b"x-api-key", b"own-openrouter")),
        ("gemini", GENERATE, (b"x-goog-api-key", b"own-gemini")),
        ("gemini", CHAT, (b"Authorization", b"Bearer own-gemini")),
        ("google-vertex", GENERATE, (b"Authorization", b"Bearer own-google")),
        ("fal", FAL, (b"Authorization", b"Key own-fal")),
        ("azure", CHAT, (b"api-key", b"own-azure")),
    ],
)
def test_ours_is_added_in_the_style_of_the_path(name: str, raw: list[Pair], endpoint: Endpoint, added: Pair) -> None:
    placed = place(name, raw, endpoint=endpoint)
    assert placed.own
    fields = [pair for pair in sent(name, raw, endpoint=endpoint)[1] if pair[0] != b"anthropic-version"]
    assert fields == [added]


def test_a_real_key_beside_a_placeholder_goes_alone() -> None:
    raw = [(b"x-api-key", b"detour"), BEARER]
    assert sent("openai", raw)[1] == [BEARER]
    assert not place("openai", raw).own


def test_a_real_key_in_the_same_field_as_a_placeholder_goes_alone() -> None:
    raw = [(b"Authorization", b"Bearer detour"), BEARER]
    assert sent("openai", raw)[1] == [(b"authorization", BEARER[1])]


# -- the query --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "goes", "own"),
    [
        (b"/v1/m:g?key=AIza", b"/v1/m:g?key=AIza", False),
        (b"/v1/m:g?alt=sse&key=AI%2Bza", b"/v1/m:g?alt=sse&key=AI%2Bza", False),
        (b"/v1/m:g?%6Bey=AIza", b"/v1/m:g?%6Bey=AIza", False),
        (b"/v1/m:g?access_token=ya29", b"/v1/m:g?access_token=ya29", False),
        (b"/v1/m:g?key=detour", b"/v1/m:g", True),
        (b"/v1/m:g?alt=sse&key=detour&x", b"/v1/m:g?alt=sse&x", True),
        (b"/v1/m:g?key=", b"/v1/m:g", True),
        (b"/v1/m:g?key", b"/v1/m:g", True),
        (b"/v1/m:g?k%65y=%64etour&alt=sse", b"/v1/m:g?alt=sse", True),
        (b"/v1/m:g?alt=sse", b"/v1/m:g?alt=sse", True),
        (b"/v1/m:g?", b"/v1/m:g?", True),
        (b"/v1/m:g?&&a==b&", b"/v1/m:g?&&a==b&", True),
    ],
)
def test_keys_in_the_query(target: bytes, goes: bytes, own: bool) -> None:
    placed = place("gemini", [], endpoint=GENERATE, target=target)
    assert (placed.target, placed.own) == (goes, own)
    assert place("gemini", [], endpoint=GENERATE, target=target).extra == (
        ((b"x-goog-api-key", b"own-gemini"),) if own else ()
    )


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        (b"/v1/m:g", b"/v1/m:g?key=own%20asked%26%2B"),
        (b"/v1/m:g?alt=sse", b"/v1/m:g?alt=sse&key=own%20asked%26%2B"),
        (b"/v1/m:g?key=detour&alt=sse", b"/v1/m:g?alt=sse&key=own%20asked%26%2B"),
        (b"/v1/m:g?key=theirs", b"/v1/m:g?key=theirs"),
    ],
)
def test_ours_in_the_query(target: bytes, goes: bytes) -> None:
    placed = place("asked", [], endpoint=GENERATE, target=target)
    assert (placed.target, placed.extra) == (goes, ())


@pytest.mark.parametrize("target", [b"/v1/x?key=detour", b"/v1/x?key=&a", b"/v1/x?key=abc", b"/v1/x?"])
def test_where_no_key_goes_into_the_query_it_is_left_alone(target: bytes) -> None:
    placed = place("openai", [], target=target)
    assert (placed.target, placed.own) == (target, True)


# -- who may spend ours -----------------------------------------------------------------------------------------------

PROOFS: list[tuple[list[Pair], bytes]] = [
    ([(b"X-Detour-Token", TOKEN.encode())], b"/v1/x"),
    ([(b"X-Detour-Token", TOKEN.encode()), (b"Authorization", b"Bearer detour")], b"/v1/x"),
    ([(b"Authorization", b"Bearer " + TOKEN.encode())], b"/v1/x"),
    ([(b"x-api-key", TOKEN.encode())], b"/v1/x"),
    ([(b"x-goog-api-key", b"detour"), (b"api-key", TOKEN.encode())], b"/v1/x"),
    ([], b"/v1/x?key=" + TOKEN.encode()),
    ([], b"/v1/x?a&k%65y=%74he-token"),
]
NO_PROOFS: list[list[Pair]] = [
    [],
    [(b"Authorization", b"Bearer detour")],
    [(b"X-Detour-Token", b"wrong")],
    [(b"X-Detour-Token", b"")],
    [(b"X-Detour-Token", b"\xff")],
    [(b"X-Detour-Tok", TOKEN.encode())],
]


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini", "fal", "azure", "asked", "named"])
@pytest.mark.parametrize(("raw", "target"), PROOFS)
@pytest.mark.parametrize("listen", [TOKENED, BOTH])
def test_the_token_is_proof_and_never_forwarded(name: str, raw: list[Pair], target: bytes, listen: str) -> None:
    placed = place(name, raw, listen=listen, target=target)
    assert placed.own
    goes, fields = sent(name, raw, listen=listen, target=target)
    assert TOKEN.encode() not in goes + repr(fields).encode()
    assert b"%74" not in goes
    assert b"own" in goes + repr(fields).encode()


@pytest.mark.parametrize("raw", NO_PROOFS)
def test_without_proof_nothing_of_ours_goes(raw: list[Pair]) -> None:
    placed = place("openai", raw, listen=TOKENED)
    assert (placed.own, placed.extra) == (False, ())
    assert placed.problem is not None
    assert placed.problem.status == 401
    assert "OPENAI_API_KEY" in placed.problem.message or "client_token" in placed.problem.message
    assert "own-openai" not in repr(placed)


@pytest.mark.parametrize("raw", NO_PROOFS)
@pytest.mark.parametrize("listen", [OPEN, LOOPBACK, BOTH])
def test_an_open_sidecar_and_one_that_only_this_machine_reaches_ask_for_no_proof(raw: list[Pair], listen: str) -> None:
    assert place("openai", raw, listen=listen).own


# -- no credential where one is needed --------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", NONE)
def test_a_generation_without_a_credential_is_refused_with_the_variable(raw: list[Pair]) -> None:
    placed = place("groq", raw)
    assert placed.problem is not None
    assert (placed.problem.status, placed.problem.type) == (401, "authentication_error")
    assert "GROQ_API_KEY" in placed.problem.message
    assert "groq" in placed.problem.message
    assert (placed.own, placed.extra) == (False, ())


def test_what_may_be_public_is_asked_without() -> None:
    placed = place("groq", [], endpoint=OTHER)
    assert placed == Placement(b"/v1/x")
    assert place("groq", [(b"Authorization", b"Bearer detour")], endpoint=OTHER).problem is not None


def test_a_provider_that_needs_no_key_gets_none() -> None:
    assert sent("lab", [])[1] == []
    assert sent("lab", [(b"Authorization", b"Bearer detour"), (b"a", b"b")])[1] == [(b"a", b"b")]


def test_a_provider_without_variables_is_named_by_its_setting() -> None:
    placed = place("azure", [], listen=TOKENED)
    assert placed.problem is not None
    assert "client_token" in placed.problem.message
    unset = Provider(
        name="x", origin=provider("lab").origin, prefix="", prefixes={}, dialect="openai", auth=provider("lab").auth
    )
    problem = credential(scan([]), b"/", unset, CHAT, config()).problem
    assert problem is not None
    assert "providers.x.api_key" in problem.message


def test_a_refusal_tells_of_a_wrong_token() -> None:
    problem = place("openai", [(b"x-detour-token", b"wrong")], listen=TOKENED).problem
    assert problem is not None
    assert "x-detour-token is not" in problem.message
    assert "wrong" not in problem.message


# -- configured headers -----------------------------------------------------------------------------------------------


def test_configured_headers_are_added_where_the_caller_sent_none() -> None:
    assert sent("named", [])[1] == [
        (b"Authorization", b"Bearer own-named"),
        (b"X-Title", b"Detour"),
        (b"X-Org-Token", b"org-secret"),
    ]
    raw = [(b"x-title", b"mine"), BEARER]
    assert sent("named", raw)[1] == [*raw, (b"X-Org-Token", b"org-secret")]
    assert sent("anthropic", [(b"Anthropic-Version", b"2024"), (b"x-api-key", b"k")])[1] == [
        (b"Anthropic-Version", b"2024"),
        (b"x-api-key", b"k"),
    ]


def test_a_configured_header_that_is_a_secret_needs_proof_too() -> None:
    placed = place("named", [BEARER], listen=TOKENED)
    assert (placed.extra, placed.own) == (((b"X-Title", b"Detour"),), False)
    assert place("named", [BEARER, (b"x-detour-token", TOKEN.encode())], listen=TOKENED).own
    assert place("bare", [], listen=TOKENED).extra == ()


def test_a_configured_header_may_be_the_credential() -> None:
    for raw in NONE:
        assert sent("bare", raw)[1] == [(b"Authorization", b"Basic own-bare")]
    assert sent("bare", [BEARER])[1] == [BEARER]


# -- WebSockets -------------------------------------------------------------------------------------------------------


def test_a_browsers_key_in_a_websocket_handshake_counts() -> None:
    raw = [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key.sk-theirs"),
    ]
    assert place("openai", raw, endpoint=OTHER) == Placement(b"/v1/x")
    assert place("openai", raw[:2], endpoint=OTHER).own
    assert place("openai", raw[2:], endpoint=OTHER).own


# -- fingerprints -----------------------------------------------------------------------------------------------------


def seen(name: str, raw: list[Pair], **more: object) -> str:
    return fingerprint(scan(raw), place(name, raw, **more))  # type: ignore[arg-type]


def test_fingerprints_tell_keys_apart_and_nothing_else() -> None:
    theirs = seen("openai", [BEARER])
    assert theirs == seen("groq", [(b"authorization", b"bearer sk-theirs"), (b"x", b"y")])
    ours = seen("openai", [])
    assert ours == seen("openai", [(b"Authorization", b"Bearer detour")])
    other = seen("openai", [(b"Authorization", b"Bearer sk-other")])
    query = seen("gemini", [], target=b"/m?key=AIza", endpoint=GENERATE)
    assert len({theirs, ours, other, query, seen("lab", [])}) == 5
    assert seen("lab", []) == ""
    assert len(theirs) == 32


@pytest.mark.parametrize("name", sorted(config().providers))
def test_a_providers_own_key_has_the_fingerprint_of_what_is_sent(name: str) -> None:
    found = provider(name)
    dialect = {"anthropic": MESSAGES, "gemini": GENERATE, "fal": FAL}.get(found.dialect, CHAT)
    placed = place(name, [], endpoint=dialect)
    key = key_of(found)
    assert (key != "") is placed.own
    if placed.own:
        assert key == fingerprint(scan([]), placed)
        assert key == fingerprint(scan([]), foreign(scan([BEARER]), b"/v1/x?key=k", found, dialect))
        assert key not in {key_of(other) for other in config().providers.values() if other.name != name}


# -- at another provider ----------------------------------------------------------------------------------------------

LEFT = [
    b"Authorization",
    b"x-api-key",
    b"X-Goog-Api-Key",
    b"api-key",
    b"Cookie",
    b"COOKIE2",
    b"X-Amz-Security-Token",
    b"Ocp-Apim-Subscription-Key",
    b"helicone-auth",
    b"My_Secret_",
    b"Idempotency-Key",
    b"OpenAI-Organization",
    b"openai-project",
    b"Sec-WebSocket-Protocol",
]


@pytest.mark.parametrize("name", LEFT)
def test_what_is_or_may_be_a_credential_stays_behind(name: bytes) -> None:
    raw = [(b"X-A", b"b"), (name, b"value"), (name.upper(), b"again"), (b"Accept", b"*/*")]
    placed = foreign(scan(raw), b"/v1/x", provider("groq"), CHAT)
    assert placed == Placement(b"/v1/x", frozenset((name.lower(),)))


@pytest.mark.parametrize(
    ("name", "endpoint", "target", "extra"),
    [
        ("openai", CHAT, b"/v1/x", [(b"Authorization", b"Bearer own-openai")]),
        ("anthropic", MESSAGES, b"/v1/x", [(b"x-api-key", b"own-anthropic"), (b"anthropic-version", b"2023-06-01")]),
        ("anthropic", CHAT, b"/v1/x", [(b"Authorization", b"Bearer own-anthropic"),
                                       (b"anthropic-version", b"2023-06-01")]),
        ("azure", CHAT, b"/v1/x", [(b"api-key", b"own-azure")]),
        ("asked", GENERATE, b"/v1/x?key=own%20asked%26%2B", []),
        ("named", CHAT, b"/v1/x", [(b"Authorization", b"Bearer own-named"), (b"X-Title", b"Detour"),
                                   (b"X-Org-Token", b"org-secret")]),
        ("bare", CHAT, b"/v1/x", [(b"Authorization", b"Basic own-bare")]),
        ("lab", CHAT, b"/v1/x", []),
    ],
)  # fmt: skip
def test_the_other_providers_own_credential_and_headers_are_added(
    name: str, endpoint: Endpoint, target: bytes, extra: list[Pair]
) -> None:
    sent_too = [(b"X-TITLE", b"mine"), (b"Anthropic-Version", b"2024"), BEARER, (b"x-detour-token", b"t")]
    placed = foreign(scan(sent_too), b"/v1/x", provider(name), endpoint)
    assert (placed.target, list(placed.extra), placed.problem) == (target, extra, None)
    assert placed.own is (name != "lab") is own_secret(provider(name))
    replaced = {field.lower() for field, _ in extra} & {b"x-title", b"anthropic-version"}
    assert placed.drop == {b"authorization"} | replaced


def test_a_key_takes_the_place_of_a_configured_header_of_its_name() -> None:
    text = "providers: {lab: {base_url: 'http://h', api_key: own-lab, headers: {authorization: Basic own-other, a: b}}}"
    lab = load_text(text, {}).providers["lab"]
    assert foreign(scan([BEARER]), b"/p", lab, CHAT).extra == ((b"Authorization", b"Bearer own-lab"), (b"a", b"b"))


@pytest.mark.parametrize(
    ("target", "goes"),
    [
        (b"/p?key=AIza", b"/p"),
        (b"/p?alt=sse&key=AIza&x=%20+;y", b"/p?alt=sse&x=%20+;y"),
        (b"/p?%6bey=1&api%5Fkey=2&Access_Token=3&auth&alt=sse", b"/p?alt=sse"),
        (b"/p?alt=sse;key=AIza", b"/p"),
        (b"/p?alt=sse%3Bkey=AIza", b"/p"),
        (b"/p?", b"/p?"),
        (b"/p?&a&", b"/p?&a&"),
        (b"/p", b"/p"),
    ],
)
def test_no_key_goes_along_in_the_query(target: bytes, goes: bytes) -> None:
    assert foreign(scan([]), target, provider("lab"), CHAT).target == goes


def test_a_key_is_known_again_wherever_it_stands() -> None:
    raw = [(b"Authorization", b"Bearer sk-theirs"), (b"Referer", b"http://x/?sk-theirs"), (b"X-A", b"sk-other")]
    placed = foreign(scan(raw), b"/p?a=%73k-theirs&b=sk-other", provider("lab"), CHAT)
    assert placed == Placement(b"/p?b=sk-other", frozenset((b"authorization", b"referer")))
    raw = [(b"Sec-WebSocket-Protocol", b"realtime,openai-insecure-api-key.sk-theirs"), (b"X-A", b"sk-theirs")]
    assert foreign(scan(raw), b"/p", provider("lab"), CHAT).drop == {b"sec-websocket-protocol", b"x-a"}
    assert foreign(scan([(b"X-A", b"sk-theirs")]), b"/p?key=sk-theirs", provider("lab"), CHAT).drop == {b"x-a"}
    short = [(b"x-api-key", b"json"), (b"Content-Type", b"application/json")]
    assert foreign(scan(short), b"/p", provider("lab"), CHAT).drop == {b"x-api-key"}


def test_what_is_narrowed_stays() -> None:
    """The head's maker puts what can be read here in this field's place."""
    odd = load_text("providers: {lab: {base_url: 'http://h', headers: {Accept-Encoding: br}}}", {}).providers["lab"]
    raw = [(b"Accept-Encoding", b"gzip, sk-theirs"), BEARER]
    assert foreign(scan(raw), b"/p", odd, CHAT) == Placement(b"/p", frozenset((b"authorization",)))
    assert foreign(scan([]), b"/p", odd, CHAT).extra == ((b"Accept-Encoding", b"br"),)


@pytest.mark.parametrize(("raw", "target"), PROOFS)
def test_who_shows_the_token_may_spend(raw: list[Pair], target: bytes) -> None:
    assert may_spend(scan(raw), target, config(TOKENED))
    assert not may_spend(scan(raw), target, load_text("listen: 0.0.0.0:0", {}))


@pytest.mark.parametrize("raw", [*NO_PROOFS, [BEARER]])
def test_who_does_not_show_it_may_not(raw: list[Pair]) -> None:
    assert not may_spend(scan(raw), b"/v1/x?key=detour", config(TOKENED))
    assert all(may_spend(scan(raw), b"/v1/x", config(listen)) for listen in (OPEN, LOOPBACK, BOTH))


def test_a_client_certificate_that_nobody_gets_in_without_is_a_proof() -> None:
    text = "listen: 0.0.0.0:0\nclient_token: the-token\ntls: {cert: a.pem%s}\n"
    assert may_spend(scan([BEARER]), b"/v1/x", config(text % ", client_ca: b.pem"))
    assert not may_spend(scan([BEARER]), b"/v1/x", config(text % ""))


# -- properties -------------------------------------------------------------------------------------------------------

names = st.sampled_from([b"Authorization", b"x-api-key", b"X-Goog-Api-Key", b"api-key", b"X", b"x-detour-token"])
keys = st.sampled_from([b"detour", TOKEN.encode(), b"sk-theirs", b"", b"\xff", b"Bearer"])
fields = st.lists(
    st.tuples(names, st.tuples(st.sampled_from([b"", b"Bearer ", b"key "]), keys).map(b"".join)), max_size=5
)
targets = st.lists(st.tuples(st.sampled_from([b"key", b"alt", b"k%65y", b"%"]), keys).map(b"=".join), max_size=3).map(
    lambda items: b"/v1/x?" + b"&".join(items)
)


@given(
    st.sampled_from(sorted(config().providers)),
    fields,
    targets,
    st.sampled_from([LOOPBACK, TOKENED, OPEN, BOTH]),
    st.sampled_from([CHAT, MESSAGES, GENERATE, FAL, OTHER]),
)
def test_no_token_leaks_and_no_stranger_spends(
    name: str, raw: list[Pair], target: bytes, listen: str, endpoint: Endpoint
) -> None:
    placed = place(name, raw, listen=listen, target=target, endpoint=endpoint)
    if placed.problem is not None:
        return
    goes, out = sent(name, raw, listen=listen, target=target, endpoint=endpoint)
    everything = goes + b"\n".join(value for _, value in out)
    has_token = any(TOKEN.encode() in value for _, value in raw) or TOKEN.encode() in target
    if config(listen).client_token is not None:
        assert b"key=" + TOKEN.encode() not in goes
        assert not any(TOKEN.encode() in value for field, value in out if field != b"X")
    if b"own" in everything or b"org-secret" in everything:
        assert placed.own
        assert listen in (LOOPBACK, OPEN, BOTH) or has_token


@pytest.mark.parametrize(
    ("fields", "target", "secrets"),
    [
        ([(b"Authorization", b"Bearer team-alpha-orchid")], b"/v1/x", {"team-alpha-orchid"}),
        ([(b"x-api-key", b"short")], b"/v1/x", set()),
        ([], b"/v1/x?key=a%2Fb+c%2Bddd&alt=sse", {"a/b+c+ddd", "a%2Fb+c%2Bddd", "a%2Fb%2Bc%2Bddd"}),
        (
            [(b"Upgrade", b"websocket"), (b"Sec-WebSocket-Protocol", b"realtime, openai-insecure-api-key.sk-abcdef")],
            b"/v1/x",
            {"sk-abcdef"},
        ),
    ],
)
def test_what_goes_along_is_known_for_what_is_kept_of_the_answer(
    fields: list[Pair], target: bytes, secrets: set[str]
) -> None:
    found = set(used(scan(fields), Placement(target)))
    assert found >= secrets
    assert bool(found) == bool(secrets)


def test_what_is_added_goes_along_and_what_is_dropped_does_not() -> None:
    added = ((b"Authorization", b"Bearer sk-own-key"), (b"X-Lab-Token", b"lab-token"), (b"X-Plain", b"plain-text"))
    placement = Placement(b"/v1/x", frozenset((b"authorization",)), added)
    found = set(used(scan([(b"Authorization", b"Bearer detour")]), placement))
    assert {"sk-own-key", "lab-token"} <= found
    assert "plain-text" not in found
