"""The examples of docs/health-api.md, made by asking the real application.

`python -m tests.healthapi.health_api_examples` writes them anew; a test compares.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from breaker.outcome import Kind, Status
from healthapi.app import build
from tests.healthapi.admin_world import World

DOCS: Final = Path(__file__).parents[2] / "docs" / "health-api.md"
EXAMPLE: Final = re.compile(r"```http\nGET (?P<path>\S+)\n```\n\n```json\n(?P<body>.*?)\n```\n", re.DOTALL)
CONFIG: Final = """
providers: {groq: {api_key: k}, openrouter: {}}
models: {llama-3.3-70b: {tier: critical, targets: [groq/llama-3.3-70b-versatile]}}
"""


def world() -> World:
    """A quarter of an hour of two providers: one fine, one failing since a while."""
    made = World(CONFIG)
    for step in range(30):
        made.now += 30
        kind = Kind.PROBE if step % 10 == 9 else Kind.LIVE
        made.attempt(
            "groq",
            "llama-3.3-70b-versatile",
            streamed=True,
            first_byte=0.12,
            response_time=0.85 + step / 100,
            kind=kind,
        )
        if step % 2:
            bad = step > 15
            made.attempt(
                "openrouter",
                "meta-llama/llama-3.3-70b-instruct",
                Status.ERROR if bad else Status.SUCCESS,
                message="503: overloaded" if bad else "",
                first_byte=0.4,
                response_time=1.5,
            )
    made.now += 10
    return made


def told(document: Any) -> str:
    """A document as the docs show it."""
    if "error" in document and "request_id" in (document["error"] or {}):
        document["error"]["request_id"] = "adm-5f2c9e0b7a1d4386"
    return json.dumps(document, indent=2, ensure_ascii=False)


async def answers(paths: list[str]) -> list[str]:
    """What the application answers to these paths."""
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(build(world().admin())))
    async with client:
        root = str(client.make_url("/")).rstrip("/")
        return [told(await (await client.session.get(URL(root + path, encoded=True))).json()) for path in paths]


async def renewed(text: str) -> str:
    """The docs with every example made anew."""
    paths = [match["path"] for match in EXAMPLE.finditer(text)]
    fresh = iter(await answers(paths))
    return EXAMPLE.sub(lambda match: f"```http\nGET {match['path']}\n```\n\n```json\n{next(fresh)}\n```\n", text)


if __name__ == "__main__":
    DOCS.write_text(asyncio.run(renewed(DOCS.read_text())))
