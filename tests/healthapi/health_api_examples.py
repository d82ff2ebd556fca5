"""The examples of docs/health-api.md, made by asking the real application.

`python -m tests.healthapi.health_api_examples` writes them anew; a test compares.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientResponse

from breaker.outcome import Kind, Status
from tests.healthapi.admin_world import TOKEN, World
from tests.healthapi.serving import BEARER, ask, serving

DOCS: Final = Path(__file__).parents[2] / "docs" / "health-api.md"
EXAMPLE: Final = re.compile(
    r"```http\n(?P<method>GET|POST) (?P<path>\S+)\n```\n\n```(?P<kind>json|text)\n(?P<body>.*?)```\n", re.DOTALL
)
BLOCKS: Final = 3
"""How much of a stream is shown: where it begins, a transition, a summary."""
CONFIG: Final = f"""
admin: {{token: {TOKEN}}}
providers: {{groq: {{api_key: k}}, openrouter: {{}}}}
models: {{llama-3.3-70b: {{tier: critical, targets: [groq/llama-3.3-70b-versatile]}}}}
"""


def world() -> World:
    """A quarter of an hour of two providers: one fine, one failing until its breaker opened."""
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
            bad = step > 20
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


async def answer(method: str, path: str) -> str:
    """What the application answers, asked for the first time."""
    made = world()
    client = await serving(made)
    try:
        response = await ask(client, path, method, **BEARER)
        if response.content_type == "text/event-stream":
            return await followed(made, response)
        return told(await response.json()) + "\n"
    finally:
        made.events.end()
        await client.close()


async def followed(made: World, response: ClientResponse) -> str:
    """The beginning of a stream, with a summary that has something to tell."""
    blocks: list[str] = []
    while len(blocks) < BLOCKS:
        block = (await response.content.readuntil(b"\n\n")).decode()
        if "outcomes" not in block or '"success":1' in block:
            blocks.append(block)
        elif len(blocks) == BLOCKS - 1:
            made.attempt("groq", "llama-3.3-70b-versatile")
    response.close()
    text = re.sub(r'"seconds":[0-9.]+', '"seconds":1.0', "".join(blocks))
    return re.sub(r"id: [0-9a-f]{8}-", "id: 5f2c9e0b-", text)


async def renewed(text: str) -> str:
    """The docs with every example made anew."""
    fresh = [await answer(match["method"], match["path"]) for match in EXAMPLE.finditer(text)]
    bodies = iter(fresh)
    return EXAMPLE.sub(lambda match: match[0].removesuffix(f"{match['body']}```\n") + f"{next(bodies)}```\n", text)


if __name__ == "__main__":
    DOCS.write_text(asyncio.run(renewed(DOCS.read_text())))
