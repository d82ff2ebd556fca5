"""The record of one target as the admin port shows it."""

from __future__ import annotations

from msgspec import Struct

from breaker.outcome import Kind
from healthapi.history import DAY
from healthapi.record import Record, Tally
from healthapi.status import percentage
from healthapi.text import clean, iso, mean_milliseconds, milliseconds, reason, state
from healthapi.views.sources import Sources


class ModelHealth(Struct, frozen=True, kw_only=True, gc=False):
    """One target's record. Times are ISO 8601 in UTC or null, latencies milliseconds, uptimes 0-100.

    `last_error_message` is null after a success, `circuit_breaker_reason` while the breaker is closed; uptimes and
    quantiles are null when nothing was seen. `delisted`: its provider does not offer it any more.
    """

    provider: str
    model: str
    last_response_time_ms: float
    last_status: str
    last_called_at: str
    call_count: int
    success_count: int
    error_count: int
    average_response_time_ms: float | None
    last_error_message: str | None
    created_at: str
    updated_at: str
    gateway: str
    monitoring_tier: str
    circuit_breaker_state: str
    consecutive_failures: int
    consecutive_successes: int
    last_success_at: str | None
    last_failure_at: str | None
    uptime_percentage_24h: float | None
    uptime_percentage_7d: float | None
    uptime_percentage_30d: float | None
    p50_response_time_ms: float | None
    p95_response_time_ms: float | None
    p99_response_time_ms: float | None
    p50_first_byte_ms: float | None
    p95_first_byte_ms: float | None
    circuit_breaker_reason: str | None
    delisted: bool


def model_health(sources: Sources, provider: str, model: str, kind: Kind | None = None) -> ModelHealth | None:
    """The record of one target, None when there is none. Of one kind of traffic when `kind` says so."""
    record = sources.store.get(sources.canonical(provider), model)
    tally = record.together(kind) if record is not None else None
    return None if record is None or tally is None else shown(sources, record, tally, kind)


def shown(sources: Sources, record: Record, tally: Tally, kind: Kind | None) -> ModelHealth:
    """A record with the tally that is to be shown of it.

    What spans both kinds (`created_at`, the consecutive and last success or failure) is shown as it is.
    """
    provider, sums = clean(record.provider), tally.sums()
    response = tally.response.quantiles(0.50, 0.95, 0.99)
    first_byte = tally.first_byte.quantiles(0.50, 0.95)
    breaker = sources.registry.breaker(record.provider, record.model)
    return ModelHealth(
        provider=provider,
        model=clean(record.model),
        last_response_time_ms=milliseconds(tally.last_response_time),
        last_status=tally.last_status,
        last_called_at=iso(tally.last_called_at),
        call_count=sums.calls,
        success_count=sums.successes,
        error_count=sums.calls - sums.successes,
        average_response_time_ms=mean_milliseconds(sums),
        last_error_message=None if tally.last_error is None else clean(tally.last_error),
        created_at=iso(record.created_at),
        updated_at=iso(record.updated_at),
        gateway=provider,
        monitoring_tier=sources.tier(record.provider, record.model),
        circuit_breaker_state=state(breaker),
        consecutive_failures=record.consecutive_failures,
        consecutive_successes=record.consecutive_successes,
        last_success_at=iso(record.last_success_at),
        last_failure_at=iso(record.last_failure_at),
        uptime_percentage_24h=_uptime(record, DAY, sources.now, kind),
        uptime_percentage_7d=_uptime(record, 7 * DAY, sources.now, kind),
        uptime_percentage_30d=_uptime(record, 30 * DAY, sources.now, kind),
        p50_response_time_ms=milliseconds(response[0]),
        p95_response_time_ms=milliseconds(response[1]),
        p99_response_time_ms=milliseconds(response[2]),
        p50_first_byte_ms=milliseconds(first_byte[0]),
        p95_first_byte_ms=milliseconds(first_byte[1]),
        circuit_breaker_reason=reason(breaker),
        delisted=sources.delisted(record),
    )


def _uptime(record: Record, span: float, now: float, kind: Kind | None) -> float | None:
    counts = record.seen(span, now, kind)
    return percentage(counts.success, counts.total)
