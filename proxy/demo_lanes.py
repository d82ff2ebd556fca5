"""What `detour demo` runs: the scripted providers, their configuration, and the traffic against them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import aiohttp
import msgspec
from msgspec import Struct

KEY: Final = "demo"
"""The scripted providers' key: Detour adds it, the traffic carries none."""

PATIENCE: Final = 30.0
"""Seconds after which a client of the demo gives up."""


class Call(Struct, frozen=True):
    """One request that a lane repeats: a path below the provider's name, and a body."""

    path: str
    body: Mapping[str, Any]


class Lane(Struct, frozen=True):
    """One provider with one model, what goes wrong there, and what is asked of it, one request at a time."""

    provider: str
    dialect: str
    model: str
    script: str
    shows: str
    calls: tuple[Call, ...]
    pause: float = 0.5
    """Seconds between an answer's end and the next request."""
    prefix: str = "/v1"
    stand_in: str = ""
    """Another lane's provider and its model that can take this one's place; together they make a model group."""
    breakers: Mapping[str, str] = {}
    """Knobs of this provider alone."""

    @property
    def target(self) -> str:
        """Provider and model."""
        return f"{self.provider}/{self.model}"


_PROMPT: Final = [{"role": "user", "content": "Where to?"}]


def _chat(model: str, *, stream: bool = True) -> Call:
    return Call("/v1/chat/completions", {"model": model, "messages": _PROMPT, "stream": stream})


def _messages(model: str) -> Call:
    return Call("/v1/messages", {"model": model, "max_tokens": 50, "messages": _PROMPT, "stream": True})


def _gemini(model: str) -> Call:
    body = {"contents": [{"role": "user", "parts": [{"text": "Where to?"}]}]}
    return Call(f"/v1beta/models/{model}:streamGenerateContent?alt=sse", body)


def _picture(model: str) -> Call:
    return Call(f"/{model}", {"prompt": "a road"})


_SPOKEN: Final[dict[Callable[[str], Call], tuple[str, str]]] = {
    _chat: ("openai", "/v1"),
    _messages: ("anthropic", "/v1"),
    _gemini: ("gemini", "/v1beta"),
    _picture: ("fal", ""),
}


def _lane(provider: str, model: str, script: str, shows: str, ask: Callable[[str], Call] = _chat, **more: Any) -> Lane:
    dialect, prefix = _SPOKEN[ask]
    return Lane(provider, dialect, model, script, shows, (ask(model),), prefix=prefix, **more)


_SELDOM: Final = {"open_for": "30s", "max_open_for": "1m"}
"""For what stays ill: a trial now and then, so that the others' story can be followed."""


_LLAMA: Final = "meta-llama/llama-3.3-70b-instruct"

LANES: Final = (
    Lane(
        "steady",
        "openai",
        _LLAMA,
        "ok@first=0.1,gap=0.02",
        "answers",
        (
            _chat(_LLAMA),
            _chat(_LLAMA, stream=False),
            Call("/v1/responses", {"model": _LLAMA, "input": "Where to?", "stream": True}),
            Call("/v1/embeddings", {"model": _LLAMA, "input": ["Where to?"]}),
        ),
        pause=0.2,
    ),
    _lane(
        "ailing", "llama-3.3-70b", "outage@start=10,window=10,period=30", "down 10 s in 30", stand_in=f"steady/{_LLAMA}"
    ),
    _lane(
        "hanging", "phi-4", "flaky@every=2,fault=silent", "every 2nd: never a byte", stand_in="steady/microsoft/phi-4"
    ),
    _lane(
        "slow",
        "deepseek-r1",
        "slow-first@first=1.2",
        "late first token",
        stand_in="steady/deepseek-ai/deepseek-r1",
        breakers=_SELDOM,
    ),
    _lane("flaky", "mixtral-8x22b", "flaky@every=4", "every 4th: 503"),
    _lane("limited", "qwen-3-32b", "limited@after=6,window=6", "429 above 1/s"),
    _lane("resetting", "gemma-3-27b", "flaky@every=5,fault=reset", "every 5th: reset"),
    _lane("stalling", "claude-haiku", "flaky@every=3,fault=stall", "every 3rd: stalls", _messages),
    _lane("erring", "claude-sonnet", "flaky@every=3,fault=error-late", "every 3rd: error in a 200", _messages),
    _lane("cutting", "gemini-flash", "flaky@every=6,fault=cut", "every 6th: cut off", _gemini),
    _lane("unpaid", "gpt-mini", "quota", "account out of money", breakers=_SELDOM),
    _lane("pictures", "fal-ai/flux/dev", "ok@delay=0.4", "answers", _picture),
)

BREAKERS: Final = {
    "failure_threshold": 3,
    "min_requests": 5,
    "window": "10s",
    "open_for": "4s",
    "max_open_for": "8s",
    "slow_first_byte": "1s",
}
"""Quicker than anybody would want them in earnest, so that there is something to see within a minute."""


def shown(lanes: Sequence[Lane] = LANES) -> dict[tuple[str, str], str]:
    """Return what the table says about each target, in its order: the lanes', then those that only stand in."""
    texts = {lane.target: lane.shows for lane in lanes}
    texts |= {lane.stand_in: f"stands in for {lane.provider}" for lane in lanes if lane.stand_in not in {*texts, ""}}
    return {(target.partition("/")[0], target.partition("/")[2]): text for target, text in texts.items()}


def configuration(urls: Mapping[str, str], lanes: Sequence[Lane] = LANES) -> dict[str, Any]:
    """Return the configuration of the demo's Detour, given each provider's origin."""
    providers = {
        lane.provider: {
            "base_url": urls[lane.provider] + lane.prefix,
            "dialect": lane.dialect,
            "api_key": KEY,
            "breakers": lane.breakers,
        }
        for lane in lanes
    }
    return {
        "listen": "127.0.0.1:0",
        "admin": {"listen": "127.0.0.1:0"},
        "store": "memory:",
        "log": {"format": "json", "level": "info"},
        "providers": providers,
        "models": {lane.model: {"targets": [lane.target, lane.stand_in]} for lane in lanes if lane.stand_in},
        "breakers": BREAKERS,
        "timeouts": {"connect": "1s", "first_byte": "2s", "idle": "2s", "answer": "2s"},
        "drain": {"timeout": "1s"},
    }


async def drive(session: aiohttp.ClientSession, proxy: str, lane: Lane) -> None:
    """Ask a lane's questions for ever, one at a time; what comes back is Detour's to judge, not this client's."""
    for call in itertools.cycle(lane.calls):
        try:
            async with session.post(
                f"{proxy}/{lane.provider}{call.path}",
                data=msgspec.json.encode(call.body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:
                async for _ in answer.content.iter_any():
                    pass
        except (aiohttp.ClientError, TimeoutError):
            pass
        await asyncio.sleep(lane.pause)


def client() -> aiohttp.ClientSession:
    """Return the demo's HTTP client, with everything it might do by itself switched off."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=PATIENCE),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        skip_auto_headers=("Accept-Encoding",),
    )
