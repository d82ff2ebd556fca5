"""The base URL of a provider, taken apart into origin and API prefix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from config.address import is_ip
from config.effective import Origin

UNSET_HOST: Final = "unset.invalid"
"""Host of an origin whose URL lacks a variable; RFC 2606 keeps `.invalid` from ever resolving."""

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", re.ASCII)
_VALUE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", re.ASCII)
_URL: Final = re.compile(r"(https?)://([^/?#]*)([^?#]*)(.*)", re.ASCII | re.IGNORECASE)
_AUTHORITY: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_][A-Za-z0-9._-]{0,252}))(?::([0-9]{1,5}))?", re.ASCII
)
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*", re.ASCII)


def parse_base_url(url: str) -> tuple[Origin, str]:
    """Origin and prefix (`/openai/v1`, no slash at its end) of a base URL. Raises ValueError, repeating no password."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("is not a URL such as https://host/v1")
    scheme, authority, path, rest = match[1].lower(), match[2], match[3].rstrip("/"), match[4]
    if "@" in authority:
        raise ValueError("holds a user name or password; put the key in api_key")
    if rest:
        raise ValueError("must not have a query or a fragment")
    if not _PATH.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise ValueError("has a path that is not plain segments such as /openai/v1")
    host, port = _authority(authority)
    return Origin(scheme, host, port or (443 if scheme == "https" else 80)), path


def expand(url: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """A catalogued URL with its variables filled in, and the names of those that are not set or not usable there."""
    names = dict.fromkeys(_VARIABLE.findall(url))
    missing = tuple(name for name in names if not _VALUE.fullmatch(environ.get(name, "")))
    if missing:
        return _VARIABLE.sub("unset", url), missing
    return _VARIABLE.sub(lambda match: environ[match[1]], url), ()


def _authority(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("has a host that is neither a name nor an address")
    host = (match[1] or match[2]).lower()
    if (match[1] or host.replace(".", "").isdigit()) and not is_ip(host):
        raise ValueError(f'has a host, "{host}", that is not an IP address')
    port = int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"has a port, {port}, that is not one of 1 to 65535")
    return host, port
