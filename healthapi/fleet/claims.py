"""Claims of a fleet: one probe of a target in an interval and none beyond the day's caps, whoever sends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from healthapi.claim import Claim, Leave, Refusal
from healthapi.fleet import scripts
from healthapi.fleet.keys import identity
from healthapi.fleet.link import Call, Link, LinkError
from healthapi.spend import Sum
from healthapi.store import StoreError

PATIENCE: Final = 1.0
"""Seconds that an answer may take: nothing waits for a probe."""

Told = tuple[int, dict[str, Sum]]
"""A day, and what was spent on it by provider and in all."""


class FleetClaims:
    """Asks the shared store for leave."""

    def __init__(self, link: Link, prefix: bytes) -> None:
        """Ask over `link`; `prefix` is that of the shard in which claims are kept."""
        self._link = link
        self._prefix = prefix

    async def claim(self, wanted: Claim) -> tuple[Refusal | Leave, Told]:
        """Ask for leave to send one probe, which is counted with it.

        Raises:
            StoreError: there is no answer. It may have been counted all the same.
        """
        word, day, spent, at = await self._run(
            scripts.CLAIM,
            (
                identity(wanted.provider, wanted.model),
                _bytes(wanted.provider),
                _bytes(wanted.model),
                wanted.duty.encode(),
                str(wanted.number).encode(),
                round(wanted.interval * 1000),
                wanted.tokens,
                wanted.cap.requests,
                wanted.cap.tokens,
                wanted.own_cap.requests,
                wanted.own_cap.tokens,
                wanted.models_per_minute,
            ),
        )
        return ((day, at) if word == b"granted" else Refusal(word.decode())), (day, _sums(spent))

    async def correct(self, leave: Leave, provider: str, model: str, requests: int, tokens: int) -> Told:
        """Add to what was spent on the day of a leave; -1 requests for one that was not used, which ends then.

        Raises:
            StoreError: there is no answer.
        """
        day, spent = await self._run(
            scripts.SPENT, (leave[0], _bytes(provider), requests, tokens, identity(provider, model), leave[1])
        )
        return day, _sums(spent)

    async def told(self) -> Told:
        """What was spent today. Raises StoreError."""
        day, spent = await self._run(scripts.SPENT, ())
        return day, _sums(spent)

    async def _run(self, script: scripts.Script, words: tuple[bytes | int, ...]) -> Any:
        answer = (await self._link.run([Call(script, self._prefix, words)], timeout=PATIENCE))[0]
        if isinstance(answer, LinkError):
            raise StoreError(str(answer))
        return answer


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


def _sums(flat: Sequence[bytes]) -> dict[str, Sum]:
    sums: dict[str, Sum] = {}
    for field, value in zip(flat[::2], flat[1::2], strict=True):
        kind, _, name = field.partition(b":")
        one = sums.setdefault(name.decode("utf-8", "surrogatepass"), Sum())
        if kind == b"r":
            one.requests = int(value)
        elif kind == b"t":
            one.tokens = int(value)
        else:
            one.refused = True
    return sums
