"""The examples of docs/health-api.md, made by asking the real application.

`python -m tests.healthapi.health_api_examples` writes them anew; a test compares.
"""

from __future__ import annotations

import asyncio
import json
import re
from functools import partial
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientResponse

from breaker.outcome import Kind, Status
from config.alerts import Rules, Threshold
from healthapi.alerts.desk import Desk
from healthapi.alerts.message import Message
from healthapi.alerts.situation import gather
from healthapi.keys import KeyLog
from healthapi.offerings import Offerings
from tests.healthapi.admin_world import TOKEN, World
from tests.healthapi.serving import BEARER, ask, serving
from tests.healthapi.vendors import Vendors

DOCS: Final = Path(__file__).parents[2] / "docs" / "health-api.md"
EXAMPLE: Final = re.compile(
    r"```http\n(?P<method>GET|POST) (?P<path>\S+)\n```\n\n```(?P<kind>json|text)\n(?P<body>.*?)```\n", re.DOTALL
)
BLOCKS: Final = 3
"""How much of a stream is shown: where it begins, a transition, a summary."""
CONFIG: Final = f"""
admin: {{token: {TOKEN}}}
providers: {{groq: {{api_key: k}}, openrouter: {{}}}}
alerts: {{channels: {{ops: {{type: slack, url: "https://hooks.slack.example/services/T0/B0/x"}}}}}}
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


async def accounts(made: World) -> dict[str, Any]:
    """What is known of keys and lists of models, and who reads them."""
    keys, offers = KeyLog(made.config), Offerings(made.config)
    vendors = Vendors(groq=["llama-3.1-8b-instant", "llama-3.3-70b-versatile"])
    keys.tell("groq", True, 200, made.now)
    await offers.refresh(made.keeper, vendors.read, offers.readable, lambda: made.now)
    return {"keys": keys, "offers": offers, "read_list": vendors.read}


async def alerts(made: World, path: str) -> dict[str, Any]:
    """Who looks after alerts, for the pages that show any: for two minutes and a half, one provider being ill."""
    if not path.startswith("/v1/alerts"):
        return {}
    await made.keeper.flush()
    rules = Rules(health=Threshold(enabled=False))
    desk = Desk(rules, {"ops": Taking()}, made.keeper, fleet="default", instance="abc", now=lambda: made.now)
    admin = made.admin(alerts=desk)
    for _ in range(30):
        made.now += 5
        await desk.tick(partial(gather, admin))
        async with asyncio.timeout(5):
            while not all(one.results for one in (await desk.shown()).active if one.told):  # noqa: ASYNC110
                await asyncio.sleep(0)
    return {"alerts": desk}


class Taking:
    """A channel that takes everything."""

    async def send(self, message: Message) -> None:
        return


def told(document: Any) -> str:
    """A document as the docs show it."""
    if "error" in document and "request_id" in (document["error"] or {}):
        document["error"]["request_id"] = "adm-5f2c9e0b7a1d4386"
    return json.dumps(document, indent=2, ensure_ascii=False)


async def answer(method: str, path: str) -> str:
    """What the application answers, asked for the first time."""
    made = world()
    client = await serving(made, **await accounts(made), **await alerts(made, path))
    try:
        response = await ask(client, path, method, **BEARER)
        if response.content_type == "text/event-stream":
            return await followed(made, response)
        if response.content_type == "text/csv":
            return (await response.text()).replace("\r\n", "\n")
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
