"""Cases through one Detour: a request of every kind, what went wrong on the way, and what everybody has to say of it.

Each case has a provider of its own, so that the health API's figures for that provider are the story of one case. All
providers lead to one scripted provider, which is asked directly as well: what a client gets through Detour is compared
with that, byte for byte. At the end every figure of the process is compared with the sum of the cases.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from breaker.outcome import Status
from proxy.fake import FakeProvider, Seen
from tests.e2e.caller import Got, ask, request
from tests.e2e.kinds import Kind
from tests.e2e.said import cut_event, event_message, own_message, quiet
from tests.e2e.world import ALONE, PATIENCE, Detour, detour

PROVIDERS = {"openai": 260, "anthropic": 70, "gemini": 120, "fal": 70}
PREFIXES = {"openai": "/v1", "anthropic": "/v1", "gemini": "/v1beta", "fal": ""}
COUNTED = frozenset(status.value for status in Status)
SOON = 1.0
"""Seconds within which a provider has to see that nobody waits for it any more."""


class Want(Struct, frozen=True, kw_only=True):
    """What a case has to come to.

    `result` is how the attempt is judged, `message` a pattern that its record's error message matches from end to end.
    `status` and `end` are what the client gets, as in `Got`; `aborted` is whether the provider sees it go, None where
    that depends. `body` is one of:

    - `same`: as from the provider; `cut`: a beginning of that;
    - `event`: as from the provider with an error event of ours behind it; `begun`: a beginning of that, and the event;
      `more`: that, something that says nothing, and the event;
    - `own`: an answer of ours.
    """

    result: str
    message: str = ""
    status: int = 200
    body: str = "same"
    end: str = "clean"
    aborted: bool | None = False
    requests: int = 1


class Court:
    """One Detour, the scripted provider behind it, and the book of all cases."""

    def __init__(self, fake: FakeProvider, running: Detour) -> None:
        self.fake = fake
        self.detour = running
        self.attempts: Counter[tuple[str, str]] = Counter()
        """By provider and status or neutral kind."""
        self.answers: Counter[tuple[str, str, str]] = Counter()
        """By provider, HTTP status and whether a stream was asked for."""
        self._taken: Counter[str] = Counter()

    def provider(self, kind: Kind) -> str:
        """A provider that no other case has."""
        self._taken[kind.dialect] += 1
        assert self._taken[kind.dialect] <= PROVIDERS[kind.dialect], "more cases than providers"
        return f"{kind.dialect}{self._taken[kind.dialect]}"

    def book(self, provider: str, kind: Kind, result: str | None, status: int) -> None:
        """Write down what has to be found at the end; `result` is None where no attempt was made."""
        if result is not None:
            self.attempts[provider, result] += 1
        self.answers[provider, str(status), str(kind.streamed).lower()] += 1

    async def ask(
        self,
        kind: Kind,
        *fields: bytes,
        provider: str,
        script: str = "ok",
        version: bytes = b"1.1",
        body: bytes | None = None,
    ) -> Got:
        """Ask through Detour."""
        return await ask(
            self.detour.port, request(kind, *fields, provider=provider, script=script, version=version, body=body)
        )

    async def directly(self, kind: Kind, script: str = "ok", version: bytes = b"1.1") -> Got:
        """Ask the scripted provider itself."""
        return await ask(self.fake.port, request(kind, script=script, version=version))

    def seen(self, provider: str) -> list[Seen]:
        """The requests that came for `provider`."""
        return [seen for seen in self.fake.log if seen.header(b"x-case") == provider.encode()]

    async def record(self, provider: str, model: str, calls: int = 1) -> dict[str, Any]:
        """The record once it counts `calls`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                status, found = await self.detour.get(f"/v1/model-health/{provider}/{model}")
                if status == 200 and found["call_count"] >= calls:
                    assert found["call_count"] == calls
                    assert isinstance(found, dict)
                    return found
                await asyncio.sleep(0.01)

    async def untouched(self, provider: str, model: str) -> None:
        """Nothing is known of a target."""
        status, found = await self.detour.get(f"/v1/model-health/{provider}/{model}")
        assert status == 404, found

    async def trial(
        self, kind: Kind, script: str, want: Want, *, like: str | None = None, version: bytes = b"1.1"
    ) -> Got:
        """Make one request of `kind` for which the provider does `script`, and see that everything is as wanted.

        What the provider sends is known from asking it directly, for `like` where `script` itself never ends.
        """
        provider = self.provider(kind)
        if want.body == "own":
            got = await self.ask(kind, provider=provider, script=script, version=version)
            direct = None
        else:
            direct = await self.directly(kind, like or script, version)
            got = await self.ask(kind, provider=provider, script=script, version=version)
        self.book(provider, kind, want.result, want.status)
        assert (got.status, got.end) == (want.status, want.end), f"{kind.name} {script}: {got}"
        self._headers(got, provider, kind)
        self._body(got, direct, provider, kind, want)
        await self._provider_saw(provider, got, want)
        await self._is_recorded(provider, kind, want)
        return got

    def _headers(self, got: Got, provider: str, kind: Kind) -> None:
        assert got.header("x-detour-provider") == provider
        assert got.header("x-detour-model") == kind.model
        assert got.header("x-detour-attempts") == "1"
        assert got.header("x-detour-request-id")

    def _body(self, got: Got, direct: Got | None, provider: str, kind: Kind, want: Want) -> None:
        if direct is None:
            said = own_message(kind.dialect, got)
            assert re.search(f"^{provider}/{kind.model}: {want.message}", said), said
            return
        assert got.status == direct.status
        assert got.theirs == direct.theirs
        assert re.fullmatch(r"detour;dur=\d+\.\d, upstream;dur=\d+\.\d", got.header("server-timing") or "")
        body, sent = quiet(kind, got.readable), quiet(kind, direct.readable)
        if want.body == "cut":
            assert sent.startswith(body)
        elif want.body == "same":
            assert body == sent, (body, sent)
        else:
            begun, event = cut_event(kind, body)
            agrees = {"begun": sent.startswith(begun), "event": begun == sent, "more": begun.startswith(sent)}
            assert agrees[want.body], (begun, sent)
            said = event_message(kind, event, 504 if want.result == "timeout" else 502)
            assert re.search(f"^{provider}/{kind.model}: {want.message}", said), said

    async def _provider_saw(self, provider: str, got: Got, want: Want) -> None:
        seen = self.seen(provider)
        assert len(seen) == want.requests, [one.headers for one in self.fake.log[-2:]]
        if want.aborted is not None:
            await self.fake.until(lambda: not any(one.ended == "open" for one in seen))
            assert [one.aborted for one in seen] == [want.aborted] * want.requests, seen
        if want.aborted:
            assert abs((seen[-1].client_closed_at or 0) - got.at) < SOON

    async def _is_recorded(self, provider: str, kind: Kind, want: Want) -> None:
        if want.result not in COUNTED:
            await self.untouched(provider, kind.model)
            return
        record = await self.record(provider, kind.model)
        good = want.result == "success"
        assert (record["success_count"], record["error_count"]) == (int(good), int(not good))
        assert record["last_status"] == want.result
        said = record["last_error_message"]
        assert (said is None) if good else re.fullmatch(want.message, said), said

    async def _busy(self) -> float:
        return (
            await self.detour.metric("detour_in_flight_requests")
            + await self.detour.metric("detour_open_permits")
            + await self.detour.metric("detour_upstream_connections", state="active")
        )

    async def truth(self) -> None:
        """Compare every figure of the process with the book."""
        async with asyncio.timeout(PATIENCE):
            while await self._busy():  # noqa: ASYNC110 - another process is looked at
                await asyncio.sleep(0.05)
        _, text = await self.detour.get("/metrics")
        attempts, answers = samples(text, "detour_attempts_total"), samples(text, "detour_requests_total")
        found = Counter[tuple[str, str]]()
        for labels, value in attempts:
            found[labels["provider"], labels["status"]] += value
        assert not differences(found, self.attempts), differences(found, self.attempts)
        told = Counter[tuple[str, str, str]]()
        for labels, value in answers:
            told[labels["provider"], labels["status"], labels["streamed"]] += value
        assert not differences(told, self.answers), differences(told, self.answers)
        _, page = await self.detour.get("/v1/model-health?limit=1000")
        calls = Counter[str]()
        for row in page["models"]:
            calls[row["provider"]] += row["call_count"]
        expected = Counter[str]()
        for (provider, status), count in self.attempts.items():
            expected[provider] += count if status in COUNTED else 0
        assert not differences(calls, expected), differences(calls, expected)


def differences(found: Counter[Any], expected: Counter[Any]) -> str:
    """What two counts do not agree in; empty when they do."""
    wrong = [key for key in found.keys() | expected.keys() if found[key] != expected[key]]
    return "\n".join(f"{key}: {found[key]}, not {expected[key]}" for key in wrong)


_LINE = re.compile(r"(\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def samples(text: str, name: str) -> list[tuple[dict[str, str], int]]:
    """The samples of one metric."""
    found = (_LINE.match(line) for line in text.splitlines() if line.startswith(name + "{"))
    return [(dict(_LABEL.findall(match[2])), int(float(match[3]))) for match in found if match]


@contextlib.asynccontextmanager
async def open_court(
    folder: Path,
    sections: Callable[[str], dict[str, Any]] | None = None,
    *,
    many: dict[str, int] = PROVIDERS,
    **more: Any,
) -> AsyncIterator[Court]:
    """A running Detour with `many` providers of each dialect; its figures are compared with the book when it ends.

    `sections` makes further sections of the configuration from the scripted provider's URL; `more` are some.
    """
    async with FakeProvider() as fake:
        entries = {
            f"{dialect}{number}": {"base_url": fake.url + PREFIXES[dialect], "dialect": dialect}
            for dialect in many
            for number in range(1, many[dialect] + 1)
        }
        made = sections(fake.url) if sections is not None else {}
        config: dict[str, Any] = ALONE | {"log": {"format": "json"}} | more | made
        config["providers"] = entries | config.get("providers", {})
        async with detour(config, path=folder / "detour.yaml") as running:
            court = Court(fake, running)
            yield court
            await court.truth()
            assert not fake.mistakes


async def together(*cases: Any, limit: int = 40) -> None:
    """Run cases side by side, since most of their time is waiting; tells of all that failed."""
    gate = asyncio.Semaphore(limit)

    async def one(case: Any) -> None:
        async with gate:
            await case

    results = await asyncio.gather(*(one(case) for case in cases), return_exceptions=True)
    failed = [error for error in results if isinstance(error, Exception)]
    if failed:
        raise ExceptionGroup(f"{len(failed)} of {len(cases)} cases", failed)


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port that takes no further connection and does not refuse it either: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def closed() -> Iterator[int]:
    """A port that nobody listens on, kept from everybody else."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
