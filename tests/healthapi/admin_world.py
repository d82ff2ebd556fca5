"""Everything an admin port needs, with a clock and gauges that tests move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from breaker.outcome import Answer, Blame, Kind, Neutral, Outcome, Status, Verdict
from breaker.permit import Permit
from breaker.registry import Registry
from breaker.transition import Transition
from config.load import load_text
from healthapi.admin import Admin
from healthapi.archive import Archive
from healthapi.events import EventLog
from healthapi.keeper import Clock, Keeper
from healthapi.lag import Lag
from healthapi.memory import MemoryStore
from healthapi.metrics import Metrics
from healthapi.recorder import Recorder

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
TOKEN = "canary-admin-token-7f3a"
KEY = "sk-canary-groq-key-55d1"

LOOPBACK = f"""
admin: {{token: {TOKEN}, origins: ["https://status.example"]}}
hosts: [detour.internal]
providers:
  groq: {{api_key: {KEY}}}
  openrouter: {{}}
models:
  llama: {{tier: critical, targets: [groq/llama-3.3-70b-versatile]}}
"""
REMOTE = LOOPBACK.replace("admin: {", "admin: {listen: 0.0.0.0:9090, ")
NO_TOKEN = LOOPBACK.replace(f"token: {TOKEN}, ", "")


class World:
    """One process' worth of health, with traffic to be made up. Its history is kept in memory, or in a file."""

    def __init__(self, config: str = LOOPBACK, *, store: MemoryStore | None = None, archive: str = ":memory:") -> None:
        self.now = NOW
        self.is_draining = False
        self.listeners: dict[str, bool] = {"proxy": True, "admin": True}
        self.in_flight = 0
        self.connections: dict[str, int] = {}
        self.config = load_text(config, {})
        self.store = MemoryStore() if store is None else store
        self.events = EventLog(wall=lambda: self.now)
        self.registry = Registry(
            tracked=1000,
            unproven=3,
            configured=self.config.targets,
            breakers=self.config.settings.breakers,
            per_provider={name: provider.breakers for name, provider in self.config.providers.items()},
            stand_ins=self.config.stand_ins,
            on_forget=self._forgotten,
            on_transition=self._moved,
            random=lambda: 0.0,
        )
        self.lag = Lag()
        self.metrics = Metrics(
            config=self.config,
            version="1.2.3",
            instance="abc",
            lag=self.lag,
            in_flight=lambda: self.in_flight,
            connections=lambda: self.connections,
            open_permits=lambda: self.registry.open_permits,
        )
        self.recorder = Recorder(self.store, self.metrics)
        self.archive = Archive(archive)
        self.keeper = self.kept_by(Keeper)

    def kept_by(self, keeper: type[Keeper]) -> Keeper:
        """A keeper of this world's store."""
        return keeper(self.store, self.registry, self.archive, clock=Clock(lambda: self.monotonic, lambda: self.now))

    async def close(self) -> None:
        """Let go of the archive, whether it was opened or not."""
        await self.archive.close()

    def _forgotten(self, provider: str, model: str) -> None:
        self.recorder.forget(provider, model)

    def _moved(self, transition: Transition) -> None:
        self.metrics.transition(transition)
        self.events.add(transition)

    @property
    def monotonic(self) -> float:
        """The data plane's clock: it has nothing to do with the wall's but its pace."""
        return self.now - NOW + 1000.0

    def admin(self, **changes: Any) -> Admin:
        return Admin(
            **{
                "config": self.config,
                "store": self.store,
                "keeper": self.keeper,
                "registry": self.registry,
                "metrics": self.metrics,
                "lag": self.lag,
                "version": "1.2.3",
                "instance": "abc",
                "draining": lambda: self.is_draining,
                "now": lambda: self.now,
                "listeners": self._listening,
                "events": self.events,
                "monotonic": lambda: self.monotonic,
                **changes,
            }
        )

    def _listening(self) -> Mapping[str, bool]:
        return self.listeners

    def attempt(
        self, provider: str, model: str, status: Status | Neutral = Status.SUCCESS, key: str = "", **changes: Any
    ) -> Outcome:
        """One attempt, through the registry and the recorder as the data plane does it, whatever is open."""
        made = outcome(provider, model, status, at=self.now, **changes)
        permit = self.registry.admit(provider, model, self.monotonic, key, force=True)
        assert isinstance(permit, Permit), permit
        tracked = permit.settle(made, self.monotonic)
        self.recorder.attempt(tracked)
        return tracked


def outcome(
    provider: str,
    model: str,
    status: Status | Neutral = Status.SUCCESS,
    *,
    message: str = "",
    blame: Blame | None = None,
    http_status: int | None = None,
    retry_after: float | None = None,
    streamed: bool = False,
    response_time: float = 0.5,
    first_byte: float | None = 0.1,
    at: float = NOW,
    kind: Kind = Kind.LIVE,
) -> Outcome:
    bad = isinstance(status, Status) and status is not Status.SUCCESS
    verdict = Verdict(
        status,
        blame or (Blame.TARGET if bad else Blame.NOBODY),
        message=message,
        http_status=http_status,
        retry_after=retry_after,
    )
    return Outcome(provider, model, verdict, streamed, response_time, first_byte, at, kind)


def answer(provider: str, model: str, status: int = 200, **changes: Any) -> Answer:
    return Answer(
        **{
            "request_id": "req-1",
            "method": "POST",
            "provider": provider,
            "model": model,
            "endpoint": "chat",
            "status": status,
            "result": "success",
            "streamed": False,
            "attempts": 1,
            "duration": 0.5,
            "upstream": 0.4,
            "bytes_in": 100,
            "bytes_out": 1000,
            "at": NOW,
            **changes,
        }
    )
