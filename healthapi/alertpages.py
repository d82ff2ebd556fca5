"""GET /v1/alerts, and the POSTs beside it: silences, and a message that tries a channel out."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from msgspec import Struct, field

from config.units import parse_duration, show_duration
from healthapi.admin import Admin, Call
from healthapi.alerts.alert import Alert
from healthapi.alerts.desk import Desk
from healthapi.alerts.message import SUBJECT, TEXT, State, plain
from healthapi.alerts.rules import TABLE
from healthapi.alerts.sender import Result, Tried
from healthapi.alerts.silences import MOST, FullError, Silence
from healthapi.answer import FOUND, STORED, Answer, Rows, choice, text
from healthapi.errors import Problem, quoted
from healthapi.replies import Reply, reply
from healthapi.store import StoreError
from healthapi.text import clean, iso

LONGEST: Final = 30 * 86400.0
"""Most seconds that a silence lasts: one that nobody ends is forgotten."""


class AlertRow(Struct, frozen=True, kw_only=True):
    """One alert. `state` is `pending` (it has not lasted long enough to be told), `firing` or `resolved`.

    `value` and `threshold` are null where a rule has none. `since` is when its trouble began, `told_at` when the last
    message about it was written, `messages` how many there were. `channels` is what became of that message by channel:
    `delivered`, `dropped`, or missing while it is under way. `silenced`: nothing is told of it now. `inhibited_by`: the
    alerts (`rule:subject`) that it is but the consequence of; nothing is told of it while there are any.
    """

    id: str
    rule: str
    subject: str
    state: str
    severity: str
    value: float | None
    threshold: float | None
    message: str
    since: str
    fired_at: str | None
    resolved_at: str | None
    told_at: str | None
    messages: int
    silenced: bool
    channels: dict[str, str]
    inhibited_by: list[str]


class SilenceRow(Struct, frozen=True, kw_only=True):
    """One silence, of alerts of a rule, about a subject, or both; null is any. A subject may end with `*`."""

    id: str
    rule: str | None
    subject: str | None
    comment: str
    at: str
    until: str


class ChannelRow(Struct, frozen=True, kw_only=True):
    """One channel, and the last attempt at it that this sidecar made: `delivered`, `failed` or `dropped`."""

    channel: str
    type: str
    last_result: str | None
    last_at: str | None
    last_error: str | None


class AlertList(Struct, frozen=True, kw_only=True):
    """The alerts that go on, the oldest first, and the last 500 that are over, the newest first.

    `alerts` are both in one list. `here`: this sidecar looks after them. `left_out` is how many more of a kind there
    are than are told one by one.
    """

    total: int
    firing: int
    alerts: list[AlertRow]
    active: list[AlertRow]
    recent: list[AlertRow]
    silences: list[SilenceRow]
    channels: list[ChannelRow]
    here: bool
    left_out: int


class SilenceWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a silence is asked for with. `for` is a duration such as `2h`, at most 30 days.

    `rule`, `subject` or both say of what; a subject that ends with `*` stands for all that begin so. Without either
    nothing at all is told; so a misspelt key is refused.
    """

    rule: str | None = None
    subject: str | None = None
    for_: str = field(name="for")
    comment: str = ""


class Silenced(Struct, frozen=True):
    """Answer of a POST or DELETE of silences: what was done, and the silence."""

    success: bool
    message: str
    silence: SilenceRow


class Trial(Struct, frozen=True):
    """What came of a message to one channel; `error` is null where it was delivered."""

    channel: str
    delivered: bool
    error: str | None


class Trials(Struct, frozen=True):
    """What came of the messages that tried channels out; `success` where all were delivered."""

    success: bool
    results: list[Trial]


LISTING: Final = Answer(
    AlertList,
    (choice("state", tuple(State), "Which alerts are meant; all when it is missing."),),
    STORED,
    Rows("alerts"),
)
SILENCE: Final = Answer(Silenced, problems=STORED, body=SilenceWish)
EXPIRED: Final = Answer(Silenced, problems=FOUND)
TESTED: Final = Answer(
    Trials, (text("channel", "The channel to be tried out; all of them when it is missing."),), problems=(404,)
)


async def listing(admin: Admin, call: Call) -> Reply:
    """Alerts that go on and the last 500 that are over, silences, and how the channels do.

    They are the fleet's: one sidecar looks after them, any one tells. Parameter: `state` (pending, firing, resolved).
    """
    desk, now = _desk(admin), admin.now()
    state = call.query.choice("state", tuple(State))
    shown = await desk.shown()
    try:
        await desk.silences.refresh(now)
    except StoreError:
        if not shown.here:  # else they are known as last read, and the alerts are here to be told
            raise
    active, recent = (
        [_row(one, desk, now) for one in alerts if state is None or one.state == state]
        for alerts in (shown.active, shown.past)
    )
    return reply(
        AlertList(
            total=len(active) + len(recent),
            firing=sum(one.state == State.FIRING for one in active),
            alerts=[*active, *recent],
            active=active,
            recent=recent,
            silences=[_silence(one) for one in desk.silences.current(now)],
            channels=[_channel(admin, desk, name) for name in desk.channels],
            here=shown.here,
            left_out=shown.left_out,
        )
    )


async def silence(admin: Admin, call: Call) -> Reply:
    """Tell nothing of some alerts for a while; that they are over is told all the same to those who know of them.

    The body is a JSON object: `for` (a duration, at most 30 days), and `rule`, `subject` and `comment`.
    """
    desk, now = _desk(admin), admin.now()
    try:
        wish = msgspec.json.decode(call.body, type=SilenceWish)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _bad(f"the body has to be a JSON object with `for` at least: {plain(str(error), 200)}") from None
    if wish.rule is not None and wish.rule not in TABLE:
        raise _bad(f"rule is one of {', '.join(TABLE)}, not {quoted(wish.rule)}")
    seconds = _seconds(wish.for_)
    subject = None if wish.subject is None else plain(wish.subject, SUBJECT)
    try:
        made = await desk.silences.add(now, seconds, rule=wish.rule, subject=subject, comment=plain(wish.comment, TEXT))
    except FullError:
        raise Problem(400, "too_many", f"there are {MOST} silences already; end one first") from None
    return reply(Silenced(True, f"silent for {show_duration(seconds)}", _silence(made)))


async def expire(admin: Admin, call: Call) -> Reply:
    """End a silence now. What fires is told again where it was not told yet, or is due."""
    found = await _desk(admin).silences.end(call.path["id"], admin.now())
    if found is None:
        raise Problem(404, "unknown_silence", f"there is no silence {quoted(call.path['id'])}")
    return reply(Silenced(True, "the silence is over", _silence(found)))


async def test(admin: Admin, call: Call) -> Reply:
    """Send a message that says it is a test, at once and once, and tell what came of it.

    Parameter: `channel`; all of them when it is missing.
    """
    desk = _desk(admin)
    asked = call.query.text("channel")
    if asked is not None and asked not in desk.channels:
        known = ", ".join(desk.channels) or "none is configured"
        raise Problem(404, "unknown_channel", f"there is no channel {quoted(asked)}: {known}")
    names = desk.channels if asked is None else (asked,)
    tried = await asyncio.gather(*map(desk.test, names))  # a dead one takes ten seconds
    results = [_trial(name, one) for name, one in zip(names, tried, strict=True)]
    return reply(Trials(all(one.delivered for one in results), results))


def _desk(admin: Admin) -> Desk:
    if admin.alerts is None:
        raise Problem(404, "no_alerts", "nothing looks after alerts here")
    return admin.alerts


def _row(alert: Alert, desk: Desk, now: float) -> AlertRow:
    return AlertRow(
        id=alert.id,
        rule=alert.rule,
        subject=clean(alert.subject),
        state=alert.state.value,
        severity=alert.severity.value,
        value=alert.value,
        threshold=alert.threshold,
        message=clean(alert.message),
        since=iso(alert.since),
        fired_at=iso(alert.fired_at),
        resolved_at=iso(alert.resolved_at),
        told_at=iso(alert.told_at),
        messages=alert.messages,
        silenced=alert.state is not State.RESOLVED and desk.silences.cover(alert, now),
        channels=dict(alert.results),
        inhibited_by=[clean(f"{rule}:{subject}") for rule, subject in alert.inhibited_by],
    )


def _silence(one: Silence) -> SilenceRow:
    return SilenceRow(
        id=one.id, rule=one.rule, subject=one.subject, comment=one.comment, at=iso(one.at), until=iso(one.until)
    )


def _channel(admin: Admin, desk: Desk, name: str) -> ChannelRow:
    tried = desk.tried.get(name)
    return ChannelRow(
        channel=name,
        type=admin.config.settings.alerts.channels[name].type.value,
        last_result=None if tried is None else tried.result.value,
        last_at=None if tried is None else iso(tried.at),
        last_error=None if tried is None else tried.detail or None,
    )


def _trial(name: str, tried: Tried) -> Trial:
    return Trial(name, tried.result is Result.DELIVERED, tried.detail or None)


def _seconds(word: str) -> float:
    try:
        seconds = parse_duration(word)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise _bad(f"for is a duration such as 90s or 2h, of at most {show_duration(LONGEST)}, not {quoted(word)}")
    return seconds


def _bad(message: str) -> Problem:
    return Problem(400, "bad_body", message)
