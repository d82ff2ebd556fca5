"""litellm, curl, and the raw requests of vendors whose SDKs are not at hand: the same with Detour in the way."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from tests.e2e.road import CALLER_KEY, Road, failure, hasty, in_thread, open_road, plain, same_request
from tests.e2e.world import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")

USER = [{"role": "user", "content": "Where to?"}]
OURS = ("x-detour-", "server-timing", "connection", "keep-alive")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def road(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Road]:
    async with open_road(tmp_path_factory.mktemp("others")) as found:
        yield found


# -- raw requests ------------------------------------------------------------------------------------------------------


GEMINI = {"contents": [{"role": "user", "parts": [{"text": "Where to?"}]}]}
RAW: list[tuple[str, str, str, dict[str, str], Any]] = [
    ("gemini-generate", "gemini", "/v1beta/models/{}:generateContent", {"x-goog-api-key": CALLER_KEY}, GEMINI),
    ("gemini-key-in-query", "gemini", "/v1beta/models/{}:generateContent?key=AIza-caller", {}, GEMINI),
    ("gemini-sse", "gemini", "/v1beta/models/{}:streamGenerateContent?alt=sse", {"x-goog-api-key": CALLER_KEY}, GEMINI),
    ("gemini-array", "gemini", "/v1beta/models/{}:streamGenerateContent", {"x-goog-api-key": CALLER_KEY}, GEMINI),
    (
        "gemini-openai",
        "gemini",
        "/v1beta/openai/chat/completions",
        {"authorization": f"Bearer {CALLER_KEY}"},
        {"messages": USER, "stream": True},
    ),
    (
        "vertex-generate",
        "google-vertex",
        "/v1/projects/p/locations/l/publishers/google/models/{}:generateContent",
        {"authorization": "Bearer ya29.caller"},
        GEMINI,
    ),
    (
        "vertex-predict",
        "google-vertex",
        "/v1/projects/p/locations/l/publishers/google/models/{}:predict",
        {"authorization": "Bearer ya29.caller"},
        {"instances": [{"prompt": "a road"}], "parameters": {"sampleCount": 1}},
    ),
    ("fal-run", "fal", "/{}", {"authorization": "Key fal-caller"}, {"prompt": "a road"}),
    ("fal-queue", "fal-queue", "/{}", {"authorization": "Key fal-caller"}, {"prompt": "a road"}),
]
SCRIPTS = [
    ("ok", "success"),
    ("ok@events=40", "success"),
    ("fail-503", "error"),
    ("rate-limit-5", "rate_limited"),
    ("fail-400", "caller_error"),
    ("gzip", "success"),
]


@pytest.mark.parametrize(("script", "status"), SCRIPTS, ids=[script for script, _ in SCRIPTS])
@pytest.mark.parametrize(("provider", "path", "keys", "body"), [row[1:] for row in RAW], ids=[row[0] for row in RAW])
async def test_raw_requests_are_the_same(
    road: Road, provider: str, path: str, keys: dict[str, str], body: Any, script: str, status: str
) -> None:
    model = road.model(script)
    name = model
    if provider == "gemini" or "models/{}" in path:
        name = quote(model, safe="")
    elif "{}" in path:
        name = model = f"fal-ai/{model}"
    if "{}" not in path:
        body = body | {"model": model}
    first = len(road.fake.log)
    answers = []
    for origin in (road.fake.url, road.through(provider)):
        async with aiohttp.request(
            "POST", URL(origin + path.format(name), encoded=True), json=body, headers=keys
        ) as answer:
            fields = sorted(
                (key.lower(), plain(value)) for key, value in answer.headers.items() if not key.lower().startswith(OURS)
            )
            answers.append((answer.status, answer.reason, fields, plain((await answer.read()).decode("latin-1"))))
    assert _without_times(answers[1]) == _without_times(answers[0])
    same_request(*road.fake.log[first:])
    await road.settles(provider, model, status)


def _without_times(answer: tuple[Any, ...]) -> Any:
    status, reason, fields, text = answer
    cut = text.partition('"created":')
    return status, reason, [pair for pair in fields if pair[0] != "content-length"], cut[0]


@pytest.mark.parametrize(
    ("provider", "style"),
    [
        ("gemini", (b"x-goog-api-key", b"configured-gemini")),
        ("google-vertex", (b"authorization", b"Bearer configured-vertex")),
        ("fal", (b"authorization", b"Key configured-fal")),
    ],
)
async def test_the_configured_key_goes_along_in_the_providers_style(
    road: Road, provider: str, style: tuple[bytes, bytes]
) -> None:
    model = f"fal-ai/{road.model('ok')}"
    paths = {
        "gemini": "/v1beta/models/{}:generateContent",
        "google-vertex": "/v1/projects/p/locations/l/publishers/google/models/{}:generateContent",
        "fal": "/{}",
    }
    name = model if provider == "fal" else quote(model, safe="")
    url = URL(road.through(provider) + paths[provider].format(name), encoded=True)
    async with aiohttp.request("POST", url, json=GEMINI) as answer:
        assert answer.status == 200, await answer.text()
    assert road.fake.log[-1].header(style[0]) == style[1]
    await road.settles(provider, model, "success")


# -- litellm -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def litellm() -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched from anywhere
    import litellm as module

    module.suppress_debug_info = True
    module.disable_aiohttp_transport = True
    return module


SHAPES = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}


@pytest.mark.filterwarnings("ignore")  # litellm warns of all sorts of things
class TestLiteLLM:
    async def both(self, litellm: Any, road: Road, kind: str, model: str, **more: Any) -> list[Any]:
        results = []
        for origin in (road.fake.url, road.through(kind)):
            got: list[Any] = []
            options = {
                "api_base": origin + SHAPES[kind],
                "api_key": CALLER_KEY,
                "messages": USER,
                "max_retries": 0,
            } | more
            try:
                answer = await litellm.acompletion(model=f"{kind}/{model}", **options)
                if more.get("stream"):
                    got.extend([_litellm(chunk) async for chunk in answer])
                else:
                    got.append(_litellm(answer))
            except Exception as error:
                got.append(failure(error))
            results.append(got)
        assert results[1] == results[0]
        return results[1]

    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize("kind", SHAPES)
    async def test_completions(self, litellm: Any, road: Road, kind: str, stream: bool) -> None:
        model = road.model("ok@events=12")
        if kind == "gemini":
            model = "ok@events=12"
        got = await self.both(litellm, road, kind, model, stream=stream)
        assert "class" not in got[-1], got[-1]
        assert (len(got) > 5) == stream
        if kind != "gemini":
            await road.settles(kind, model, "success")
        else:
            road.expect(kind, model, "success")

    @pytest.mark.parametrize(
        ("kind", "script", "status", "name"),
        [
            ("openai", "fail-401", "error", "AuthenticationError"),
            ("openai", "fail-400", "caller_error", "BadRequestError"),
            ("openai", "fail-404", "error", "NotFoundError"),
            ("openai", "rate-limit-5", "rate_limited", "RateLimitError"),
            ("openai", "context-length", "caller_error", "ContextWindowExceededError"),
            ("openai", "fail-503", "error", "ServiceUnavailableError"),
            ("openai", "fail-500", "error", "InternalServerError"),
            ("anthropic", "fail-401", "error", "AuthenticationError"),
            ("anthropic", "rate-limit-5", "rate_limited", "RateLimitError"),
            ("anthropic", "fail-529", "error", ""),
            ("anthropic", "fail-503", "error", ""),
        ],
    )
    async def test_error_classes(
        self, litellm: Any, road: Road, kind: str, script: str, status: str, name: str
    ) -> None:
        model = road.model(script)
        (told,) = await self.both(litellm, road, kind, model, num_retries=0)
        assert not name or told["class"].endswith(f".{name}")
        await road.settles(kind, model, status)

    @pytest.mark.parametrize(
        ("script", "status", "code"), [("silent", "timeout", 504), ("reset-before", "network_error", 502)]
    )
    @pytest.mark.parametrize("kind", ["openai", "anthropic"])
    async def test_our_own_answers(
        self, litellm: Any, road: Road, kind: str, script: str, status: str, code: int
    ) -> None:
        provider = hasty(kind) if status == "timeout" else kind
        model = road.model(script)
        with pytest.raises(Exception, match=f"{provider}/{model}") as raised:
            await litellm.acompletion(
                model=f"{kind}/{model}",
                api_base=road.through(provider) + SHAPES[kind],
                api_key=CALLER_KEY,
                messages=USER,
                max_retries=0,
            )
        assert raised.value.status_code == code  # type: ignore[attr-defined]
        await road.settles(provider, model, status)

    async def test_the_blocking_call_and_embeddings(self, litellm: Any, road: Road) -> None:
        model = road.model("ok")
        options = {"model": f"openai/{model}", "api_base": road.through("openai") + "/v1", "api_key": CALLER_KEY}
        answer = await in_thread(lambda: litellm.completion(messages=USER, **options))
        assert answer.choices[0].message.content.startswith("Detour keeps")
        vectors = await litellm.aembedding(input=["a"], **options)
        assert len(vectors.data[0]["embedding"]) == 16
        await road.settles("openai", model, "success", 2)


def _litellm(answer: Any) -> Any:
    """An answer without what litellm makes up itself."""
    found = plain(answer)
    found.pop("id")
    return found


# -- curl --------------------------------------------------------------------------------------------------------------

CHAT = "/v1/chat/completions"
JSON = ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {CALLER_KEY}"]
CURL = [
    ("chat", ["-d", '{{"model":"{}","messages":[]}}'], "ok", "success"),
    ("stream", ["-N", "-d", '{{"model":"{}","stream":true}}'], "ok@events=50", "success"),
    ("http10", ["--http1.0", "-d", '{{"model":"{}","messages":[]}}'], "ok", "success"),
    ("compressed", ["--compressed", "-d", '{{"model":"{}","messages":[]}}'], "gzip", "success"),
    ("chunked", ["-H", "Transfer-Encoding: chunked", "-d", '{{"model":"{}","messages":[]}}'], "ok", "success"),
    ("expect", ["-H", "Expect: 100-continue", "-d", '{{"model":"{}","messages":[]}}'], "ok", "success"),
    ("refused", ["-d", '{{"model":"{}","messages":[]}}'], "fail-503@retry=3", "error"),
    ("redirect", ["-d", '{{"model":"{}","messages":[]}}'], "redirect", "success"),
    ("no-content", ["-d", '{{"model":"{}","messages":[]}}'], "no-content", "success"),
    ("hints", ["-d", '{{"model":"{}","messages":[]}}'], "early-hints", "success"),
    ("padded", ["-d", '{{"model":"{}","messages":[],"pad":"' + "x" * 2_000_000 + '"}}'], "ok@size=3000000", "success"),
]


async def curl(*arguments: str, stdin: bytes = b"") -> tuple[int, bytes]:
    """Run curl: (exit status, what it printed)."""
    program = shutil.which("curl")
    if program is None:
        pytest.fail("curl is not here: install it (Debian, Ubuntu: apt-get install curl)")
    process = await asyncio.create_subprocess_exec(
        program,
        "-sS",
        "--max-time",
        "15",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(stdin), PATIENCE)
    assert process.returncode is not None
    return process.returncode, out


def printed(out: bytes) -> tuple[list[str], list[str], str]:
    """What `curl -i` printed: status lines, fields without ours, body without its number and time."""
    head, _, body = out.decode("latin-1").partition("\r\n\r\n")
    while body.startswith("HTTP/1."):
        more, _, body = body.partition("\r\n\r\n")
        head += "\r\n" + more
    lines = [plain(line) for line in head.split("\r\n")]
    fields = [
        line
        for line in lines
        if not line.startswith("HTTP/1.") and not line.lower().startswith((*OURS, "transfer-encoding"))
    ]
    if any(line.lower() == "content-encoding: gzip" for line in fields):
        # How far an answer shrinks depends on its number, which no two answers share.
        fields = [line for line in fields if not line.lower().startswith("content-length:")]
    text = plain(body)
    for mark in ('"created":', '"created_at":'):
        text = "".join(part[10:] if index else part for index, part in enumerate(text.split(mark)))
    return [line for line in lines if line.startswith("HTTP/1.")], sorted(map(str.lower, fields)), text


@pytest.mark.parametrize(("arguments", "script", "status"), [row[1:] for row in CURL], ids=[row[0] for row in CURL])
async def test_curl_prints_the_same(road: Road, arguments: list[str], script: str, status: str) -> None:
    model = road.model(script)
    *flags, body = arguments
    first = len(road.fake.log)
    results = []
    for origin in (road.fake.url, road.through("openai")):
        # The body goes in by standard input: an argument has a limit.
        code, out = await curl(
            "-i", *JSON, *flags[:-1], "--data-binary", "@-", origin + CHAT, stdin=body.format(model).encode()
        )
        assert code == 0, out
        results.append(printed(out))
    assert results[1] == results[0]
    direct, through = road.fake.log[first:]
    assert (through.method, through.target, through.body) == (direct.method, direct.target, direct.body)
    await road.settles("openai", model, status)


async def test_curl_sees_that_a_stream_broke(road: Road) -> None:
    model = road.model("reset")
    code, out = await curl("-N", *JSON, "-d", f'{{"model":"{model}","stream":true}}', road.through("openai") + CHAT)
    assert code == 18  # transfer closed with outstanding data
    assert b'data: {"error":{"message":"openai/' in out
    await road.settles("openai", model, "network_error")


async def test_curl_uploads_a_file_and_asks_for_heads(road: Road, tmp_path: Any) -> None:
    model = road.model("ok")
    sound = tmp_path / "a.mp3"
    sound.write_bytes(base64.b64encode(os.urandom(1_500_000)))
    key = ["-H", f"Authorization: Bearer {CALLER_KEY}"]
    target = road.through("openai") + "/v1/audio/transcriptions"
    code, out = await curl(*key, "-F", f"file=@{sound}", "-F", f"model={model}", target)
    assert code == 0
    assert b"Detour keeps" in out
    assert sound.read_bytes() in road.fake.log[-1].body
    await road.settles("openai", model, "success")
    outputs = [
        printed((await curl("-I", *key, origin + "/v1/models"))[1])
        for origin in (road.fake.url, road.through("openai"))
    ]
    assert outputs[0] == outputs[1]
    road.expect("openai", "~none", "success")


async def test_curl_keeps_its_connection(road: Road) -> None:
    model = road.model("ok")
    target = road.through("openai") + CHAT
    body = f'{{"model":"{model}","messages":[]}}'
    code, out = await curl(
        "-v", *JSON, "-d", body, "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", target, target, target
    )
    assert code == 0
    assert out.count(b"Re-using existing") == 2, out
    await road.settles("openai", model, "success", 3)
