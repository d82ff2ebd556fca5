"""Probes once more, plain and slow: what docs/probes.md says, word by word, second by second, for a whole fleet.

Nothing of `proxy/` or `healthapi/` is used here, so that both can only agree by both being right. The one thing given
from outside is where each target has its place in the spread: any share would do. Times are whole Unix seconds.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

IN_FLIGHT: Final = 10
FAILING: Final = 300
ROUND: Final = 60
"""Seconds that a round may last."""

TIERS: Final = {"critical": (300, 10), "popular": (1800, 10), "standard": (7200, 5), "on_demand": (14400, 5)}
"""Seconds between probes, and tokens of an answer."""

QUESTION: Final = 16
DAY: Final = 86400

Key = tuple[str, str]


class Target(NamedTuple):
    """A target: its `tier` and `interval` where the file says one; a `free` question costs no tokens."""

    provider: str
    model: str
    tier: str | None = None
    interval: int | None = None
    probed: bool = True
    free: bool = False
    configured: bool = True

    @property
    def key(self) -> Key:
        return self.provider, self.model


class Fate(NamedTuple):
    """What an attempt comes to: how it is counted ("caller_error" is on no record), whether the target or its provider
    is to blame, and the tokens it costs as a probe."""

    result: str = "success"
    blamed: bool = False
    tokens: int = 12


class Call(NamedTuple):
    """An attempt for a user, on one of the sidecars."""

    at: int
    key: Key
    fate: Fate
    sidecar: int


class Caps(NamedTuple):
    """Most requests and tokens of a day."""

    requests: int
    tokens: int


class Heard:
    """What is known of a target from its attempts."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.failed = False
        self.attempts: list[tuple[int, Fate]] = []
        self.calls = 0

    def take(self, at: int, fate: Fate) -> None:
        if fate.result == "caller_error":
            return
        self.last, self.failed = at, fate.blamed
        self.attempts.append((at, fate))

    def rate(self, span: int, now: int, bucket: int) -> tuple[int, int]:
        """Successes, and all that say something of the target, in whole buckets."""
        first = (now - span) // bucket
        said = [
            fate for at, fate in self.attempts if at // bucket >= first and (fate.blamed or fate.result == "success")
        ]
        return sum(fate.result == "success" for fate in said), len(said)

    def unhealthy(self, now: int, interval: int) -> bool:
        """Live status: five minutes where they hold 5 attempts, else an hour with 5, else three intervals with 2.

        What is no longer ago than an hour is kept by the minute, what is older by the hour.
        """
        longest = max(3600, 3 * interval)
        if not any(fate.result != "success" and now - at <= longest for at, fate in self.attempts):
            return False
        for span, least in ((300, 5), (3600, 5), (3 * interval, 2)):
            good, all_ = self.rate(span, now, 60 if span <= 3600 else 3600)
            if all_ >= least:
                return good / all_ < 0.8
        return False


class Rules:
    """A fleet of which one sidecar probes, another one when it is gone."""

    def __init__(
        self,
        targets: Iterable[Target],
        caps: Mapping[str, Caps],
        paces: Mapping[str, int],
        fate: Callable[[Key, int], Fate],
        place: Callable[[str, str, float | None], float],
        start: int,
        pause: int,
    ) -> None:
        """`caps` are those of providers, and of all together under ""; `paces` their different models a minute.

        `pause` are the seconds between two rounds. What fails is probed within 5 minutes, though a round and a pause
        come first.
        """
        self.pause, self.again = pause, FAILING - ROUND - pause
        self.targets = {target.key: target for target in targets}
        self.caps, self.paces, self.fate, self.place = caps, paces, fate, place
        self.heard: dict[Key, Heard] = defaultdict(Heard)
        self.sent: list[tuple[int, Key]] = []
        self.results: Counter[tuple[str, str]] = Counter()
        self.spent: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
        self.tiers: dict[Key, str] = {}
        self.claimed: dict[Key, int] = {}
        self.recent: dict[Key, int] = {}
        self.began(start)
        self.count(start)

    def began(self, now: int) -> None:
        """A sidecar has the duty from now on, and knows of the others' probes what the fleet knows."""
        self.since, self.next_round = now, now
        self.alone_until: dict[Key, int] = {}
        self.mine: dict[Key, int] = {}

    def call(self, call: Call) -> None:
        """A user's attempt."""
        if call.fate.result != "caller_error":
            self.heard[call.key].calls += 1
        self.heard[call.key].take(call.at, call.fate)
        self.targets.setdefault(call.key, Target(*call.key, configured=False))

    def count(self, now: int) -> None:
        """Once an hour: who is called how often. What is new since then is standard until the next time."""
        known = {key: self.heard[key].calls for key in self.targets}
        for key, calls in known.items():
            places = sum(1 for other in known.values() if other >= calls)
            if not calls:
                self.tiers[key] = "on_demand"
            elif places <= math.ceil(len(known) / 20):
                self.tiers[key] = "critical"
            elif places <= math.ceil(len(known) / 4):
                self.tiers[key] = "popular"
            else:
                self.tiers[key] = "standard"

    # -- one second ------------------------------------------------------------------------------------------------

    def second(self, now: int, *, dies: bool = False) -> bool:
        """A round, if it is time for one and somebody is due; whether there was one.

        `dies`: the sidecar is killed between asking for leave and sending.
        """
        if now < self.next_round:
            return False
        waiting = []
        for key, target in self.targets.items():
            interval, fails = self.interval(target, now)
            due = max(self.due(target, interval, fails), self.alone_until.get(key, 0))
            if self.may(target, now) and due <= now:
                waiting.append(((due - now) / interval, key, interval))
        chosen: list[tuple[Key, int]] = []
        for _, key, interval in sorted(waiting):
            pace = self.paces.get(key[0])
            asked = {one for one, at in self.mine.items() if one[0] == key[0] and now - at < 60}
            asked |= {one for one, _ in chosen if one[0] == key[0]}
            if len(chosen) < IN_FLIGHT and (pace is None or key in asked or len(asked) < pace):
                chosen.append((key, interval))
        if not chosen:
            return False
        self.next_round = now + self.pause
        granted = [(key, interval) for key, interval in chosen if self.leave(key, interval, now)]
        if not dies:
            for key, interval in granted:
                self.send(key, interval, now)
        return True

    def may(self, target: Target, now: int) -> bool:
        """Configured targets, and those that once answered or fail by their own doing."""
        heard = self.heard[target.key]
        works = any(fate.result == "success" for _, fate in heard.attempts)
        return target.probed and (target.configured or works or self.interval(target, now)[1])

    def interval(self, target: Target, now: int) -> tuple[int, bool]:
        """Seconds between two probes, and whether it is for failing that they are so few."""
        usual = target.interval or TIERS[self.tier(target)][0]
        heard = self.heard[target.key]
        fails = heard.failed or heard.unhealthy(now, usual)
        return (min(usual, self.again) if fails else usual), fails

    def tier(self, target: Target) -> str:
        return target.tier or self.tiers.get(target.key, "standard")

    def due(self, target: Target, interval: int, fails: bool) -> float:
        last = self.heard[target.key].last
        share = self.place(*target.key, last)
        if last is None:
            return self.since + share * min(interval / 10, self.pause)
        return last + interval * (1 if fails else 1 + share / 10)

    def leave(self, key: Key, interval: int, now: int) -> bool:
        """Whether a probe may be sent; then it is counted with the most it may cost."""
        target = self.targets[key]
        price = 0 if target.free else TIERS[self.tier(target)][1] + QUESTION
        refusal, again = "", 0
        pace = self.paces.get(key[0])
        asked = {one for one, at in self.recent.items() if one[0] == key[0] and now - at < 60}
        sums = [(self.spent[now // DAY, name], self.caps[name]) for name in ("", key[0]) if name in self.caps]
        if key in self.claimed and now - self.claimed[key] < interval:
            refusal, again = "claimed", 60
        elif pace is not None and key not in asked and len(asked) >= pace:
            refusal, again = "paced", 10
        elif any(
            requests >= cap.requests or (price and tokens + price > cap.tokens) for (requests, tokens), cap in sums
        ):
            refusal, again = "capped", self.again
        if refusal:
            self.results[key[0], refusal] += 1
            self.alone_until[key] = now + min(interval, again)
            return False
        self.claimed[key] = self.recent[key] = now
        self.pay(key[0], now, 1, price)
        return True

    def send(self, key: Key, interval: int, now: int) -> None:
        target, fate = self.targets[key], self.fate(key, now)
        price = 0 if target.free else TIERS[self.tier(target)][1] + QUESTION
        self.sent.append((now, key))
        self.mine[key] = now
        self.results[key[0], fate.result] += 1
        self.pay(key[0], now, 0, (0 if target.free else fate.tokens) - price)
        self.heard[key].take(now, fate)
        self.alone_until[key] = now + (interval if fate.result == "caller_error" else min(interval, self.again))

    def pay(self, provider: str, now: int, requests: int, tokens: int) -> None:
        for name in ("", provider):
            self.spent[now // DAY, name][0] += requests
            self.spent[now // DAY, name][1] += tokens
