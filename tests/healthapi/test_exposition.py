from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from breaker.latency import BOUNDS
from breaker.outcome import NO_MODEL, Blame, Kind, Neutral, Status
from config.compiled import build
from config.watched import WatchedFiles
from healthapi.accountmetrics import AccountFigures
from healthapi.alerting import Alerting
from healthapi.exposition import STATES, Snapshot, render, take
from healthapi.keys import KeyState
from healthapi.labels import UNKNOWN_PROVIDER
from healthapi.probed import Probed
from healthapi.slabook import Standing
from healthapi.spend import ProviderSpend, SpendReport
from tests.healthapi.admin_world import KEY, TOKEN, World, answer

DOCS = Path(__file__).parents[2] / "docs" / "METRICS.md"
STANDING = Standing({"1h": None, "30d": 99.5}, {"30d": 2.5}, 50.0, {"1h": 0.5, "6h": None})
ACCOUNTS = (
    AccountFigures("groq", KeyState.ACCEPTED, 40, 2, 1_767_225_600.0, False),
    AccountFigures("openrouter", KeyState.MISSING, None, 0, None, False),
    AccountFigures("lab", KeyState.NONE_NEEDED, None, 0, None, True),
)
SPENT = SpendReport("2026-01-01", 3, 30, 10, 20, True, {"groq": ProviderSpend(3, 30, 5, 100, False)})
PROBED = Probed({("groq", "success"): 3, ("groq", "capped"): 1}, {"groq": 30}, SPENT)
ALERTS = Alerting({("health", "warning"): 1}, {("ops", "delivered"): 2}, 87.5)
FILES = (WatchedFiles("tls", None, 1_767_225_600.0), WatchedFiles("ca_bundle /lab.pem", "it is gone"))
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def told(world: World) -> Snapshot:
    made = take(world.metrics, world.registry, world.keeper, world.monotonic, sla={"groq": STANDING}, accounts=ACCOUNTS)
    return replace(made, alerts=ALERTS, probed=PROBED, files=FILES)


def scrape(world: World, accept: str = "") -> str:
    return render(told(world), accept)[0].decode()


def families(world: World) -> dict[str, Metric]:
    return {family.name: family for family in parse(scrape(world))}


def values(world: World, sample: str, **labels: str) -> dict[tuple[str, ...], float]:
    """Values of one sample by the labels that were not asked for."""
    return {
        tuple(v for k, v in sorted(s.labels.items()) if k not in labels): s.value
        for family in families(world).values()
        for s in family.samples
        if s.name == sample and labels.items() <= s.labels.items()
    }


@pytest.fixture
def world() -> World:
    """A bit of everything."""
    world = World()
    world.attempt("groq", "llama-3.3-70b-versatile", streamed=True)
    world.attempt("groq", "llama-3.3-70b-versatile", Status.TIMEOUT, message="stalled", first_byte=None)
    world.attempt("groq", "llama-3.3-70b-versatile", Neutral.CANCELLED)
    world.attempt("openrouter", "meta-llama/llama-3.3-70b-instruct:free", kind=Kind.PROBE)
    world.attempt("openrouter", NO_MODEL)
    world.recorder.answer(answer("groq", "llama-3.3-70b-versatile", streamed=True))
    world.recorder.answer(answer("groq", "llama-3.3-70b-versatile", 504, result="timeout"))
    world.recorder.answer(answer("groq", "llama-3.3-70b-versatile", 0, result="cancelled"))
    world.recorder.answer(answer("grok", NO_MODEL, 404, result="rejected", attempts=0))
    world.recorder.rejected("groq", "llama-3.3-70b-versatile", "open")
    world.recorder.rerouted("groq", "llama-3.3-70b-versatile", "openrouter", "m", "timeout")
    world.recorder.retried("groq", "timeout")
    world.recorder.overspent("groq")
    world.registry.budget("groq").request(world.monotonic)
    world.attempt("openrouter", NO_MODEL, Status.RATE_LIMITED, blame=Blame.TARGET_CREDENTIAL)
    world.registry.open("groq", None, world.monotonic, 60.0)
    world.lag.seen(0.004, 1.0)
    world.lag.seen(0.300, 1.5)
    world.in_flight = 3
    world.connections = {"idle": 2, "active": 3, "made-up": 9}
    return world


def test_requests(world: World) -> None:
    assert values(world, "detour_requests_total", provider="groq", model="llama-3.3-70b-versatile") == {
        ("200", "true"): 1,
        ("504", "false"): 1,
        ("0", "false"): 1,
    }
    assert values(world, "detour_requests_total", provider=UNKNOWN_PROVIDER) == {(NO_MODEL, "404", "false"): 1}


def test_attempts(world: World) -> None:
    assert values(world, "detour_attempts_total") == {
        ("live", "llama-3.3-70b-versatile", "groq", "success"): 1,
        ("live", "llama-3.3-70b-versatile", "groq", "timeout"): 1,
        ("live", "llama-3.3-70b-versatile", "groq", "cancelled"): 1,
        ("probe", "meta-llama/llama-3.3-70b-instruct:free", "openrouter", "success"): 1,
        ("live", NO_MODEL, "openrouter", "success"): 1,
        ("live", NO_MODEL, "openrouter", "rate_limited"): 1,
    }


def test_gauges(world: World) -> None:
    world.registry.admit("openrouter", "m", world.monotonic)
    assert values(world, "detour_in_flight_requests") == {(): 3}
    assert values(world, "detour_open_permits") == {(): 1}
    assert values(world, "detour_upstream_connections") == {
        ("idle",): 2,
        ("active",): 3,
        ("connecting",): 0,
        ("waiting",): 0,
    }
    assert values(world, "detour_event_loop_lag_worst_seconds") == {(): 0.3}
    assert values(world, "detour_config_warnings") == {(): len(world.config.warnings)}
    ((labels, value),) = values(world, "detour_build_info").items()
    assert value == 1
    assert {"1.2.3", "abc", build()} < set(labels)


def test_probes(world: World) -> None:
    assert values(world, "detour_probes_total", provider="groq") == {("success",): 3, ("capped",): 1}
    assert values(world, "detour_probe_tokens_total") == {("groq",): 30}
    assert values(world, "detour_probe_cap_left") == {
        ("~all", "requests"): 7,
        ("~all", "tokens"): 0,
        ("groq", "requests"): 2,
        ("groq", "tokens"): 70,
    }


def test_bytes(world: World) -> None:
    assert values(world, "detour_received_bytes_total", provider="groq") == {("llama-3.3-70b-versatile",): 300}
    assert values(world, "detour_sent_bytes_total", provider="groq") == {("llama-3.3-70b-versatile",): 3000}


def test_objectives(world: World) -> None:
    assert values(world, "detour_sla_availability") == {("groq", "30d"): 99.5}
    assert values(world, "detour_sla_p95_seconds") == {("groq", "30d"): 2.5}
    assert values(world, "detour_sla_error_budget_left") == {("groq",): 50.0}
    assert values(world, "detour_sla_burn_rate") == {("groq", "1h"): 0.5}


def test_alerts(world: World) -> None:
    assert values(world, "detour_alerts_firing") == {("health", "warning"): 1}
    assert values(world, "detour_health_percentage") == {(): 87.5}
    assert values(world, "detour_alert_messages_total") == {("ops", "delivered"): 2}


def test_keys_and_lists_of_models(world: World) -> None:
    keys = values(world, "detour_key_state", provider="groq")
    assert {state: value for (state,), value in keys.items()} == {
        "accepted": 1, "refused": 0, "never_tried": 0, "missing": 0, "none_needed": 0,
    }  # fmt: skip
    assert values(world, "detour_models_offered") == {("groq",): 40}
    assert values(world, "detour_models_delisted") == {("groq",): 2}
    assert values(world, "detour_model_list_read_timestamp_seconds") == {("groq",): 1_767_225_600.0}
    assert values(world, "detour_model_list_failing") == {("groq",): 0, ("lab",): 1}


def test_the_process_itself(world: World) -> None:
    assert values(world, "process_resident_memory_bytes")[()] > 0


def test_histograms_are_consistent_and_true() -> None:
    world = World()
    for milliseconds in (1, 3, 4, 5, 100, 1000, 1024, 1025, 4_000_000, 9_000_000):
        world.attempt("groq", "m", response_time=milliseconds / 1000)
    counts = values(world, "detour_response_time_seconds_bucket", provider="groq", model="m")
    buckets = {float(le): count for (le,), count in counts.items()}
    assert list(buckets) == sorted(buckets)
    assert list(buckets.values()) == sorted(buckets.values())
    assert 18 <= len(buckets) <= 24
    assert buckets[0.004] == 3
    assert buckets[0.008] == 4
    assert buckets[1.024] == 7
    assert buckets[2.048] == 8
    assert buckets[float("inf")] == 10
    assert buckets[4194.304] == 9
    assert max(bound for bound in buckets if bound < 1e6) == pytest.approx(BOUNDS[-1])
    assert values(world, "detour_response_time_seconds_count") == {("m", "groq"): 10}
    assert values(world, "detour_response_time_seconds_sum")["m", "groq"] == pytest.approx(13003.162)


def test_first_bytes_of_streams_and_others_are_apart() -> None:
    world = World()
    world.attempt("groq", "m", streamed=True, first_byte=0.2)
    world.attempt("groq", "m", streamed=False, first_byte=5.0)
    assert values(world, "detour_first_byte_seconds_sum") == {("m", "groq", "true"): 0.2, ("m", "groq", "false"): 5.0}


def test_a_target_without_counted_attempts_has_no_histogram() -> None:
    world = World()
    world.attempt("groq", NO_MODEL, Neutral.CANCELLED)
    assert values(world, "detour_response_time_seconds_count") == {}


def test_statuses_that_share_a_label_are_added_up() -> None:
    world = World()
    world.attempt("groq", "m")
    for status in (701, 702, 702):
        world.recorder.answer(answer("groq", "m", status))
    assert values(world, "detour_requests_total") == {("m", "groq", "7xx", "false"): 3}


def test_hostile_names_arrive_escaped_or_not_at_all() -> None:
    world = World()
    nice = ['a"b', "a\\b", "a\\nb", 'm"} 1\\', "模型", "{model}", "# HELP x"]
    nasty = ["a\nb", "\x00", "\udcff", "x" * 300, "\u202egpt"]
    for model in nice + nasty:
        world.attempt("groq", model)
        world.recorder.answer(answer("groq", model))
    text = scrape(world)
    seen = {s.labels["model"] for f in parse(text) for s in f.samples if s.labels.get("model")}
    assert seen == {*nice, "~other"}
    assert all(line.startswith(("#", "detour_", "process_")) for line in text.splitlines())


def test_no_sample_is_there_twice(world: World) -> None:
    lines = [line.rsplit(" ", 1)[0] for line in scrape(world).splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines))


def test_both_formats_are_valid(world: World) -> None:
    body, content_type = render(told(world), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    names = {family.name for family in parse_openmetrics(body.decode())}
    assert {name for name in names if name.startswith("detour_")} == {
        name for name in families(world) if name.startswith("detour_") and name != "detour_build_info"
    } | {"detour_build"}
    body, content_type = render(told(world), "")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert list(parse(body.decode()))


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "text/html",
        ";;;,,,",
        "application/openmetrics-text; version=x",
        "application/openmetrics-text;version=",
        "application/openmetrics-text; version=9" + "9" * 5000,
        "text/plain; version=1.0.0; escaping=allow-utf-8",
        "text/plain; version=one",
        "application/openmetrics-text; version=1.0.0; escaping=\udcff",
    ],
)
def test_any_accept_header_gets_metrics(world: World, accept: str) -> None:
    body, content_type = render(told(world), accept)
    assert b"detour_requests" in body
    assert content_type.isascii()


def test_files_of_tls(world: World) -> None:
    assert values(world, "detour_tls_files_refused") == {("tls",): 0, ("ca_bundle /lab.pem",): 1}
    assert values(world, "detour_tls_certificate_expiry_timestamp_seconds") == {("tls",): 1_767_225_600.0}


def test_no_credential_appears(world: World) -> None:
    world.attempt("groq", "m", Status.ERROR, message=f"Incorrect API key provided: {KEY}")
    text = scrape(world) + scrape(world, OPENMETRICS)
    assert "canary" not in text
    assert KEY not in text
    assert TOKEN not in text


def test_the_docs_list_every_name_and_no_other(world: World) -> None:
    documented = set(re.findall(r"^\| `(detour_[a-z0-9_]+)`", DOCS.read_text(), re.M))
    scraped = {line.split()[2] for line in scrape(world).splitlines() if line.startswith("# TYPE detour_")}
    assert documented == scraped


def test_the_docs_list_every_label(world: World) -> None:
    rows = dict(re.findall(r"^\| `(detour_[a-z0-9_]+)` \| \w+ \|([^|]*)\|", DOCS.read_text(), re.M))
    for family in families(world).values():
        if not family.name.startswith("detour_"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels if label != "le"}
        assert set(re.findall(r"`(\w+)`", rows[name])) == labels, name


def test_the_docs_name_every_state() -> None:
    assert all(f"`{state}`" in DOCS.read_text() for state in STATES)


def test_counting_goes_on_while_a_scrape_is_made() -> None:
    world = World()
    for number in range(30):
        world.attempt("groq", f"m-{number}")
    failures: list[BaseException] = []

    def scrapes() -> None:
        try:
            for snapshot in snapshots:
                scraped = {f.name: f for f in parse(render(snapshot, "")[0].decode())}
                histogram: dict[str, list[float]] = {}
                for sample in scraped["detour_response_time_seconds"].samples:
                    if sample.name.endswith(("_bucket", "_count")):
                        histogram.setdefault(sample.labels["model"], []).append(sample.value)
                assert all(counts == sorted(counts) for counts in histogram.values())
        except BaseException as error:
            failures.append(error)

    snapshots = [told(world) for _ in range(3)]
    thread = threading.Thread(target=scrapes)
    thread.start()
    number = 0
    while thread.is_alive():
        number += 1
        world.attempt("groq", f"m-{number % 60}", list(Status)[number % 5], first_byte=0.1, streamed=number % 2 == 0)
        world.recorder.answer(answer("groq", f"m-{number % 60}", 200 + number % 300))
    thread.join()
    assert failures == []
