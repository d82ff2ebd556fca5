"""What is wrong with the shared store, in words for the person who runs it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from redis import exceptions

from config.secret import SHOWN

_LONGEST: Final = 200

_CODES: Final = {
    "OOM": "out of memory",
    "READONLY": "read-only replica",
    "WRONGPASS": "wrong password",
    "NOAUTH": "a password is needed",
    "NOPERM": "this user may not do that",
    "LOADING": "still loading its data",
    "MASTERDOWN": "a replica that has lost its master",
    "CLUSTERDOWN": "the cluster is down",
    "MOVED": "another node has that slot now",
    "ASK": "that slot is moving to another node",
    "TRYAGAIN": "that slot is moving to another node",
    "CROSSSLOT": "keys of different slots",
    "NOSCRIPT": "it forgets its scripts",
    "MISCONF": "cannot write its snapshot to disk, so it takes no writes",
    "NOREPLICAS": "too few replicas, so it takes no writes",
    "BUSY": "busy with a script that does not end",
    "WRONGTYPE": "a key is used by something else",
}
"""What replies begin with, said plainly."""


class LinkError(Exception):
    """The shared store did not do what was asked of it. One line; addresses may be in it, passwords never are."""


def explain(error: BaseException, where: str, secret: str | None) -> LinkError:
    """Say what an exception of the driver means; `where` is the node's address, `secret` the password, hidden."""
    said = _say(error, secret)
    return LinkError(f"{said}: {where}" if where else said)


def _say(error: BaseException, secret: str | None) -> str:
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    if isinstance(error, exceptions.RedisError) and code in _CODES:
        return f"{_CODES[code]} ({code})"
    for cause in _chain(error):
        said = _of_the_system(cause)
        if said:
            return said
    if isinstance(error, exceptions.InvalidResponse):
        return "does not speak the Redis protocol"
    if "called without any password configured" in str(error):
        return "a password is given, but the server has none"
    # A server that knows no AUTH quotes it back with its arguments.
    text = str(error).replace(secret, SHOWN) if secret else str(error)
    line = " ".join(text.split())[:_LONGEST]
    if line.startswith("Connection closed by server"):
        return "connection closed by the server"
    return line or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and those it came from, of which the driver tells in its own words or not at all."""
    at: BaseException | None = error
    for _ in range(8):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def _of_the_system(error: BaseException) -> str | None:
    if isinstance(error, exceptions.TimeoutError | TimeoutError):
        return "no connection in time"
    if not isinstance(error, OSError):
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({getattr(error, 'reason', None) or 'no reason given'})"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "no such host"
    if isinstance(error, ConnectionError):
        return "connection lost"
    return os.strerror(error.errno).lower() if error.errno else None
