"""Rules between settings: what no single value can be wrong about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import parse_qs, urlsplit

from config.alerts import DROP_WITHIN, Channel, ChannelType, Threshold
from config.place import child, item
from config.problems import Problem, did_you_mean
from config.settings import Settings

_SCHEMES: Final = {
    ChannelType.SLACK: ("https", "http"),
    ChannelType.WEBHOOK: ("https", "http"),
    ChannelType.EMAIL: ("smtp", "smtps"),
    ChannelType.SENTRY: ("https", "http"),
}


def check(settings: Settings, problems: list[Problem]) -> None:
    """Add what is wrong between the settings to `problems`."""
    for rule in _RULES:
        problems.extend(rule(settings))


def _ports(settings: Settings) -> Iterator[Problem]:
    mine, admin = settings.listen, settings.admin.listen
    everywhere = {"", "0.0.0.0", "::"}  # noqa: S104 - compared with, not bound
    if mine.port == admin.port != 0 and (mine.host == admin.host or {mine.host, admin.host} & everywhere):
        yield Problem("admin.listen", f"{admin} is taken by listen ({mine}); give it another port")


def _tls(settings: Settings) -> Iterator[Problem]:
    for path, tls in (("tls", settings.tls), ("admin.tls", settings.admin.tls)):
        for key in ("key", "client_ca"):
            if getattr(tls, key) is not None and tls.cert is None:
                yield Problem(f"{path}.{key}", f"is of no use without {path}.cert")


def _open_times(settings: Settings) -> Iterator[Problem]:
    widest = settings.breakers
    if widest.max_open_for < widest.open_for:
        yield Problem("breakers.max_open_for", "must be at least open_for")
    for name, entry in settings.providers.items():
        first = entry.breakers.open_for or widest.open_for
        longest = entry.breakers.max_open_for or widest.max_open_for
        given = entry.breakers.open_for is not None or entry.breakers.max_open_for is not None
        if given and longest < first:
            yield Problem(child("providers", name) + ".breakers", "max_open_for must be at least open_for")


def _drain(settings: Settings) -> Iterator[Problem]:
    if settings.drain.linger > settings.drain.timeout:
        yield Problem("drain.linger", "must be at most drain.timeout")


def _replay(settings: Settings) -> Iterator[Problem]:
    limits = settings.limits
    if limits.replay > limits.replay_total:
        yield Problem("limits.replay_total", "must be at least limits.replay")


def _channels(settings: Settings) -> Iterator[Problem]:
    for name, channel in settings.alerts.channels.items():
        wrong = _wrong_url(channel)
        if wrong:
            yield Problem(child("alerts.channels", name) + ".url", wrong)
        if channel.secret is not None and channel.type is not ChannelType.WEBHOOK:
            yield Problem(child("alerts.channels", name) + ".secret", "only what a webhook is sent is signed")


def _wrong_url(channel: Channel) -> str:
    """What is wrong with a channel's address, without repeating it: it is a secret."""
    try:
        parts = urlsplit(channel.url.reveal())
        parts.port  # noqa: B018 - raises when it is none
    except ValueError:
        return "is not a URL"
    schemes = _SCHEMES[channel.type]
    if parts.scheme not in schemes or not parts.hostname:
        return f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if channel.type is ChannelType.SENTRY and not (parts.username and parts.path.strip("/")):
        return "must be a DSN: https://KEY@HOST/PROJECT"
    if channel.type is ChannelType.EMAIL and not parse_qs(parts.query).get("to"):
        return "must say whom to write to: smtp://host:587/?from=detour@example.com&to=ops@example.com"
    return ""


def _rules(settings: Settings) -> Iterator[Problem]:
    channels = settings.alerts.channels
    for name in settings.alerts.rules.__struct_fields__:
        rule = getattr(settings.alerts.rules, name)
        path = child("alerts.rules", name)
        for index, channel in enumerate(rule.channels):
            if channel not in channels:
                hint = did_you_mean(channel, channels)
                yield Problem(item(path + ".channels", index), f'there is no channel "{channel}"{hint}')
        if isinstance(rule, Threshold) and name == "health" and rule.critical > rule.warning:
            yield Problem(path, "critical must not be above warning: health falls")
        if isinstance(rule, Threshold) and name != "health" and rule.critical < rule.warning:
            yield Problem(path, "critical must not be below warning")
    if settings.alerts.rules.drop.within > DROP_WITHIN:
        yield Problem("alerts.rules.drop.within", "must be at most 24h")


def _token(settings: Settings) -> Iterator[Problem]:
    if settings.client_token is not None and settings.client_token.matches("detour"):
        yield Problem("client_token", 'must not be the word "detour": that stands for having no key')


_RULES: Final[tuple[Callable[[Settings], Iterator[Problem]], ...]] = (
    _ports, _tls, _token, _open_times, _drain, _replay, _channels, _rules,
)  # fmt: skip
