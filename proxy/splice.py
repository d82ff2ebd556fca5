"""A request's body with another model's name in it, and each other byte as it was.

Nothing is decoded and encoded again: the name's place is found and its bytes are replaced there. A body in which the
place is not certain is not changed at all.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from proxy import multipart, partial

if TYPE_CHECKING:
    from proxy.paths import Endpoint


def splice(endpoint: Endpoint, content_type: bytes, body: bytes | bytearray, model: str) -> bytes | bytearray | None:
    """The whole body of a request to `endpoint`, asking for `model`; None when that cannot be done. Never raises.

    Every top-level `model` of a JSON object is replaced, or every part of that name; where the model stands in the path
    the body is left as it is.
    """
    if endpoint.model_in == "path":
        return body
    if endpoint.model_in == "none":
        return None
    if content_type[:10].lower() == b"multipart/":
        if not model.isprintable():
            return None  # a line end in it would end the part
        return _replaced(body, multipart.places(content_type, body, "model"), model.encode())
    return _replaced(body, partial.places(body, "model"), json.dumps(model).encode())


def _replaced(body: bytes | bytearray, places: list[tuple[int, int]], value: bytes) -> bytes | None:
    if not places:
        return None
    pieces: list[bytes | bytearray] = []
    at = 0
    for start, end in places:
        pieces += (body[at:start], value)
        at = end
    pieces.append(body[at:])
    return b"".join(pieces)
