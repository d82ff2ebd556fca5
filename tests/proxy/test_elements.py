from __future__ import annotations

import pytest

from proxy.bounded import LIMIT, RUN
from proxy.elements import Elements


@pytest.mark.parametrize(
    ("body", "elements", "closed"),
    [
        (b"[]", [], True),
        (b"[{}]", [b"{}"], True),
        (b'[{"a": 1},\r\n{"b": [{}]}\n]', [b'{"a": 1}', b'{"b": [{}]}'], True),
        (b'[{"a": "}]\\"]"} , {}', [b'{"a": "}]\\"]"}', b"{}"], False),
        (b'[{"a": "\\\\"}]', [b'{"a": "\\\\"}'], True),
        (b'{"error": {"code": 1}} {}', [b'{"error": {"code": 1}}'], True),
        (b'[1, "{", null, [{"a": 1}]]', [], True),
        (b"] } [{}]", [b"{}"], True),
        (b"[{}] [{}]", [b"{}"], True),
        (b"[}", [], False),
        (b"{]", [b"{]"], False),
        (b"no brackets", [], False),
        (b'"[', [], False),
        (b"", [], False),
    ],
)
def test_elements(body: bytes, elements: list[bytes], closed: bool) -> None:
    for size in (1, 2, 3, len(body) or 1):
        array = Elements()
        found = [item for at in range(0, len(body), size) for item in array.feed(body[at : at + size])]
        assert (found, array.closed) == (elements, closed)


def test_a_large_element_is_shortened() -> None:
    array = Elements()
    body = b'[{"data": "' + b"A" * 3 * LIMIT + b'", "finishReason": "STOP"}]'
    found = [item for at in range(0, len(body), 50_000) for item in array.feed(body[at : at + 50_000])]
    assert found == [b'{"data": "' + b"A" * RUN + b'", "finishReason": "STOP"}']
    assert array.closed
