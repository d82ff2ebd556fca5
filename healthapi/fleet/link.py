"""The way to the shared store: scripts go out together and each has its answer or what was wrong, in bounded time.

Nothing here raises for trouble, and nothing is repeated: what was not done is for the caller to send again, who knows
what may be sent twice. A plain Redis, one behind Sentinels and a Cluster are all the same from outside.

A slot that moves from one node of a Cluster to another (ASK) is not followed to its new node before it is all there:
scripts make their keys themselves, and would find half of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct
from redis.exceptions import NoScriptError, ResponseError

from config.storeurl import StoreKind, StoreUrl
from healthapi.fleet.dial import Dial, Node
from healthapi.fleet.line import UNANSWERED, Line, Words
from healthapi.fleet.listener import listen
from healthapi.fleet.route import Route
from healthapi.fleet.scripts import Script
from healthapi.fleet.trouble import LinkError, explain

__all__ = ["Call", "Link", "LinkError", "open_link"]

_ELSEWHERE: Final = ("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN")
"""Replies of a node that is not, or no longer, the one to ask."""


class Call(Struct, frozen=True):
    """One script to run. `key` is its only key, by which a Cluster finds the node. `readonly`: it changes nothing."""

    script: Script
    key: bytes
    args: tuple[bytes | int, ...] = ()
    readonly: bool = False


class _Job(Struct):
    """One command for the node that has a key, and where its answer goes."""

    key: bytes
    words: Words
    place: int


class Link:
    """One set of connections, one for each node. One `run` at a time; others wait for their turn within their time."""

    def __init__(self, dial: Dial, timeout: float) -> None:
        """Connect when there is something to say. `timeout` is in seconds."""
        self._dial = dial
        self._timeout = timeout
        self._route = Route(dial)
        self._lines: dict[Node, Line] = {}
        self._turn = asyncio.Lock()

    async def run(self, calls: Sequence[Call], *, timeout: float | None = None) -> list[Any | LinkError]:  # noqa: ASYNC109
        """Run all scripts, in one go for each node: each one's answer, or what was wrong, in its place.

        After `timeout` seconds in all (by default the link's), what has not been answered is a LinkError. It may have
        been done all the same. Raises nothing but CancelledError.
        """
        answers: list[Any] = [UNANSWERED] * len(calls)
        limit = self._timeout if timeout is None else timeout
        jobs = [_Job(call.key, _evalsha(call), place) for place, call in enumerate(calls)]
        try:
            async with asyncio.timeout(limit), self._turn:
                await self._exchange(jobs, answers)
                unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                if unknown:
                    await self._teach([calls[place] for place in unknown], unknown, answers)
        except TimeoutError:
            self._route.doubt()
        return [self._answer(answer, call.key, limit) for answer, call in zip(answers, calls, strict=True)]

    async def set_many(self, pairs: Sequence[tuple[bytes, bytes]], seconds: int) -> LinkError | None:
        """Set plain keys that end by themselves after so many seconds; the first thing that was wrong, if any."""
        answers: list[Any] = [UNANSWERED] * len(pairs)
        jobs = [_Job(key, (b"SET", key, value, b"EX", seconds), place) for place, (key, value) in enumerate(pairs)]
        try:
            async with asyncio.timeout(self._timeout), self._turn:
                await self._exchange(jobs, answers)
        except TimeoutError:
            self._route.doubt()
        said = [self._answer(answer, key, self._timeout) for answer, (key, _) in zip(answers, pairs, strict=True)]
        return next((answer for answer in said if isinstance(answer, LinkError)), None)

    async def listen(self, channel: bytes, on_message: Callable[[bytes], None], on_up: Callable[[], None]) -> None:
        """Hear what is published on a channel until cancelled, on a connection of its own.

        `on_up` is called whenever a subscription begins: what was said before it was missed.
        """
        await listen(self._dial, channel, on_message, on_up)

    async def close(self) -> None:
        """Let go of all connections. The link is of no use afterwards."""
        await self._route.close()
        for line in self._lines.values():
            await line.close()
        self._lines.clear()

    async def _exchange(self, jobs: Sequence[_Job], answers: list[Any]) -> None:
        """Send each node what is for it, at the same time, and put what comes back in its place."""
        try:
            await self._route.find()
        except LinkError as error:
            for job in jobs:
                answers[job.place] = error
            return
        for node in self._lines.keys() - self._route.nodes:
            await self._lines.pop(node).close()
        shares: dict[Node, list[_Job]] = {}
        for job in jobs:
            shares.setdefault(self._route.node(job.key), []).append(job)
        async with asyncio.TaskGroup() as group:
            for node, share in shares.items():
                group.create_task(self._talk(node, share, answers))

    async def _talk(self, node: Node, jobs: list[_Job], answers: list[Any]) -> None:
        line = self._lines.get(node)
        if line is None:
            line = self._lines[node] = Line(self._dial, node, master=self._dial.kind is StoreKind.SENTINEL)
        came: list[Any] = [UNANSWERED] * len(jobs)
        trouble: LinkError | None = None
        try:
            await line.talk([job.words for job in jobs], came)
        except LinkError as error:
            trouble = error
            self._route.doubt()
        finally:
            for job, answer in zip(jobs, came, strict=True):
                answers[job.place] = trouble if answer is UNANSWERED and trouble else answer
        if any(isinstance(answer, ResponseError) and _code(answer) in _ELSEWHERE for answer in came):
            self._route.doubt()

    async def _teach(self, calls: Sequence[Call], places: Sequence[int], answers: list[Any]) -> None:
        """Repeat calls of scripts that a node did not know, after it was told them."""
        jobs: list[_Job] = []
        taught: set[tuple[Node, bytes]] = set()
        beside = len(answers)
        for call, place in zip(calls, places, strict=True):
            at = (self._route.node(call.key), call.script.sha)
            if at not in taught:
                taught.add(at)
                jobs.append(_Job(call.key, (b"SCRIPT", b"LOAD", call.script.text), beside))
            jobs.append(_Job(call.key, _evalsha(call), place))
            answers[place] = UNANSWERED
        answers.append(UNANSWERED)
        try:
            await self._exchange(jobs, answers)
        finally:
            answers.pop()

    def _answer(self, answer: Any, key: bytes, limit: float) -> Any | LinkError:
        if answer is UNANSWERED:
            line = self._lines.get(self._route.node(key)) if self._route.known else None
            late = f"no answer within {limit * 1000:.0f} ms"
            if line is None:
                return LinkError(late)
            return line.trouble or LinkError(f"{late}: {line.where}")
        if isinstance(answer, ResponseError):
            return explain(answer, "", self._dial.password)
        return answer


def open_link(url: StoreUrl, timeout: float) -> Link:
    """A link to the Redis at an address; nothing is connected yet. `timeout` is in seconds.

    Raises ValueError for an address that says what is not understood.
    """
    return Link(Dial.parse(url), timeout)


def _evalsha(call: Call) -> Words:
    return (b"EVALSHA", call.script.sha, 1, call.key, *call.args)


def _code(error: ResponseError) -> str:
    return getattr(error, "status_code", None) or str(error).partition(" ")[0]
