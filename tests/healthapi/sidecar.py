"""One sidecar without its data plane: records, breakers and what keeps both, on clocks that tests can move."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from breaker.outcome import Outcome, Status
from breaker.permit import Permit
from breaker.registry import Registry
from breaker.transition import Transition
from config.load import load_text
from healthapi import keeping
from healthapi.keeper import Clock, Keeper
from healthapi.memory import MemoryStore
from healthapi.record import Record
from healthapi.store import Scope
from tests.healthapi.samples import outcome

CONFIG = """
store: "{store}"
redis: {{fleet: {fleet}, timeout: 1s, publish_cache: {publish}}}
providers:
  groq: {{api_key: k}}
  openai: {{api_key: k}}
breakers: {{success_threshold: 1, jitter: 0, open_for: {open_for}}}
"""

PATIENCE = 20.0


class Sidecar:
    """What a process keeps, as `proxy.app` puts it together."""

    def __init__(
        self,
        store: str,
        instance: str = "a",
        *,
        fleet: str = "test",
        open_for: str = "60s",
        publish: bool = False,
    ) -> None:
        text = CONFIG.format(store=store, fleet=fleet, open_for=open_for, publish=str(publish).lower())
        self.config = load_text(text, {})
        self.ahead = 0.0
        self.store = MemoryStore()
        self.moves: list[Transition] = []
        self.registry = Registry(
            tracked=100,
            unproven=10,
            configured=self.config.targets,
            breakers=self.config.settings.breakers,
            per_provider={name: provider.breakers for name, provider in self.config.providers.items()},
            on_forget=self.store.forget,
            on_transition=self._moved,
        )
        self.keeper: Keeper = keeping.keeper(
            self.config, self.store, self.registry, instance, Clock(self.now, self.wall)
        )

    def now(self) -> float:
        return time.monotonic() + self.ahead

    def wall(self) -> float:
        return time.time() + self.ahead

    def _moved(self, transition: Transition) -> None:
        self.moves.append(transition)
        self.keeper.moved(transition)

    def attempt(
        self, status: Status = Status.SUCCESS, *, provider: str = "groq", model: str = "llama", **more: Any
    ) -> Outcome:
        """One attempt, through the breakers and into the records, whatever is open."""
        made = outcome(status, provider=provider, model=model, **{"at": self.wall(), **more})
        permit = self.registry.admit(provider, model, self.now(), force=True)
        assert isinstance(permit, Permit)
        tracked = permit.settle(made, self.now())
        self.store.add(tracked)
        return tracked

    def fail(self, times: int = 5, **more: Any) -> None:
        for _ in range(times):
            self.attempt(Status.ERROR, **more)

    def is_open(self, provider: str = "groq", model: str | None = "llama") -> bool:
        breaker = self.registry.breaker(provider, model)
        return breaker is not None and not breaker.closed

    async def record(self, model: str = "llama", scope: Scope = Scope.FLEET, provider: str = "groq") -> Record | None:
        picture = await self.keeper.reading(scope)
        return picture.store.get(provider, model)

    async def calls(self, model: str = "llama", scope: Scope = Scope.FLEET) -> int:
        found = await self.record(model, scope)
        return 0 if found is None else found.sums().calls


@contextlib.asynccontextmanager
async def sidecar(store: str, instance: str = "a", **more: Any) -> AsyncIterator[Sidecar]:
    """One that runs."""
    made = Sidecar(store, instance, **more)
    await made.keeper.start()
    try:
        yield made
    finally:
        await made.keeper.stop()


async def eventually(holds: Callable[[], Awaitable[Any]] | Callable[[], Any], what: str = "") -> Any:
    """Wait until something is true, and give it back."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = holds()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)
