"""A probe's one try: an attempt whose answer is kept, and looked at for what it shows of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.attempt import Attempt
from proxy.evidence import UNREADABLE, lacks
from proxy.probe import Asks
from proxy.verdict import Ending, Facts

if TYPE_CHECKING:
    from proxy.errand import Errand

_PLAIN = (b"", b"identity")


class Probing(Attempt):
    """One try of an errand."""

    __slots__ = ("_errand",)

    _errand: Errand

    def serve(self, errand: Errand) -> None:
        """Keep what comes for `errand`, from now on."""
        self._errand = errand
        errand.answer = bytearray()

    def body(self, data: bytes, done: bool, framed: bytes = b"") -> None:
        """Keep what comes."""
        self._errand.keep(data)
        super().body(data, done, framed)

    def good(self) -> bool:
        """Whether nobody need look closer: a probe's answer is always looked at."""
        return False

    def facts(self, at: float | None = None) -> Facts:
        """Everything the verdict needs."""
        facts = super().facts(at)
        errand, reply = self._errand, self.reply
        facts.probe = errand.asks
        readable = reply is not None and reply.encoding in _PLAIN and errand.whole
        if readable and not facts.streamed:
            facts.body = bytes(errand.answer)
        if facts.ending is Ending.COMPLETE and facts.status is not None and facts.status < 400:
            if readable:
                facts.lack = lacks(errand.asks, errand.model, facts.body, facts.dialect)
            elif errand.asks is Asks.LIST:
                facts.lack = UNREADABLE
        return facts
