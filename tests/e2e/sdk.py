"""Driving the official SDKs from tables: one call is the method's path with its arguments, run async or blocking."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

import anthropic
import openai

from tests.e2e.road import CALLER_KEY, failure, in_thread, plain

USER: Any = [{"role": "user", "content": "Where to?"}]
SOUND = ("a.mp3", b"\xff\xfb\x90\x64" + bytes(417 - 4), "audio/mpeg")
PICTURE = ("a.png", b"\x89PNG", "image/png")


class Call(NamedTuple):
    """A method of a client and what it is given, beside the model."""

    name: str
    method: str
    arguments: dict[str, Any]


CHAT = Call("chat", "chat.completions.create", {"messages": USER})
CHAT_STREAM = Call("chat-stream", CHAT.method, {"messages": USER, "stream": True})
COMPLETION = Call("completion", "completions.create", {"prompt": "Where to?"})
RESPONSE = Call("response", "responses.create", {"input": "Where to?"})
RESPONSE_STREAM = Call("response-stream", RESPONSE.method, {"input": "Where to?", "stream": True})
EMBEDDING = Call("embedding", "embeddings.create", {"input": ["a", "b"], "dimensions": 8})
IMAGE = Call("image", "images.generate", {"prompt": "a road"})
SPEECH = Call("speech", "audio.speech.create", {"input": "Go", "voice": "alloy"})
TRANSCRIPTION = Call("transcription", "audio.transcriptions.create", {"file": SOUND})
MESSAGE = Call("message", "messages.create", {"messages": USER, "max_tokens": 10})
MESSAGE_STREAM = Call("message-stream", MESSAGE.method, {"messages": USER, "max_tokens": 10, "stream": True})

OPENAI: list[Call] = [
    CHAT,
    CHAT_STREAM,
    Call(
        "chat-stream-usage", CHAT.method, {"messages": USER, "stream": True, "stream_options": {"include_usage": True}}
    ),
    COMPLETION,
    Call("completion-stream", COMPLETION.method, {"prompt": "Where to?", "stream": True}),
    RESPONSE,
    RESPONSE_STREAM,
    EMBEDDING,
    Call("embedding-floats", EMBEDDING.method, {"input": "a", "encoding_format": "float"}),
    IMAGE,
    Call("image-url", IMAGE.method, {"prompt": "a road", "response_format": "url"}),
    Call("image-stream", IMAGE.method, {"prompt": "a road", "stream": True, "partial_images": 2}),
    Call("image-edit", "images.edit", {"prompt": "a fork", "image": PICTURE}),
    SPEECH,
    TRANSCRIPTION,
    Call("transcription-srt", TRANSCRIPTION.method, {"file": SOUND, "response_format": "srt"}),
    Call("transcription-stream", TRANSCRIPTION.method, {"file": SOUND, "stream": True}),
    Call("translation", "audio.translations.create", {"file": SOUND}),
]

ANTHROPIC: list[Call] = [
    MESSAGE,
    MESSAGE_STREAM,
    Call(
        "message-system",
        MESSAGE.method,
        {"messages": USER, "max_tokens": 10, "system": "Be brief.", "stop_sequences": ["."]},
    ),
]


class Clients:
    """One SDK client for each origin, blocking and not, kept open as an application keeps its own."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, bool], Any] = {}

    def get(self, kind: str, origin: str, *, sync: bool, **options: Any) -> Any:
        """A client for an origin; `options` are for this call alone."""
        key = (kind, origin, sync)
        if key not in self._made:
            base = f"{origin}/v1" if kind == "openai" else origin
            self._made[key] = MAKERS[kind, sync](base_url=base, api_key=CALLER_KEY, max_retries=0, timeout=10)
        return self._made[key].with_options(**options) if options else self._made[key]

    async def close(self) -> None:
        for (_, _, sync), client in self._made.items():
            if sync:
                client.close()
            else:
                await client.close()

    async def run(self, kind: str, origin: str, call: Call, model: str, *, sync: bool, **options: Any) -> list[Any]:
        """Make a call; what came of it as plain data, the events of a stream one by one, an exception at the end."""
        client = self.get(kind, origin, sync=sync, **options)
        got: list[Any] = []
        try:
            if sync:
                await in_thread(lambda: _run(client, call, model, got))
            else:
                await _arun(client, call, model, got)
        except Exception as error:
            if not type(error).__module__.startswith(("openai", "anthropic", "httpx")):
                raise
            got.append(failure(error))
        return got


MAKERS: dict[tuple[str, bool], Any] = {
    ("openai", True): openai.OpenAI,
    ("openai", False): openai.AsyncOpenAI,
    ("anthropic", True): anthropic.Anthropic,
    ("anthropic", False): anthropic.AsyncAnthropic,
}


async def _arun(client: Any, call: Call, model: str, got: list[Any]) -> None:
    result = await attrgetter(call.method)(client)(model=model, **call.arguments)
    if "Stream" in type(result).__name__:
        async with result as stream:
            async for event in stream:
                got.append(plain(event))
    else:
        got.append(plain(await result.aread() if hasattr(result, "aread") else result))


def _run(client: Any, call: Call, model: str, got: list[Any]) -> None:
    result = attrgetter(call.method)(client)(model=model, **call.arguments)
    if "Stream" in type(result).__name__:
        with result as stream:
            got.extend(plain(event) for event in stream)
    else:
        got.append(plain(result.read() if hasattr(result, "read") else result))
