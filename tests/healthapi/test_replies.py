from __future__ import annotations

from msgspec import Struct

from healthapi.replies import Reply, reply


class Named(Struct):
    names: list[str]
    seen: float | None = None


def test_bytes_are_sent_as_they_are() -> None:
    assert Reply(b"text", "text/plain").body == b"text"


def test_a_reply_is_json_as_utf8() -> None:
    made = reply(Named(["mod\u00e8le"]), 503)
    assert (made.status, made.content_type) == (503, "application/json")
    assert made.body == '{"names":["mod\u00e8le"],"seen":null}'.encode()
