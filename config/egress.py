"""The proxy that provider traffic leaves by, and which hosts are reached without it.

The rules are those of curl and Go: `no_proxy` holds names (with everything below them), addresses and networks, and
this machine itself is never reached through a proxy unless one provider's own setting says so.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from config.address import is_ip, is_loopback
from config.secret import Secret

_URL: Final = re.compile(r"(?:(https?)://)?(?:([^@/]*)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,252})(?::([0-9]{1,5}))?/?", re.ASCII | re.IGNORECASE)  # fmt: skip  # noqa: E501
_EXCEPTION: Final = re.compile(r"\*|[A-Za-z0-9._*:\[\]/-]{1,262}", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 1024
"""Most characters of user name and password together."""

_FORM: Final = (
    "must be env, none or a URL such as http://user:password@proxy.example:3128 (what is special in a password is "
    "written %40)"
)


class EgressProxy(Struct, frozen=True):
    """A proxy that connections are made through with CONNECT, or a word: `env` (the environment says), `none`.

    `authorization` is the value of Proxy-Authorization. `ca_bundle` vouches for it when it is spoken to over TLS.
    """

    scheme: str
    host: str = ""
    port: int = 0
    authorization: Secret | None = None
    ca_bundle: str = ""

    @classmethod
    def parse(cls, text: str) -> EgressProxy:
        """Read `env`, `none` or a URL, its scheme `http` when there is none. Raises ValueError, repeating nothing."""
        if text in ("env", "none"):
            return cls(text)
        match = _URL.fullmatch(text) if len(text) < 2 * _LONGEST else None
        if match is None:
            raise ValueError(_FORM + ("; SOCKS is not spoken" if text.lower().startswith("socks") else ""))
        scheme, user, host = (match[1] or "http").lower(), match[2], match[3].strip("[]").lower()
        if (":" in host or host.replace(".", "").isdigit()) and not is_ip(host):
            raise ValueError("has a host that is neither a name nor an address")
        port = int(match[4]) if match[4] else _PORTS[scheme]
        if not 0 < port < 65536:
            raise ValueError("has a port that is not one of 1 to 65535")
        return cls(scheme, host, port, None if user is None else _basic(user))

    @property
    def tls(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.scheme == "https"

    @property
    def where(self) -> str:
        """Its address for messages: no user name, no password."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        secret = "***@" if self.authorization is not None else ""
        return f"{self.scheme}://{secret}{self.where}" if self.host else self.scheme


def parse_exception(text: str) -> str:
    """Read an entry of `no_proxy`: a name, an address or a network, perhaps with a port, or `*`. Raises ValueError."""
    if not _EXCEPTION.fullmatch(text):
        raise ValueError("is not a host name, an address, a network such as 10.0.0.0/8, or *")
    if "/" in text:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f'"{text[:80]}" is not a network such as 10.0.0.0/8') from None
    return text.lower()


def from_environment(environ: Mapping[str, str], scheme: str) -> tuple[EgressProxy | None, tuple[str, ...]]:
    """The proxy that the environment names for origins of `scheme`, and its exceptions.

    Raises:
        ValueError: a variable cannot be understood; says which.
    """
    exceptions = tuple(part.strip().lower() for part in _either(environ, "no_proxy")[1].split(",") if part.strip())
    for wanted in (f"{scheme}_proxy", "all_proxy"):
        name, value = _either(environ, wanted)
        if value:
            try:
                found = EgressProxy.parse(value)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
            return (found if found.host else None), exceptions
    return None, exceptions


def excepted(host: str, port: int, exceptions: Iterable[str]) -> bool:
    """Whether `host` (lower-case, IPv6 without brackets) is reached without a proxy."""
    return is_loopback(host) or any(_matches(host, port, entry) for entry in exceptions)


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    name, wanted = _split(entry)
    if wanted is not None and wanted != port:
        return False
    if is_ip(host):
        try:
            return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host.strip(".") == name or host.strip(".").endswith("." + name))


def _split(entry: str) -> tuple[str, int | None]:
    """Name and port of an entry; an IPv6 address has a port only when it stands in brackets."""
    head, colon, tail = entry.rpartition(":")
    if colon and tail.isdigit() and (":" not in head or head.endswith("]")):
        return head.strip("[]"), int(tail)
    return entry.strip("[]"), None


def _either(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """A variable by its lower-case or, where that is not set, upper-case name."""
    lower = environ.get(name, "").strip()
    return (name, lower) if lower else (name.upper(), environ.get(name.upper(), "").strip())


def _basic(user: str) -> Secret:
    if len(user) > _LONGEST:
        raise ValueError(f"has more than {_LONGEST} characters of user name and password")
    return Secret("Basic " + base64.b64encode(unquote_to_bytes(user)).decode("ascii"))
