"""Scripts that go wrong some of the time: now and then, the first few times, above a rate, for a while."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Iterator

from proxy import fake_errors
from proxy.fake_conversation import Conversation
from proxy.fake_faults import FAULTS, fault, find
from proxy.fake_refusals import refuse


@fault("flaky", every=3, fault="fail-503")
def flaky(talk: Conversation) -> Awaitable[None] | None:
    """Every n-th request (`every`) goes wrong as `fault` says, the others are answered."""
    return _turn(talk, wrong=_count(talk) % max(1, talk.script.whole("every", 3)) == 0)


@fault("once", after=1, fault="fail-503")
def once(talk: Conversation) -> Awaitable[None] | None:
    """The first request, or the first `after` requests, go wrong as `fault` says, all later ones are answered."""
    return _turn(talk, wrong=_count(talk) <= talk.script.whole("after", 1))


@fault("outage", start=0, window=60, period=0, fault="fail-503")
def outage(talk: Conversation) -> Awaitable[None] | None:
    """Goes wrong as `fault` says from `start` to `start` + `window` seconds after the first request.

    With `period` it comes again each time so many seconds are over.
    """
    now, script = talk.loop.time(), talk.script
    first: float = talk.remember(now)
    start, window, period = (script.seconds(name, 0) for name in ("start", "window", "period"))
    return _turn(talk, wrong=out(now - first, start, window, period))


def out(since: float, start: float, window: float, period: float) -> bool:
    """Whether an outage is on, `since` seconds after the first request; a `period` of 0 has it come once."""
    at = since % period if period else since
    return start <= at < start + window


@fault("limited", after=10, window=10)
def limited(talk: Conversation) -> Awaitable[None] | None:
    """Answers `after` requests in each `window` seconds and refuses the others with 429 and the wait until the next."""
    now, script = talk.loop.time(), talk.script
    window = script.seconds("window", 10)
    passed: list[float] = talk.remember([])
    passed[:] = [at for at in passed if at > now - window]
    if len(passed) < script.whole("after", 10):
        passed.append(now)
        return FAULTS["ok"].act(talk)
    wait = float(max(1, round(passed[0] + window - now))) if passed else window
    form = "body" if talk.asked.dialect == "gemini" else "seconds"
    refuse(talk, fake_errors.problem(429), wait, form)
    return None


def _count(talk: Conversation) -> int:
    """Number this request among those of its script and model, from 1."""
    turns: Iterator[int] = talk.remember(itertools.count(1))
    return next(turns)


def _turn(talk: Conversation, *, wrong: bool) -> Awaitable[None] | None:
    """Go wrong as the option `fault` says, or answer."""
    if not wrong:
        return FAULTS["ok"].act(talk)
    talk.asked.script, found = find(talk.script.word("fault", "fail-503"))
    return found.act(talk)
