from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.healthapi.admin_world import World
from tests.healthapi.serving import Client, serving


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    """A client of the admin port of `world`, which a test's own module has."""
    made = await serving(world)
    yield made
    await made.close()
