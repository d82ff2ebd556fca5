"""What a request asks for, as it becomes known on its way in."""

from __future__ import annotations

from config.effective import Config
from proxy.body import Body
from proxy.credentials import Placement
from proxy.headers import Scan
from proxy.paths import Endpoint
from proxy.peek import Peek, peek
from proxy.route import Route
from proxy.wishes import NONE, Wishes

UNSEEN = Peek()


class Asked:
    """One request that may be forwarded. `length` is its Content-Length, -1 without one; the rest is as in `Way`.

    `config` is the configuration of its beginning, by which it is served to its end.
    """

    __slots__ = (
        "body",
        "config",
        "endpoint",
        "heads",
        "key",
        "length",
        "method",
        "peek",
        "placed",
        "route",
        "scan",
        "wishes",
    )

    def __init__(
        self,
        method: str,
        route: Route,
        endpoint: Endpoint,
        placed: Placement,
        scan: Scan,
        heads: dict[bool, bytes],
        length: int,
        body: Body,
        config: Config,
        peek: Peek = UNSEEN,
        key: str = "",
        wishes: Wishes = NONE,
    ) -> None:
        self.method = method
        self.route = route
        self.endpoint = endpoint
        self.placed = placed
        self.scan = scan
        self.heads = heads
        self.length = length
        self.body = body
        self.config = config
        self.peek = peek
        self.key = key
        self.wishes = wishes

    def look(self) -> None:
        """Look into the body, as far as it is in memory."""
        route = self.route
        self.peek = peek(self.endpoint, route.path, self.scan.content_type, self.body.data, route.provider.prefix)

    def replayable(self) -> bool:
        """Whether it may be sent again although its bytes were written (proxy-rules 17)."""
        return self.body.whole and self.endpoint.repeatable and not self.peek.background
