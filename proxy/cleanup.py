"""`detour cleanup`: which health records nobody needs any more, and with `--live` letting go of them.

The running sidecar is asked, since it alone may write to its store; where none runs, the store is opened here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from config.effective import Config
from config.problems import shortened
from config.storeurl import StoreKind
from config.units import parse_duration, show_duration
from proxy.adminport import Answer, NoAnswerError, ask
from proxy.listeners import CannotStartError

TIMEOUT: Final = 60.0
"""Seconds for which the sidecar's answer is waited for: a fleet may have much to remove."""

PATH: Final = "/v1/model-health/cleanup"

_REASONS: Final = {
    "delisted": "not offered any more",
    "never_called": "never called",
    "unused": "unused",
    "always_failing": "never successful",
}


class CannotCleanError(Exception):
    """Nothing was listed or removed: the message says why and what to do."""


class Model(Struct, frozen=True):
    """One record of the answer."""

    provider: str
    model: str
    reason: str
    last_called_at: str | None = None
    call_count: int = 0
    error_rate: float | None = None
    configured: bool = False


class Cleanup(Struct, frozen=True):
    """The answer of `/v1/model-health/cleanup`."""

    older_than_seconds: float
    live: bool
    total: int
    removed: int
    models: list[Model]


class _Error(Struct, frozen=True):
    code: str = ""
    message: str = ""


class _Refusal(Struct, frozen=True):
    error: _Error | UnsetType = UNSET


def clean(config: Config, older_than: str | None, live: bool) -> Cleanup:
    """List the records that are not needed, or with `live` remove them.

    Raises:
        CannotCleanError: it could not be done.
    """
    if older_than is not None:
        _check(older_than)
    listen = config.settings.admin.listen
    token = config.settings.admin.token
    headers = {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}
    path = PATH if older_than is None else f"{PATH}?older_than={older_than}"
    try:
        answer = ask(listen, "POST" if live else "GET", path, headers, TIMEOUT, config.settings.admin.tls)
    except NoAnswerError as error:
        if not error.nobody:
            raise CannotCleanError(f"{error}") from error
        return _offline(config, older_than, live)
    if answer.status != 200:
        raise CannotCleanError(_refused(config, answer))
    try:
        return msgspec.json.decode(answer.body, type=Cleanup)
    except msgspec.DecodeError:
        raise CannotCleanError(f"what answers on {listen} is not a Detour that knows of cleanup") from None


def render(done: Cleanup) -> str:
    """What a person reads."""
    if not done.models:
        age = show_duration(done.older_than_seconds)
        return f"nothing to remove: every record was called in the last {age}, and no target fails always"
    rows = [("PROVIDER", "MODEL", "WHY", "LAST CALL", "CALLS", "ERRORS"), *map(_row, done.models)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", _summary(done)])


def _row(model: Model) -> tuple[str, ...]:
    rate = "" if model.error_rate is None else f"{100 * model.error_rate:.0f} %"
    why = shortened(_REASONS.get(model.reason, model.reason)) + (" (configured)" if model.configured else "")
    last = shortened(model.last_called_at or "")[:16].replace("T", " ")
    return shortened(model.provider), shortened(model.model), why, last, str(model.call_count), rate


def _summary(done: Cleanup) -> str:
    records = "1 record" if done.total == 1 else f"{done.total} records"
    if done.live:
        return f"removed {done.removed} of {records}"
    return f"{records} would go; --live removes them. A target that is called again has a record again."


def _check(older_than: str) -> None:
    try:
        seconds = parse_duration(older_than)
    except ValueError as error:
        raise CannotCleanError(f"--older-than: {error}") from None
    if not seconds:
        raise CannotCleanError("--older-than: must be longer than nothing")


def _offline(config: Config, older_than: str | None, live: bool) -> Cleanup:
    """Do it in the store itself: nobody else has it open."""
    from proxy import app

    settings, store = config.settings, config.settings.store
    nobody = f"nothing listens on {settings.admin.listen} (admin.listen), and"
    if store.kind is StoreKind.MEMORY:
        raise CannotCleanError(f"{nobody} {store} ends with its process")
    if store.kind is StoreKind.SQLITE and not Path(store.path).exists():
        raise CannotCleanError(f"{nobody} there is no file {store.path} (store)")
    age = settings.cleanup.older_than if older_than is None else parse_duration(older_than)
    try:
        document = asyncio.run(app.cleanup(config, age, live))
    except CannotStartError as error:
        raise CannotCleanError(str(error)) from error
    return msgspec.convert(document, Cleanup)


def _refused(config: Config, answer: Answer) -> str:
    """What to do about an answer that is not 200."""
    listen, token = config.settings.admin.listen, config.settings.admin.token
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal).error or _Error()
    except msgspec.DecodeError:
        refusal = _Error()
    if refusal.code == "token_not_configured" or (answer.status == 401 and token is None):
        return (
            f"the sidecar on {listen} wants the admin token, and this configuration has none: add the line "
            '`admin: {token: "${DETOUR_ADMIN_TOKEN}"}` to the file, or set DETOUR_ADMIN_TOKEN; the sidecar needs the '
            "same one"
        )
    if answer.status == 401:
        return f"the sidecar on {listen} has another admin.token than this configuration"
    if answer.status == 404:
        return f"what answers on {listen} is not a Detour that knows of cleanup"
    said = shortened(refusal.message) or "no reason given"
    return f"the sidecar on {listen} answered {answer.status}: {said}"
