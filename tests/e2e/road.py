"""A Detour between real clients and the scripted provider, and a ledger of what its health has to say afterwards.

Every call is made under a model name of its own (`12/fail-503`: the script is what follows the last slash), so that
each record tells the story of one call, and a call that was counted twice, or under the wrong name, is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from breaker.outcome import Status
from proxy.fake import FakeProvider, Seen
from tests.e2e.world import PATIENCE, Detour, detour, lab

PATIENT = {"connect": "10s", "first_byte": "10s", "idle": "10s", "answer": "10s", "total": "20s", "stream_total": "20s"}
HASTY = {"first_byte": "700ms", "idle": "700ms", "answer": "700ms"}
"""A busy machine is slow: only those that are to run into a limit have a short one."""

COUNTED = frozenset(status.value for status in Status)
CALLER_KEY = "sk-caller"

CLOCKS = frozenset(
    {"created", "created_at", "completed_at", "expires_at", "cancel_initiated_at", "ended_at", "archived_at"}
)
NUMBER = re.compile(r"(?<=fake)\d{6,}")
"""The scripted provider numbers its answers; two runs differ in that and in the time alone."""
BOUNDARY = re.compile(rb"(?<=boundary=)[^\s;]+")
LINK = frozenset({b"host", b"via", b"connection", b"accept-encoding", b"content-type"})
"""Request fields that are not the same on both legs, or are compared otherwise."""


class Road:
    """One Detour, one scripted provider, and what has to be true of them in the end."""

    def __init__(self, fake: FakeProvider, running: Detour) -> None:
        self.fake = fake
        self.detour = running
        self.ledger: Counter[tuple[str, str, str]] = Counter()
        """Attempts by (provider, model, status)."""
        self._numbers = itertools.count(1)

    def model(self, script: str) -> str:
        """A model name nobody else has, that behaves as `script`."""
        return f"{next(self._numbers)}/{script}"

    def through(self, provider: str) -> str:
        """What stands in for the provider's origin."""
        return f"{self.detour.url}/{provider}"

    def expect(self, provider: str, model: str, status: str, calls: int = 1) -> None:
        """Write down attempts that have to be in the health figures."""
        if calls:
            self.ledger[provider, model, status] += calls

    async def settles(self, provider: str, model: str, status: str, calls: int = 1) -> dict[str, Any] | None:
        """The record after `calls` attempts that all came to `status`; None for neutral ones, which leave none."""
        self.expect(provider, model, status, calls)
        path = f"/v1/model-health/{provider}/{model}"
        found, record = await self.detour.get(path)
        if status not in COUNTED:
            assert found == 404, record
            return None
        # A client has its last byte before the attempt is settled, if only by a turn of the loop.
        async with asyncio.timeout(PATIENCE):
            while found == 404 or record["call_count"] < calls:
                found, record = await self.detour.get(path)
        good = calls if status == "success" else 0
        assert (record["call_count"], record["success_count"], record["error_count"]) == (calls, good, calls - good)
        assert record["last_status"] == status, record
        assert (record["last_error_message"] is None) == (status == "success"), record
        assert isinstance(record, dict)
        return record

    async def still(self) -> None:
        """Return once no exchange is under way."""
        async with asyncio.timeout(PATIENCE):
            while True:
                metrics = Metrics(await self.metrics())
                if not metrics.total("detour_in_flight_requests") and not metrics.total("detour_open_permits"):
                    return

    async def metrics(self) -> str:
        status, text = await self.detour.get("/metrics")
        assert status == 200
        assert isinstance(text, str)
        return text

    async def truth(self) -> None:
        """Compare every figure of the health API and the metrics with the ledger."""
        await self.still()
        by_model: dict[tuple[str, str], Counter[str]] = {}
        for (provider, model, status), calls in self.ledger.items():
            if status in COUNTED:
                by_model.setdefault((provider, model), Counter())[status] += calls
        shown = {key: counts for key, counts in by_model.items() if key[1] != "~none"}
        await self._records(shown)
        await self._sums(shown)
        await self._counters()

    async def _records(self, expected: dict[tuple[str, str], Counter[str]]) -> None:
        status, page = await self.detour.get("/v1/model-health?limit=1000")
        assert status == 200
        assert page["total"] == len(page["models"])
        records = {(row["provider"], row["model"]): row for row in page["models"]}
        assert records.keys() == expected.keys(), records.keys() ^ expected.keys()
        for key, counts in expected.items():
            row = records[key]
            found = (row["call_count"], row["success_count"], row["error_count"])
            assert found == (counts.total(), counts["success"], counts.total() - counts["success"]), (key, counts, row)
            assert row["last_status"] in counts, row
        for one in {status for counts in expected.values() for status in counts}:
            _, page = await self.detour.get(f"/v1/model-health?limit=1000&status={one}")
            assert page["total"] == sum(row["last_status"] == one for row in records.values())

    async def _sums(self, expected: dict[tuple[str, str], Counter[str]]) -> None:
        whole: Counter[str] = Counter()
        providers: dict[str, list[Counter[str]]] = {}
        for (provider, _), counts in expected.items():
            whole.update(counts)
            providers.setdefault(provider, []).append(counts)
        _, stats = await self.detour.get("/v1/model-health/stats")
        check_sums(stats, whole, len(expected))
        for provider, each in providers.items():
            _, summary = await self.detour.get(f"/v1/model-health/provider/{provider}/summary")
            together: Counter[str] = Counter()
            for counts in each:
                together.update(counts)
            check_sums(summary, together, len(each))
        _, listed = await self.detour.get("/v1/model-health/providers")
        assert {(row["provider"], row["model_count"], row["total_calls"]) for row in listed["providers"]} == {
            (provider, len(each), sum(counts.total() for counts in each)) for provider, each in providers.items()
        }

    async def _counters(self) -> None:
        metrics = Metrics(await self.metrics())
        expected: Counter[tuple[str, str]] = Counter()
        for (provider, _, status), calls in self.ledger.items():
            expected[provider, status] += calls
        found: Counter[tuple[str, str]] = Counter()
        for labels, value in metrics.samples("detour_attempts_total"):
            found[labels["provider"], labels["status"]] += int(value)
        assert +found == +expected, (+(found - expected), +(expected - found))


def check_sums(found: dict[str, Any], counts: Counter[str], models: int) -> None:
    """Compare a document with the fields of `/v1/model-health/stats`."""
    good, calls = counts["success"], counts.total()
    assert (found["total_models"], found["total_calls"], found["total_success"], found["total_errors"]) == (
        models,
        calls,
        good,
        calls - good,
    )
    assert abs(found["success_rate"] - (good / calls if calls else 0)) < 1e-4, found


class Metrics:
    """The samples of one `/metrics` page."""

    _LINE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)$")
    _LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

    def __init__(self, text: str) -> None:
        self._all: dict[str, list[tuple[dict[str, str], float]]] = {}
        for line in text.splitlines():
            if match := self._LINE.match(line):
                labels = dict(self._LABEL.findall(match[2] or ""))
                self._all.setdefault(match[1], []).append((labels, float(match[3])))

    def samples(self, name: str) -> list[tuple[dict[str, str], float]]:
        return self._all.get(name, [])

    def total(self, name: str, **wanted: str) -> float:
        return sum(value for labels, value in self.samples(name) if wanted.items() <= labels.items())

    def by(self, name: str, *keys: str) -> Counter[tuple[str, ...]]:
        """Whole-number samples summed by some labels."""
        found: Counter[tuple[str, ...]] = Counter()
        for labels, value in self.samples(name):
            found[tuple(labels[key] for key in keys)] += int(value)
        return +found


@contextlib.asynccontextmanager
async def open_road(folder: Path, *, env: dict[str, str] | None = None, **sections: Any) -> AsyncIterator[Road]:
    """A Detour in front of a scripted provider in this loop; what its health says is compared in the end."""
    async with FakeProvider() as fake:
        config = lab(fake.url, **({"timeouts": PATIENT} | sections))
        config["providers"] |= {
            "google-vertex": {"base_url": f"{fake.url}/v1", "api_key": "configured-vertex"},
            "fal-queue": {"base_url": fake.url, "api_key": "configured-queue"},
            "groq": {"base_url": f"{fake.url}/v1"},
        }
        for kind in ("openai", "anthropic"):
            base = {"base_url": f"{fake.url}/v1", "dialect": kind, "api_key": "unused"}
            config["providers"][hasty(kind)] = base | {"timeouts": HASTY}
        async with detour(config, path=folder / "detour.yaml", env=env) as running:
            road = Road(fake, running)
            yield road
            await road.truth()
            assert not fake.mistakes


def descriptors(running: Detour) -> int:
    """Open file descriptors of the process."""
    return len(os.listdir(f"/proc/{running.process.pid}/fd"))


def hasty(kind: str) -> str:
    """The provider of this dialect whose limits are short."""
    return f"hasty-{kind}"


# -- comparing ---------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """What an SDK made of an answer as plain data, without its number and time."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(warnings=False))
    if isinstance(value, dict):
        return {key: 0 if key in CLOCKS and item is not None else plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return NUMBER.sub("#", value) if isinstance(value, str) else value


def failure(error: Exception) -> dict[str, Any]:
    """What an SDK's exception tells its caller."""
    names = ("status_code", "body", "code", "param", "type", "request_id", "llm_provider")
    told = {name: plain(getattr(error, name, None)) for name in names}
    headers = getattr(getattr(error, "response", None), "headers", {})
    waits = {name: value for name, value in headers.items() if name.startswith(("retry-after", "x-ratelimit-"))}
    return {
        "class": f"{type(error).__module__}.{type(error).__qualname__}",
        "text": plain(str(error)),
        "waits": waits,
    } | told


def same_request(direct: Seen, through: Seen) -> None:
    """The provider saw the same request twice, but for what concerns the connection alone."""
    assert (through.method, through.target, through.complete) == (direct.method, direct.target, direct.complete)
    ours, theirs = _type(through), _type(direct)
    assert BOUNDARY.sub(b"", ours) == BOUNDARY.sub(b"", theirs)
    assert _body(through, ours) == _body(direct, theirs)
    assert _fields(through) == _fields(direct)
    codings = through.header(b"accept-encoding") or b""
    asked = (direct.header(b"accept-encoding") or b"").replace(b" ", b"").split(b",")
    assert set(codings.replace(b" ", b"").split(b",")) <= {*asked, b"identity", b""}


def _type(seen: Seen) -> bytes:
    return seen.header(b"content-type") or b""


def _body(seen: Seen, content_type: bytes) -> bytes:
    match = BOUNDARY.search(content_type)
    return seen.body if match is None else seen.body.replace(match[0], b"boundary")


def _fields(seen: Seen) -> list[tuple[bytes, bytes]]:
    length = {b"content-length"} if b"multipart" in _type(seen) else set()
    return sorted((name.lower(), value) for name, value in seen.headers if name.lower() not in LINK | length)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Run blocking client code beside the loop that the scripted provider is in."""
    return await asyncio.wait_for(asyncio.to_thread(work), PATIENCE)
