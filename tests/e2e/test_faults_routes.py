"""Where a faulty exchange may go, and where not: what the fault, the request and the group have to say about it.

Derived from semantics sections 1 (last column), 3 and 4 and proxy rule 17; see `tests.e2e.faults` for what is looked at
in every cell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.faults import Place, Turn, but
from tests.e2e.matrix import Matrix, open_matrix
from tests.e2e.usual import (
    BROKEN_KEY,
    ELSEWHERE,
    GONE,
    GOOD,
    ILL,
    LIMITED,
    LONG,
    MOVED,
    POLICY,
    REFUSED,
    SHORT,
    SHUT,
    SILENT,
    STAYED,
    STRAIGHT,
    cell,
    windows,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def own(**fields: str) -> bytes:
    """A body with these raw JSON values behind the model."""
    return b'{"model": "@model@"' + "".join(f', "{name}": {value}' for name, value in fields.items()).encode() + b"}"


TURN_400 = Turn(saw="a", by="a", status=400)
CONTEXT = [
    cell(
        "context: only a larger window is asked",
        windows((LONG, 8192), (GOOD, 8192), (GOOD, 131072)),
        Turn(saw="ac", by="c", cause="caller_error"),
    ),
    cell(
        "context: the larger one is too small as well",
        windows((LONG, 8192), (LONG, 131072)),
        Turn(saw="ab", by="b", status=400, cause="caller_error"),
    ),
    cell("context: nobody is larger", windows((LONG, 131072), (GOOD, 8192)), TURN_400),
    cell("context: nobody is known to be larger", windows((LONG, 8192), (GOOD, None)), TURN_400),
    cell(
        "context: messages",
        windows((LONG, 8192), (GOOD, 131072)),
        Turn(saw="ab", by="b", cause="caller_error"),
        kind="messages",
    ),
    cell(
        "context: generate",
        windows((LONG, 8192), (GOOD, 131072)),
        Turn(saw="ab", by="b", cause="caller_error"),
        kind="generate/s",
    ),
]
NOWHERE = [
    cell("policy", (POLICY, GOOD), TURN_400),
    cell("policy: streamed", (POLICY, GOOD), TURN_400, kind="chat/s"),
    cell("policy: messages", (POLICY, GOOD), TURN_400, kind="messages"),
    cell("policy: 403", (but(POLICY, script="policy@status=403"), GOOD), but(TURN_400, status=403)),
    *(
        cell(
            f"caller's mistake: {status}",
            (Place(script=f"fail-{status}", result="caller_error"), GOOD),
            but(TURN_400, status=status),
        )
        for status in (400, 405, 413, 422)
    ),
    cell(
        "caller's mistake: in the stream",
        (Place(script="error-first@status=400", result="caller_error"), GOOD),
        Turn(saw="a", by="a"),
        kind="chat/s",
    ),
]
PINNED = [
    cell(
        "pinned: x-detour-route: off",
        (ILL, GOOD),
        but(STAYED, fields=(b"X-Detour-Route: off",)),
        but(SHUT, fields=(b"X-Detour-Route: off",)),
        but(STRAIGHT, opened=False),
    ),
    *(
        cell(f"pinned: {name}", (ILL, GOOD), STAYED, SHUT, kind=kind, body=own(**fields))
        for name, kind, fields in (
            ("previous_response_id", "responses", {"input": '"hi"', "previous_response_id": '"resp_1"'}),
            ("conversation", "responses/s", {"input": '"hi"', "conversation": '"conv_1"', "stream": "true"}),
            ("prompt.id", "responses", {"input": '"hi"', "prompt": '{"id": "pmpt_1"}'}),
            ("container", "messages", {"max_tokens": "9", "messages": "[]", "container": '"cont_1"'}),
            (
                "file_id",
                "chat",
                {"messages": '[{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]'},
            ),
        )
    ),
    cell(
        "pinned: cachedContent",
        (ILL, GOOD),
        STAYED,
        SHUT,
        kind="generate",
        body=b'{"contents": [], "cachedContent": "cachedContents/1"}',
    ),
    cell("pinned: an encoded body", (ILL, GOOD), but(STAYED, fields=(b"Content-Encoding: identity",))),
    cell(
        "pinned: in the background",
        (but(ILL, script="fail-500", message="500 .*"), GOOD),
        but(STAYED, saw="a", status=500),
        kind="responses",
        body=own(input='"hi"', background="true"),
    ),
    cell(
        "not pinned: null",
        (ILL, GOOD),
        MOVED,
        kind="responses",
        body=own(input='"hi"', previous_response_id="null", conversation="null"),
    ),
    cell("pinned: a page elsewhere", (ILL, GOOD), but(STAYED, fields=(b"Origin: https://evil.example",))),
]
ONCE_ONLY = [
    cell(
        "images: 500",
        (but(ILL, script="fail-500", message="500 .*"), GOOD),
        but(STAYED, saw="a", status=500),
        kind="images",
    ),
    cell("images: 503", (ILL, GOOD), MOVED, kind="images"),
    cell("images: 429", (LIMITED, GOOD), Turn(saw="ab", by="b", cause="rate_limited"), kind="images"),
    cell("images: refused", (REFUSED, GOOD), Turn(saw="ab", by="b", cause="network_error"), kind="images"),
    cell(
        "images: reset before head",
        (GONE, GOOD),
        Turn(saw="a", status=502, body="own", says=GONE.message),
        kind="images",
    ),
    cell("images: silent", (SILENT, GOOD), Turn(saw="a", status=504, body="own", says=SILENT.message), kind="images"),
    cell("images: target open", (GOOD, GOOD), STRAIGHT, kind="images"),
    cell("images/s: 429", (LIMITED, GOOD), Turn(saw="ab", by="b", cause="rate_limited"), kind="images/s"),
    cell(
        "audio: 500",
        (but(ILL, script="fail-500", message="500 .*"), GOOD),
        but(STAYED, saw="a", status=500),
        kind="audio",
    ),
    cell("audio: 429", (LIMITED, GOOD), Turn(saw="ab", by="b", cause="rate_limited"), kind="audio"),
    cell("audio: target open", (GOOD, GOOD), STRAIGHT, kind="audio"),
    cell("audio/s: target open", (GOOD, GOOD), STRAIGHT, kind="audio/s"),
    cell("edits: target open", (GOOD, GOOD), STRAIGHT, kind="edits"),
    cell("speech: target open", (GOOD, GOOD), STRAIGHT, kind="speech"),
    cell(
        "fal: 500",
        (but(ILL, script="fail-500", message="500 .*"), GOOD),
        but(STAYED, saw="a", status=500),
        kind="fal",
    ),
    cell("fal: 429", (LIMITED, GOOD), Turn(saw="ab", by="b", cause="rate_limited"), kind="fal"),
    cell("fal: target open", (GOOD, GOOD), STRAIGHT, kind="fal"),
    cell("fal: target open, alone", (GOOD,), SHUT, kind="fal"),
]
OTHER_KINDS = ("completions/s", "responses", "responses/s", "embeddings", "messages", "messages/s")
GOOGLES = ("generate", "generate/s", "generate/a")
KINDS_OF_REQUESTS = [
    *(cell(f"{kind}: 503", (ILL, GOOD), MOVED, kind=kind) for kind in (*OTHER_KINDS, *GOOGLES)),
    *(
        cell(f"{kind}: 401", (BROKEN_KEY, GOOD), Turn(saw="ab", by="b", cause="error"), kind=kind)
        for kind in ("messages", "messages/s", *GOOGLES)
    ),
    *(
        cell(f"{kind}: in-band error first", (but(ILL, script=script, message="5.*"), GOOD), MOVED, kind=kind)
        for kind, script in (
            ("responses/s", "error-first@shape=failed"),
            ("messages/s", "error-first"),
            ("generate/s", "error-first@status=503"),
            ("generate/a", "error-first@status=503"),
            ("generate", "error-200"),
        )
    ),
    *(
        cell(
            f"{kind}: in-band error late",
            (but(ILL, script="error-late@status=503", message="50. .*"), GOOD),
            Turn(saw="a", by="a", end="fin"),
            kind=kind,
        )
        for kind in ("messages/s", "generate/s", "generate/a")
    ),
    *(cell(f"{kind}: target open", (GOOD, GOOD), STRAIGHT, kind=kind) for kind in (*OTHER_KINDS, *GOOGLES)),
    *(
        cell(f"{kind}: target open, alone", (GOOD,), SHUT, kind=kind)
        for kind in ("chat", "chat/s", "messages", "messages/s", *GOOGLES)
    ),
]
GROUPS = [
    cell("same provider: 503", (ILL, ELSEWHERE), MOVED),
    cell("same provider: silent", (SILENT, ELSEWHERE), Turn(saw="ab", by="b", cause="timeout"), kind="chat/s"),
    *(
        cell(
            f"same provider: {status}",
            (Place(script=f"fail-{status}", result="error", message=f"{status} .*"), ELSEWHERE),
            Turn(saw="ab", by="b", cause="error"),
        )
        for status in (403, 404)
    ),
    cell("same provider: 401", (BROKEN_KEY, ELSEWHERE, GOOD), Turn(saw="ac", by="c", cause="error")),
    cell("same provider: 401, nobody else", (BROKEN_KEY, ELSEWHERE), but(TURN_400, status=401)),
    cell("same provider: generate", (ILL, ELSEWHERE), MOVED, kind="generate"),
    cell("three: two silent", (SILENT, SILENT, GOOD), Turn(saw="abc", by="c", cause="timeout")),
    cell(
        "three: all fail in their own way",
        (LIMITED, BROKEN_KEY, SILENT),
        Turn(saw="abc", status=504, body="own", says=SILENT.message, cause="rate_limited"),
    ),
    cell(
        "three: attempts run out",
        (ILL, ILL, GOOD),
        Turn(saw="aab", by="b", status=503, cause="error"),
    ),
    cell(
        "two: the last answer passes",
        (REFUSED, LIMITED),
        Turn(saw="ab", by="b", status=429, cause="network_error"),
    ),
    cell(
        "two: timeouts by status",
        (Place(script="fail-408", result="timeout", message="408 .*"), GOOD),
        Turn(saw="ab", by="b", cause="timeout"),
    ),
    cell(
        "two: rate limit in the stream",
        (Place(script="error-first@status=429", result="rate_limited", message="429 .*"), GOOD),
        Turn(saw="ab", by="b", cause="rate_limited"),
        Turn(saw="b", by="b", cause="hold_off"),
        kind="chat/s",
    ),
    cell(
        "two: another caller's limit",
        (LIMITED, GOOD),
        Turn(saw="ab", by="b", cause="rate_limited"),
        Turn(saw="ab", by="b", cause="rate_limited", caller="another-caller"),
        Turn(saw="b", by="b", cause="hold_off"),
    ),
    cell(
        "no key for the other",
        (ILL, but(GOOD, more={"api_key": None, "api_key_env": ["NOBODY_API_KEY"]})),
        STAYED,
        SHUT,
    ),
    # It said no, and then nothing: silence is not asked twice.
    cell(
        "two: a refusal that stalls",
        (but(ILL, script="stalled-503", more=SHORT), GOOD),
        Turn(saw="ab", by="b", cause="error", takes=(0.4, 3)),
    ),
    cell("another dialect", (ILL, but(GOOD, more={"dialect": "anthropic"})), STAYED, SHUT),
    cell(
        "another dialect with a prefix for ours",
        (ILL, but(GOOD, more={"dialect": "anthropic", "prefixes": {"openai": "/api/openai/v1"}})),
        MOVED,
    ),
    cell("another style of key", (ILL, but(GOOD, more={"auth": "api-key"})), MOVED),
    cell(
        "a slow beginning is no fault",
        (Place(script="slow-first@first=0.3"), GOOD),
        Turn(saw="a", by="a"),
        kind="chat/s",
    ),
    cell(
        "model named twice, and in escapes",
        (ILL, GOOD),
        MOVED,
        body=b'\n{"messages":[ ],"model":"@model@" , "mod\\u0065l"\t: "@model@"}',
    ),
    cell(
        "observed: a breaker that blocks nothing",
        (but(ILL, more={"breakers": {"mode": "observe"}}),),
        STAYED,
        but(STAYED, opens="target"),
        but(STAYED, opens="target"),
    ),
    cell(
        "observed: a hold-off that blocks nothing",
        (but(LIMITED, more={"breakers": {"mode": "observe"}}), GOOD),
        Turn(saw="ab", by="b", cause="rate_limited"),
        Turn(saw="ab", by="b", cause="rate_limited"),
    ),
    cell(
        "off: nothing is judged",
        (but(ILL, more={"breakers": {"mode": "off"}}),),
        STAYED,
        STAYED,
        STAYED,
    ),
]
CELLS = [*CONTEXT, *NOWHERE, *PINNED, *ONCE_ONLY, *KINDS_OF_REQUESTS, *GROUPS]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> AsyncIterator[Matrix]:
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    async with open_matrix(tmp_path_factory.mktemp("routes"), CELLS, only=asked.__contains__) as found:
        yield found


@pytest.mark.parametrize("name", [one.name for one in CELLS])
async def test_where_a_fault_sends_an_exchange(matrix: Matrix, name: str) -> None:
    await matrix.result(name)
