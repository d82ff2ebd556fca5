"""What answers to free questions say of a model, and what answers say they cost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.evidence import UNLISTED, UNREADABLE, lacks, spent
from proxy.inband import InBandError
from proxy.probe import Asks

OPENAI = {"object": "list", "data": [{"id": "dall-e-3", "object": "model"}, {"id": "z/img:free"}, {"id": 7}]}
CLOUDFLARE = {"result": [{"id": "uuid", "name": "@cf/openai/whisper"}], "success": True}


def bare(document: Any) -> bytes:
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("document", "model", "expected"),
    [
        (OPENAI, "dall-e-3", None),
        (OPENAI, "z/img:free", None),
        (OPENAI, "dall-e-3:nitro", None),
        (OPENAI, "Dall-E-3", UNLISTED),
        (OPENAI, "7", UNLISTED),
        (OPENAI["data"], "dall-e-3", None),
        (CLOUDFLARE, "@cf/openai/whisper", None),
        (CLOUDFLARE, "uuid", UNLISTED),
        ({**CLOUDFLARE, "result_info": {"page": 1, "total_pages": 2}}, "@cf/openai/whisper", None),
        ({**CLOUDFLARE, "result_info": {"page": 1, "total_pages": 2}}, "m", UNREADABLE),
        ({**CLOUDFLARE, "result_info": {"page": 2, "total_pages": 2}}, "m", UNLISTED),
        ({"data": []}, "m", UNREADABLE),
        ({"data": None}, "m", UNREADABLE),
        ({"data": [None, 1, ["m"], {"id": None}, {"id": ""}]}, "m", UNREADABLE),
        ({}, "m", UNREADABLE),
        ("m", "m", UNREADABLE),
        (None, "m", UNREADABLE),
    ],
)
def test_lists(document: Any, model: str, expected: InBandError | None) -> None:
    assert lacks(Asks.LIST, model, bare(document), "openai") is expected


@pytest.mark.parametrize("asks", [Asks.GENERATION, Asks.MODEL, Asks.QUEUE])
def test_only_lists_can_lack_a_name(asks: Asks) -> None:
    assert lacks(asks, "m", b"", "openai") is None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda s: (
            st.lists(s) | st.dictionaries(st.sampled_from(["data", "models", "id", "name", "usage", "total_tokens"]), s)
        ),
    )
)
def test_nothing_makes_them_raise(document: Any) -> None:
    body = bare(document)
    assert lacks(Asks.LIST, "m", body, "openai") in (None, UNLISTED, UNREADABLE)
    assert spent(body) is None or spent(body) >= 0  # type: ignore[operator]


@given(st.binary())
def test_noise_is_no_list(body: bytes) -> None:
    assert lacks(Asks.LIST, "a model", body, "openai") in (UNREADABLE, UNLISTED)
    assert spent(b"usage" + body) is None


@pytest.mark.parametrize(
    ("document", "tokens"),
    [
        ({"usage": {"prompt_tokens": 8, "completion_tokens": 5, "total_tokens": 13}}, 13),
        ({"usage": {"input_tokens": 8, "output_tokens": 4}}, 12),
        ({"usage": {"completion_tokens": 4}}, 4),
        ({"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 9}}, 9),
        ({"usage": {"total_tokens": 0}}, 0),
        ({"usage": {"total_tokens": -5}}, None),
        ({"usage": {"total_tokens": True}}, None),
        ({"usage": {"total_tokens": "13"}}, None),
        ({"usage": {}}, None),
        ({"usage": None}, None),
        ({"usage": 5}, None),
        ([{"usage": {"total_tokens": 5}}], None),
        ({"choices": []}, None),
    ],
)
def test_what_an_answer_says_it_took(document: Any, tokens: int | None) -> None:
    assert spent(bare(document)) == tokens
