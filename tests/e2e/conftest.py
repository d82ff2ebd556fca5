"""What the tests of the proxy rules share: one process for each file of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.lanes import Lane, Lanes, open_lanes


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def lanes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lanes]:
    # A proxy and a .netrc that must be ignored: nothing listens there, and no such credential may be seen anywhere.
    folder = tmp_path_factory.mktemp("rules")
    (folder / "netrc").write_text("machine 127.0.0.1 login netrc password netrc\n")
    (folder / "netrc").chmod(0o600)
    dead = "http://127.0.0.1:9"
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    env = dict.fromkeys(names, dead) | {"NETRC": str(folder / "netrc")}
    async with open_lanes(folder, env=env) as found:
        yield found


@pytest.fixture
def lane(lanes: Lanes) -> Lane:
    """A provider that this test has for itself."""
    return lanes.take()
