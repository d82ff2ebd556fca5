"""One POST, as all channels over HTTP send it.

A client session does much by itself that has no place here: it follows redirects (and would take a message with its
signature elsewhere), keeps cookies, reads proxies and passwords from the environment, waits for minutes. So all of it
is set, and a session lives for one message: they are rare, and a connection that was idle for an hour is none.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

import aiohttp
from yarl import URL

from healthapi.alerts.channels.contract import ChannelError

LIMIT: Final = 10.0
"""Seconds for everything; the sender's own limit is the same, this one also holds for a host that never connects."""

_NOT_NOW: Final = frozenset({408, 425, 429})
"""Refusals that a further attempt may not meet; others than these and 5xx are final."""


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> None:
    """POST once; returns when the answer is 2xx. The answer's body is not looked at.

    Raises:
        ChannelError: anything else.
    """
    connector = aiohttp.TCPConnector(limit=1, force_close=True, use_dns_cache=False)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=LIMIT, connect=LIMIT, sock_connect=LIMIT, sock_read=LIMIT),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        raise_for_status=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
    )
    sent = {"User-Agent": "detour", "Accept": "*/*", **headers}
    async with session:
        try:
            async with session.post(
                URL(url, encoded=True), data=body, headers=sent, allow_redirects=False, expect100=False, compress=False
            ) as answer:
                status = answer.status
        except TimeoutError:
            raise ChannelError(f"no answer within {LIMIT:g} s") from None
        except (ssl.SSLError, aiohttp.ClientSSLError):
            raise ChannelError("its certificate or TLS is not trusted") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Their words name the host at least; the class says enough.
            raise ChannelError(f"cannot be reached ({type(error).__name__})") from None
    if not 200 <= status < 300:
        raise ChannelError(f"it answered {status}", again=status >= 500 or status in _NOT_NOW)
