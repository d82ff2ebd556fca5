"""GET /health/dashboard."""

from __future__ import annotations

from itertools import islice
from typing import Final

from healthapi import cleanup, views
from healthapi.admin import Admin, Call
from healthapi.answer import SCOPE, STORED, Answer, Rows, integer
from healthapi.probing import DUTY
from healthapi.replies import Reply, reply
from healthapi.surveys import Surveyed
from healthapi.turns import turns
from healthapi.views.dashboard import Dashboard, Parts, ProbeSpend, Watch, dashboard_model
from healthapi.views.sources import Sources
from healthapi.views.ward import Ward

BATCH: Final = 20
"""Records looked at in one go."""

DASHBOARD: Final = Answer(
    Dashboard,
    (integer("limit", 1000, 1, 10_000, "Most models that are listed, the last called first."), SCOPE),
    STORED,
    Rows("models"),
    moving=("timestamp", "last_updated", "system_status.last_updated", "uptime_metrics.last_updated"),
)


async def dashboard(admin: Admin, call: Call) -> Reply:
    """Everything at once: what is wrong, where, and what to do about it.

    Parameter: `limit` (1000, 1 to 10000), how many models are listed, the last called first. All of them are counted.
    """
    limit = call.query.integer("limit", 1000, 1, 10_000)
    made = await admin.survey(call)
    parts = Parts(
        ward=await _ward(made),
        models=[dashboard_model(target) async for target in turns(islice(made.found.targets, limit))],
        stale=await _stale(made.sources),
        watch=_watch(admin),
    )
    return reply(views.dashboard(made.sources, made.found, parts))


async def _ward(made: Surveyed) -> Ward:
    ward, providers = Ward(), made.found.providers
    async for target in turns(made.found.targets):
        ward.add(target, configured=providers[target.record.provider].configured)
    return ward


async def _stale(sources: Sources) -> list[tuple[str, str]]:
    """The records that a cleanup would remove."""
    records = list(sources.store.records())
    older_than = sources.config.settings.cleanup.older_than
    found = []
    async for first in turns(range(0, len(records), BATCH)):
        some = records[first : first + BATCH]
        found += cleanup.stale(some, sources.now, older_than, delisted=sources.delisted)
    return [one.key for one in found]


def _watch(admin: Admin) -> Watch:
    """Whether somebody probes. Without trouble of the store some sidecar of the fleet has the duty."""
    if admin.spend is None:
        return Watch(active=False, spend=None)
    report = admin.spend.report()
    spend = ProbeSpend(
        day=report.day,
        requests=report.requests,
        tokens=report.tokens,
        cap_requests=report.cap_requests,
        cap_tokens=report.cap_tokens,
        capped=report.capped,
        providers=report.providers,
    )
    config = admin.config
    wanted = any(config.probed(name, "") for name in config.providers) or any(
        config.probed(*key) for key in config.probes
    )
    on_duty = wanted and (bool(admin.keeper.duty(DUTY)) or admin.keeper.trouble is None)
    return Watch(active=on_duty, spend=spend)
