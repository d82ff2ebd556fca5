"""What Detour itself says, read back: answers and in-band events in the exact shape of each dialect."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.e2e.caller import Got
from tests.e2e.kinds import Kind


def told(dialect: str, document: Any, status: int) -> str:
    """The message of an error of ours, in the exact shape of its dialect."""
    if dialect == "anthropic":
        assert document.keys() == {"type", "error"}
        assert document["type"] == "error"
        assert document["error"].keys() == {"type", "message"}
        return str(document["error"]["message"])
    if dialect == "gemini":
        assert document.keys() == {"error"}
        assert document["error"].keys() == {"code", "message", "status"}
        assert document["error"]["code"] == status
        return str(document["error"]["message"])
    assert document.keys() == ({"error"} if dialect == "openai" else {"detail", "error"})
    assert document["error"].keys() == {"message", "type", "code", "param"}
    if dialect == "fal":
        assert document["detail"] == document["error"]["message"]
    return str(document["error"]["message"])


def own_message(dialect: str, got: Got) -> str:
    """What an answer of ours says."""
    assert got.header("content-type") == "application/json"
    assert got.header("content-length") == str(len(got.body))
    return told(dialect, got.json, got.status)


def cut_event(kind: Kind, body: bytes) -> tuple[bytes, bytes]:
    """A broken stream, quiet, and the last event in it."""
    body = quiet(kind, body)
    if kind.shape == "array":
        begun, _, event = body.rpartition(b',{"error"')
        return begun, b'{"error"' + event
    assert body.endswith(b"\n\n")
    mark = b"event: error\ndata: " if b"event: error\n" in body else b"data: "
    begun, _, event = body.rpartition(mark)
    return begun, mark + event


_MURMUR = re.compile(rb"^:[^\n]*\n\r?\n|^event: ping\ndata: [^\n]*\n\n", re.MULTILINE)


def quiet(kind: Kind, body: bytes) -> bytes:
    """A stream without what only keeps its line alive."""
    if kind.shape == "array":
        return body.replace(b"\r", b"").replace(b"\n", b"")
    return _MURMUR.sub(b"", body) if kind.shape == "sse" else body


def event_message(kind: Kind, event: bytes, status: int) -> str:
    """What an error event of ours inside a stream says, in the exact shape of its dialect."""
    named = kind.dialect == "anthropic" or kind.name == "responses/s"
    assert event.startswith(b"event: error\n") == named
    document = json.loads(event if kind.shape == "array" else event.partition(b"data: ")[2])
    if kind.name == "responses/s":
        flat = {key: document.pop(key) for key in ("type", "sequence_number", "code", "message", "param")}
        assert (flat["type"], flat["message"]) == ("error", document["error"]["message"])
    return told(kind.dialect, document, status)
