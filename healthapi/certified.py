"""What certificates and their files tell Prometheus and `/readyz?verbose`."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from msgspec.structs import replace
from prometheus_client.core import GaugeMetricFamily, Metric

from config.watched import WatchedFiles


def certified(files: Sequence[WatchedFiles]) -> list[WatchedFiles]:
    """How they stand at this moment."""
    return [replace(file) for file in files]


def families(files: Sequence[WatchedFiles]) -> Iterator[Metric]:
    """The families, in the order of docs/METRICS.md."""
    refused = GaugeMetricFamily(
        "detour_tls_files_refused", "1 while changed files of TLS cannot be used.", labels=("setting",)
    )
    ends = GaugeMetricFamily(
        "detour_tls_certificate_expiry_timestamp_seconds",
        "When the certificate in force of a listener expires.",
        labels=("setting",),
    )
    for file in files:
        refused.add_metric((file.name,), int(file.trouble is not None))
        if file.expires is not None:
            ends.add_metric((file.name,), file.expires)
    yield refused
    yield ends


def standing(file: WatchedFiles, now: float) -> tuple[bool, str]:
    """Whether all is well with files at the Unix time `now`, and what to say of them."""
    if file.trouble is not None:
        return False, f"changed, and not taken over: {file.trouble}"
    if file.expires is None:
        return True, "in force as they are"
    day = datetime.datetime.fromtimestamp(file.expires, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    if file.expires <= now:
        return False, f"the certificate expired at {day}"
    return True, f"the certificate expires at {day}"
