"""The scripts a model name can ask for: one fault is a few lines and one to register it (docs/scripted-provider.md).

`answers` holds what a fault needs again and again: the proper answer, whole or part of the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from proxy.fake_conversation import Conversation
from proxy.fake_script import Script, parse

Act = Callable[[Conversation], Awaitable[None] | None]
"""What a script does: an ordinary function that answers at once, or a coroutine function."""


class Fault(Struct, frozen=True):
    """A registered script: what it does, its options' defaults, and whether it starts before the body has come."""

    act: Act
    defaults: dict[str, str] = {}
    at_head: bool = False


FAULTS: Final[dict[str, Fault]] = {}
"""Every script by name."""

PATTERNS: Final = (
    (re.compile(r"fail-([1-5]\d\d)$"), "fail", "status"),
    (re.compile(r"rate-limit-(\d{1,6}(?:\.\d+)?)$"), "rate-limit", "retry"),
)
"""Names with a number in them: what they are short for, and the option the number is."""


def fault(name: str, *, at_head: bool = False, **defaults: object) -> Callable[[Any], Any]:
    """Register a script under `name`, with defaults for its options; `at_head` starts it before the body has come.

    A script that starts at the head can be chosen by the header `x-fake-script` or a model in the path only.
    """

    def register(act: Act) -> Act:
        FAULTS[name] = Fault(act, {key: str(value) for key, value in defaults.items()}, at_head)
        return act

    return register


def find(text: str) -> tuple[Script, Fault]:
    """Return the script a model name asks for; names that are no script's behave as `ok`.

    Raises:
        ScriptError: a known script has an option that makes no sense.
    """
    bare = text.rpartition("/")[2].partition("@")[0]
    for pattern, name, option in PATTERNS:
        if match := pattern.match(bare):
            script = parse(text)
            found = FAULTS[name]
            return Script(name, {**found.defaults, option: match[1], **script.options}), found
    if bare not in FAULTS:
        return Script("ok"), FAULTS["ok"]
    found = FAULTS[bare]
    return parse(text).over(found.defaults), found


def answers(talk: Conversation, *, length: int | None = None, chunked: bool = False) -> bytes:
    """Return the head of the proper answer: with the body's length, or `length`, or in chunks."""
    answer = talk.answer
    if length is None and not answer.streamed and not chunked:
        length = len(answer.body)
    if talk.asked.dialect == "anthropic":
        named = (b"request-id", talk.asked.id("req_").encode())
    else:
        named = (b"x-request-id", talk.asked.id("req_").encode())
    return talk.head(200, [(b"content-type", answer.content_type), named, *answer.headers], length=length)


async def play(talk: Conversation) -> None:
    """Give the whole proper answer at the pace its options ask for."""
    script, answer = talk.script, talk.answer
    await talk.sleep(script.seconds("delay", 0))
    head = answers(talk)
    if talk.seen.method == "HEAD":
        talk.chunked = False
        talk.send(head)
        return talk.finish()
    gap = script.seconds("gap", 0)
    if not answer.streamed:
        await _body(talk, head, answer.body, gap)
    else:
        talk.send(head + b"".join(map(talk.chunk, answer.opening)))
        await talk.sleep(script.seconds("first", 0))
        await talk.pieces(answer.content, gap=gap, content=True)
        await talk.pieces(answer.closing)
    talk.finish()


async def _body(talk: Conversation, head: bytes, body: bytes, gap: float) -> None:
    """Send an unstreamed answer, at once or as ten pieces with gaps."""
    first = talk.script.seconds("first", 0)
    if not gap and not first:
        talk.send(head + body)
        return await talk.drain()
    talk.send(head)
    await talk.sleep(first)
    step = max(1, -(-len(body) // 10)) if gap else len(body)
    await talk.pieces([body[at : at + step] for at in range(0, len(body), step)], gap=gap)


async def part(
    talk: Conversation, *, length: int | None = None, chunked: bool = False, gap: float | None = None
) -> None:
    """Send the proper answer part of the way: `after` content pieces (3) of a stream, half of a body."""
    answer, script = talk.answer, talk.script
    await talk.sleep(script.seconds("delay", 0))
    head = answers(talk, length=length, chunked=chunked)
    if not answer.streamed:
        half = answer.body[: len(answer.body) // 2]
        return talk.send(head + talk.chunk(half))
    talk.send(head + b"".join(map(talk.chunk, answer.opening)))
    after = script.whole("after", 3)
    await talk.pieces(answer.content[:after], gap=script.seconds("gap", 0) if gap is None else gap, content=True)


@fault("slow-head", delay=2)
@fault("slow-first", first=2)
@fault("slow-tokens", gap=0.5)
@fault("ok")
def ok(talk: Conversation) -> Coroutine[Any, Any, None] | None:
    """The proper answer. Options: delay (before the head), first (before content), gap, events, size, finish."""
    answer, options = talk.answer, talk.script.options
    small = not ({"delay", "first", "gap"} & options.keys()) and len(answer.body) <= 65_536 and len(answer.content) < 50
    if not small or talk.seen.method == "HEAD":
        return play(talk)
    head = answers(talk)
    if answer.streamed:
        talk.seen.events = len(answer.content)
        stream = [*answer.opening, *answer.content, *answer.closing]
        talk.send(head + b"".join(map(talk.chunk, stream)))
    else:
        talk.send(head + answer.body)
    talk.finish()
    return None


@fault("cut")
async def cut(talk: Conversation) -> None:
    """The connection is closed (FIN) in the middle of the answer."""
    await part(talk)
    talk.close()


@fault("reset")
async def reset(talk: Conversation) -> None:
    """The connection is reset (RST) in the middle of the answer."""
    await part(talk)
    await talk.wait_for_reset()


@fault("stall")
async def stall(talk: Conversation) -> None:
    """Silence for ever in the middle of the answer."""
    await part(talk)
    await talk.forever()


@fault("slow-comments", first=2, gap=0.2)
@fault("stall-comments", gap=0.2)
async def stall_comments(talk: Conversation) -> None:
    """Keep-alive comments every `gap` seconds: for ever after `after` pieces, or for `first` seconds before content."""
    answer, first = talk.answer, talk.script.seconds("first", 0)
    if answer.streamed and not first:
        await part(talk, gap=0)
    else:
        talk.send(answers(talk, chunked=True) + b"".join(map(talk.chunk, answer.opening)))
    await _comments(talk, talk.loop.time() + first if first else math.inf)
    await talk.pieces([*answer.content, *answer.closing] if answer.streamed else [answer.body])
    talk.finish()


async def _comments(talk: Conversation, end: float) -> None:
    """Send what keeps a line open until `end`; a body that is no stream has only white space for that."""
    comment = talk.answer.comment if talk.answer.streamed else b"\n"
    while talk.loop.time() < end:
        talk.send(talk.chunk(comment))
        await talk.drain()
        await talk.sleep(max(0.001, talk.script.seconds("gap", 0.2)))


@fault("silent")
async def silent(talk: Conversation) -> None:
    """Never a byte."""
    await talk.forever()


@fault("truncate")
async def truncate(talk: Conversation) -> None:
    """The answer ends properly, but before its terminal."""
    await part(talk, chunked=True)
    talk.finish()


@fault("short")
async def short(talk: Conversation) -> None:
    """The connection is closed before as many bytes have come as Content-Length announced."""
    answer = talk.answer
    whole = len(answer.body) + sum(map(len, [*answer.opening, *answer.content, *answer.closing]))
    await part(talk, length=whole)
    talk.close()


@fault("close-before")
def close_before(talk: Conversation) -> None:
    """The connection is closed (FIN) before any byte of the answer."""
    talk.close()


@fault("reset-before")
def reset_before(talk: Conversation) -> None:
    """The connection is reset (RST) before any byte of the answer."""
    talk.reset()
