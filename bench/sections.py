"""What the page says around each table: a title, what was done, and what has to be known besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from bench.report import Document, ceiling, limited, unclean
from bench.tables import size_of


class Section(Struct, frozen=True):
    """Words of one section. In all of them `{…}` are fields of the plan, and `{rounds}` says how often it was done."""

    title: str
    before: str
    after: Callable[[Document], str] = lambda document: ""


ROUND_TRIP: Final = "480 bytes of JSON in, 383 bytes out, {connections} connections, `wrk`, {rounds}."
OTHER_SIDE: Final = (
    "{bulk_connections} connections, {rounds}. The other side throws away what it receives, and sends from memory "
    "without copying, so that it is not what is measured."
)


def _clumps(document: Document) -> str:
    usual = "Events that arrive several to a read cost less; on a quiet machine there is one to a read."
    return f"{usual} {unclean(document)}"


def _soaked(document: Document) -> str:
    found = document["soak"]
    provider = ", ".join(f"{number:,} {kind}" for kind, number in sorted(found["provider"].items()))
    detour = ", ".join(f"{number:,} {kind}" for kind, number in sorted(found["detour"].items()))
    share = found["per_second"] / found["most_per_second"]
    return (
        f"{found['minutes']:g} minutes at {found['per_second']:,.0f} requests/s, {share:.0%} of the most: "
        f"{found['requests']:,} requests, of which {found['failed']:,} failed at the client. The provider counted "
        f"{provider}; Detour's attempts are {detour}. {found['unaccounted']:,} are unaccounted for."
    )


SECTIONS: Final = {
    "requests": Section("Requests per second on one core", ROUND_TRIP, ceiling),
    "events": Section(
        "CPU time per relayed event, {streams} streams",
        "One 190-byte event per {gap_ms:.0f} ms and stream ({events:,.0f} events/s); CPU time of the proxy's processes "
        "divided by the events that arrived, {rounds}.",
        _clumps,
    ),
    "crowd": Section(
        "CPU time per relayed event, {crowd:,} streams",
        "The same with one event per {crowd_gap_ms:.0f} ms and stream, as many events per second, {rounds}. The "
        "longest gap is that between any two events of one stream, less those {crowd_gap_ms:.0f} ms; what load and "
        "provider add themselves stands in the row `direct`.",
        lambda document: unclean(document, "crowd"),
    ),
    "latency": Section(
        "Added latency at {rate:,} requests/s",
        "Open loop (a request is sent each millisecond whether or not answers came), {rounds}.",
    ),
    "memory": Section(
        "Memory of open streams",
        "Resident memory of the proxy while {idle_streams:,} streams are open and silent after their first event, "
        "{rounds}.",
    ),
    "upload": Section("Requests of {body_size}", OTHER_SIDE, lambda document: limited(document, "upload")),
    "download": Section("Answers of {body_size}", OTHER_SIDE, lambda document: limited(document, "download")),
    "secure": Section(
        "Requests per second, TLS to the provider",
        "As the first table, but the provider speaks TLS, with a certificate made for the run that proxies verify. "
        "Clients speak plain HTTP with the proxies, and TLS where there is none.",
        lambda document: limited(document, "secure"),
    ),
    "start": Section(
        "From start to first byte",
        "From the start of the process to the first byte of an answer that it fetched from the provider, asked for "
        "each millisecond, {rounds}.",
    ),
    "settle": Section(
        "Admission and settlement",
        "What the breakers of provider, target and key cost an attempt: asked for leave and told how it went, in a "
        "loop in one process, {settlings:,} attempts, {rounds}.",
    ),
    "list": Section(
        "The health list of {list_targets:,} targets",
        "`GET /v1/model-health` of a process that has called them all, at rest and while its store writes all of them "
        "down; then the same each second while {rate:,} requests/s are served, {rounds}. The slowest request is that "
        "of those that were out while a page was made, median over the polls; beside it the same for as long a time "
        "half a second later.",
    ),
    "connections": Section("Requests per second by connections", "The requests of the first table, {rounds}."),
    "targets": Section(
        "Requests per second by targets",
        "Each model has a target and a stand-in; all models are asked for in turn over {connections} connections, "
        "{rounds}. To Envoy they are all the same.",
    ),
    "bodies": Section(
        "Requests per second by size of the request",
        "{connections} connections, answers of 383 bytes that come when the request has been taken whole, {rounds}.",
    ),
    "soak": Section(
        "Soak",
        "Steady load while 2 % of the provider's answers are faults: a 503, or an answer or its head that breaks off.",
        _soaked,
    ),
}  # fmt: skip
"""By measurement, in the order of the page."""


def words(name: str, plan: dict[str, Any]) -> dict[str, Any]:
    """What stands for the `{…}` of one section."""
    count = plan["rounds"].get(name, 1)
    more = {
        "rounds": f"median of {count} rounds" if count > 1 else "one round",
        "gap_ms": plan["gap"] * 1e3,
        "events": plan["streams"] / plan["gap"],
        "crowd_gap_ms": plan.get("crowd_gap", 0) * 1e3,
        "body_size": size_of(plan.get("body", 0)),
    }
    return plan | more
