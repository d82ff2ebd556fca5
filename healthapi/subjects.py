"""Which targets are probed, and what is known of each that says when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from breaker.health import Health
from breaker.outcome import Status
from config.effective import Config
from healthapi.history import Counts
from healthapi.record import Record
from healthapi.status import INTERVALS, SPANS, target_status
from healthapi.tiers import Tiers
from healthapi.turns import turns

_LONGEST: Final = SPANS[-1]

SKEW: Final = 60.0
"""Seconds by which the clocks of a fleet may differ. What was heard of later than that was heard of before a clock was
set back, nobody knows when: its target is not left alone until then.
"""


class Subject(Struct, frozen=True):
    """A target that is probed.

    `interval` is the time between two attempts in seconds, shortened where it fails; `last` is when the last attempt of
    any kind ended (Unix time), None where there was none. `timeout` is in seconds.
    """

    provider: str
    model: str
    interval: float
    timeout: float
    max_tokens: int
    last: float | None
    failing: bool


def _nothing(_: Record) -> bool:
    return False


async def subjects(
    records: Iterable[Record],
    config: Config,
    tiers: Tiers,
    now: float,
    delisted: Callable[[Record], bool] = _nothing,
) -> Sequence[Subject]:
    """All targets that may be probed, at the Unix time `now`, with turns for others in between.

    These are the configured ones, and those with a record whose provider is configured with a credential. A name that
    nothing but callers vouch for is not: one that has never answered, and is not known to fail by the doing of its
    provider. What is `delisted`, its provider offers no more.
    """
    found: list[Subject] = []
    known: set[tuple[str, str]] = set()
    async for record in turns(list(records)):
        key = (record.provider, record.model)
        known.add(key)
        if record.model.startswith("~") or not config.probed(*key) or delisted(record):
            continue
        how = config.probing(*key, tiers.of(config, *key))
        fails = failing(record, how.interval, now)
        if fails or key in config.targets or record.sums().successes:
            interval = min(how.interval, config.again(record.provider)) if fails else how.interval
            last = record.updated_at if record.updated_at <= now + SKEW else None
            found.append(Subject(*key, interval, how.timeout, how.max_tokens, last, fails))
    async for key in turns(sorted(config.targets - known)):
        if config.probed(*key) and not key[1].startswith("~"):
            how = config.probing(*key, tiers.of(config, *key))
            found.append(Subject(*key, how.interval, how.timeout, how.max_tokens, None, failing=False))
    return found


def failing(record: Record, interval: float, now: float) -> bool:
    """Whether a target's last attempt failed by its or its provider's doing, or its live status is unhealthy."""
    last = record.last
    if record.consecutive_failures and last.last_status is not Status.RATE_LIMITED:
        since = max(now - last.last_called_at, 0.0)
        if last.history.counts(since, now).blamed:  # those of that minute: an attempt does not tell whose doing it was
            return True
    failed_at = record.last_failure_at
    if failed_at is None or now - failed_at > max(_LONGEST, INTERVALS * interval):
        return False

    def seen(span: float) -> Counts:
        return record.seen(span, now)

    return target_status(seen, interval) is Health.UNHEALTHY
