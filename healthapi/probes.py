"""GET /livez and /readyz: what an orchestrator asks, and never shows a token for."""

from __future__ import annotations

import re
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from config.watched import WatchedFiles
from healthapi.admin import Admin, Call
from healthapi.answer import Answer, flag
from healthapi.certified import standing
from healthapi.errors import ErrorDetail, Problem, document
from healthapi.replies import Reply, reply

LAG_LIMIT: Final = 0.25
"""Event-loop lag in seconds from which a check is not ok; a healthy process stays well below 50 ms."""

_USERINFO: Final = re.compile(r"(?<=://)[^/\s@]*@")


class Alive(Struct, frozen=True):
    """Answer of `/livez`."""

    status: str


class Check(Struct, frozen=True):
    """One thing looked at for `/readyz?verbose`. Only checks that are `required` can make the process unready."""

    name: str
    ok: bool
    required: bool
    detail: str


class Ready(Struct, frozen=True):
    """Answer of `/readyz`: `checks` only when asked for, `detail` and `error` only with a 503."""

    status: str
    checks: list[Check] | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    error: ErrorDetail | UnsetType = UNSET


LIVEZ: Final = Answer(Alive, tagged=False)
READYZ: Final = Answer(Ready, (flag("verbose", "Tell what was looked at, too."),), tagged=False, others={503: Ready})


async def livez(admin: Admin, call: Call) -> Reply:
    """The process lives: always 200, while draining too, as a restart would cut the streams it still serves."""
    return reply(Alive("ok"))


async def readyz(admin: Admin, call: Call) -> Reply:
    """Whether the process takes traffic: 503 while draining or while a listener is down, 200 otherwise.

    With `?verbose` also what was looked at. Trouble with the store, warnings about the configuration, a changed one
    that cannot be used and a late event loop are told there and never make the process unready.
    """
    checks = _checks(admin)
    failed = next((check for check in checks if check.required and not check.ok), None)
    told = checks if call.query.flag("verbose") else UNSET
    if failed is None:
        return reply(Ready("ok", told))
    code = "draining" if admin.draining() else "listener_down"
    problem = document(Problem(503, code, failed.detail), call.request_id)
    return reply(Ready(code, told, problem.detail, problem.error), 503)


def _checks(admin: Admin) -> list[Check]:
    draining = admin.draining()
    trouble = admin.keeper.trouble
    warnings = admin.config.warnings
    worst, stuck = admin.lag.worst, admin.reloads.trouble
    return [
        Check("traffic", not draining, True, "draining: no new connections" if draining else "taken"),
        *(
            Check(f"listener {name}", up, True, f"the {name} listener is {'up' if up else 'down'}")
            for name, up in admin.listeners().items()
        ),
        Check("store", trouble is None, False, "ok" if trouble is None else _USERINFO.sub("***@", trouble)),
        Check("config", not warnings, False, "; ".join(warnings) or "no warnings"),
        Check("reload", stuck is None, False, stuck or "in force as the file says"),
        *(Check(f"files {file.name}", *_files(admin, file)) for file in admin.files),
        Check("event_loop", worst < LAG_LIMIT, False, f"at most {worst * 1000:.0f} ms late in the last minute"),
    ]


def _files(admin: Admin, file: WatchedFiles) -> tuple[bool, bool, str]:
    well, detail = standing(file, admin.now())
    return well, False, detail
