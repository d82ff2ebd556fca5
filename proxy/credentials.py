"""Whose key goes along with a request (config.md, "No open relay"; semantics section 7).

A caller's own credential passes untouched. Where there is none, or the word `detour` or the sidecar's `client_token`
stands in its place, the provider's configured one is added in the style of the path's dialect, for callers that may
spend it. Neither the word nor the token ever reaches a provider. A request that goes to another provider than its
caller asked leaves everything that is or may be a credential behind, and carries that provider's own.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from msgspec import Struct

from config.address import is_loopback
from config.catalog import NATIVE_AUTH
from config.words import AuthStyle, Dialect
from proxy.errors import Refusal
from proxy.headers import CREDENTIALS, Pair

if TYPE_CHECKING:
    from config.effective import Config, Provider
    from config.secret import Secret
    from proxy.headers import Scan
    from proxy.paths import Endpoint

PLACEHOLDER: Final = b"detour"
"""What callers put in the place of a key that they do not have, because SDKs insist on one."""

SENSITIVE: Final = (b"auth", b"key", b"token", b"secret", b"cookie")
"""A header or query parameter whose name has one of these in it is taken for a credential."""

_SCHEMES: Final = frozenset((b"bearer", b"key"))
_PARAMETERS: Final = frozenset((b"key", b"access_token"))
"""Where Google's APIs take a credential in the query."""
PROTOCOLS: Final = b"sec-websocket-protocol"
_HOME: Final = frozenset((*CREDENTIALS, b"openai-organization", b"openai-project", PROTOCOLS))
"""Fields that hold a key, or that mean something at one provider and at that one only."""
NARROWED: Final = b"accept-encoding"
"""The field that is never left out: what can be read here takes its value's place."""
LEAST_SECRET: Final = 8
"""Bytes from which on a caller's key is known again wherever it stands; a shorter one may be any word."""
LEAST_TOLD: Final = 6
"""Bytes from which on a key is left out of what is kept of an answer."""
_SUBPROTOCOL: Final = b"openai-insecure-api-key."
"""How browsers, which cannot set fields there, send a key with a WebSocket handshake."""
_FIELDS: Final = {
    AuthStyle.BEARER: (b"Authorization", b"Bearer "),
    AuthStyle.KEY: (b"Authorization", b"Key "),
    AuthStyle.X_API_KEY: (b"x-api-key", b""),
    AuthStyle.X_GOOG_API_KEY: (b"x-goog-api-key", b""),
    AuthStyle.API_KEY: (b"api-key", b""),
}
_SALT: Final = os.urandom(32)
_loopback: Final = functools.lru_cache(maxsize=8)(is_loopback)


class Placement(Struct, frozen=True):
    """What to change in a request so that it carries the right credential.

    `drop` are lowercased names of fields to leave out, `extra` fields to add, `target` is what to ask upstream. `own`
    says that a secret of this sidecar goes along, `configured` that the provider's configured key does. With a
    `problem` the request must not be sent.
    """

    target: bytes
    drop: frozenset[bytes] = frozenset()
    extra: tuple[Pair, ...] = ()
    own: bool = False
    problem: Refusal | None = None
    configured: bool = False


class _Offered(Struct):
    """What the caller sent in the places of a key.

    `real` and `empty` are fields, lowercased; `empty` are those with a placeholder or nothing in them. `in_query` says
    that the query has a key, `blank` that a key was asked for by leaving its place empty, `proved` that the client
    token was in one.
    """

    real: list[Pair]
    empty: list[Pair]
    target: bytes
    in_query: bool = False
    blank: bool = False
    proved: bool = False


def credential(scan: Scan, target: bytes, provider: Provider, endpoint: Endpoint, config: Config) -> Placement:
    """Decide which credential goes with a request for `target` at `provider`."""
    offered = _offered(scan, target, provider, config)
    has_one = bool(offered.real) or offered.in_query or (scan.upgrade is not None and _in_subprotocol(scan))
    if has_one and not offered.empty and not provider.headers:
        return Placement(offered.target)
    target = offered.target
    trusted = offered.proved or _trusted(scan, config)
    drop = frozenset(name for name, _ in offered.empty)
    extra = [pair for pair in offered.real if pair[0] in drop]
    own = configured = False
    if not has_one:
        if provider.credential is not None and trusted:
            own = configured = True
            field, target = _placed(provider.credential.reveal().encode(), _style(provider, endpoint), target)
            extra += field
        elif not provider.keyless and (endpoint.generation or offered.blank):
            return Placement(target, problem=_missing(scan, provider))
    if provider.headers:
        sent = {name.lower() for name, _ in scan.kept} - drop | {name.lower() for name, _ in extra}
        for name, secret, pair in _configured(provider.headers):
            if name not in sent and (trusted or not secret):
                own = own or secret
                extra.append(pair)
    return Placement(target, drop, tuple(extra), own, configured=configured)


def fingerprint(scan: Scan, placement: Placement) -> str:
    """A name for the key in use that tells nothing about it: a hash under a key of this process; empty for none."""
    return _digest(_sent(scan, placement) + _keys(placement.extra, placement.target))


def used(scan: Scan, placement: Placement) -> tuple[str, ...]:
    """The secrets that go along with a request, so that nothing its answer says is kept with one of them in it."""
    keys = _sent(scan, placement) + _offered_keys(scan, placement.target)
    keys += [_key(name.lower(), value) for name, value in placement.extra if _sensitive(name.lower())]
    keys += [item.partition(b"=")[2] for item, name, _ in _parameters(placement.target) if name in _PARAMETERS]
    keys += [quote_from_bytes(key, safe="").encode() for key in keys]
    return tuple(dict.fromkeys(key.decode("utf-8", "replace") for key in keys if len(key) >= LEAST_TOLD))


def key_of(provider: Provider) -> str:
    """The fingerprint of a provider's own credential, empty when it has none."""
    return _key_of(provider.credential, provider.auth, provider.headers)


def foreign(scan: Scan, target: bytes, provider: Provider, endpoint: Endpoint) -> Placement:
    """What to change in a request whose caller asked another provider, so that it can go to `provider`.

    `target` is what to ask there, with the caller's query. Left out are all fields and query parameters that hold a
    credential, may hold one, or mean something at the other provider only; added are the provider's own credential and
    headers. Ask `may_spend` first when `own_secret` says that this spends something.
    """
    secrets = [key for key in _offered_keys(scan, target) if len(key) >= LEAST_SECRET]
    target = _without_keys(target, secrets)
    added, target = _own(provider.credential, _style(provider, endpoint), provider.headers, target)
    if scan.accept_encoding:
        added = tuple(pair for pair in added if pair[0].lower() != NARROWED)
    replaced = {name.lower() for name, _ in added}
    drop = {
        name.lower()
        for name, value in scan.kept
        if name.lower() in replaced or _stays_behind(name.lower()) or any(secret in value for secret in secrets)
    }
    configured = provider.credential is not None
    return Placement(target, frozenset(drop - {NARROWED}), added, own_secret(provider), configured=configured)


def ours(provider: Provider, target: bytes) -> tuple[tuple[Pair, ...], bytes]:
    """What goes along with a request of our own: fields with the provider's credential and headers, and the target."""
    return _own(provider.credential, provider.auth, provider.headers, target)


def own_secret(provider: Provider) -> bool:
    """Whether a secret of this sidecar goes along with what is sent to `provider` in another's place."""
    return provider.credential is not None or any(secret for _, secret, _ in _configured(provider.headers))


def may_spend(scan: Scan, target: bytes, config: Config) -> bool:
    """Whether the caller of a request for `target` has shown that it may spend this sidecar's keys."""
    if _trusted(scan, config):
        return True
    token = config.client_token
    return token is not None and any(token.matches(key) for key in _offered_keys(scan, target))


def _offered(scan: Scan, target: bytes, provider: Provider, config: Config) -> _Offered:
    found = _Offered([], [], target)
    token = config.client_token
    for pair in scan.credentials:
        key = _key(*pair)
        proof = token is not None and token.matches(key)
        if proof or not key or key == PLACEHOLDER:
            found.empty.append(pair)
            found.blank = True
            found.proved = found.proved or proof
        else:
            found.real.append(pair)
    if b"?" in target:
        _look_at_query(found, provider, config)
    return found


def _look_at_query(found: _Offered, provider: Provider, config: Config) -> None:
    """Keys in the query; elsewhere than at providers that take them there, only the token matters."""
    token = config.client_token
    usual = provider.auth is AuthStyle.QUERY or provider.dialect == Dialect.GEMINI
    left: list[bytes] = []
    for item, name, value in _parameters(found.target):
        if name not in _PARAMETERS:
            left.append(item)
        elif token is not None and token.matches(value):
            found.blank = found.proved = True
        elif not usual:
            left.append(item)
        elif not value or value == PLACEHOLDER:
            found.blank = True
        else:
            found.in_query = True
            left.append(item)
    path, _, query = found.target.partition(b"?")
    rest = b"&".join(left)
    if rest != query:
        found.target = path + b"?" + rest if rest else path


def _parameters(target: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """The items of a query as they came, each with its decoded name and value."""
    items = target.partition(b"?")[2].split(b"&")
    parts = [(item, *item.partition(b"=")) for item in items]
    return [(item, unquote_to_bytes(name), unquote_to_bytes(value)) for item, name, _, value in parts]


def _key(name: bytes, value: bytes) -> bytes:
    """The key in an auth field's value: its last word, whatever scheme comes before it; empty for a scheme alone."""
    words = value.split()
    if not words or (len(words) == 1 and name == b"authorization" and words[0].lower() in _SCHEMES):
        return b""
    return words[-1]


def _sent(scan: Scan, placement: Placement) -> list[bytes]:
    """The caller's keys that stay in their fields."""
    return [_key(*pair) for pair in scan.credentials if pair[0] not in placement.drop]


def _in_subprotocol(scan: Scan) -> bool:
    return any(_SUBPROTOCOL in value for name, value in scan.kept if name.lower() == PROTOCOLS)


def _offered_keys(scan: Scan, target: bytes) -> list[bytes]:
    """What stands in the places of a key, whatever it is worth."""
    keys = [_key(*pair) for pair in scan.credentials]
    keys += [value for _, name, value in _parameters(target) if name in _PARAMETERS]
    for name, value in scan.kept:
        if name.lower() == PROTOCOLS:
            keys += [word.partition(_SUBPROTOCOL)[2] for word in value.replace(b",", b" ").split()]
    return keys


def _stays_behind(name: bytes) -> bool:
    """Whether a field with this lowercased name never goes to another provider than its caller meant it for."""
    return name in _HOME or _sensitive(name)


def _sensitive(name: bytes) -> bool:
    return any(word in name for word in SENSITIVE)


def _without_keys(target: bytes, secrets: list[bytes]) -> bytes:
    """`target` without the items of its query that have a credential's name, or one of `secrets` in them."""
    path, mark, query = target.partition(b"?")
    left = [item for item in query.split(b"&") if not _tells(unquote_to_bytes(item), secrets)]
    rest = b"&".join(left)
    return path + mark + rest if rest or rest == query else path


def _tells(item: bytes, secrets: list[bytes]) -> bool:
    """Whether a decoded item of a query may be a credential. Some servers part items at semicolons too."""
    names = (part.partition(b"=")[0].lower() for part in item.split(b";"))
    return any(map(_sensitive, names)) or any(secret in item for secret in secrets)


def _trusted(scan: Scan, config: Config) -> bool:
    """Whether this caller may spend the sidecar's keys."""
    settings = config.settings
    if settings.open or settings.tls.client_ca is not None or _loopback(settings.listen.host):
        return True  # with a client_ca nobody gets as far as here without a certificate
    offered = scan.detour.get(b"token")
    return offered is not None and config.client_token is not None and config.client_token.matches(offered)


def _style(provider: Provider, endpoint: Endpoint) -> AuthStyle:
    """The path decides: the provider's own style on paths of its own dialect, elsewhere that dialect's."""
    if endpoint.dialect == provider.dialect:
        return provider.auth
    return NATIVE_AUTH[Dialect(endpoint.dialect)]


def _placed(key: bytes, style: AuthStyle, target: bytes) -> tuple[tuple[Pair, ...], bytes]:
    """The field that carries `key`, if one does, and the target, which carries it otherwise."""
    if style is AuthStyle.QUERY:
        separator = b"&" if b"?" in target else b"?"
        return (), b"%b%bkey=%b" % (target, separator, quote_from_bytes(key, safe="").encode())
    name, scheme = _FIELDS[style]
    return ((name, scheme + key),), target


def _own(
    credential: Secret | None, style: AuthStyle, headers: tuple[Pair, ...], target: bytes
) -> tuple[tuple[Pair, ...], bytes]:
    """The fields that carry a provider's credential and configured headers, and the target, which may carry a key."""
    fields: tuple[Pair, ...] = ()
    if credential is not None:
        fields, target = _placed(credential.reveal().encode(), style, target)
    taken = {name.lower() for name, _ in fields}
    return fields + tuple(pair for name, _, pair in _configured(headers) if name not in taken), target


def _keys(fields: Iterable[Pair], target: bytes) -> list[bytes]:
    """The keys in fields that were added and in a target."""
    keys = [_key(name.lower(), value) for name, value in fields if name.lower() in CREDENTIALS]
    return keys + [value for _, name, value in _parameters(target) if name in _PARAMETERS]


def _digest(keys: list[bytes]) -> str:
    return hashlib.blake2b(b"\0".join(keys), digest_size=16, key=_SALT).hexdigest() if keys else ""


@functools.lru_cache(maxsize=256)
def _key_of(credential: Secret | None, auth: AuthStyle, headers: tuple[Pair, ...]) -> str:
    return _digest(_keys(*_own(credential, auth, headers, b"")))


@functools.lru_cache(maxsize=256)
def _configured(headers: tuple[Pair, ...]) -> list[tuple[bytes, bool, Pair]]:
    """A provider's headers, each with its lowercased name and whether it is a secret."""
    named = [(pair[0].lower(), pair) for pair in headers]
    return [(name, _sensitive(name), pair) for name, pair in named]


def _missing(scan: Scan, provider: Provider) -> Refusal:
    """The 401 that names what to send or set."""
    variables = " or ".join(provider.key_variables)
    setting = f"set {variables}" if variables else f"set providers.{provider.name}.api_key"
    if provider.credential is None:
        advice = f"send the provider's key with it, or {setting} where Detour runs"
    elif b"token" in scan.detour:
        advice = "its x-detour-token is not this sidecar's client_token"
    else:
        source = f" ({variables})" if variables else ""
        advice = f"this sidecar's own key{source} is for callers that send its client_token as x-detour-token"
    message = f"{provider.name} needs a credential and the request has none: {advice}"
    return Refusal(401, "authentication_error", message, (("WWW-Authenticate", "Bearer"),))
