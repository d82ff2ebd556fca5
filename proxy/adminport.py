"""Asking the sidecar that runs with this configuration, on its admin port: what commands do that need it."""

from __future__ import annotations

import contextlib
import errno
import http.client
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from config.address import Listen

MOST: Final = 64 << 20
"""Largest answer that is read, in bytes."""

_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not bound
_NOBODY: Final = frozenset({errno.ECONNREFUSED, errno.EADDRNOTAVAIL})


class NoAnswerError(Exception):
    """There is no answer: the message says why. `nobody`: because nothing listens there."""

    def __init__(self, message: str, *, nobody: bool = False) -> None:
        """Say why."""
        super().__init__(message)
        self.nobody = nobody


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    body: bytes


def ask(listen: Listen, method: str, path: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """Send one request over a plain connection; `timeout` is in seconds, for each wait.

    Raises:
        NoAnswerError: nothing listens there, or what does speaks no HTTP or says nothing in time.
    """
    host = _EVERYWHERE.get(listen.host, listen.host)
    try:
        with contextlib.closing(http.client.HTTPConnection(host, listen.port, timeout=timeout)) as connection:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            body = answer.read(MOST)
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
            return Answer(answer.status, body)
    except (OSError, http.client.HTTPException) as error:
        nobody = isinstance(error, OSError) and error.errno in _NOBODY
        why = getattr(error, "strerror", None) or error
        raise NoAnswerError(f"no answer on {listen}: {why}", nobody=nobody) from error
