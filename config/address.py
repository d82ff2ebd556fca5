"""The addresses Detour listens on."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from msgspec import Struct

from config.problems import shortened

_LISTEN: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]*)):([0-9]{1,5})", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})", re.ASCII)


class Listen(Struct, frozen=True):
    """Where to listen. An empty `host` means every address of the machine; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """Read `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`, `:8080`. Raises ValueError."""
        match = _LISTEN.fullmatch(text)
        if match is None:
            what = "an address such as 127.0.0.1:8080, [::1]:8080 or :8080"
            raise ValueError(f'"{shortened(text)}" is not {what}{_hint(text)}')
        v6, name, port = match[1], match[2], int(match[3])
        if port > 65535:
            raise ValueError(f"port {port} is beyond 65535")
        if v6:
            return cls(str(_ip(v6, ipaddress.IPv6Address)), port)
        if name and name.replace(".", "").isdigit():
            return cls(str(_ip(name, ipaddress.IPv4Address)), port)
        if name and not _NAME.fullmatch(name):
            raise ValueError(f'"{shortened(name)}" is not a host name')
        return cls(name, port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address without brackets) is this machine and nothing else; empty is not."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")


def is_ip(host: str) -> bool:
    """Whether `host` is an IP address, written as the standards have it (no `127.1`, no zone)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _ip(text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]) -> object:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f'"{shortened(text)}" is not an IP address') from None


def _hint(text: str) -> str:
    if re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        return f'; did you mean ":{text}"?'
    if text.count(":") > 1 and "[" not in text:
        return "; an IPv6 address stands in brackets"
    return ""
