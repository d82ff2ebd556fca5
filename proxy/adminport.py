"""Asking the sidecar that runs with this configuration, on its admin port: what commands do that need it."""

from __future__ import annotations

import contextlib
import errno
import http.client
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from config.address import Listen
from config.problems import shortened
from config.settings import Tls

PLAIN: Final = Tls()

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


def ask(listen: Listen, method: str, path: str, headers: Mapping[str, str], timeout: float, tls: Tls = PLAIN) -> Answer:
    """Send one request; `timeout` is in seconds, for each wait. `tls` is what the sidecar that listens was told of TLS.

    Raises:
        NoAnswerError: nothing listens there, or what does speaks no HTTP or says nothing in time.
    """
    host = _EVERYWHERE.get(listen.host, listen.host)
    try:
        with contextlib.closing(_connection(host, listen.port, timeout, tls, secret=bool(headers))) as connection:
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            body = answer.read(MOST)
            if answer.length:
                raise http.client.IncompleteRead(body, answer.length)
            return Answer(answer.status, body)
    except (OSError, http.client.HTTPException) as error:
        nobody = isinstance(error, OSError) and error.errno in _NOBODY
        why = getattr(error, "strerror", None) or error
        raise NoAnswerError(f"no answer on {listen}: {shortened(str(why))}", nobody=nobody) from error


def _connection(host: str, port: int, timeout: float, tls: Tls, *, secret: bool) -> http.client.HTTPConnection:
    """A connection that is still to be opened.

    Where a secret goes along, the other end has to hold the key of the very certificate in our own file: it is asked by
    an address, which no certificate need name. Where nothing does, a certificate that was just changed is no matter.
    Our own certificate is shown to a port that asks for one.
    """
    if tls.cert is None:
        return http.client.HTTPConnection(host, port, timeout=timeout)
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if secret:
        context.load_verify_locations(tls.cert)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.verify_mode = ssl.CERT_NONE
    if tls.client_ca is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
