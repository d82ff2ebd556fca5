"""A probe under way: what the data plane has to know of it, and what it came to.

An errand goes by a word made for it alone, which stands in the `x-detour-probe` field of its request. While it is out
the data plane knows the word; a word that it does not know means nothing, so no caller can pass for a probe.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from breaker.outcome import Blame, Neutral, Verdict
from proxy.paths import DIALECTS, Endpoint
from proxy.probe import Asks

if TYPE_CHECKING:
    from breaker.permit import Rejection
    from config.effective import Provider
    from config.settings import Timeouts
    from proxy.asked import Asked

FIELD: Final = b"probe"
"""What follows `x-detour-` in the field's name."""

KEPT: Final = 8 << 20
"""Most bytes kept of a probe's answer; a longer list of models cannot be read."""

QUESTIONS: Final = {dialect: Endpoint("question", dialect, False, True, "none") for dialect in DIALECTS}
"""What a free question is to the data plane: an endpoint of its own, so that errors count as the model's."""


class Errand(Struct, eq=False):
    """One probe of `model`, which has `timeout` seconds. `at` is its provider where that is asked at another host.

    `rejection` says why no attempt was made, `verdict` what it was found to be; one of them at most. `sent` says that
    the request left to its last byte, `answer` is the body that came back (its beginning, where it is very long).
    """

    model: str
    asks: Asks
    timeout: float
    at: Provider | None = None
    rejection: Rejection | None = None
    verdict: Verdict | None = None
    sent: bool = False
    answer: bytearray = bytearray()

    def within(self, limits: Timeouts) -> Timeouts:
        """The limits of its attempt: those of the target, none longer than its own."""
        return structs.replace(limits, total=self.timeout, stream_total=self.timeout)

    def tell(self, asked: Asked) -> None:
        """Say what the request is for, which a free question does not show."""
        asked.peek = replace(asked.peek, model=self.model)
        if self.asks is not Asks.GENERATION:
            asked.endpoint = QUESTIONS[asked.endpoint.dialect]

    def keep(self, data: bytes) -> None:
        """Take in more of the answer."""
        room = KEPT + 1 - len(self.answer)
        if room > 0:
            self.answer += data[:room]

    @property
    def whole(self) -> bool:
        """Whether nothing of the answer was left out."""
        return len(self.answer) <= KEPT

    def settled(self, verdict: Verdict, *, sent: bool) -> Verdict:
        """Hear what it came to; how that is to be recorded.

        What is wrong with another host than the provider's says nothing of the provider.
        """
        if self.at is not None and verdict.blame in (Blame.TARGET, Blame.PROVIDER):
            message = f"{self.at.origin.host}, which was asked in its place: {verdict.message}"
            verdict = Verdict(Neutral.CALLER_ERROR, message=message, http_status=verdict.http_status)
        self.verdict = verdict
        self.sent = sent
        return verdict


def word() -> bytes:
    """A word for one errand, which nobody can guess."""
    return secrets.token_hex(16).encode()
